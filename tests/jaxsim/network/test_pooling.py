"""Pooling equals Flax's, in its outputs and gradients."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.network.forms.pooling import average_pool, max_pool


def tie_free(shape: tuple[int, ...]) -> jax.Array:
    """All values different, half of them negative."""
    values = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape)
    return jnp.asarray(values / values.size - 0.5, jnp.float32)


def assert_same(ours, flaxs, x: jax.Array) -> None:
    """The outputs of two functions, and their gradients for a random cotangent."""

    def outputs_and_gradient(function, x):
        result, pull = jax.vjp(function, x)
        cotangent = jax.random.normal(jax.random.key(1), result.shape)
        return result, pull(cotangent)[0]

    found, expected = jax.jit(
        lambda x: (outputs_and_gradient(ours, x), outputs_and_gradient(flaxs, x))
    )(x)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "window", "strides", "padding"),
    [
        ((8, 9), (2, 2), (2, 2), "VALID"),
        ((9, 8), (1, 2), (1, 2), "VALID"),
        ((8, 9), (3, 3), (2, 2), "SAME"),
        ((7, 4), (3, 3), (1, 2), "SAME"),
        ((1, 1), (3, 3), (2, 2), "SAME"),
        ((1, 6), (3, 3), (2, 2), "SAME"),
        ((5, 7), (3, 2), (1, 1), "SAME"),
        ((5, 7), (3, 3), (3, 2), "VALID"),
    ],
)
def test_maximum_is_flaxs(size, window, strides, padding) -> None:
    assert_same(
        lambda x: max_pool(x, window, strides, padding),
        lambda x: nn.max_pool(x, window, strides, padding),
        tie_free((2, *size, 3)),
    )


@pytest.mark.parametrize("size", [(8, 9), (7, 4), (1, 1), (1, 6), (2, 2)])
@pytest.mark.parametrize("window", [(3, 3), (2, 3)])
def test_average_is_flaxs_without_the_padding(size, window) -> None:
    assert_same(
        lambda x: average_pool(x, window),
        lambda x: nn.avg_pool(x, window, (1, 1), "SAME", count_include_pad=False),
        tie_free((2, *size, 3)),
    )


def test_ties_share_the_gradient() -> None:
    gradient = jax.grad(lambda x: max_pool(x, (2, 2), (2, 2)).sum())(jnp.ones((1, 4, 4, 1)))
    np.testing.assert_array_equal(gradient, np.full((1, 4, 4, 1), 0.25))
