"""What is written into a library, and what its writer reads back."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Known:
    """What the store knows about a file; see the columns of `schema.SCHEMA`."""

    path: str
    id: str
    present: bool
    size: int
    modified: int
    digest: str
    fingerprint: str
    real_path: str | None
    given: dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Vector:
    """The embedding [E] of a track, and what else its audio alone determines.

    Attributes:
      vector: the embedding.
      seconds, fingerprint: of the audio.
      heard: what was read from it, the columns `schema.HEARD`.
    """

    vector: np.ndarray
    seconds: float
    fingerprint: str
    heard: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Skipped:
    """Why a file is not a track; see `Writer.skip`."""

    reason: str
    size: int
    modified: int
    heard_by: str


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """A track to write.

    Attributes:
      path, track_id, given: from its `sources.Source`.
      size, modified, digest, fingerprint, tags, seconds: from its `examination.Examined`.
      real_path: where its path leads, if that is elsewhere.
      vector: [E], sub-spaces at length 1.
      heard: what was read from its audio, the columns `schema.HEARD`.
    """

    path: str
    track_id: str
    given: Mapping[str, Any]
    size: int
    modified: int
    digest: str
    tags: Mapping[str, Any]
    seconds: float
    vector: np.ndarray
    fingerprint: str = ""
    real_path: str | None = None
    heard: Mapping[str, Any] = dataclasses.field(default_factory=dict)
