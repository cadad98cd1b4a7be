"""Triplet prediction on a split: the share of triplets with d(a, p) < d(a, n) (A §4.1, B §4.3.4).

A track's embedding is the mean over its non-overlapping segments, with every sub-space at length 1:
the loss compares directions, so lengths mean nothing. Euclidean distances then are distances in the
dimension's own sub-space, or in the whole space, in which all dimensions count the same.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from input_pipeline.batches import Batch, track_segments
from input_pipeline.dataset import DataSet
from jaxsim import metrics
from jaxsim.metrics import Score, Triplets
from jaxsim.relations import relations


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


def own_and_whole(margin: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions [n] in dimension `number`'s own sub-space and in the whole space.

    Args:
      margin: see `metrics.margins`; with one column, the space is not divided and its own.
    """
    own = margin[:, number if margin.shape[1] > 1 else 0]
    return metrics.right(own), metrics.right(margin.sum(axis=1))


def triplet_table(
    embeddings: np.ndarray,
    untrained: np.ndarray,
    triplets: Mapping[str, Triplets],
    data: DataSet,
    dimensions: Sequence[str],
) -> dict[str, dict[str, Score]]:
    """Scores per dimension: own sub-space, whole space, the untrained network's, and the gain.

    Args:
      embeddings, untrained: of the tracks [N, S, E / S], or [N, 1, E] without sub-spaces.

    Returns:
      Per dimension "own", "whole", "untrained" (its own sub-space), "gain" (own - untrained, paired
      by triplet) and "margin" (own - whole, paired by triplet).
    """
    groups = np.asarray(data.groups)
    table = {}
    for dimension, chosen in triplets.items():
        number = list(dimensions).index(dimension)
        own, whole = own_and_whole(metrics.margins(embeddings, chosen), number)
        before, _ = own_and_whole(metrics.margins(untrained, chosen), number)
        columns = dict(
            own=own, whole=whole, untrained=before, gain=own - before, margin=own - whole
        )
        table[dimension] = {
            name: metrics.bootstrap(values, groups[chosen.anchor])
            for name, values in columns.items()
        }
    return table
