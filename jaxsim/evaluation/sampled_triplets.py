"""Triplets of a split's tracks, drawn by their labels (A §4.1, B §4.3.4)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from input_pipeline.datasets.dataset import DataSet
from jaxsim.evaluation.metrics import Triplets
from jaxsim.objective.relations import relations

ANCHORS = 512  # whose relations to all tracks are in memory at once


def sample_triplets(
    data: DataSet, config: ConfigDict, *, count: int, seed: int
) -> dict[str, Triplets]:
    """Draws `count` triplets per dimension; the three tracks are of three groups (pieces).

    The anchor is drawn evenly from the tracks that have a triplet, the positive from those similar
    to it that leave it a negative, and the negative from those dissimilar to it. Similar means
    sharing a tag (not one drawn label), whatever the training used. A dimension in which no triplet
    exists is left out. Memory grows with the number of tracks, not its square.
    """
    rows, group = np.arange(len(data)), _group(data)
    eligible = np.zeros((len(config.dimensions), len(data)), bool)
    for block, similar, dissimilar in _relations(data, config, config.dimensions, rows):
        # A positive and a negative of two groups exist unless all candidates are of one.
        either = similar | dissimilar
        one = group[either.argmax(axis=2)]
        several = (either & (group != one[..., None])).any(axis=2)
        eligible[:, block] = similar.any(axis=2) & dissimilar.any(axis=2) & several
    result = {}
    for number, dimension in enumerate(config.dimensions):
        if not eligible[number].any():
            continue
        random = np.random.default_rng((seed, number))
        anchor = np.sort(random.choice(np.flatnonzero(eligible[number]), count))
        draws = iter(random.random((3, count)).T)
        pairs = [
            _pair(*candidates, group, next(draws))
            for _, similar, dissimilar in _relations(data, config, [dimension], anchor)
            for candidates in zip(similar[0], dissimilar[0], strict=True)
        ]
        result[dimension] = Triplets(anchor, *np.array(pairs).T)
    return result


def surer(data: DataSet, dimension: str) -> np.ndarray | None:
    """The tracks of whose tempo or key one can be surer, bool [N]; None if nothing was estimated.

    These are those with a given label, and the half of the estimated ones with the higher
    confidence.
    """
    if dimension not in ("tempo", "key"):
        return None
    estimated = getattr(data, f"{dimension}_estimated")
    if not estimated.any():
        return None
    confidence = getattr(data, f"{dimension}_confidence")
    return confidence >= np.where(estimated, np.median(confidence[estimated]), 1.0)


def _pair(
    similar: np.ndarray, dissimilar: np.ndarray, group: np.ndarray, draws: np.ndarray
) -> tuple[int, int]:
    """A positive and a negative of different groups, for an anchor that has them.

    Args:
      similar, dissimilar: bool [N], to the anchor and not of its group.
      draws: three uniform numbers.
    """

    def drawn(allowed: np.ndarray, draw: float) -> int:
        choice = np.flatnonzero(allowed)
        return choice[int(draw * len(choice))]

    positive = drawn(similar, draws[0])
    negatives = dissimilar & (group != group[positive])
    if not negatives.any():  # they are all of the positive's group, so another positive leaves all
        positive, negatives = drawn(similar & (group != group[positive]), draws[2]), dissimilar
    return positive, drawn(negatives, draws[1])


def _group(data: DataSet) -> np.ndarray:
    """The group of every track as a number [N]."""
    return np.unique(data.groups, return_inverse=True)[1]


def _relations(data: DataSet, config: ConfigDict, dimensions: Sequence[str], anchors: np.ndarray):
    """For blocks of anchors (rows of data): the block, similar and dissimilar tracks [S, A, N]."""
    labels = {**data.tags, "tempo": data.tempo, "key": data.key, "index": np.arange(len(data))}
    placed = {name: jnp.asarray(values) for name, values in labels.items()}
    group = _group(data)

    @jax.jit
    def related(own):
        return relations(
            own,
            placed,
            dimensions,
            tempo_tolerance=config.relation.tempo_tolerance,
            key_relation=config.relation.key,
        )

    for first in range(0, len(anchors), ANCHORS):
        block = anchors[first : first + ANCHORS]
        own = {name: values[block] for name, values in labels.items()}
        other = group[block][:, None] != group
        similar, dissimilar = (np.asarray(pairs) & other for pairs in related(own))
        yield block, similar, dissimilar


def track_triplets(track: np.ndarray, *, count: int, seed: int) -> Triplets:
    """Segments: anchor and positive of one track, the negative of another (B Table 4).

    Args:
      track: of every segment. If no track has two segments or there is only one track, the result
        is empty.
    """
    random = np.random.default_rng(seed)
    by_track = [np.flatnonzero(track == number) for number in np.unique(track)]
    several = [rows for rows in by_track if len(rows) > 1]
    if not several or len(by_track) < 2:
        return Triplets(*np.zeros((3, 0), np.int64))
    pairs = [random.choice(several[i], 2, False) for i in random.integers(len(several), size=count)]
    anchor, positive = np.transpose(pairs)
    negative = random.integers(len(track), size=count)
    while (same := track[negative] == track[anchor]).any():
        negative[same] = random.integers(len(track), size=same.sum())
    return Triplets(anchor, positive, negative)
