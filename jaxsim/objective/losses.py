"""The papers' losses, written for ONE dimension; `terms` maps them over the S masks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxsim.network.shapes import checked
from jaxsim.objective import mining
from jaxsim.objective.relations import Relation

PICKS = ("nearest", "uniform", "all", "any")
AVERAGES = ("mined", "possible")
DISTANCES = ("cosine", "euclidean")
SHORTEST = 1e-6  # length of a vector that has a direction


class Total(NamedTuple):
    """A weighted sum that stays exact over masks, batches and devices: add up, then divide."""

    sum: Float[Array, "*S"]
    weight: Float[Array, "*S"]

    def mean(self) -> Float[Array, "*S"]:
        """The mean, 0 where nothing was counted; NumPy computes it for NumPy arrays."""
        return self.sum / self.weight.clip(1.0)


def product(a: Float[Array, "A E"], b: Float[Array, "E B"]) -> Float[Array, "A B"]:
    """Matrix product in float32 on every platform; a TPU would round its factors to bfloat16."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


@checked
def unit(vectors: Float[Array, "B E"], mask: Float[Array, " E"]) -> Float[Array, "B E"]:
    """The masked vectors at length 1.

    A vector shorter than 1e-6 has no direction: it stays as good as zero, and so does its gradient,
    which would be a million times those of others and spoil Adam's second moments.
    """
    masked = vectors * mask
    square = jnp.sum(masked**2, axis=1, keepdims=True)
    long = masked * jax.lax.rsqrt(jnp.maximum(square, SHORTEST**2))
    return jnp.where(square > SHORTEST**2, long, jax.lax.stop_gradient(long))


@checked
def cosine_distances(
    anchors: Float[Array, "A E"], candidates: Float[Array, "B E"], mask: Float[Array, " E"]
) -> Float[Array, "A B"]:
    """1 - cosine similarity inside the mask's sub-space; 0 to 2."""
    return 1.0 - product(unit(anchors, mask), unit(candidates, mask).T)


@checked
def euclidean_distances(
    anchors: Float[Array, "A E"], candidates: Float[Array, "B E"], mask: Float[Array, " E"]
) -> Float[Array, "A B"]:
    """Euclidean distances of the unit vectors inside the mask's sub-space (C); 0 to 2.

    Equal vectors are at distance 1e-6, so that the gradient stays finite.
    """
    square = 2.0 * cosine_distances(anchors, candidates, mask)
    return jnp.sqrt(jnp.maximum(square, 1e-12))


@checked
def triplet_loss(
    anchors: Float[Array, "A E"],
    candidates: Float[Array, "B E"],
    mask: Float[Array, " E"],
    relation: Relation,
    random: Float[Array, "A B"],
    *,
    margin: float,
    band: float,
    pick: str,
    average: str = "mined",
    distance: str = "cosine",
) -> tuple[Total, Total]:
    """Triplets of one dimension: max(0, d(a, p) - d(a, n) + margin) (B Eq. 2).

    Args:
      anchors, candidates: embeddings; every anchor is one of the candidates.
      mask: 1 inside the dimension's sub-space, 0 elsewhere.
      relation: which pairs are similar and dissimilar [A, B].
      random: numbers in [0, 1) for the picks "uniform" and "any".
      margin: of the loss, as a distance.
      band: width of the semi-hard band, as a distance.
      pick: which negatives: of the semi-hard band the "nearest", one at random ("uniform") or "all"
        of them (A §3.3); or "any" one at random, in the band or not (B, C).
      average: what the loss's weight counts: the "mined" triplets, or all that would be "possible"
        if every negative were in every band. Mined triplets always lose about half the margin, so a
        dimension with few of them left weighs as much as one with many; averaged over the possible
        ones, dimensions that are learned give way to those that are not.
      distance: "cosine" (B) or "euclidean" (C).

    Returns:
      The loss over all mined triplets, and the share of (anchor, positive) pairs with a negative in
      their band. Without any triplet the sum and the gradient are 0.
    """
    measure = cosine_distances if distance == "cosine" else euclidean_distances
    distances = measure(anchors, candidates, mask)
    if pick == "any":
        bands = mining.all_negatives(relation.similar, relation.dissimilar)
    else:
        bands = mining.semi_hard_bands(distances, relation.similar, relation.dissimilar, width=band)
    size = (bands.upper - bands.lower).astype(distances.dtype)
    found = size > 0
    negatives = jnp.sum(relation.dissimilar, axis=1).astype(distances.dtype)
    positives = jnp.sum(relation.similar, axis=1).astype(distances.dtype)
    if pick == "all":
        summed, mined = _sum_over_bands(distances, bands, size, margin), jnp.sum(size)
        possible = jnp.sum(positives * negatives)
    else:
        chosen = mining.nearest(bands) if pick == "nearest" else mining.uniform(bands, random)
        negative = jnp.take_along_axis(distances, chosen, axis=1)
        hinge = jnp.maximum(distances - negative + margin, 0.0)
        summed = jnp.sum(jnp.where(found, hinge, 0.0))
        mined = jnp.sum(found.astype(hinge.dtype))
        possible = jnp.sum(positives * jnp.minimum(negatives, 1.0))
    total = Total(summed, mined if average == "mined" else possible)
    return total, Total(jnp.sum(found.astype(distances.dtype)), jnp.sum(positives))


def _sum_over_bands(distances, bands: mining.Bands, size, margin: float):
    """Sum of d(a, p) - d(a, n) + margin over all n of all bands; all are active (band <= margin).

    A band's sum of distances is the difference of two prefix sums over the ranked negatives.
    """
    ranked = jnp.take_along_axis(distances, bands.order, axis=1)
    # Centred, so that the prefix sums stay small and their differences accurate.
    centre = jax.lax.stop_gradient(jnp.mean(ranked, axis=1, keepdims=True))
    prefix = jnp.pad(jnp.cumsum(ranked - centre, axis=1), ((0, 0), (1, 0)))
    in_band = jnp.take_along_axis(prefix, bands.upper, 1) - jnp.take_along_axis(
        prefix, bands.lower, 1
    )
    return jnp.sum(jnp.where(size > 0, size * (distances - centre + margin) - in_band, 0.0))


@checked
def proxy_loss(
    embeddings: Float[Array, "B E"],
    proxies: Float[Array, "C E"],
    mask: Float[Array, " E"],
    targets: Bool[Array, "B C"],
    counted: Bool[Array, "B C"],
) -> Total:
    """Binary cross-entropy of unit embedding times proxy, both masked (B Eq. 5 to 7).

    Args:
      mask: 1 inside the dimension's sub-space, 0 elsewhere; all ones = not disentangled (Eq. 6).
      targets: which classes an example belongs to.
      counted: False for a class that is only padding, and for all classes of an unlabelled example.

    Returns:
      The sum over classes and examples; the weight is the number of examples that count.
    """
    return _cross_entropy(product(unit(embeddings, mask), (proxies * mask).T), targets, counted)


@checked
def classification_loss(
    features: Float[Array, "B D"],
    centroids: Float[Array, "C D"],
    targets: Bool[Array, "B C"],
    counted: Bool[Array, "B C"],
    *,
    normalised: bool,
) -> Total:
    """Binary cross-entropy of a last layer without bias (B Eq. 8; for a sub-dense layer, Eq. 11).

    Args:
      features: the embedding, or in the multi-task form the dimension's own part of it.
      targets, counted: see `proxy_loss`.
      normalised: whether the features are scaled to length 1 first.
    """
    if normalised:
        features = unit(features, jnp.ones(features.shape[1:]))
    return _cross_entropy(product(features, centroids.T), targets, counted)


def _cross_entropy(scores, targets, counted) -> Total:
    """B Eq. 5: a sum over the classes, a `Total` over the examples."""
    wrong = jnp.where(targets, -scores, scores)  # -log sigmoid(x) = softplus(-x)
    each = jnp.sum(jnp.where(counted, jax.nn.softplus(wrong), 0.0), axis=1)
    return Total(jnp.sum(each), jnp.sum(jnp.any(counted, axis=1).astype(each.dtype)))
