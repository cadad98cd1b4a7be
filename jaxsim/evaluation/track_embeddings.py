"""Embeddings of the segments and tracks of a data set, on all devices.

A track's embedding is the mean over its non-overlapping segments (A §4.1), in the metric of its
objective. Where that compares directions, every sub-space has length 1, and Euclidean distances are
distances in a dimension's own sub-space, or in the whole space, where all dimensions count equally.
Classification without normalisation (B Table 1) learns lengths too, and its embeddings stay raw.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from input_pipeline.datasets.batches import Batch, track_segments
from input_pipeline.datasets.dataset import DataSet
from jaxsim.evaluation.excerpts import Excerpts, segment_batches
from jaxsim.exported.numpy_model import Model
from jaxsim.network import compilation, folded, subspaces
from jaxsim.network.inputs import FEATURES
from jaxsim.training import train_step
from jaxsim.training.machines import parallel
from jaxsim.training.train_step import State

Embed = Callable[[Batch], np.ndarray]  # segments [B, ...] to embeddings [B, E]
RELATION = {"tempo_tolerance": 5.0, "key": "parallel"}  # which tempi and keys are alike (A §3.3)


def embedder(
    config: ConfigDict, forward: Callable[..., jax.Array] = train_step.embed
) -> Callable[[State, Batch], np.ndarray]:
    """Embeds host batches [B, ...] on all devices, padded with zeros to a multiple of their number.

    Several processes call it with the same batches and get all embeddings.

    Args:
      forward: embeds the segments of one device, given a configuration, a state and a batch.
    """
    compiled = parallel.map_over_devices(
        functools.partial(forward, config),
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


def config_of_model(model: Model) -> ConfigDict:
    """What an evaluation needs of a configuration, for an exported model, which has none."""
    config = folded.config_of(
        model.config, model.feature_config, model.standardise, model.tempogram
    )
    config.dimensions = model.dimensions
    config.relation = dict(RELATION)
    config.loss = {"method": "triplet", "disentangled": True}  # so does the library use it
    config.parallel = {"mapping": "pmap"}
    return config


def forward_model(config: ConfigDict, state: State, batch: Mapping[str, Any]) -> jax.Array:
    """The `forward` of an exported model, whose arrays are the state's parameters."""
    return folded.forward(config, state.params, batch)


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
    return in_own_metric(config, track_means(data, embed, batch_size=batch_size))


def track_means(data: DataSet, embed: Embed, *, batch_size: int) -> np.ndarray:
    """The mean embedding [N, E] of the segments of every track, as the network gives them."""
    batches = track_segments(data, batch_size=batch_size)
    return _means(batches, embed, of="track", count=len(data))


def embed_excerpts(
    config: ConfigDict, data: DataSet, cut: Excerpts, embed: Embed, *, batch_size: int
) -> np.ndarray:
    """Embeds both excerpts of every track that has them, `in_own_metric`: [K, 2, S, E / S]."""
    batches = segment_batches(data, cut, batch_size=batch_size)
    vectors = in_own_metric(config, _means(batches, embed, of="excerpt", count=cut.start.size))
    return vectors.reshape(*cut.start.shape, *vectors.shape[1:])


def _means(batches: Iterable[Batch], embed: Embed, *, of: str, count: int) -> np.ndarray:
    """Mean embeddings [count, E] of the segments of each number in a batch's array `of`."""
    total, counted = None, np.zeros(count)
    for batch in batches:
        number = batch.pop(of)
        embeddings = np.asarray(embed(batch), np.float64)
        if total is None:
            total = np.zeros((count, embeddings.shape[1]))
        np.add.at(total, number[number >= 0], embeddings[number >= 0])
        np.add.at(counted, number[number >= 0], 1)
    assert total is not None, "every track and every excerpt has at least one segment"
    return total / counted[:, None]


def means(values: np.ndarray, track: np.ndarray, tracks: int) -> np.ndarray:
    """Means [N, D] of the values [L, D] of every track's segments."""
    total = np.zeros((tracks, values.shape[1]))
    np.add.at(total, track, values)
    return total / np.bincount(track, minlength=tracks)[:, None]
