"""Audio files to features, tags and hashes, by worker processes that may die.

Workers unpickle functions of this module, so nothing here imports JAX.
"""

import collections
import dataclasses
import hashlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from joblib.externals.loky import get_reusable_executor

from input_pipeline import features, workers
from jaxsim.library import tags

MAX_SECONDS = 3600.0  # of audio; decoded, an hour is 0.6 GB
IN_FLIGHT = 4  # files per worker; bounds the memory
PARENT_CHECK_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Heard:
    """What was found in a file.

    Attributes:
      path: of the file.
      size, modified: bytes and nanoseconds of the file before it was read.
      digest: SHA-256 of its content.
      tags: see `tags.read`.
      seconds: duration of the audio.
      features: as `features.extract` gives them; None if the content is known or unusable.
      reason: why it is unusable; empty if it is not.
    """

    path: str
    size: int = 0
    modified: int = 0
    digest: str = ""
    tags: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    features: dict[str, np.ndarray] | None = None
    reason: str = ""


def load(path: str | Path, sample_rate: int, *, max_seconds: float = MAX_SECONDS) -> np.ndarray:
    """As `features.load_audio`, but too long a file is refused before it is decoded.

    Raises:
      UnusableTrack: the file says that it lasts longer, or it cannot be decoded.
    """
    seconds = 0.0
    try:
        seconds = soundfile.info(str(path)).duration
    except (soundfile.LibsndfileError, RuntimeError):
        seconds = tags.duration(path)
    if seconds > max_seconds:
        raise features.UnusableTrack(
            f"too long: {seconds:.0f} s, expected at most {max_seconds:.0f} s"
        )
    return features.load_audio(path, sample_rate)


def listen(
    path: str,
    feature_config: features.FeatureConfig,
    *,
    known: frozenset[str] = frozenset(),
    max_seconds: float = MAX_SECONDS,
) -> Heard:
    """Reads a file; whatever is wrong with it is a reason, never an exception.

    Args:
      path: of the file.
      feature_config: see `features.extract`.
      known: digests whose features are not needed.
      max_seconds: see `load`.
    """
    heard = Heard(path)
    try:
        if not os.path.isfile(path):  # a pipe would never end
            raise features.UnusableTrack(
                "not a regular file" if os.path.exists(path) else "no such file"
            )
        status = os.stat(path)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        heard = Heard(path, status.st_size, status.st_mtime_ns, digest, tags.read(path))
        if digest in known:
            return heard
        samples = load(path, feature_config.sample_rate, max_seconds=max_seconds)
        arrays = features.extract(samples, feature_config)
        seconds = len(samples) / feature_config.sample_rate
        return dataclasses.replace(heard, features=arrays, seconds=seconds)
    except (features.UnusableTrack, OSError) as error:
        reason = str(error)
    except Exception as error:  # a decoder's surprise with one file must not end the run
        reason = f"cannot be read ({type(error).__name__}: {error})"
    return dataclasses.replace(heard, reason=reason.replace(f": {path}", ""))


def listen_all(
    files: Iterable[tuple[str, frozenset[str]]],
    feature_config: features.FeatureConfig,
    *,
    workers_count: int,
    max_seconds: float = MAX_SECONDS,
) -> Iterator[Heard]:
    """Yields `listen` of every (path, known digests) from worker processes, in order if all live.

    Where one dies, all files that it took along are tried once more, each alone; a file whose
    worker dies again is unusable.
    """
    workers.compile_librosa(feature_config)
    remaining, waiting = iter(files), collections.deque[tuple[tuple, Future[Heard]]]()

    def submit(file: tuple[str, frozenset[str]]) -> Future[Heard]:
        pool = get_reusable_executor(
            max_workers=workers_count, initializer=_end_with, initargs=(os.getpid(),)
        )
        path, known = file
        return pool.submit(listen, path, feature_config, known=known, max_seconds=max_seconds)

    while True:
        while len(waiting) < IN_FLIGHT * workers_count and (file := next(remaining, None)):
            waiting.append((file, submit(file)))
        if not waiting:
            return
        file, future = waiting.popleft()
        try:
            heard = future.result()
        except BrokenProcessPool:
            # All that were in flight are lost with the pool: each alone, so that one is found.
            lost = [file, *(file for file, future in waiting if _is_lost(future))]
            finished = [(file, future) for file, future in waiting if not _is_lost(future)]
            waiting = collections.deque(finished)
            for file in lost:
                try:
                    yield submit(file).result()
                except BrokenProcessPool:
                    yield Heard(file[0], reason="cannot be read (its worker process died)")
            continue
        yield heard


def _end_with(parent: int) -> None:
    """Ends this worker soon after its parent is gone; killed, it cannot tell its workers."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _is_lost(future: Future[Heard]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)
