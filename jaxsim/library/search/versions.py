"""Versions of one recording: another format, another place, a remaster.

Two tracks are versions of one recording if the audio in their files is the same, or if they are as
long as each other and alike in every sub-space, far more than random tracks of the library are.
`python -m benchmarks.same_recording` says how far apart they are with the model that comes with
jaxsim: the largest distance (1 - cosine) of a sub-space, as a share of that between random tracks,
is at most 0.002 for 24 recordings at another level, with other channels or with silence after them,
and at another rate at most 0.040. Of those as MP3 or Opus, with silence before them or compressed
and equalised, some are much further away, and are not recognised. No two of 114 different tracks
are nearer than 0.401, but two in a large library may be.
"""

from collections.abc import Sequence

import numpy as np

from jaxsim.library.store import Store
from jaxsim.network import subspaces

ALIKE = 0.94  # cosine in every sub-space, at least
NEAR = 0.06  # distance (1 - cosine) as a share of that of random tracks, at most
FEWEST = 30  # tracks of a library whose random pairs tell what is more alike than usual
SECONDS, SHARE = 5.0, 0.03  # by which their lengths may differ, at least and of the longer


def originals(store: Store, rows: np.ndarray) -> list[int]:
    """For each of `rows`, the position of the first one that is a version of the same recording."""
    same = _same_recording(store, rows)
    if not np.tril(same, -1).any():  # as nearly always
        return list(range(len(rows)))
    result: list[int] = []
    for position in range(len(rows)):
        first = np.flatnonzero(same[position, :position])
        result.append(next((int(i) for i in first if result[i] == i), position))
    return result


def folded(store: Store, rows: np.ndarray, seeds: Sequence[int] = ()) -> dict[int, tuple[int, ...]]:
    """The positions in `rows` of one track per recording, each with the rows of other versions.

    Recordings of the seeds are left out.
    """
    among = np.concatenate([np.asarray(seeds, np.int64), rows])
    result: dict[int, tuple[int, ...]] = {}
    for position, first in enumerate(originals(store, among)[len(seeds) :]):
        if first == position + len(seeds):
            result[position] = ()
        elif first >= len(seeds):
            result[first - len(seeds)] += (int(rows[position]),)
    return result


def _same_recording(store: Store, rows: np.ndarray) -> np.ndarray:
    """Whether two tracks are versions of one recording: bool [n, n]."""
    vectors = np.asarray(store.vectors[rows], np.float32)
    parts = subspaces.split(vectors, len(store.dimensions)).transpose(1, 0, 2)
    alike = np.full((len(rows), len(rows)), len(store) >= FEWEST)
    for part, mean in zip(parts, store.mean, strict=True):
        # A model may find all tracks alike: what counts is how much more alike these are.
        alike &= part @ part.T > max(ALIKE, 1 - NEAR * (1 - mean))
    seconds = store.seconds[rows]
    longer = np.maximum(seconds[:, None], seconds)
    alike &= np.abs(seconds[:, None] - seconds) <= np.maximum(SECONDS, SHARE * longer)
    audio = store.audio_number[rows]
    equal = ((audio[:, None] == audio) & (audio >= 0)) | np.eye(len(rows), dtype=bool)
    if equal.sum() == len(rows):
        return alike
    return equal @ alike @ equal  # what is like one file is like all files with the same audio
