"""Triplet prediction on a split: the share of triplets with d(a, p) < d(a, n) (A §4.1, B §4.3.4).

A track's embedding is the mean over its non-overlapping segments, with every sub-space at length 1:
the loss compares directions, so lengths mean nothing. Euclidean distances then are distances in the
dimension's own sub-space, or in the whole space, in which all dimensions count the same.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from input_pipeline.batches import Batch, track_segments
from input_pipeline.dataset import DataSet
from jaxsim.relations import relations

RESAMPLES = 1000  # of a bootstrap


@dataclasses.dataclass(frozen=True)
class Triplets:
    """Rows [n] of a data set: anchor and positive are similar, anchor and negative dissimilar."""

    anchor: np.ndarray
    positive: np.ndarray
    negative: np.ndarray


@dataclasses.dataclass(frozen=True)
class Score:
    """A share with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def sample_triplets(
    data: DataSet, config: ConfigDict, *, count: int, seed: int
) -> dict[str, Triplets]:
    """Draws `count` triplets per dimension; the three tracks are of different groups (pieces).

    A dimension in which no triplet exists is left out.
    """
    labels = jax.tree.map(
        jnp.asarray,
        {**data.tags, "tempo": data.tempo, "key": data.key, "index": np.arange(len(data))},
    )
    relation = relations(
        labels,
        labels,
        config.dimensions,
        tempo_tolerance=config.relation.tempo_tolerance,
        key_relation=config.relation.key,
    )
    _, group = np.unique(data.groups, return_inverse=True)
    other = group[:, None] != group
    result = {}
    for number, dimension in enumerate(config.dimensions):
        similar = np.asarray(relation.similar[number]) & other
        dissimilar = np.asarray(relation.dissimilar[number]) & other
        anchors = np.flatnonzero(similar.any(axis=1) & dissimilar.any(axis=1))
        if not len(anchors):
            continue
        random = np.random.default_rng((seed, number))
        anchor = random.choice(anchors, count)
        result[dimension] = Triplets(
            anchor,
            np.array([random.choice(np.flatnonzero(similar[a])) for a in anchor]),
            np.array([random.choice(np.flatnonzero(dissimilar[a])) for a in anchor]),
        )
    return result


def track_embeddings(
    data: DataSet, embed: Callable[[Batch], np.ndarray], *, batch_size: int, subspaces: int
) -> np.ndarray:
    """Embeds every track: float64 [N, S, E / S], sub-spaces at length 1."""
    total, count = None, np.zeros(len(data))
    for batch in track_segments(data, batch_size=batch_size):
        track = batch.pop("track")
        embeddings = np.asarray(embed(batch), np.float64)
        if total is None:
            total = np.zeros((len(data), embeddings.shape[1]))
        np.add.at(total, track[track >= 0], embeddings[track >= 0])
        np.add.at(count, track[track >= 0], 1)
    assert total is not None, "a prepared data set has at least one segment per track"
    mean = (total / count[:, None]).reshape(len(data), subspaces, -1)
    return mean / np.maximum(np.linalg.norm(mean, axis=2, keepdims=True), 1e-12)


def predictions(embeddings: np.ndarray, triplets: Triplets) -> np.ndarray:
    """Whether d(a, p) < d(a, n), as 0 or 1 [n]; a tie counts one half. embeddings [N, ...]."""
    flat = embeddings.reshape(len(embeddings), -1)
    to_positive = np.linalg.norm(flat[triplets.anchor] - flat[triplets.positive], axis=1)
    to_negative = np.linalg.norm(flat[triplets.anchor] - flat[triplets.negative], axis=1)
    return np.where(to_positive == to_negative, 0.5, to_positive < to_negative)


def bootstrap(values: np.ndarray, groups: Sequence[str], *, seed: int = 0) -> Score:
    """Mean of `values` [n] with a 95 % interval over resampled groups (pieces), not values.

    Triplets whose anchors are renderings of one piece are not independent; pieces are.
    """
    _, group = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(group, values), np.bincount(group)
    rows = np.random.default_rng(seed).integers(len(counts), size=(RESAMPLES, len(counts)))
    means = sums[rows].sum(axis=1) / counts[rows].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Score(float(values.mean()), float(low), float(high))


def triplet_table(
    embeddings: np.ndarray,
    untrained: np.ndarray,
    triplets: Mapping[str, Triplets],
    data: DataSet,
    dimensions: Sequence[str],
) -> dict[str, dict[str, Score]]:
    """Scores per dimension: own sub-space, whole space, the untrained network's, and the gain.

    Args:
      embeddings, untrained: of the tracks [N, S, E / S].

    Returns:
      Per dimension "own", "whole", "untrained" (its own sub-space), "gain" (own - untrained, paired
      by triplet) and "margin" (own - whole, paired by triplet).
    """
    groups = np.asarray(data.groups)
    table = {}
    for dimension, chosen in triplets.items():
        number = list(dimensions).index(dimension)
        own = predictions(embeddings[:, number], chosen)
        whole = predictions(embeddings, chosen)
        before = predictions(untrained[:, number], chosen)
        columns = dict(
            own=own, whole=whole, untrained=before, gain=own - before, margin=own - whole
        )
        table[dimension] = {
            name: bootstrap(values, groups[chosen.anchor]) for name, values in columns.items()
        }
    return table
