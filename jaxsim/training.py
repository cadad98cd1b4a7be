"""The training state and the step: pure functions, written for one device of the axis `data`."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array
from ml_collections import ConfigDict

from jaxsim.inputs import images
from jaxsim.model import Inception
from jaxsim.objective import Terms, triplet_terms
from jaxsim.parallel import AXIS


@flax.struct.dataclass
class State:
    """Everything that a step changes."""

    step: Array
    params: Any
    batch_stats: Any  # running means and variances; empty without batch normalisation
    moments: optax.OptState


def build_model(config: ConfigDict) -> Inception:
    model = config.model
    return Inception(
        embedding_size=model.embedding_size,
        inputs=tuple(model.inputs),
        width=model.width,
        norm=model.norm,
        branch_norm=model.branch_norm,
        embedding_norm=model.embedding_norm,
        dtype=jnp.dtype(model.dtype),
    )


def initial_state(config: ConfigDict, example: Mapping[str, ArrayLike]) -> State:
    """The state before step 0, a function of `config.seed` and the example batch's shapes."""
    model = build_model(config)

    def init(batch) -> State:
        variables = model.init(jax.random.key(config.seed), images(batch, config), train=False)
        params = variables["params"]
        return State(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            moments=optax.scale_by_adam().init(params),
        )

    return jax.jit(init)(example)


def train_step(config: ConfigDict, state: State, batch: Mapping[str, Array], learning_rate: Array):
    """One update from this device's examples.

    Returns:
      The next state and the batch's `Terms`, both equal on all devices.
    """
    model = build_model(config)
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    labels = {name: batch[name] for name in (*config.dimensions, "index")}
    begun = (state.step >= first_steps(config)).astype(jnp.float32)

    def loss(params):
        embeddings, updates = model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            images(batch, config),
            train=True,
            mutable=["batch_stats"],
        )
        terms = triplet_terms(embeddings, labels, key, config, axis=AXIS)
        weight = jax.lax.stop_gradient(jax.lax.psum(terms.loss.weight, AXIS))
        # This device's part of the mean over all triplets, averaged over dimensions (A Eq. 2).
        part = jnp.average(terms.loss.sum / jnp.maximum(weight, 1.0), weights=begun)
        return part, (terms, updates)

    gradients, (terms, updates) = jax.grad(loss, has_aux=True)(state.params)
    gradients, terms = jax.lax.psum((gradients, terms), AXIS)
    direction, moments = optax.scale_by_adam().update(gradients, state.moments, state.params)
    params = jax.tree.map(lambda p, d: p - learning_rate * d, state.params, direction)
    return (
        State(state.step + 1, params, updates.get("batch_stats", state.batch_stats), moments),
        terms,
    )


def first_steps(config: ConfigDict) -> np.ndarray:
    """The step from which each dimension is trained [S]; the earliest of them is step 0."""
    steps = np.array([config.loss.first_step[name] for name in config.dimensions])
    return steps - steps.min()


def embed(config: ConfigDict, state: State, batch: Mapping[str, Array]) -> Array:
    """Embeddings [B, E] of this device's segments."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    embeddings = build_model(config).apply(variables, images(batch, config), train=False)
    assert isinstance(embeddings, jax.Array)
    return embeddings


def validation_terms(config: ConfigDict, state: State, batch: Mapping[str, Array]) -> Terms:
    """`Terms` of a validation batch, equal on all devices."""
    labels = {name: batch[name] for name in (*config.dimensions, "index")}
    key = jax.random.key(config.seed)
    terms = triplet_terms(embed(config, state, batch), labels, key, config, axis=AXIS)
    return jax.lax.psum(terms, AXIS)
