"""Semi-hard mining on the device, for ONE dimension, exact, without a B x B x B array (A §3.3).

For every (anchor, positive) pair the semi-hard band holds the negatives n with
d(a, p) < d(a, n) <= d(a, p) + width. Sorting an anchor's negatives by distance makes each of its
bands a run of ranks [lower, upper), found by binary search: memory O(A B), time O(A B log B).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxsim.shapes import checked


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
    count_up_to = jax.vmap(lambda row, value: jnp.searchsorted(row, value, side="right"))
    lower = count_up_to(ranked, distances)
    upper = count_up_to(ranked, distances + width)
    return Bands(order, jnp.where(similar, lower, 0), jnp.where(similar, upper, 0))


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
