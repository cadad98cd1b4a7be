"""The network straight from the papers' table, with Flax's own layers, line by line.

`jaxsim.network.inception` must equal it (the tests check this) and be faster (`benchmarks.step`).
"""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

STRIDES = {"mel": (2, 2), "tempogram": (2, 2), "cens": (1, 2)}  # of one input's pooling and blocks


class Plain(nn.Module):
    """Every convolution by itself, with pooling where the table has it."""

    inputs: tuple[str, ...]
    embedding_size: int
    width: float = 1.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: Mapping[str, Float[Array, "B H W 1"]]) -> Float[Array, "B E"]:
        separate = 6 if len(self.inputs) == 1 else 2
        branches = []
        for kind in self.inputs:
            stem_strides = (3, 1) if kind == "tempogram" else (1, 1)
            x = images[kind].astype(self.dtype)
            x = self.convolution(x, f"{kind}: stem", 64, 5, stem_strides)
            x = nn.max_pool(x, STRIDES[kind], STRIDES[kind])
            for i in range(separate):
                x = self.block(x, f"{kind}: block {i}", STRIDES[kind])
            branches.append(x)
        x = jnp.concatenate(branches, axis=-1)
        for i in range(separate, 6):
            x = self.block(x, f"common: block {i}", (2, 2))
        x = nn.Dense(self.embedding_size, dtype=self.dtype, name="dense")(x[:, 0, 0])
        return nn.LayerNorm(name="layer norm")(x.astype(jnp.float32))

    def convolution(self, x, name: str, channels: int, size: int, strides=(1, 1)):
        layer = nn.Conv(
            int(channels * self.width),
            (size, size),
            strides,
            padding="SAME",
            dtype=self.dtype,
            name=name,
        )
        return nn.relu(layer(x))

    def block(self, x, name: str, strides: tuple[int, int]):
        """The naive module, then the dimension-reduction module."""
        conv = self.convolution
        point = conv(x, f"{name}, naive 1x1", 48, 1, strides)
        deep = conv(x, f"{name}, naive 1x1 before 3x3", 64, 1)
        deep = conv(deep, f"{name}, naive first 3x3", 96, 3)
        deep = conv(deep, f"{name}, naive second 3x3", 96, 3, strides)
        x = jnp.concatenate([point, deep, nn.max_pool(x, (3, 3), strides, "SAME")], axis=-1)
        point = conv(x, f"{name}, 1x1", 64, 1)
        wide = conv(conv(x, f"{name}, 1x1 before 5x5", 48, 1), f"{name}, 5x5", 64, 5)
        deep = conv(conv(x, f"{name}, 1x1 before 3x3", 64, 1), f"{name}, first 3x3", 96, 3)
        deep = conv(deep, f"{name}, second 3x3", 96, 3)
        pooled = nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)
        pooled = conv(pooled, f"{name}, pooled", 32, 1)
        return jnp.concatenate([point, wide, deep, pooled], axis=-1)
