"""Triplet prediction on a split: the share of triplets with d(a, p) < d(a, n) (A §4.1, B §4.3.4).

A track's embedding is the mean over its non-overlapping segments, with every sub-space at length 1:
the loss compares directions, so lengths mean nothing. Euclidean distances then are distances in the
dimension's own sub-space, or in the whole space, in which all dimensions count the same.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from input_pipeline.batches import Batch, track_segments
from input_pipeline.dataset import DataSet
from jaxsim import metrics, parallel, training
from jaxsim.inputs import FEATURES
from jaxsim.metrics import Score, Triplets
from jaxsim.relations import relations

ANCHORS = 512  # whose relations to all tracks are in memory at once


def sample_triplets(
    data: DataSet, config: ConfigDict, *, count: int, seed: int
) -> dict[str, Triplets]:
    """Draws `count` triplets per dimension; the three tracks are of different groups (pieces).

    Similar means sharing a tag (not one drawn label), whatever the training used. A dimension in
    which no triplet exists is left out. Memory grows with the number of tracks, not its square.
    """
    rows = np.arange(len(data))
    eligible = np.zeros((len(config.dimensions), len(data)), bool)
    for block, similar, dissimilar in _relations(data, config, config.dimensions, rows):
        eligible[:, block] = similar.any(axis=2) & dissimilar.any(axis=2)
    result = {}
    for number, dimension in enumerate(config.dimensions):
        if not eligible[number].any():
            continue
        random = np.random.default_rng((seed, number))
        anchor = np.sort(random.choice(np.flatnonzero(eligible[number]), count))
        draws = random.random((2, count))
        others = np.empty((2, count), np.int64)
        row = 0
        for _, *pair in _relations(data, config, [dimension], anchor):
            for candidates in zip(pair[0][0], pair[1][0], strict=True):
                for which, allowed in enumerate(candidates):
                    choice = np.flatnonzero(allowed)
                    others[which, row] = choice[int(draws[which, row] * len(choice))]
                row += 1
        result[dimension] = Triplets(anchor, *others)
    return result


def _relations(data: DataSet, config: ConfigDict, dimensions: Sequence[str], anchors: np.ndarray):
    """For blocks of anchors (rows of data): the block, similar and dissimilar tracks [S, A, N]."""
    labels = {**data.tags, "tempo": data.tempo, "key": data.key, "index": np.arange(len(data))}
    placed = {name: jnp.asarray(values) for name, values in labels.items()}
    _, group = np.unique(data.groups, return_inverse=True)

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
      track: of every segment; empty triplets if no track has two segments, or there is only one.
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


def embedder(config: ConfigDict) -> Callable[[training.State, Batch], np.ndarray]:
    """Embeds host batches [B, ...] on all devices, filled up with zeros to a multiple of these.

    Several processes call it with the same batches and get all embeddings.
    """
    compiled = parallel.map_over_devices(
        functools.partial(training.embed, config),
        split=(False, True),
        mapping=config.parallel.mapping,
        split_result=True,
    )

    def embed(state: training.State, batch: Batch) -> np.ndarray:
        rows = len(batch[FEATURES[0]])
        fill = (0, -rows % jax.device_count())
        whole = {
            name: np.pad(batch[name], (fill, *[(0, 0)] * (batch[name].ndim - 1)))
            for name in FEATURES
        }
        own = parallel.own_rows(whole)
        placed = parallel.to_devices(own, local_devices=jax.local_device_count())
        embeddings = parallel.to_host(compiled(state, placed))
        return embeddings.reshape(-1, embeddings.shape[-1])[:rows]

    return embed


def segment_embeddings(
    data: DataSet, embed: Callable[[Batch], np.ndarray], *, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings [L, E] of all non-overlapping segments, and the row of `data` of each [L]."""
    embeddings, tracks = [], []
    for batch in track_segments(data, batch_size=batch_size):
        track = batch.pop("track")
        embeddings.append(np.asarray(embed(batch), np.float32)[track >= 0])
        tracks.append(track[track >= 0])
    return np.concatenate(embeddings), np.concatenate(tracks)


def divided(vectors: np.ndarray, subspaces: int) -> np.ndarray:
    """Embeddings [N, E] as float64 [N, S, E / S], every sub-space at length 1."""
    parts = np.asarray(vectors, np.float64).reshape(len(vectors), subspaces, -1)
    return parts / np.maximum(np.linalg.norm(parts, axis=2, keepdims=True), 1e-12)


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
    return divided(total / count[:, None], subspaces)


def means(values: np.ndarray, track: np.ndarray, tracks: int) -> np.ndarray:
    """Means [N, D] of the values [L, D] of every track's segments."""
    total = np.zeros((tracks, values.shape[1]))
    np.add.at(total, track, values)
    return total / np.bincount(track, minlength=tracks)[:, None]


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
