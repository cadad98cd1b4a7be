"""Embeddings of the segments and tracks of a data set, on all devices.

A track's embedding is the mean over its non-overlapping segments (A §4.1), in the metric of its
objective. Where that compares directions, every sub-space has length 1, and Euclidean distances are
distances in a dimension's own sub-space, or in the whole space, where all dimensions count equally.
Classification without normalisation (B Table 1) learns lengths too, and its embeddings stay raw.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np
from ml_collections import ConfigDict

from input_pipeline.datasets.batches import Batch, track_segments
from input_pipeline.datasets.dataset import DataSet
from jaxsim.network import compilation, subspaces
from jaxsim.network.inputs import FEATURES
from jaxsim.training import train_step
from jaxsim.training.machines import parallel
from jaxsim.training.train_step import State

Embed = Callable[[Batch], np.ndarray]  # segments [B, ...] to embeddings [B, E]


def embedder(config: ConfigDict) -> Callable[[State, Batch], np.ndarray]:
    """Embeds host batches [B, ...] on all devices, padded with zeros to a multiple of their number.

    Several processes call it with the same batches and get all embeddings.
    """
    compiled = parallel.map_over_devices(
        functools.partial(train_step.embed, config),
        split=(False, True),
        mapping=config.parallel.mapping,
        split_result=True,
    )
    compiled = compilation.announced(compiled, "the network")

    def embed(state: State, batch: Batch) -> np.ndarray:
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


def compares_directions(config: ConfigDict) -> bool:
    """Whether lengths of embeddings mean nothing to the objective of a configuration."""
    return config.loss.method != "classification" or config.loss.normalised


def parts_of(config: ConfigDict) -> int:
    """S: the number of sub-spaces, 1 if the space is not divided."""
    return len(config.dimensions) if config.loss.disentangled else 1


def in_own_metric(config: ConfigDict, embeddings: np.ndarray) -> np.ndarray:
    """Embeddings [N, E] for Euclidean distances, by sub-space: float64 [N, S, E / S]."""
    divide = subspaces.divided if compares_directions(config) else subspaces.split
    return divide(embeddings, parts_of(config))


def segment_embeddings(
    data: DataSet, embed: Embed, *, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings [L, E] of all non-overlapping segments, and the row of `data` of each [L]."""
    embeddings, tracks = [], []
    for batch in track_segments(data, batch_size=batch_size):
        track = batch.pop("track")
        embeddings.append(np.asarray(embed(batch), np.float32)[track >= 0])
        tracks.append(track[track >= 0])
    return np.concatenate(embeddings), np.concatenate(tracks)


def embed_tracks(config: ConfigDict, data: DataSet, embed: Embed, *, batch_size: int) -> np.ndarray:
    """Embeds every track, `in_own_metric`: float64 [N, S, E / S]."""
    total, count = None, np.zeros(len(data))
    for batch in track_segments(data, batch_size=batch_size):
        track = batch.pop("track")
        embeddings = np.asarray(embed(batch), np.float64)
        if total is None:
            total = np.zeros((len(data), embeddings.shape[1]))
        np.add.at(total, track[track >= 0], embeddings[track >= 0])
        np.add.at(count, track[track >= 0], 1)
    assert total is not None, "a prepared data set has at least one segment per track"
    return in_own_metric(config, total / count[:, None])


def means(values: np.ndarray, track: np.ndarray, tracks: int) -> np.ndarray:
    """Means [N, D] of the values [L, D] of every track's segments."""
    total = np.zeros((tracks, values.shape[1]))
    np.add.at(total, track, values)
    return total / np.bincount(track, minlength=tracks)[:, None]
