"""Convolution and matrix product whose gradients are fast on CPUs too.

XLA's CPU backend computes three things slowly that have faster, equivalent forms
(benchmarks/RESULTS.md). A weight gradient, for which it transposes the whole batch, becomes a sum
over a few examples at a time. The input gradient of a strided convolution becomes several small
convolutions, one for each position of the stride. A 1 x 1 convolution becomes a matrix product.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxsim.network.shapes import checked

POSITIONS_AT_A_TIME = 2048  # of a weight gradient: this many stay in the cache
PARTS = 16  # of a batch, at most: each is compiled separately
LARGE_MAP = 32 * 32  # positions; from here on a product's weight gradient is faster by example


@checked
def convolve(
    x: Float[Array, "B H W C"],
    kernel: Float[Array, "h w C D"],
    strides: tuple[int, int],
    padding: str,
) -> Float[Array, "B I J D"]:
    """Two-dimensional convolution, channels last; padding is "SAME" or "VALID"."""

    def convolution(x, kernel):
        return _convolve(x, kernel, strides, padding)

    if kernel.shape[:2] != (1, 1) or strides != (1, 1):
        return convolution(x, kernel)
    return lax.platform_dependent(
        x, kernel, cpu=lambda x, kernel: product(x, kernel[0, 0]), default=convolution
    )


@checked
def product(x: Float[Array, "B H W C"], kernel: Float[Array, "C D"]) -> Float[Array, "B H W D"]:
    """Matrix product of every position's channels with the kernel: a 1 x 1 convolution."""
    return _product(x, kernel)


@jax.custom_vjp
def _product(x, kernel):
    return jnp.einsum("bhwc,cd->bhwd", x, kernel)


def _product_forward(x, kernel):
    return _product(x, kernel), (x, kernel)


def _product_backward(residuals, gradient):
    x, kernel = residuals

    def whole(x, gradient):
        return jnp.einsum("bhwc,bhwd->cd", x, gradient)

    def by_example(x, gradient):
        x, gradient = (each.reshape(len(each), -1, each.shape[-1]) for each in (x, gradient))
        return jnp.einsum("bnc,bnd->bdc", x, gradient).sum(0).T

    x_gradient = jnp.einsum("bhwd,cd->bhwc", gradient, kernel)
    if x.shape[1] * x.shape[2] < LARGE_MAP:
        return x_gradient, whole(x, gradient)
    return x_gradient, lax.platform_dependent(x, gradient, cpu=by_example, default=whole)


_product.defvjp(_product_forward, _product_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(x, kernel, strides, padding):
    return plain_convolution(x, kernel, strides, padding)


def plain_convolution(x, kernel, strides, padding):
    """XLA's own convolution, with XLA's own gradients."""
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _forward(x, kernel, strides, padding):
    return plain_convolution(x, kernel, strides, padding), (x, kernel)


def _backward(strides, padding, residuals, gradient):
    x, kernel = residuals

    def input_gradient(kernel, gradient):
        return jax.vjp(lambda x: plain_convolution(x, kernel, strides, padding), x)[1](gradient)[0]

    def by_phases(kernel, gradient):
        return input_gradient_by_phases(kernel, gradient, x.shape[1:3], strides, padding)

    def kernel_gradient(x, gradient):
        return jax.vjp(lambda kernel: plain_convolution(x, kernel, strides, padding), kernel)[1](
            gradient
        )[0]

    def in_parts(x, gradient):
        size = max(POSITIONS_AT_A_TIME // (gradient.shape[1] * gradient.shape[2]), 1)
        size = max(size, -(-len(x) // PARTS))
        parts = [slice(start, start + size) for start in range(0, len(x), size)]
        return sum(kernel_gradient(x[part], gradient[part]) for part in parts)

    skips = any(k < s for k, s in zip(kernel.shape, strides, strict=False))
    fast = input_gradient if strides == (1, 1) or skips else by_phases
    return (
        lax.platform_dependent(kernel, gradient, cpu=fast, default=input_gradient),
        lax.platform_dependent(x, gradient, cpu=in_parts, default=kernel_gradient),
    )


_convolve.defvjp(_forward, _backward)


def input_gradient_by_phases(
    kernel: Float[Array, "h w C D"],
    gradient: Float[Array, "B I J D"],
    size: tuple[int, int],
    strides: tuple[int, int],
    padding: str,
) -> Float[Array, "B H W C"]:
    """The gradient with respect to a strided convolution's input, whose map has this `size`.

    Only the elements r, r + s, ... of the kernel see position s q + r of the padded input: for each
    r its gradient is a convolution of the output's gradient with those elements. No stride may be
    larger than the kernel.
    """
    window = kernel.shape[:2]
    pads = lax.padtype_to_pads(size, window, strides, padding)
    # How many q there are, along each axis.
    counts = [-(-(n + sum(pad)) // s) for n, pad, s in zip(size, pads, strides, strict=True)]

    def phase(*firsts: int):
        own = kernel[firsts[0] :: strides[0], firsts[1] :: strides[1]]
        mirrored = own[::-1, ::-1].swapaxes(2, 3)
        full = [
            (length - 1, count - given)
            for length, count, given in zip(own.shape, counts, gradient.shape[1:3], strict=False)
        ]
        return plain_convolution(gradient, mirrored, (1, 1), full)

    rows = [[phase(i, j) for j in range(strides[1])] for i in range(strides[0])]
    x = jnp.stack([jnp.stack(row, axis=3) for row in rows], axis=2)  # [B, q, r, q, r, C]
    x = x.reshape(len(x), counts[0] * strides[0], counts[1] * strides[1], -1)
    (top, _), (left, _) = pads
    return x[:, top : top + size[0], left : left + size[1]]


@jax.custom_vjp
def add_bias(x: Float[Array, "B H W D"], bias: Float[Array, "D"]) -> Float[Array, "B H W D"]:
    """`x` with a bias whose gradient is `position_sum`."""
    return x + bias


def _add_bias_forward(x, bias):
    return x + bias, None


def _add_bias_backward(_, gradient):
    return gradient, position_sum(gradient)


add_bias.defvjp(_add_bias_forward, _add_bias_backward)


def position_sum(x: Float[Array, "B H W D"]) -> Float[Array, "D"]:
    """Sum over examples and positions.

    On a TPU it is the weight gradient of a convolution of ones: the matrix units sum three to six
    times as fast.
    """

    def by_matrix_units(x):
        # Behind the barrier the compiler cannot see that these are ones, so it keeps the product.
        one = lax.optimization_barrier(jnp.ones((), x.dtype))
        ones = jnp.broadcast_to(one, (*x.shape[:3], 1))
        kernel = jnp.zeros((1, 1, 1, x.shape[-1]), x.dtype)
        pull = jax.vjp(lambda kernel: plain_convolution(ones, kernel, (1, 1), "VALID"), kernel)[1]
        return pull(x)[0][0, 0, 0]

    def by_adding(x):
        return x.sum((0, 1, 2))

    return lax.platform_dependent(x, tpu=by_matrix_units, default=by_adding)
