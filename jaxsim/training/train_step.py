"""The training state and the step: pure functions, written for one device of the axis `data`."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from ml_collections import ConfigDict

from input_pipeline.tracks import TAG_DIMENSIONS
from jaxsim.network.inception import Inception
from jaxsim.network.inputs import FEATURES, TEMPO_FACTOR, images
from jaxsim.network.plan import plan_of
from jaxsim.network.separation import separated
from jaxsim.network.shapes import DEVICE_AXIS
from jaxsim.objective.losses import Total
from jaxsim.objective.terms import class_shapes, masks_of, objective_terms, tag_mask
from jaxsim.training.augmentation import augmented
from jaxsim.training.machines import parallel

# Folded into a step's key; the objective folds in other numbers.
AUGMENTATION, DROPOUT = 2**31 - 1, 2**31 - 2
KEPT = "kept"  # what a batch has besides with `config.model.dropout`
LAYERS = ("all", "last", "tags")  # `config.optimiser.layers`
LAST = ("embedding", "statistics", "embedding_norm", "classes")
# As for a last layer [D, C].
CLASS_INIT = jax.nn.initializers.he_uniform(in_axis=-1, out_axis=-2)


@flax.struct.dataclass
class State:
    """Everything that a step changes."""

    step: Array
    params: Any  # of the network; also "classes", the class vectors of proxies and classification
    batch_stats: Any  # running means and variances; empty without batch normalisation
    moments: optax.OptState


def network(config: ConfigDict) -> Inception:
    """The network of a configuration."""
    return Inception(plan_of(config.model), jnp.dtype(config.model.dtype))


def initial_state(config: ConfigDict, shapes: Mapping[str, jax.ShapeDtypeStruct]) -> State:
    """The state before step 0, a function of `config.seed` and the shapes of a batch."""
    (state,) = initial_states(config, shapes, seeds=[config.seed])
    return state


def initial_states(
    config: ConfigDict, shapes: Mapping[str, jax.ShapeDtypeStruct], *, seeds: Sequence[int]
) -> list[State]:
    """The states before step 0 for several seeds, compiled once."""
    initial = jax.jit(
        functools.partial(_initial_state, config), compiler_options=quick_to_compile()
    )
    example = {name: np.zeros(each.shape, each.dtype) for name, each in shapes.items()}
    return [initial(example, jax.random.key(seed)) for seed in seeds]


def quick_to_compile() -> dict[str, int] | None:
    """Compiler options for a program that runs only a few times.

    On CPUs more optimisation triples the compile time of the initial state.
    """
    return {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None


def state_shapes(config: ConfigDict, shapes: Mapping[str, jax.ShapeDtypeStruct]) -> State:
    """The shapes and types of a `State`, for batches of these shapes."""
    key = jax.random.key(config.seed)
    return jax.eval_shape(functools.partial(_initial_state, config), shapes, key)


def mapped_train_step(
    config: ConfigDict, *, devices: Sequence[jax.Device] | None = None, donate: bool = True
) -> Callable:
    """`train_step` for all devices: (state, batch, learning rate) -> (state, terms)."""
    return parallel.map_over_devices(
        functools.partial(train_step, config),
        split=(False, True, False),
        mapping=config.parallel.mapping,
        donate=donate,
        devices=devices,
    )


def _initial_state(config: ConfigDict, example: Mapping[str, Array], key: Array) -> State:
    model = network(config)
    variables = model.init(key, images(example, config), train=False)
    params = dict(variables["params"])
    if config.model.trunk_start == "separate" and model.plan.trunk():
        params = separated(params, model.plan, first_inputs=_first_inputs(config))
    if shapes := class_shapes(config, example):
        params["classes"] = {
            name: CLASS_INIT(jax.random.fold_in(key, number), shape)
            for number, (name, shape) in enumerate(shapes.items())
        }
    return State(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        moments=optax.scale_by_adam().init(params),
    )


def _first_inputs(config: ConfigDict) -> list[tuple[str, ...]]:
    """The inputs that each sub-space reads at first; an undivided space reads all."""
    inputs, chosen = tuple(config.model.inputs), config.model.first_input
    if not config.loss.disentangled:
        return [inputs]
    firsts = (chosen.get(name) for name in config.dimensions)
    return [(first,) if first in inputs else inputs for first in firsts]


def train_step(config: ConfigDict, state: State, batch: Mapping[str, Array], learning_rate: Array):
    """One update from this device's examples.

    Returns:
      The next state and the batch's `Terms`, both equal on all devices.
    """
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    batch = augmented(batch, jax.random.fold_in(key, AUGMENTATION), config)
    if rate := config.model.dropout:
        outputs = len(state.params["embedding"]["kernel"])
        drawn = kept_outputs(jax.random.fold_in(key, DROPOUT), batch["index"], outputs, rate=rate)
        batch = batch | {KEPT: drawn}

    def objective(embeddings, class_vectors):
        terms = objective_terms(embeddings, class_vectors, batch, key, config, axis=DEVICE_AXIS)
        # This device's part of the mean over all triplets, averaged over dimensions (A Eq. 2).
        part = jnp.mean(weights(config) * _part(terms.loss))
        beside = config.loss.track_weight * _part(terms.track)
        beside += config.loss.soft_weight * _part(terms.soft)
        beside += config.loss.tag_weight * _part(terms.of_tags)
        beside += config.loss.decorrelation_weight * _part(terms.correlation)
        return part + beside, terms

    by_parts = config.parallel.parts > 1
    gradients, terms, batch_stats = (_gradients_by_parts if by_parts else _gradients)(
        config, state, batch, objective
    )
    gradients, terms = jax.lax.psum((gradients, terms), DEVICE_AXIS)
    if of_tags := [name for name in gradients if name in only_of_tags(config)]:
        tags = tag_mask(config, masks_of(config, config.model.embedding_size))
        gradients |= {name: jax.tree.map(lambda x: x * tags, gradients[name]) for name in of_tags}
    gradients = jax.tree.map(jnp.zeros_like, state.params) | gradients
    direction, moments = optax.scale_by_adam().update(gradients, state.moments, state.params)
    params = jax.tree.map(lambda p, d: p - learning_rate * d, state.params, direction)
    return State(state.step + 1, params, batch_stats, moments), terms


def kept_outputs(key: Array, index: Array, outputs: int, *, rate: float) -> Array:
    """Dropout: factors [B, outputs], 0 for a share `rate` of them and the same for all others.

    Their mean is 1. What is drawn for an example depends on its row in the global batch alone.
    """
    keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(index)
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, (outputs,)))(keys)
    return kept / (1 - rate)


def _gradients(config: ConfigDict, state: State, batch: Mapping[str, Array], objective: Callable):
    """Gradients of the objective(embeddings, class vectors), its terms, and the new statistics.

    Only those of the layers that are trained, so that the others need no backward pass.
    """

    def loss(params):
        embeddings, batch_stats = _embedded(config, state, params, batch)
        value, terms = objective(embeddings, classes(params))
        return value, (terms, batch_stats)

    gradients, (terms, batch_stats) = jax.grad(loss, has_aux=True)(trained(config, state.params))
    return gradients, terms, batch_stats


def _gradients_by_parts(
    config: ConfigDict, state: State, batch: Mapping[str, Array], objective: Callable
):
    """As `_gradients`, and exact, but with the network's memory for only one part of the batch.

    The parts are embedded one after another, the objective sees the embeddings of all, and its
    gradient goes back through the network part by part, which embeds each part a second time.
    """
    count = config.parallel.parts
    names = (*FEATURES, TEMPO_FACTOR, KEPT)
    features = {name: batch[name] for name in names if name in batch}
    parts = jax.tree.map(lambda x: x.reshape(count, x.shape[0] // count, *x.shape[1:]), features)

    def embedded(params, part):
        return _embedded(config, state, params, part)[0]

    params = trained(config, state.params)
    embeddings = jax.lax.map(functools.partial(embedded, params), parts)
    (by_embedding, by_class), terms = jax.grad(objective, argnums=(0, 1), has_aux=True)(
        embeddings.reshape(-1, embeddings.shape[-1]), classes(params)
    )

    def add(total, part_and_gradient):
        part, gradient = part_and_gradient
        (more,) = jax.vjp(lambda params: embedded(params, part), params)[1](gradient)
        return jax.tree.map(jnp.add, total, more), None

    zero = jax.tree.map(jnp.zeros_like, params)
    gradients, _ = jax.lax.scan(add, zero, (parts, by_embedding.reshape(embeddings.shape)))
    if by_class:
        gradients = gradients | {"classes": by_class}
    return gradients, terms, state.batch_stats


def _embedded(config: ConfigDict, state: State, params, batch: Mapping[str, Array]):
    """Embeddings [B, E] in training with these `params` of the state's, and batch statistics."""
    embeddings, updates = network(config).apply(
        {"params": state.params | params, "batch_stats": state.batch_stats},
        images(batch, config),
        train=True,
        kept=batch.get(KEPT),
        mutable=["batch_stats"],
    )
    return embeddings, updates.get("batch_stats", state.batch_stats)


def weights(config: ConfigDict) -> np.ndarray:
    """Weights of the dimensions' losses [S]; all 1 in A Eq. 2.

    Those are 0 whose sub-spaces are not trained: the embedding's normalisation, which mixes all
    units, would let them move the others.
    """
    trains_all = config.optimiser.layers != "tags"
    counts = (trains_all or name in TAG_DIMENSIONS for name in config.dimensions)
    given = (config.loss.weights[name] for name in config.dimensions)
    return np.array([w * c for w, c in zip(given, counts, strict=True)], np.float32)


def _part(total: Total) -> Array:
    """This device's share of the mean over all devices."""
    weight = jax.lax.stop_gradient(jax.lax.psum(total.weight, DEVICE_AXIS))
    return total.sum / jnp.maximum(weight, 1.0)


def trained(config: ConfigDict, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that training changes: all of them, or those of the last layers."""
    everything = config.optimiser.layers == "all"
    return {name: each for name, each in params.items() if name in LAST or everything}


def only_of_tags(config: ConfigDict) -> tuple[str, ...]:
    """The layers of which training changes only the weights for the sub-spaces of tags."""
    if config.optimiser.layers == "tags":
        return "embedding", "statistics", "embedding_norm"
    return ("statistics",)


def classes(params: Mapping[str, Any]) -> Mapping[str, Array]:
    """The class vectors of each dimension; empty for triplets."""
    return params.get("classes", {})


def embed(config: ConfigDict, state: State, batch: Mapping[str, Array]) -> Array:
    """Embeddings [B, E] of this device's segments."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    embeddings = network(config).apply(variables, images(batch, config), train=False)
    assert isinstance(embeddings, jax.Array)
    return embeddings
