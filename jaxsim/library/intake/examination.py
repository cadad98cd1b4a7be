"""Finds out what a library needs to know about its audio files, in processes that may die.

Workers unpickle functions of this module, so nothing here imports JAX.
"""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from input_pipeline.datasets import pool, workers
from input_pipeline.hearing.audio import LONGEST, UnusableTrack, check_file
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.hearing.listening import listen
from jaxsim.library.intake import tags


@dataclasses.dataclass(frozen=True)
class Examined:
    """What was found in a file.

    Attributes:
      path: of the file.
      size, modified: size in bytes and time in nanoseconds of the file before it was read.
      digest: SHA-256 of its content.
      tags: see `tags.read`.
      seconds: duration of the audio.
      features: as `features.extract` returns them; None if the content is known or unusable.
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


def examine(
    path: str,
    feature_config: FeatureConfig,
    *,
    known: frozenset[str] = frozenset(),
    max_seconds: float = LONGEST,
) -> Examined:
    """Examines a file; any problem with it becomes a reason, never an exception.

    Args:
      path: of the file.
      feature_config: see `features.extract`.
      known: digests whose features are not needed.
      max_seconds: longer files are not decoded.
    """
    found = Examined(path)
    try:
        check_file(path)
        status = os.stat(path)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found = Examined(path, status.st_size, status.st_mtime_ns, digest, tags.read(path))
        if digest in known:
            return found
        heard = listen(path, feature_config, longest=max_seconds)
        return dataclasses.replace(found, features=heard.features, seconds=heard.seconds)
    except UnusableTrack as error:
        return dataclasses.replace(found, reason=error.reason)
    except OSError as error:
        return dataclasses.replace(found, reason=error.strerror or type(error).__name__)


def examine_all(
    files: Iterable[tuple[str, frozenset[str]]],
    feature_config: FeatureConfig,
    *,
    workers_count: int,
    max_seconds: float = LONGEST,
) -> Iterator[Examined]:
    """Yields what `examine` finds for every (path, known digests), in order, in worker processes.

    A file that kills its worker is unusable.
    """
    workers.compile_librosa(feature_config)
    examined = functools.partial(_examine, feature_config=feature_config, max_seconds=max_seconds)
    for (path, _), found in pool.in_order(examined, files, processes=workers_count):
        yield found or Examined(path, reason="cannot be read (its worker process died)")


def _examine(
    file: tuple[str, frozenset[str]], feature_config: FeatureConfig, max_seconds: float
) -> Examined:
    path, known = file
    return examine(path, feature_config, known=known, max_seconds=max_seconds)
