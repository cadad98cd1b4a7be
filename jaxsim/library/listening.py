"""Audio files to features, tags and hashes, by worker processes that may die.

Workers unpickle functions of this module, so nothing here imports JAX.
"""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from input_pipeline import features, pool, workers
from jaxsim.library import tags


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


def listen(
    path: str,
    feature_config: features.FeatureConfig,
    *,
    known: frozenset[str] = frozenset(),
    max_seconds: float = features.LONGEST,
) -> Heard:
    """Reads a file; whatever is wrong with it is a reason, never an exception.

    Args:
      path: of the file.
      feature_config: see `features.extract`.
      known: digests whose features are not needed.
      max_seconds: longer files are not decoded.
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
        samples = features.load_audio(path, feature_config.sample_rate, longest=max_seconds)
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
    max_seconds: float = features.LONGEST,
) -> Iterator[Heard]:
    """Yields `listen` of every (path, known digests) from worker processes, in order.

    A file that kills its worker is unusable.
    """
    workers.compile_librosa(feature_config)
    heard = functools.partial(_listen, feature_config=feature_config, max_seconds=max_seconds)
    for (path, _), found in pool.in_order(heard, files, processes=workers_count):
        yield found or Heard(path, reason="cannot be read (its worker process died)")


def _listen(
    file: tuple[str, frozenset[str]], feature_config: features.FeatureConfig, max_seconds: float
) -> Heard:
    path, known = file
    return listen(path, feature_config, known=known, max_seconds=max_seconds)
