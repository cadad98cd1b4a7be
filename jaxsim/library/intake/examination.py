"""Finds out what a library needs to know about its audio files, in processes that may die.

Workers unpickle functions of this module, so nothing here imports JAX.
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from input_pipeline.datasets import pool, workers
from input_pipeline.hearing import audio, excerpts
from input_pipeline.hearing.audio import LONGEST, UnusableTrack, check_file
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.hearing.listening import listen
from input_pipeline.hearing.readings import Evidence, of_features
from jaxsim.library.intake import tags
from jaxsim.library.intake.sources import Record

NO_FILE = -1  # as the size of tracks whose audio file has not been seen


@dataclasses.dataclass(frozen=True)
class Examined:
    """What was found in a file.

    Attributes:
      path: of the file.
      size, modified: size in bytes and time in nanoseconds of the file before it was read.
      digest: SHA-256 of its content.
      fingerprint: of its audio, see `audio.fingerprint`.
      tags: see `tags.read`.
      seconds: duration of the audio.
      features: as `excerpts.extract` returns them; None if the content is known or unusable.
      evidence: what these say about tempo and key.
      reason: why it is unusable; empty if it is not.
      note: what is odd about it, although it can be used.
    """

    path: str
    size: int = 0
    modified: int = 0
    digest: str = ""
    fingerprint: str = ""
    tags: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    features: dict[str, np.ndarray] | None = None
    evidence: Evidence = dataclasses.field(default_factory=Evidence)
    reason: str = ""
    note: str = ""


def examine(
    path: str,
    feature_config: FeatureConfig,
    *,
    seconds: float | None = None,
    known: frozenset[str] = frozenset(),
    max_seconds: float = LONGEST,
) -> Examined:
    """Examines a file; any problem with it becomes a reason, never an exception.

    Args:
      path: of the file.
      feature_config: see `features.extract`.
      seconds: of a longer track that are heard, see `excerpts.extract`.
      known: digests whose features are not needed.
      max_seconds: longer files are not decoded.
    """
    found = Examined(path)
    try:
        check_file(path)
        status = os.stat(path)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found = Examined(path, status.st_size, status.st_mtime_ns, digest, tags=tags.read(path))
        if digest in known:
            return found
        heard = listen(path, feature_config, seconds=seconds, longest=max_seconds)
        return dataclasses.replace(
            found,
            fingerprint=heard.fingerprint,
            features=heard.features,
            evidence=of_features(heard.features, feature_config.frame_rate),
            seconds=heard.seconds,
            note=heard.note,
        )
    except UnusableTrack as error:
        if error.__cause__ is not None:  # perhaps not the file's fault: not to be remembered
            found = Examined(path)
        return dataclasses.replace(found, reason=error.reason)
    except OSError as error:
        return Examined(path, reason=error.strerror or type(error).__name__)


def identify(path: str) -> Examined:
    """Everything about a file but its features; what cannot be read has no fingerprint."""
    found = Examined(path)
    with contextlib.suppress(UnusableTrack, OSError):
        status = os.stat(path)
        fingerprint = audio.fingerprint(path)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        read = tags.read(path)
        found = Examined(path, status.st_size, status.st_mtime_ns, digest, fingerprint, read)
    return found


def identify_all(paths: Iterable[str], *, workers_count: int) -> Iterator[Examined]:
    """Yields what `identify` finds for every path, in order, in worker processes."""
    for path, found in pool.in_order(identify, paths, processes=workers_count):
        yield found or Examined(path)


def tags_of_all(
    paths: Iterable[str], *, workers_count: int
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields every path and what `tags.read` finds there, in order, from worker processes."""
    for path, found in pool.in_order(tags.read, paths, processes=workers_count):
        yield path, found or {}


def examine_all(
    files: Iterable[tuple[str, frozenset[str]]],
    feature_config: FeatureConfig,
    *,
    seconds: float | None = None,
    workers_count: int,
    max_seconds: float = LONGEST,
) -> Iterator[Examined]:
    """Yields what `examine` finds for every (path, known digests), in order, in worker processes.

    A file that kills its worker is unusable.
    """
    examined = functools.partial(
        _examine, feature_config=feature_config, seconds=seconds, max_seconds=max_seconds
    )
    for (path, _), found in pool.in_order(examined, files, processes=workers_count):
        yield found or Examined(path, reason="cannot be read (its worker process died)")


def _examine(
    file: tuple[str, frozenset[str]],
    feature_config: FeatureConfig,
    seconds: float | None,
    max_seconds: float,
) -> Examined:
    path, known = file
    return examine(path, feature_config, seconds=seconds, known=known, max_seconds=max_seconds)


def recall(path: str, record: Record, seconds: float | None = None) -> Examined:
    """What a data set's record says about a track, in the form of an examination.

    The file is recorded as the embedding's only if it has the content that the features are from.
    """
    status, was_heard = size_and_time(path), False
    with contextlib.suppress(UnusableTrack):
        was_heard = workers.digest(path) == record.content
    size, modified = status if status and was_heard else (NO_FILE, NO_FILE)
    arrays = excerpts.of_whole(record.features(), record.data.feature_config, seconds)
    return Examined(
        path,
        size=size,
        modified=modified,
        digest=record.content,
        tags=tags.read(path),
        seconds=record.seconds,
        features=arrays,
        evidence=of_features(arrays, record.data.feature_config.frame_rate),
    )


def size_and_time(path: str) -> tuple[int, int] | None:
    """Size in bytes and time of the last change in nanoseconds of a file; None without one."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a path that no file can have
        return None
    return status.st_size, status.st_mtime_ns
