"""Joining and splitting feature maps by channel.

On a TPU a concatenation is a separate pass over memory. If each part is written into its place
instead, the operation that computes the part, most often a convolution, writes it there itself.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def join(
    rectified: Sequence[Float[Array, "B H W _"]] = (), kept: Sequence[Float[Array, "B H W _"]] = ()
) -> Float[Array, "B H W C"]:
    """The ReLU of the maps `rectified`, then the maps `kept`, side by side."""
    parts = (*rectified, *kept)
    return _join(parts, tuple(part.shape[-1] for part in parts), len(rectified))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _join(parts, sizes, rectified):
    opened = (jnp.maximum(part, 0) for part in parts[:rectified])
    return _placed((*opened, *parts[rectified:]))


def _join_forward(parts, sizes, rectified):
    joined = _join(parts, sizes, rectified)
    return joined, joined


def _join_backward(sizes, rectified, joined, gradient):
    # The joined map shows where a ReLU was open, so the parts need not be stored as well.
    gradients, values = _parts(gradient, sizes), _parts(joined, sizes)
    opened = (
        jnp.where(value > 0, own, 0)
        for own, value in zip(gradients[:rectified], values[:rectified], strict=True)
    )
    return ((*opened, *gradients[rectified:]),)


_join.defvjp(_join_forward, _join_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def split(
    x: Float[Array, "B H W C"], sizes: tuple[int, ...]
) -> tuple[Float[Array, "B H W _"], ...]:
    """The groups of `sizes` channels that `x` consists of, in order."""
    return _parts(x, sizes)


def _split_forward(x, sizes):
    return split(x, sizes), None


def _split_backward(sizes, _, gradients):
    return (_placed(gradients),)


split.defvjp(_split_forward, _split_backward)


def _parts(x, sizes):
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    return tuple(jnp.split(x, ends, axis=-1))


def _placed(parts):
    """The parts side by side."""

    def by_writing(*parts):
        size = sum(part.shape[-1] for part in parts)
        x, first = lax.empty((*parts[0].shape[:-1], size), parts[0].dtype), 0
        for part in parts:
            x = lax.dynamic_update_slice_in_dim(x, part, first, axis=-1)
            first += part.shape[-1]
        return x

    def concatenated(*parts):
        return jnp.concatenate(parts, axis=-1)

    return lax.platform_dependent(*parts, tpu=by_writing, default=concatenated)
