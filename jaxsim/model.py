"""The multi-input Inception network (A Fig. 2; B §4.2) as pure-functional Flax modules.

Inputs are channels-last images `[B, bins, frames, 1]`; every convolution has a bias and is followed
by a ReLU. `width` scales all channel counts; at 1.0 it is the papers' network.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsim.channels import join, split
from jaxsim.convolution import add_bias, convolve
from jaxsim.model_format import BLOCKS, BRANCH_BLOCKS, REDUCTION, block_width, scaled
from jaxsim.pooling import average_pool, max_pool
from jaxsim.stem import convolved_and_pooled, convolved_by_patches, maximum, stem_axes

INPUTS = tuple(REDUCTION)
NORMS = ("none", "batch")
BRANCH_NORMS = ("none", "batch")
EMBEDDING_NORMS = ("layer", "batch_layer", "none")


class Convolution(nn.Module):
    """Convolution with bias and optional batch normalisation; the caller applies the ReLU.

    Attributes:
      apart: whether the gradient of the output is put together from parts or a part of another, as
        where maps are joined and split, so that the bias's gradient takes a pass of its own.
    """

    features: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    norm: str = "none"
    dtype: jnp.dtype = jnp.float32
    apart: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], *, train: bool) -> Float[Array, "B h w D"]:
        strides = self.strides
        if self.kernel == (1, 1):  # a strided 1 x 1 convolution reads only the pixels it keeps
            x, strides = x[:, :: strides[0], :: strides[1]], (1, 1)
        kernel, bias = weights(self, (*self.kernel, x.shape[-1], self.features), self.dtype)
        x = convolve(x.astype(self.dtype), kernel, strides, "SAME")
        x = add_bias(x, bias) if self.apart else x + bias
        return batch_normalise(x, train=train) if self.norm == "batch" else x


def weights(module: nn.Module, shape: tuple[int, ...], dtype) -> tuple[Array, Array]:
    """Kernel (He-uniform) and bias (zero) of `module`: float32 parameters, cast to `dtype`."""
    kernel = module.param("kernel", nn.initializers.he_uniform(), shape, jnp.float32)
    bias = module.param("bias", nn.initializers.zeros, shape[-1:], jnp.float32)
    return kernel.astype(dtype), bias.astype(dtype)


def batch_normalise(x: Float[Array, "... C"], *, train: bool, name: str = "norm", **options):
    """Batch normalisation over all examples of all devices."""
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        dtype=x.dtype,
        axis_name="data" if train else None,
        name=name,
        **options,
    )(x)


def centred(x: Float[Array, "... C"], *, train: bool, name: str):
    """Batch normalisation to mean 0 and deviation 1, without parameters."""
    return batch_normalise(x, train=train, name=name, use_scale=False, use_bias=False)


class Stem(nn.Module):
    """Convolution 5 x 5 of the one-channel input, ReLU, max-pooling."""

    kind: str
    features: int
    norm: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B H W 1"], *, train: bool) -> Float[Array, "B h w D"]:
        axes = stem_axes(self.kind, x.shape[1:3])
        kernel, bias = weights(self, (5, 5, 1, self.features), self.dtype)
        x = x.astype(self.dtype)
        if self.norm == "none":
            return convolved_and_pooled(x, kernel, bias, axes)
        # The normalisation's statistics are of what the pooling reads.
        positions = convolved_by_patches(x, kernel, axes) + bias
        return nn.relu(maximum(batch_normalise(positions, train=train)))


class NaiveModule(nn.Module):
    """Inception module that reduces the map: 1 x 1, 1 x 1 - 3 x 3 - 3 x 3, and pooling."""

    width: float
    strides: tuple[int, int]
    norm: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, *, train: bool):
        def conv(x, name, features, kernel, strides=(1, 1), apart=False):
            return Convolution(
                scaled(features, self.width),
                (kernel, kernel),
                strides,
                self.norm,
                self.dtype,
                apart,
                name=name,
            )(x, train=train)

        point = conv(x, "point", 48, 1, self.strides, apart=True)
        deep = nn.relu(conv(x, "deep_reduce", 64, 1))
        deep = nn.relu(conv(deep, "deep_1", 96, 3))
        deep = conv(deep, "deep_2", 96, 3, self.strides, apart=True)
        return join([point, deep], [max_pool(x, (3, 3), self.strides)])


class ReductionModule(nn.Module):
    """Inception module with dimension reduction: four branches, 256 channels in all.

    The branches' 1 x 1 convolutions read the same input, so they are one product; the average
    pooling comes after its 1 x 1 convolution instead of before it, on 32 channels instead of all
    (both are linear, and a bias is its own average).
    """

    width: float
    norm: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, *, train: bool):
        sizes = tuple(scaled(features, self.width) for features in (64, 48, 64, 32))

        def conv(x, name, features, kernel, apart=False):
            return Convolution(
                features, (kernel, kernel), (1, 1), self.norm, self.dtype, apart, name=name
            )(x, train=train)

        reduced = conv(x, "reduce", sum(sizes), 1, apart=True)
        point, wide, deep, pooled = split(reduced, sizes)
        wide = conv(nn.relu(wide), "wide", scaled(64, self.width), 5, apart=True)
        deep = nn.relu(conv(nn.relu(deep), "deep_1", scaled(96, self.width), 3))
        deep = conv(deep, "deep_2", scaled(96, self.width), 3, apart=True)
        return join([point, wide, deep, average_pool(pooled, (3, 3))])


class Block(nn.Module):
    """A naive module, then a dimension-reduction module."""

    width: float
    strides: tuple[int, int] = (2, 2)
    norm: str = "none"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = NaiveModule(self.width, self.strides, self.norm, self.dtype, name="naive")(
            x, train=train
        )
        return ReductionModule(self.width, self.norm, self.dtype, name="reduction")(x, train=train)


class Inception(nn.Module):
    """From input images to embeddings.

    Attributes:
      embedding_size: E.
      inputs: names of the input images; one = stem and six blocks, several = a branch of a stem and
        two blocks each, concatenated, then four blocks.
      width: scales all channel counts; 1.0 = the papers.
      trunk_width: scales those of blocks 3 to 6 once more. At a few pixels they cost little, and
        three narrow inputs do not fit into one that is as narrow.
      norm: after every convolution: "none" (the papers) or "batch".
      branch_norm: of each of several inputs' branches before they meet: "none" (the papers) or
        "batch", without scale and shift. The branches of tempogram and CENS are quieter than mel's
        and drown beside it.
      embedding_norm: "layer" (A), "none", or "batch_layer": batch normalisation before the layer
        normalisation. A deep stack of rectifiers maps all inputs to almost the same direction; the
        mean over the batch is that direction, and without it the sub-spaces cannot collapse to it.
      dtype: of the computation; parameters and embeddings are float32.
    """

    embedding_size: int
    inputs: tuple[str, ...] = INPUTS
    width: float = 1.0
    trunk_width: float = 1.0
    norm: str = "none"
    branch_norm: str = "none"
    embedding_norm: str = "layer"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, images: Mapping[str, Float[Array, "B H W 1"]], *, train: bool
    ) -> Float[Array, "B E"]:
        own = BLOCKS if len(self.inputs) == 1 else BRANCH_BLOCKS
        branches = []
        for kind in self.inputs:
            stem = Stem(kind, scaled(64, self.width), self.norm, self.dtype, name=f"{kind}_stem")
            x = stem(images[kind], train=train)
            for i in range(own):
                x = self.block(f"{kind}_block_{i + 1}", i, REDUCTION[kind])(x, train=train)
            if self.branch_norm == "batch" and len(self.inputs) > 1:
                x = centred(x, train=train, name=f"{kind}_centre")
            branches.append(x)
        x = join(kept=branches)
        for i in range(own, BLOCKS):
            x = self.block(f"block_{i + 1}", i, (2, 2))(x, train=train)
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(self.embedding_size, dtype=self.dtype, name="embedding")(x)
        return self.normalised(x.astype(jnp.float32), train=train)

    def normalised(self, x: Float[Array, "B E"], *, train: bool) -> Float[Array, "B E"]:
        if self.embedding_norm == "batch_layer":
            x = centred(x, train=train, name="embedding_centre")
        return x if self.embedding_norm == "none" else nn.LayerNorm(name="embedding_norm")(x)

    def block(self, name: str, number: int, strides: tuple[int, int]) -> Block:
        width = block_width(number, self.width, self.trunk_width)
        return Block(width, strides, self.norm, self.dtype, name=name)
