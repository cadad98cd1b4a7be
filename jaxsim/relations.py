"""Which pairs of tracks are similar, dissimilar or not comparable, per dimension (A §3.3).

Every function looks at one dimension. A pair in which a track has no label is neither similar nor
dissimilar: it takes no part in the dimension.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxsim.shapes import checked

TEMPO_OCTAVES = range(-4, 5)  # 2**k of any two tempi between 20 and 320 BPM


class Relation(NamedTuple):
    """Ordered (anchor, candidate) pairs of one dimension, or [S, A, B] of all of them."""

    similar: Bool[Array, "*S A B"]
    dissimilar: Bool[Array, "*S A B"]


@checked
def by_tags(anchor: Bool[Array, "A C"], candidate: Bool[Array, "B C"]) -> Relation:
    """Similar if at least one tag is shared, dissimilar if both have tags and share none."""
    shared = anchor.astype(jnp.float32) @ candidate.T.astype(jnp.float32) > 0
    labelled = jnp.any(anchor, axis=1)[:, None] & jnp.any(candidate, axis=1)
    return Relation(shared, labelled & ~shared)


@checked
def by_tempo(
    anchor: Float[Array, " A"], candidate: Float[Array, " B"], *, tolerance: float
) -> Relation:
    """Similar if |t_anchor - 2^k t_candidate| <= tolerance (BPM) for an integer k; 0 = unknown."""
    near = jnp.zeros((anchor.size, candidate.size), bool)
    for octave in TEMPO_OCTAVES:
        near |= jnp.abs(anchor[:, None] - candidate * 2.0**octave) <= tolerance
    known = (anchor > 0)[:, None] & (candidate > 0)
    return Relation(near & known, ~near & known)


@checked
def by_key(anchor: Int[Array, " A"], candidate: Int[Array, " B"], *, relation: str) -> Relation:
    """Similar if the keys are the same, or parallel (same tonic), or relative (same signature).

    Args:
      anchor, candidate: 0 to 11 = C to B major, 12 to 23 = C to B minor, -1 = unknown.
      relation: "parallel" or "relative": what is similar beside the same key.
    """

    def group(key):
        # Relative: a minor key counts as the major key three semitones above it.
        return key % 12 if relation == "parallel" else (key + 3 * (key >= 12)) % 12

    same = group(anchor)[:, None] == group(candidate)
    known = (anchor >= 0)[:, None] & (candidate >= 0)
    return Relation(same & known, ~same & known)


def relations(
    anchors: Mapping[str, Array],
    candidates: Mapping[str, Array],
    dimensions: Sequence[str],
    *,
    tempo_tolerance: float,
    key_relation: str,
) -> Relation:
    """Stacks the relations of all `dimensions` [S, A, B]; an example is never its own positive.

    Args:
      anchors, candidates: per dimension its labels (tags bool [B, C], tempo [B], key [B]), and
        "index" [B]: the example's place in the global batch.
    """

    def one(dimension: str) -> Relation:
        a, c = anchors[dimension], candidates[dimension]
        if dimension == "tempo":
            return by_tempo(a, c, tolerance=tempo_tolerance)
        if dimension == "key":
            return by_key(a, c, relation=key_relation)
        return by_tags(a, c)

    each = [one(dimension) for dimension in dimensions]
    other = anchors["index"][:, None] != candidates["index"]
    return Relation(
        jnp.stack([relation.similar & other for relation in each]),
        jnp.stack([relation.dissimilar for relation in each]),
    )
