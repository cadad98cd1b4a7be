"""The multi-dimensional objective (A Eq. 2): the loss of one dimension, mapped over the S masks."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from jaxsim import losses
from jaxsim.losses import Total
from jaxsim.relations import relations


class Terms(NamedTuple):
    """What one batch says of each dimension; every entry is [S]."""

    loss: Total  # over mined triplets
    active: Total  # share of (anchor, positive) pairs with a semi-hard negative
    spread: Total  # 1 - |mean unit vector|^2 of the sub-space: 0 = collapsed to one point


def subspace_masks(dimensions: int, embedding_size: int) -> np.ndarray:
    """Disjoint masks of equal size, float32 [S, E], in the order of the dimensions."""
    if embedding_size % dimensions:
        raise ValueError(
            f"model.embedding_size is {embedding_size}, expected a multiple of "
            f"{dimensions} (the number of dimensions)"
        )
    return np.kron(
        np.eye(dimensions, dtype=np.float32), np.ones(embedding_size // dimensions, np.float32)
    )


def triplet_terms(
    embeddings: Float[Array, "A E"],
    labels: Mapping[str, Array],
    key: Array,
    config: ConfigDict,
    *,
    axis: str | None = None,
) -> Terms:
    """Mines this device's anchors against the candidates of all devices.

    Args:
      embeddings: of this device's examples.
      labels: of this device's examples, see `relations.relations`.
      key: random key of this step, the same on every device.
      config: with `dimensions`, `relation` and `loss`.
      axis: name of the mapped device axis; None = there is only this batch.

    Returns:
      This device's sums and weights.
    """
    candidates, candidate_labels = embeddings, labels
    if axis is not None:
        candidates, candidate_labels = jax.tree.map(
            lambda x: jax.lax.all_gather(x, axis, tiled=True), (embeddings, dict(labels))
        )
    masks = jnp.asarray(subspace_masks(len(config.dimensions), embeddings.shape[1]))
    relation = relations(
        labels,
        candidate_labels,
        config.dimensions,
        tempo_tolerance=config.relation.tempo_tolerance,
        key_relation=config.relation.key,
    )
    random = _random(key, labels["index"], len(masks), len(candidates))

    def one_dimension(mask, relation, random) -> tuple[Total, Total]:
        return losses.triplet_loss(
            embeddings,
            candidates,
            mask,
            relation,
            random,
            margin=config.loss.margin,
            band=config.loss.band,
            pick=config.loss.pick,
            average=config.loss.average,
        )

    # One dimension after the other: as fast as all at once, and a third to half of the memory.
    loss, active = jax.lax.map(lambda each: one_dimension(*each), (masks, relation, random))
    return Terms(loss, active, jax.vmap(_spread, in_axes=(None, 0))(candidates, masks))


def _random(key, index, dimensions: int, candidates: int):
    """Uniform numbers [S, A, B] that depend on the anchor's global index, not on its device."""

    def of_anchor(i):
        return jax.random.uniform(jax.random.fold_in(key, i), (dimensions, candidates))

    return jnp.swapaxes(jax.vmap(of_anchor)(index), 0, 1)


def _spread(candidates, mask) -> Total:
    vectors = jax.lax.stop_gradient(losses.unit(candidates, mask))
    return Total(1.0 - jnp.sum(jnp.mean(vectors, axis=0) ** 2), jnp.ones(()))
