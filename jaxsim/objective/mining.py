"""The negatives of triplets, exactly and on the device, for ONE dimension, without a B³ array.

For every (anchor, positive) pair the semi-hard band of A §3.3 holds the negatives n with
d(a, p) < d(a, n) <= d(a, p) + width. Sorting an anchor's negatives by distance makes each of its
bands a run of ranks [lower, upper), found by binary search or one more sort: memory O(A B), time
O(A B log B).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxsim.network.shapes import checked


class Bands(NamedTuple):
    """The semi-hard band of every (anchor, candidate) pair, as ranks among the anchor's negatives.

    `order[a, r]` is the candidate of rank r; ranks beyond the last negative are arbitrary. A pair
    that is not (anchor, positive) has the empty band [0, 0).
    """

    order: Int[Array, "A B"]
    lower: Int[Array, "A B"]
    upper: Int[Array, "A B"]


@checked
def semi_hard_bands(
    distances: Float[Array, "A B"],
    similar: Bool[Array, "A B"],
    dissimilar: Bool[Array, "A B"],
    *,
    width: float,
) -> Bands:
    """Finds the band of every (anchor, positive) pair; no gradient flows through it."""
    distances = lax.stop_gradient(distances)
    negatives = jnp.where(dissimilar, distances, jnp.inf)
    order = jnp.argsort(negatives, axis=1)
    ranked = jnp.take_along_axis(negatives, order, axis=1)
    lower = _count_up_to(ranked, distances)
    upper = _count_up_to(ranked, distances + width)
    return Bands(order, jnp.where(similar, lower, 0), jnp.where(similar, upper, 0))


@checked
def all_negatives(similar: Bool[Array, "A B"], dissimilar: Bool[Array, "A B"]) -> Bands:
    """A band for every (anchor, positive) pair that holds all of the anchor's negatives (B, C)."""
    order = jnp.argsort(~dissimilar, axis=1, stable=True)
    count = jnp.sum(dissimilar, axis=1, keepdims=True, dtype=order.dtype)
    return Bands(order, jnp.zeros_like(order), jnp.where(similar, count, 0))


@jax.vmap
def _count_up_to(ranked: Float[Array, " B"], values: Float[Array, " B"]) -> Int[Array, " B"]:
    """How many of the ascending `ranked` are at most each value."""
    search = functools.partial(jnp.searchsorted, side="right")
    return lax.platform_dependent(
        ranked,
        values,
        cpu=functools.partial(search, method="scan"),  # binary search: one gather per halving
        default=functools.partial(search, method="sort"),  # accelerators sort faster than gather
    )


@checked
def nearest(bands: Bands) -> Int[Array, "A B"]:
    """Picks the negative nearest to the anchor in each band (any candidate where it is empty)."""
    return _candidate(bands, bands.lower)


@checked
def uniform(bands: Bands, random: Float[Array, "A B"]) -> Int[Array, "A B"]:
    """Picks a negative in each band by a number in [0, 1) per pair."""
    size = bands.upper - bands.lower
    offset = jnp.minimum((random * size).astype(size.dtype), jnp.maximum(size - 1, 0))
    return _candidate(bands, bands.lower + offset)


def _candidate(bands: Bands, rank):
    last = bands.order.shape[1] - 1
    return jnp.take_along_axis(bands.order, jnp.minimum(rank, last), axis=1)
