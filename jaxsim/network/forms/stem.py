"""The stem's convolution, ReLU and max-pooling, in the form that suits the machine.

A convolution of one channel leaves matrix units idle, and its result is the network's largest map.
A bias and a ReLU commute with a maximum, so they come after the pooling, on fewer numbers.
"""

import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxsim.network.forms.convolution import plain_convolution, position_sum, product
from jaxsim.network.plan import INPUTS, STEM

NOWHERE = -1


class StemAxis:
    """Sizes of the stem along one axis.

    Attributes:
      windows: pooling windows.
      step: input bins from one pooling window to the next.
      seen: input bins that the convolutions of one pooling window see.
      low, high: padding before and after; negative crops.
    """

    def __init__(self, size: int, stride: int, window: int, kernel: int = STEM.kernel):
        convolved = -(-size // stride)
        self.stride, self.window, self.kernel = stride, window, kernel
        self.windows = convolved // window
        self.step = stride * window
        self.seen = kernel + stride * (window - 1)
        self.low = max((convolved - 1) * stride + kernel - size, 0) // 2
        self.high = (self.windows - 1) * self.step + self.seen - size - self.low

    def padding(self, position: int) -> tuple[int, int]:
        """Padding of the convolution at one position of every pooling window."""
        before = self.stride * position
        return self.low - before, self.high - self.stride * (self.window - 1) + before

    def starts(self, first: int) -> slice:
        """Element `first` of what each pooling window sees."""
        return slice(first, first + (self.windows - 1) * self.step + 1, self.step)


def stem_axes(kind: str, shape: tuple[int, ...]) -> tuple[StemAxis, ...]:
    """The axes of an input image: bins and frames."""
    sizes = zip(shape, INPUTS[kind].stem_strides, INPUTS[kind].reduction, strict=True)
    return tuple(StemAxis(*each) for each in sizes)


def convolved_and_pooled(
    x: Float[Array, "B H W 1"], kernel: Float[Array, "5 5 1 D"], bias: Float[Array, "D"], axes
) -> Float[Array, "B h w D"]:
    """Convolution, bias, ReLU and max-pooling."""

    def by_patches(x, kernel, bias):
        return nn.relu(maximum(convolved_by_patches(x, kernel, axes)) + bias)

    return lax.platform_dependent(
        x,
        kernel,
        bias,
        tpu=lambda x, kernel, bias: by_positions(x, kernel, bias, axes),
        default=by_patches,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def by_positions(x, kernel, bias, axes):
    """Goes through the positions of the pooling windows, one after another.

    The convolution at one position of all windows is a strided convolution that can take the
    maximum with those before it, so the map of all positions is never stored. The gradient goes to
    the position that held the maximum.
    """
    return _by_positions(x, kernel, bias, axes)[0]


def _by_positions(x, kernel, bias, axes):
    highest, *others = _convolutions(x, kernel, axes)
    held = jnp.zeros_like(highest)  # a float: then one operation writes it and the maximum
    for number, other in enumerate(others, 1):
        held = jnp.where(other > highest, number, held)
        highest = jnp.maximum(highest, other)
    pooled = nn.relu(highest + bias)
    return pooled, (x, kernel, jnp.where(pooled > 0, held, NOWHERE))


def _by_positions_backward(axes, residuals, gradient):
    x, kernel, held = residuals
    each, pull = jax.vjp(functools.partial(_convolutions, axes=axes), x, kernel)
    x_gradient, kernel_gradient = pull(
        [jnp.where(held == number, gradient, 0) for number in range(len(each))]
    )
    return x_gradient, kernel_gradient, position_sum(jnp.where(held == NOWHERE, 0, gradient))


by_positions.defvjp(_by_positions, _by_positions_backward)


def _convolutions(x, kernel, axes) -> list[Float[Array, "B h w D"]]:
    """The convolution at every position of the pooling windows."""
    return [
        plain_convolution(
            x,
            kernel,
            [axis.step for axis in axes],
            [axis.padding(at) for axis, at in zip(axes, position, strict=True)],
        )
        for position in itertools.product(*(range(axis.window) for axis in axes))
    ]


def maximum(positions: Float[Array, "B h w P D"]) -> Float[Array, "B h w D"]:
    """The maximum over the positions of a pooling window.

    Not jnp.max: its gradient looks for the position that equals the maximum, and there may be none
    where the compiler recomputes the positions with different rounding. The gradient would be lost.
    """
    return functools.reduce(jnp.maximum, jnp.unstack(positions, axis=3))


def convolved_by_patches(
    x: Float[Array, "B H W 1"], kernel: Float[Array, "5 5 1 D"], axes
) -> Float[Array, "B h w P D"]:
    """The convolution at every position of every pooling window, as one matrix product.

    Its rows are the patches that the pooling windows see, its columns the kernel at each position
    in them.
    """
    rows, columns = axes
    pad = [(0, 0, 0)] + [(axis.low, axis.high, 0) for axis in axes]
    x = lax.pad(x[..., 0], jnp.zeros((), x.dtype), pad)
    # Frames, then bins: one stack of single numbers takes several times as long.
    x = jnp.stack([x[:, :, columns.starts(j)] for j in range(columns.seen)], axis=-1)
    patches = jnp.concatenate([x[:, rows.starts(i)] for i in range(rows.seen)], axis=-1)
    placed = placed_kernels(kernel[:, :, 0], axes).reshape(patches.shape[-1], -1)
    convolved = product(patches, placed)
    return convolved.reshape(*convolved.shape[:3], -1, kernel.shape[-1])


def placed_kernels(kernel: Float[Array, "5 5 D"], axes) -> Float[Array, "rows columns P D"]:
    """The kernel placed at every position of a pooling window, within what the window sees."""
    rows, columns = axes
    placed = []
    for i in range(rows.window):
        for j in range(columns.window):
            top, left = i * rows.stride, j * columns.stride
            bottom, right = rows.seen - rows.kernel - top, columns.seen - columns.kernel - left
            placed.append(jnp.pad(kernel, ((top, bottom), (left, right), (0, 0))))
    return jnp.stack(placed, axis=2)
