"""Losses that look at all candidates at once: how a softmax over their likenesses is distributed.

Triplets stop pushing as soon as an anchor's labels are told apart, and leave most directions of a
sub-space unused. These do not stop. They are not in the papers.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxsim.network.shapes import checked
from jaxsim.objective.losses import Total, product, unit
from jaxsim.objective.relations import Relation


@checked
def same_track_loss(
    anchors: Float[Array, "A E"],
    candidates: Float[Array, "B E"],
    mask: Float[Array, " E"],
    relation: Relation,
    temperature: float,
) -> Total:
    """How hard an anchor's track is to find: -log of the probability of its other segments.

    Args:
      anchors, candidates: embeddings; every anchor is one of the candidates.
      mask: 1 inside the space that is compared.
      relation: which candidates are of the anchor's track and which of others [A, B].
      temperature: of the softmax over cosines.

    Returns:
      The loss over all anchors that have another segment of their track.
    """
    among = relation.similar | relation.dissimilar
    chances = _log_chances(anchors, candidates, mask, among, temperature)
    found = jax.nn.logsumexp(jnp.where(relation.similar, chances, -jnp.inf), axis=1)
    counts = jnp.any(relation.similar, axis=1)
    losses = jnp.where(counts, -jnp.where(counts, found, 0.0), 0.0)
    return Total(jnp.sum(losses), jnp.sum(counts.astype(losses.dtype)))


@checked
def soft_target_loss(
    anchors: Float[Array, "A E"],
    candidates: Float[Array, "B E"],
    mask: Float[Array, " E"],
    teacher: Float[Array, "A K"],
    candidate_teacher: Float[Array, "B K"],
    among: Bool[Array, "A B"],
    temperature: float,
) -> Total:
    """How far the likenesses of an anchor are from a teacher's: KL(p || q) over the batch.

    p is the softmax of the teacher's cosines, q that of the embeddings', both divided by the
    temperature.

    Args:
      anchors, candidates: embeddings; every anchor is one of the candidates.
      mask: 1 inside the space that is compared.
      teacher, candidate_teacher: what the teacher thinks of them; zeros where it was not asked.
      among: the candidates with which an anchor is compared; never itself.

    Returns:
      The loss over all anchors of which, and of two of whose candidates, the teacher was asked.
    """
    asked, candidate_asked = (jnp.any(each != 0, axis=1) for each in (teacher, candidate_teacher))
    among = among & asked[:, None] & candidate_asked
    whole = jnp.ones(teacher.shape[1])
    target = _log_chances(teacher, candidate_teacher, whole, among, temperature)
    found = _log_chances(anchors, candidates, mask, among, temperature)
    differences = jnp.where(among, jnp.exp(target) * (target - found), 0.0)
    counts = jnp.sum(among, axis=1) >= 2
    losses = jnp.where(counts, jnp.sum(differences, axis=1), 0.0)
    return Total(jnp.sum(losses), jnp.sum(counts.astype(losses.dtype)))


def _log_chances(anchors, candidates, mask, among, temperature: float):
    """Log of the softmax over the candidates in `among` [A, B]; large and negative elsewhere."""
    cosines = product(unit(anchors, mask), unit(candidates, mask).T)
    logits = jnp.where(among, cosines / temperature, -1e9)
    return jax.nn.log_softmax(logits, axis=1)
