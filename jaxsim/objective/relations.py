"""Which pairs of tracks are similar, dissimilar or not comparable, per dimension (A §3.3).

Every function looks at one dimension. A pair in which a track has no label is neither similar nor
dissimilar: it takes no part in the dimension (for tags, B's rule is `unlabelled="negative"`).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from input_pipeline.tracks import KEYS, TEMPO_OCTAVES, key_group
from jaxsim.network.shapes import checked

TAG_RULES = ("any_shared", "sampled_label")
UNLABELLED = ("excluded", "negative")
TEMPO_RELATIONS = ("symmetric", "anchor")
KEY_CLASSES = len(KEYS)


class Relation(NamedTuple):
    """Ordered (anchor, candidate) pairs of one dimension, or [S, A, B] of all of them."""

    similar: Bool[Array, "*S A B"]
    dissimilar: Bool[Array, "*S A B"]


@checked
def by_tags(
    anchor: Bool[Array, "A C"], candidate: Bool[Array, "B C"], *, unlabelled: str = "excluded"
) -> Relation:
    """Similar if at least one tag is shared, dissimilar if both have tags and share none (A, C).

    Args:
      unlabelled: whether a candidate without any tag is "excluded" or a "negative" (B).
    """
    shared = anchor.astype(jnp.float32) @ candidate.T.astype(jnp.float32) > 0
    comparable = jnp.any(anchor, axis=1)[:, None]
    if unlabelled == "excluded":
        comparable &= jnp.any(candidate, axis=1)
    return Relation(shared, comparable & ~shared)


@checked
def by_sampled_tag(
    anchor: Bool[Array, "A C"],
    candidate: Bool[Array, "B C"],
    random: Float[Array, "A C"],
    *,
    unlabelled: str = "excluded",
) -> Relation:
    """Similar if the candidate has one tag drawn from the anchor's, dissimilar if not (B §3.1).

    Args:
      random: uniform numbers; of an anchor's tags, the one with the largest number is drawn.
      unlabelled: see `by_tags`.
    """
    drawn = jnp.argmax(jnp.where(anchor, random, -1.0), axis=1)
    alone = anchor & jax.nn.one_hot(drawn, anchor.shape[1], dtype=bool)
    return by_tags(alone, candidate, unlabelled=unlabelled)


@checked
def by_tempo(
    anchor: Float[Array, " A"],
    candidate: Float[Array, " B"],
    *,
    tolerance: float,
    relation: str = "anchor",
) -> Relation:
    """Similar if |t_anchor - 2^k t_candidate| <= tolerance (BPM) for an integer k; 0 = unknown.

    The rule of A §3.3 has a direction: 45 BPM is 3 from half of 84, but 84 is 6 from twice 45.

    Args:
      anchor, candidate: BPM; 0 = unknown.
      tolerance: BPM, of the tempo that is not multiplied.
      relation: "anchor": as seen from the anchor; or "symmetric": from either of the two.
    """
    near = jnp.zeros((anchor.size, candidate.size), bool)
    for octave in TEMPO_OCTAVES:
        near |= jnp.abs(anchor[:, None] - candidate * 2.0**octave) <= tolerance
        if relation == "symmetric":
            near |= jnp.abs(anchor[:, None] * 2.0**octave - candidate) <= tolerance
    known = (anchor > 0)[:, None] & (candidate > 0)
    return Relation(near & known, ~near & known)


@checked
def by_key(anchor: Int[Array, " A"], candidate: Int[Array, " B"], *, relation: str) -> Relation:
    """Similar if the keys are the same, or parallel (same tonic), or relative (same signature).

    Args:
      anchor, candidate: 0 to 11 = C to B major, 12 to 23 = C to B minor, -1 = unknown.
      relation: "parallel" or "relative": what is similar besides the same key.
    """
    same = key_group(anchor, relation)[:, None] == key_group(candidate, relation)
    known = (anchor >= 0)[:, None] & (candidate >= 0)
    return Relation(same & known, ~same & known)


def tempo_classes(tempo: Float[Array, " B"], *, count: int, tolerance: float) -> Bool[Array, "B C"]:
    """Which of `count` tempo classes each tempo is similar to; none for an unknown tempo.

    The classes divide the octave from 60 to 120 BPM evenly on a logarithmic scale.
    """
    centres = 60.0 * 2.0 ** ((jnp.arange(count) + 0.5) / count)
    return by_tempo(tempo, centres, tolerance=tolerance).similar


def key_classes(key: Int[Array, " B"], *, relation: str) -> Bool[Array, "B 24"]:
    """Which of the 24 keys are similar to each key, itself included; none for an unknown key."""
    return by_key(key, jnp.arange(KEY_CLASSES), relation=relation).similar


def relations(
    anchors: Mapping[str, Array],
    candidates: Mapping[str, Array],
    dimensions: Sequence[str],
    *,
    tempo_tolerance: float,
    key_relation: str,
    tempo_relation: str = "anchor",
    tags: str = "any_shared",
    unlabelled: str = "excluded",
    random: Mapping[str, Array] | None = None,
) -> Relation:
    """Stacks the relations of all `dimensions` [S, A, B]; an example is never its own positive.

    Args:
      anchors, candidates: labels per dimension (tags bool [B, C], tempo [B], key [B]), and
        "index" [B]: the example's place in the global batch.
      tags: "any_shared" or "sampled_label", see `by_tags` and `by_sampled_tag`.
      random: uniform numbers [A, C] per tag dimension, for "sampled_label".
    """

    def one(dimension: str) -> Relation:
        a, c = anchors[dimension], candidates[dimension]
        if dimension == "tempo":
            return by_tempo(a, c, tolerance=tempo_tolerance, relation=tempo_relation)
        if dimension == "key":
            return by_key(a, c, relation=key_relation)
        if tags == "any_shared":
            return by_tags(a, c, unlabelled=unlabelled)
        assert random is not None
        return by_sampled_tag(a, c, random[dimension], unlabelled=unlabelled)

    each = [one(dimension) for dimension in dimensions]
    other = anchors["index"][:, None] != candidates["index"]
    return Relation(
        jnp.stack([relation.similar & other for relation in each]),
        jnp.stack([relation.dissimilar for relation in each]),
    )
