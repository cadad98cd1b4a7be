"""The loss that spreads a sub-space over its directions, against eigenvalues in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.six_dim import get_config
from jaxsim.objective.terms import objective_terms

SIZE, WIDTH = 24, 5
DIMENSIONS = ("tempo", "key", "genre")


def configured(**loss):
    config = get_config()
    config.dimensions = DIMENSIONS
    config.model.embedding_size = len(DIMENSIONS) * WIDTH
    config.loss.update(decorrelation_weight=1.0, **loss)
    return config


def batch():
    random = np.random.default_rng(5)
    scales = np.concatenate([[3, 1, 0.3, 0.1, 0.1], [1, 1, 1, 1, 1], [2, 0.5, 0.5, 0.2, 0.1]])
    embeddings = scales * random.normal(size=(SIZE, scales.size)) + random.normal(size=scales.size)
    return embeddings.astype(np.float32), {
        "genre": random.random((SIZE, 4)) < 0.4,
        "key": random.integers(-1, 24, SIZE).astype(np.int32),
        "tempo": random.choice([0, 60, 90, 125], SIZE).astype(np.float32),
        "index": np.arange(SIZE, dtype=np.int32),
    }


def rank_by_eigenvalues(vectors: np.ndarray) -> float:
    vectors = vectors.astype(np.float64)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(np.cov(units.T, bias=True))
    return values.sum() ** 2 / (values**2).sum()


def correlation(embeddings, labels, config, axis=None):
    embeddings, labels = jax.tree.map(jnp.asarray, (embeddings, labels))
    return objective_terms(embeddings, {}, labels, jax.random.key(0), config, axis=axis).correlation


@pytest.mark.parametrize("disentangled", [True, False])
def test_equals_the_eigenvalues(disentangled: bool) -> None:
    embeddings, labels = batch()
    found = correlation(embeddings, labels, configured(disentangled=disentangled))
    parts = np.split(embeddings, 3, axis=1) if disentangled else [embeddings]
    expected = [np.log(part.shape[1] / rank_by_eigenvalues(part)) for part in parts]
    assert found.weight == len(parts)
    np.testing.assert_allclose(found.sum, sum(expected), rtol=1e-4)
    assert sum(expected) > 0.3


@pytest.mark.slow
def test_devices_give_the_whole_batch() -> None:
    embeddings, labels = batch()
    config = configured()

    def mean(embeddings, devices: int):
        parts = jax.tree.map(
            lambda x: jnp.reshape(x, (devices, SIZE // devices, *x.shape[1:])), (embeddings, labels)
        )
        found = jax.vmap(lambda own: correlation(*own, config, axis="data"), axis_name="data")(
            parts
        )
        return jnp.sum(found.sum) / jnp.sum(found.weight)

    both = jax.jit(jax.value_and_grad(mean), static_argnums=1)
    (value, found), (whole, expected) = (both(embeddings, devices) for devices in (4, 1))
    np.testing.assert_allclose(value, whole, rtol=1e-5)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_descending_it_uses_every_direction() -> None:
    embeddings, labels = batch()
    gradient = jax.jit(jax.grad(lambda x: correlation(x, labels, configured()).sum))
    x = jnp.asarray(embeddings)
    for _ in range(300):
        x = x - 2.0 * gradient(x)
    for part in np.split(np.asarray(x), 3, axis=1):
        assert rank_by_eigenvalues(part) > 4.7


def test_equal_embeddings_have_a_finite_gradient() -> None:
    _, labels = batch()
    same = jnp.ones((SIZE, 3 * WIDTH))
    value, gradient = jax.value_and_grad(lambda x: correlation(x, labels, configured()).sum)(same)
    assert np.isfinite(value) and np.isfinite(gradient).all()
