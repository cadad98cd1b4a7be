"""A whole training step against float64: loss, gradient, Adam's moments, parameters, statistics.

Two devices, a network that normalises over the batch, dimensions of different weights in another
order than the default's, and a state that has already made steps. The expected loss is a loop over
the whole batch's examples, its gradient goes through the network of the whole batch at once, and
Adam is Kingma and Ba's algorithm 1.
"""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxsim.network.inputs import images
from jaxsim.network.shapes import DEVICE_AXIS
from jaxsim.training import train_step
from tests.helpers.naive import drawn, mined, of_one_track, related, targets
from tests.helpers.runs import in_doubles, readme_network
from tests.helpers.states import BATCH, drawn_state, full_batch

DIMENSIONS, WIDTH = ("tempo", "era", "key", "genre"), 6
STEP, COUNT, RATE = 5, 3, 0.01  # the state's step and Adam's, which may differ
EPSILON = 1e-4  # of the differences: the loss has kinks, and embeddings are rounded to float32
OBJECTIVES = {  # method, mapping, other fields of config.loss
    "triplet": ("pmap", dict(track_weight=0.7, pick="uniform", average="mined", band=0.3)),
    "proxy": ("shard_map", {}),
    "classification": ("pmap", {}),
}


@pytest.fixture(scope="module", autouse=True)
def doubles() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def configured(method: str, *, branches: bool) -> ConfigDict:
    config = in_doubles(readme_network())
    config.update(dimensions=DIMENSIONS, seed=3)
    config.augmentation.transpose = False  # its tests see a step train on what it made
    if not branches:
        config.model.update(inputs=("mel",), blocks=1, branch_blocks=1)
    config.parallel.mapping, loss = OBJECTIVES[method]
    config.loss.update(method=method, tempo_classes=7, **loss)
    config.loss.weights.update(tempo=0.5, era=3.0, key=1.5)
    return config


def started(config: ConfigDict) -> train_step.State:
    """Random parameters, moments and statistics in float64."""
    random = np.random.default_rng(5)
    state = drawn_state(config, full_batch())
    params = jax.tree.map(np.float64, state.params)
    moments = state.moments._replace(
        count=np.int32(COUNT),
        mu=jax.tree.map(lambda x: 0.01 * random.normal(size=x.shape), params),
        nu=jax.tree.map(lambda x: 1e-3 * random.uniform(0.5, 1.5, x.shape), params),
    )
    statistics = jax.tree.map(lambda x: random.uniform(0.5, 1.5, x.shape), state.batch_stats)
    return train_step.State(np.int32(STEP), params, statistics, moments)


def embedder(config: ConfigDict) -> Callable:
    """Parameters to the embeddings of the whole batch and its means and variances."""
    inputs = images({name: jnp.asarray(x) for name, x in full_batch().items()}, config)
    network = train_step.network(config)

    def one_device(variables, inputs):
        return network.apply(variables, inputs, train=True, mutable=["batch_stats"])

    @jax.jit
    def embed(params, zeros):
        variables = {"params": params, "batch_stats": zeros}
        mapped = jax.vmap(one_device, in_axes=(None, 0), axis_name=DEVICE_AXIS)
        embeddings, updates = mapped(variables, jax.tree.map(lambda x: x[None], inputs))
        # The statistics move from zero by a tenth.
        return embeddings[0], jax.tree.map(lambda x: 10 * x[0], updates["batch_stats"])

    return embed


def unit(vectors):
    return vectors / jnp.linalg.norm(vectors, axis=1, keepdims=True)


def own(number: int) -> slice:
    return slice(WIDTH * number, WIDTH * (number + 1))


def triplets_of(embeddings: np.ndarray, labels, config: ConfigDict) -> list[np.ndarray]:
    """The picked triplets [n, 3] of every dimension, and of the tracks."""
    key = jax.random.fold_in(jax.random.key(config.seed), STEP)
    draws = drawn(key, 0, BATCH, (len(DIMENSIONS) + 1, BATCH))
    result = []
    for number in range(len(DIMENSIONS) + 1):
        track = number == len(DIMENSIONS)
        vectors = unit(embeddings if track else embeddings[:, own(number)])
        pairs = [
            [
                of_one_track(labels, a, c) if track else related(labels, number, config, a, c, key)
                for c in range(BATCH)
            ]
            for a in range(BATCH)
        ]
        chosen, _ = mined(np.asarray(1 - vectors @ vectors.T), pairs, draws[:, number], config)
        result.append(np.array(chosen))
    return result


def triplet_losses(embeddings, chosen: list[np.ndarray]) -> list:
    """Mean hinges of every dimension in its sub-space, and of the tracks in the whole space."""
    losses = []
    for number, (a, p, n) in enumerate(each.T for each in chosen):
        vectors = unit(embeddings if number == len(DIMENSIONS) else embeddings[:, own(number)])
        nearer, further = (1 - jnp.sum(vectors[a] * vectors[other], axis=1) for other in (p, n))
        losses.append(jnp.mean(jnp.maximum(nearer - further + 0.1, 0)))
    return losses


def class_losses(embeddings, classes, labels, config: ConfigDict) -> list:
    """The mean cross-entropy of every dimension's labelled examples, summed over its classes."""
    losses = []
    for number, name in enumerate(DIMENSIONS):
        vectors = classes[name]
        vectors = vectors[:, own(number)] if config.loss.method == "proxy" else vectors
        each = []
        for row, label in enumerate(labels[name]):
            if wanted := targets(label, name, len(vectors), config):
                part = embeddings[row, own(number)]
                chance = jax.nn.sigmoid(vectors @ part / jnp.linalg.norm(part))
                hit = np.isin(np.arange(len(vectors)), list(wanted))
                each.append(-jnp.sum(jnp.log(jnp.where(hit, chance, 1 - chance))))
        losses.append(sum(each) / len(each))
    return losses


def objective_of(embeddings: np.ndarray, config: ConfigDict) -> Callable:
    """A function of embeddings and class vectors: the loss and its parts; triplets stay picked."""
    labels = full_batch()
    weights = [config.loss.weights[name] for name in DIMENSIONS]
    chosen = []
    if config.loss.method == "triplet":
        chosen = triplets_of(embeddings, labels, config)
        assert min(map(len, chosen)) > 5

    def loss(embeddings, classes):
        if chosen:
            *losses, track = triplet_losses(embeddings, chosen)
        else:
            losses, track = class_losses(embeddings, classes, labels, config), 0.0
        total = sum(weight * each for weight, each in zip(weights, losses, strict=True))
        return total / len(DIMENSIONS) + config.loss.track_weight * track, losses

    return loss


def assert_close(found, expected, *, tolerance: float) -> None:
    """Within the tolerance, as a share of each array's largest value and of the tree's."""
    paths = jax.tree_util.tree_leaves_with_path(expected)
    largest = max(np.abs(leaf).max() for _, leaf in paths)
    for (path, wanted), one in zip(paths, jax.tree.leaves(found), strict=True):
        name = jax.tree_util.keystr(path)
        allowed = tolerance * (np.abs(wanted).max() + 0.03 * largest)
        np.testing.assert_allclose(one, wanted, atol=allowed, rtol=0, err_msg=name)


@pytest.mark.parametrize(
    ("method", "branches"),
    [
        ("triplet", False),
        pytest.param("proxy", False, marks=pytest.mark.slow),
        pytest.param("classification", False, marks=pytest.mark.slow),
        pytest.param("triplet", True, marks=pytest.mark.slow),
    ],
)
def test_a_step_on_two_devices_is_that_of_the_whole_batch_in_float64(
    method: str, branches: bool
) -> None:
    """Of one input and one block, or of README's network with its branches."""
    config = configured(method, branches=branches)
    state = started(config)
    embed, zeros = embedder(config), jax.tree.map(np.zeros_like, state.batch_stats)

    def through_network(params):
        return jax.vjp(lambda params: embed(params, zeros)[0], params)

    embeddings, back = through_network(state.params)
    loss = objective_of(embeddings, config)
    classes = state.params.get("classes", {})
    (by_embedding, by_class), losses = jax.grad(loss, argnums=(0, 1), has_aux=True)(
        np.float64(embeddings), classes
    )
    (gradient,) = back(by_embedding.astype(embeddings.dtype))
    gradient = jax.device_get(gradient | ({"classes": by_class} if classes else {}))
    if not branches:  # where there are fewer kinks
        assert_is_gradient(gradient, state.params, lambda params: embed(params, zeros)[0], loss)

    step = train_step.mapped_train_step(config, devices=jax.devices()[:2], donate=False)
    dealt = jax.tree.map(lambda x: x.reshape(2, BATCH // 2, *x.shape[1:]), full_batch())
    after, terms = jax.device_get(step(state, dealt, np.float32(RATE)))

    np.testing.assert_allclose(terms.loss.mean(), losses, rtol=1e-5)
    mu = jax.tree.map(lambda old, g: 0.9 * old + 0.1 * g, state.moments.mu, gradient)
    nu = jax.tree.map(lambda old, g: 0.999 * old + 0.001 * g**2, state.moments.nu, gradient)
    steps = COUNT + 1
    moved = jax.tree.map(
        lambda m, v: -RATE * m / (1 - 0.9**steps) / (np.sqrt(v / (1 - 0.999**steps)) + 1e-8), mu, nu
    )
    found = jax.tree.map(lambda m, old: (m - 0.9 * old) / 0.1, after.moments.mu, state.moments.mu)
    assert_close(found, gradient, tolerance=1e-4)
    assert_close(after.moments.nu, nu, tolerance=1e-5)
    assert_close(jax.tree.map(np.subtract, after.params, state.params), moved, tolerance=1e-4)
    moments = jax.device_get(embed(state.params, zeros)[1])
    assert_close(
        after.batch_stats,
        jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, state.batch_stats, moments),
        tolerance=1e-5,
    )
    assert (after.step, after.moments.count) == (STEP + 1, steps)


def assert_is_gradient(gradient, params, embedded: Callable, loss: Callable) -> None:
    """Along a random direction of every layer's, as central differences of the loss have it."""
    random = np.random.default_rng(7)
    for name, layer in params.items():
        direction = jax.tree.map(lambda x: random.normal(size=x.shape) * np.std(x), layer)

        def moved(by: float, name=name, layer=layer, direction=direction) -> float:
            steps = jax.tree.map(functools.partial(np.multiply, by), direction)
            there = params | {name: jax.tree.map(np.add, layer, steps)}
            return float(loss(embedded(there), there.get("classes", {}))[0])

        slope = (moved(EPSILON) - moved(-EPSILON)) / (2 * EPSILON)
        products = jax.tree.map(lambda g, d: np.sum(g * d), gradient[name], direction)
        expected = sum(jax.tree.leaves(products))
        assert slope == pytest.approx(expected, rel=0.03, abs=2e-3), name
