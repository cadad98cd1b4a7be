"""The multi-input Inception network (A Fig. 2; B §4.2) as pure-functional Flax modules.

A `jaxsim.network.plan.Plan` gives its structure. Inputs are channels-last images
`[B, bins, frames, 1]`; every convolution has a bias and is followed by a ReLU.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from jax.lax import Precision
from jaxtyping import Array, Float

from jaxsim.network import plan as plans
from jaxsim.network.forms.channels import join, split
from jaxsim.network.forms.convolution import add_bias, convolve
from jaxsim.network.forms.pooling import average_pool, max_pool
from jaxsim.network.forms.stem import convolved_and_pooled, convolved_by_patches, maximum, stem_axes
from jaxsim.network.plan import Block, Plan, stem_name
from jaxsim.network.shapes import DEVICE_AXIS, checked

MOMENTUM = 0.9  # of batch normalisation's running statistics


class Convolution(nn.Module):
    """Convolution with bias and optional batch normalisation; the caller applies the ReLU.

    Attributes:
      apart: whether the output's gradient is assembled from parts or is part of another one, as
        where maps are joined and split, so that the bias's gradient needs a separate pass.
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
        momentum=MOMENTUM,
        dtype=x.dtype,
        axis_name=DEVICE_AXIS if train else None,
        name=name,
        **options,
    )(x)


def centred(x: Float[Array, "... C"], *, train: bool, name: str):
    """Batch normalisation to mean 0 and deviation 1, without parameters."""
    return batch_normalise(x, train=train, name=name, use_scale=False, use_bias=False)


class Stem(nn.Module):
    """Convolution of the one-channel input, ReLU, max-pooling."""

    kind: str
    features: int
    norm: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B H W 1"], *, train: bool) -> Float[Array, "B h w D"]:
        axes = stem_axes(self.kind, x.shape[1:3])
        shape = (plans.STEM.kernel, plans.STEM.kernel, 1, self.features)
        kernel, bias = weights(self, shape, self.dtype)
        x = x.astype(self.dtype)
        if self.norm == "none":
            return convolved_and_pooled(x, kernel, bias, axes)
        # The normalisation takes its statistics over what the pooling reads.
        positions = convolved_by_patches(x, kernel, axes) + bias
        return nn.relu(maximum(batch_normalise(positions, train=train)))


class NaiveModule(nn.Module):
    """Inception module that reduces the map: 1 x 1, 1 x 1 - 3 x 3 - 3 x 3, and pooling."""

    block: Block
    norm: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, *, train: bool):
        strides = self.block.strides

        def conv(x, name, apart=False):
            planned = plans.NAIVE[name]
            return Convolution(
                self.block.channels_of(planned),
                (planned.kernel, planned.kernel),
                strides if planned.reduces else (1, 1),
                self.norm,
                self.dtype,
                apart,
                name=name,
            )(x, train=train)

        point = conv(x, "point", apart=True)
        deep = nn.relu(conv(x, "deep_reduce"))
        deep = nn.relu(conv(deep, "deep_1"))
        deep = conv(deep, "deep_2", apart=True)
        return join([point, deep], [max_pool(x, (3, 3), strides)])


class ReductionModule(nn.Module):
    """Inception module with dimension reduction: four branches, 256 channels in all.

    The branches' 1 x 1 convolutions read the same input, so they are computed as one product. The
    average pooling comes after its 1 x 1 convolution instead of before it, on 32 channels instead
    of all (both are linear, and a bias is its own average).
    """

    block: Block
    norm: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, *, train: bool):
        sizes = self.block.reduce_channels

        def conv(x, name, channels, kernel, apart=False):
            return Convolution(
                channels, (kernel, kernel), (1, 1), self.norm, self.dtype, apart, name=name
            )(x, train=train)

        def planned(x, name, apart=False):
            layer = plans.REDUCTION[name]
            return conv(x, name, self.block.channels_of(layer), layer.kernel, apart)

        point, wide, deep, pooled = split(conv(x, "reduce", sum(sizes), 1, apart=True), sizes)
        wide = planned(nn.relu(wide), "wide", apart=True)
        deep = nn.relu(planned(nn.relu(deep), "deep_1"))
        deep = planned(deep, "deep_2", apart=True)
        return join([point, wide, deep, average_pool(pooled, (3, 3))])


class InceptionBlock(nn.Module):
    """A naive module, then a dimension-reduction module."""

    block: Block
    norm: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = NaiveModule(self.block, self.norm, self.dtype, name="naive")(x, train=train)
        return ReductionModule(self.block, self.norm, self.dtype, name="reduction")(x, train=train)


class Inception(nn.Module):
    """From input images to embeddings.

    Attributes:
      plan: the structure.
      dtype: of the computation; parameters and embeddings are float32.
    """

    plan: Plan
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        images: Mapping[str, Float[Array, "B H W 1"]],
        *,
        train: bool,
        kept: Float[Array, "B D"] | None = None,
    ) -> Float[Array, "B E"]:
        """Embeds a batch.

        Args:
          kept: factors for the trunk's D outputs, as dropout draws them in training.
        """
        x = join(kept=[self.branch(kind, images[kind], train=train) for kind in self.plan.inputs])
        for block in self.plan.trunk():
            x = self.block(block)(x, train=train)
        x = x.reshape(x.shape[0], -1)
        x = x if kept is None else x * kept.astype(x.dtype)
        x = nn.Dense(self.plan.embedding_size, dtype=self.dtype, name="embedding")(x)
        x = x.astype(jnp.float32)
        if self.plan.statistics:
            x = x + self.of_statistics(images, train=train)
        return self.normalised(x, train=train)

    def of_statistics(
        self, images: Mapping[str, Float[Array, "B H W 1"]], *, train: bool
    ) -> Float[Array, "B E"]:
        """What the images' statistics add to the embedding: nothing until it is trained.

        Training lets them reach the sub-spaces of tags alone: timbre says nothing of tempo and key.
        """
        x = jnp.concatenate([statistics(images[kind]) for kind in self.plan.statistics], axis=1)
        x = jnp.clip(centred(x, train=train, name=plans.CENTRE), -plans.LIMIT, plans.LIMIT)
        dense = nn.Dense(
            self.plan.embedding_size, kernel_init=nn.initializers.zeros, name="statistics"
        )
        return dense(x)

    def branch(self, kind: str, x: Float[Array, "B H W 1"], *, train: bool):
        """An input's own stem and blocks."""
        plan = self.plan
        stem = Stem(kind, plan.stem_channels, plan.norm, self.dtype, name=stem_name(kind))
        x = stem(x, train=train)
        for block in plan.branch(kind):
            x = self.block(block)(x, train=train)
        return centred(x, train=train, name=f"{kind}_centre") if plan.normalises_branches else x

    def block(self, block: Block) -> InceptionBlock:
        return InceptionBlock(block, self.plan.norm, self.dtype, name=block.name)

    def normalised(self, x: Float[Array, "B E"], *, train: bool) -> Float[Array, "B E"]:
        norm = self.plan.embedding_norm
        if norm == "batch_layer":
            x = centred(x, train=train, name="embedding_centre")
        x = x if norm == "none" else nn.LayerNorm(name="embedding_norm")(x)
        x = nn.relu(x) if self.plan.embedding_relu else x
        return Whitening(self.plan.whitened, name="whitening")(x) if self.plan.whitened else x


@checked
def statistics(image: Float[Array, "B H W 1"]) -> Float[Array, "B 3*H"]:
    """Of every bin of an image the mean, the deviation and the mean change over time."""
    x = image[..., 0].astype(jnp.float32)
    change = jnp.abs(jnp.diff(x, axis=2)).mean(axis=2)
    return jnp.concatenate([x.mean(axis=2), x.std(axis=2), change], axis=1)


class Whitening(nn.Module):
    """A linear layer of every sub-space, with the weights of `exported.whitening`."""

    count: int

    @nn.compact
    def __call__(self, x: Float[Array, "B E"]) -> Float[Array, "B E"]:
        size = x.shape[1] // self.count
        kernel = self.param("kernel", nn.initializers.zeros, (self.count, size, size), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[1:], jnp.float32)
        parts = x.reshape(-1, self.count, size)
        product = jnp.einsum("bsd,sde->bse", parts, kernel, precision=Precision.HIGHEST)
        return product.reshape(x.shape) + bias
