"""The convolution equals XLA's, in its outputs and both gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxsim.network.forms.convolution import LARGE_MAP, add_bias, convolve

LARGE = (33, 32)  # maps of this size get their weight gradient a few examples at a time


@pytest.mark.parametrize(
    ("kernel", "strides", "padding", "size", "batch"),
    [
        ((1, 1), (1, 1), "SAME", LARGE, 19),
        ((1, 1), (2, 2), "SAME", LARGE, 19),
        ((3, 3), (1, 1), "SAME", LARGE, 19),
        ((3, 3), (1, 1), "SAME", LARGE, 16),
        ((3, 3), (1, 1), "SAME", LARGE, 1),
        ((3, 3), (1, 2), "SAME", LARGE, 9),
        ((5, 5), (1, 1), "VALID", LARGE, 9),
        ((3, 3), (2, 2), "SAME", LARGE, 40),
        ((3, 3), (2, 2), "VALID", (10, 9), 4),
        ((5, 3), (3, 1), "SAME", LARGE, 9),
        ((1, 1), (1, 1), "VALID", (9, 8), 9),
        ((3, 3), (1, 2), "VALID", (9, 8), 9),
        ((5, 5), (2, 2), "SAME", (9, 8), 9),
        ((3, 3), (1, 1), "SAME", (1, 1), 2),
    ],
)
def test_outputs_and_gradients_are_xlas(kernel, strides, padding, size, batch) -> None:
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(batch, *size, 3)), jnp.float32)
    weights = jnp.asarray(random.normal(size=(*kernel, 3, 4)), jnp.float32)

    def ours(x, weights):
        return convolve(x, weights, strides, padding)

    def xlas(x, weights):
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, weights, strides, padding, dimension_numbers=layout)

    def everything(function, x, weights):
        result, pull = jax.vjp(function, x, weights)
        return function(x, weights), *pull(jax.random.normal(jax.random.key(1), result.shape))

    found, expected = jax.jit(
        lambda x, weights: (everything(ours, x, weights), everything(xlas, x, weights))
    )(x, weights)
    assert (x[0, :, :, 0].size >= LARGE_MAP) == (size == LARGE)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())


@pytest.mark.usefixtures("forms")
def test_the_gradient_of_a_bias_is_a_sum() -> None:
    random = np.random.default_rng(0)
    x, gradient = (jnp.float32(random.normal(size=(2, 5, 4, 3))) for _ in range(2))
    bias = jnp.float32(random.normal(size=3))
    result, pull = jax.vjp(add_bias, x, bias)
    by_map, by_bias = pull(gradient)
    np.testing.assert_array_equal(result, x + bias)
    np.testing.assert_array_equal(by_map, gradient)
    np.testing.assert_allclose(by_bias, np.sum(gradient, (0, 1, 2)), rtol=1e-5)
