"""The network of a configuration before its first step, which a trained one must beat.

One initial state says little, so there are several. Running statistics of batch normalisation begin
at mean 0 and variance 1, which are those of no data: evaluated with them, the network would be a
worse one than training begins with. Here they are measured on training segments.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from ml_collections import ConfigDict

from input_pipeline.datasets.batches import Batch, Composition, read_batch
from input_pipeline.datasets.dataset import DataSet
from jaxsim.network.inception import MOMENTUM
from jaxsim.network.inputs import FEATURES, images
from jaxsim.network.shapes import DEVICE_AXIS
from jaxsim.training import train_step
from jaxsim.training.example import batch_shapes, tag_counts
from jaxsim.training.train_step import State

SEEDS = 3  # the run's own seed and those after it
BATCHES = 2  # whose statistics are averaged


def untrained_states(config: ConfigDict, data: DataSet, *, batch_size: int) -> list[State]:
    """The states before step 0 for `SEEDS` seeds, with the batch statistics of their networks.

    They are functions of the arguments, whatever the devices: every process computes them alone.

    Args:
      data: the training split.
      batch_size: segments at a time, on one device.
    """
    states = train_step.initial_states(
        config,
        batch_shapes(config, tag_counts(data), rows=1),
        seeds=[config.seed + number for number in range(SEEDS)],
    )
    if not states[0].batch_stats:
        return states
    measure = jax.jit(
        functools.partial(_statistics, config), compiler_options=train_step.quick_to_compile()
    )
    batches = list(_random_segments(data, rows=batch_size))
    result = []
    for state in states:
        found = [
            jax.device_get(measure(dataclasses.replace(state, moments=()), batch))
            for batch in batches
        ]
        mean = jax.tree.map(lambda *each: np.mean(each, axis=0), *found)
        result.append(dataclasses.replace(state, batch_stats=mean))
    return result


def _random_segments(data: DataSet, *, rows: int) -> Iterator[Batch]:
    """Batches of random segments of random tracks."""
    random, frames = np.random.default_rng(0), data.feature_config.segment_frames
    for _ in range(BATCHES):
        track = random.integers(len(data), size=rows)
        start = random.integers(0, data.num_frames[track] - frames, endpoint=True)
        drawn = np.full(rows, -1)
        batch = read_batch(data, Composition(track, start, drawn, drawn), slice(None), frames)
        yield {name: batch[name] for name in FEATURES}


def _statistics(config: ConfigDict, state: State, batch: Mapping[str, Array]):
    """Means and variances of a batch, in the form of `State.batch_stats`."""
    none = jax.tree.map(jnp.zeros_like, state.batch_stats)

    def moved(batch):
        _, updates = train_step.network(config).apply(
            {"params": state.params, "batch_stats": none},
            images(batch, config),
            train=True,
            mutable=["batch_stats"],
        )
        return updates["batch_stats"]

    # Batch normalisation averages over the axis of the devices, which here has length 1.
    alone = jax.vmap(moved, axis_name=DEVICE_AXIS)(jax.tree.map(lambda x: x[None], batch))
    # A step of the running mean moves 0 by this share.
    return jax.tree.map(lambda each: each[0] / (1 - MOMENTUM), alone)
