"""The convolution equals XLA's, in its outputs and both gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxsim.convolution import convolve


@pytest.mark.parametrize("batch", [1, 8, 19])  # parts of 8: one short, one full, and a remainder
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(
    ("kernel", "strides"),
    [
        ((1, 1), (1, 1)),
        ((1, 1), (2, 2)),
        ((3, 3), (1, 1)),
        ((3, 3), (1, 2)),
        ((5, 5), (1, 1)),
        ((5, 3), (3, 1)),
    ],
)
def test_outputs_and_gradients_are_xlas(kernel, strides, padding: str, batch: int) -> None:
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(batch, 9, 8, 3)), jnp.float32)
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
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())
