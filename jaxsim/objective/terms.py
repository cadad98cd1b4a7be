"""The multi-dimensional objective (A Eq. 2): the loss of one dimension, mapped over the S masks."""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from input_pipeline.hearing.segments import least_apart
from input_pipeline.tracks import DIMENSIONS, TAG_DIMENSIONS
from jaxsim.network import subspaces
from jaxsim.network.shapes import checked
from jaxsim.objective import losses, softmax
from jaxsim.objective.losses import Total
from jaxsim.objective.relations import KEY_CLASSES, Relation, key_classes, relations, tempo_classes

METHODS = ("triplet", "proxy", "classification")
TRACK_LOSSES = ("triplets", "softmax", "tag_softmax")
LEAST_VARIANCE = 1e-10  # of unit vectors that are not the same; float32 rounds to about 1e-13
LOW_RANK = 3.0  # effective; a sub-space below it is close to a line or a plane


class Terms(NamedTuple):
    """What one batch says about each dimension: [S], except for the track term."""

    loss: Total  # over mined triplets, or over examples
    active: Total  # share of (anchor, positive) pairs with a semi-hard negative
    spread: Total  # 1 - |mean unit vector|^2 of the sub-space: 0 = collapsed to one point
    rank: Total  # effective rank of the sub-space, see `effective_rank`: 1 = collapsed to a line
    track: Total  # loss of the track regularisation, over its mined triplets or its anchors
    soft: Total  # divergence from a teacher's likenesses, over anchors
    of_tags: Total  # the same in every sub-space of tags alone, over anchors and sub-spaces
    correlation: Total  # how few of its directions a sub-space uses, over sub-spaces


def masks_of(config: ConfigDict, embedding_size: int) -> np.ndarray:
    """The dimensions' masks, float32 [S, E]: all ones if the embedding is not disentangled."""
    count = len(config.dimensions)
    if config.loss.disentangled:
        return subspaces.masks(count, embedding_size)
    return np.ones((count, embedding_size), np.float32)


def label_names(config: ConfigDict) -> tuple[str, ...]:
    """The arrays of a batch that the objective reads beside the features."""
    names = [*config.dimensions, "index"]
    if config.loss.method == "triplet" and config.relation.tags == "sampled_label":
        names += ["drawn_dimension", "drawn_tag"]
    if config.loss.track_weight or config.loss.soft_weight or config.loss.tag_weight:
        names += ["track", "start"]
    if config.loss.soft_weight:
        names += ["teacher"]
    if config.loss.tag_weight:
        names += [f"teacher_{name}" for name in config.dimensions if name in TAG_DIMENSIONS]
    return tuple(names)


def objective_terms(
    embeddings: Float[Array, "A E"],
    classes: Mapping[str, Float[Array, "C D"]],
    labels: Mapping[str, Array],
    key: Array,
    config: ConfigDict,
    *,
    axis: str | None = None,
) -> Terms:
    """The configured loss of this device's examples, per dimension.

    Args:
      embeddings: of this device's examples.
      classes: the class vectors of each dimension, see `class_shapes`; empty for triplets.
      labels: of this device's examples: at least `label_names`, see `relations.relations`.
      key: random key of this step, the same on every device.
      config: with `dimensions`, `relation` and `loss`.
      axis: name of the mapped device axis; None = there is only this batch.

    Returns:
      This device's sums and weights.
    """
    labels = {name: labels[name] for name in label_names(config)}
    candidates, candidate_labels = _gathered((embeddings, labels), axis, config)
    masks = jnp.asarray(masks_of(config, embeddings.shape[1]))
    seen = _Seen(embeddings, candidates, labels, candidate_labels, masks)
    track = soft = of_tags = Total(jnp.zeros(()), jnp.zeros(()))
    if config.loss.method == "triplet":
        loss, active, track = _triplet_terms(seen, key, config)
    else:
        loss = _class_loss(embeddings, classes, masks, labels, config)
        active = jax.tree.map(jnp.zeros_like, loss)
    if config.loss.soft_weight:
        mask = tag_mask(config, seen.masks)
        soft = _soft_term(seen, mask, "teacher", config.loss.temperature, config)
    if config.loss.tag_weight:
        of_tags = _tag_term(seen, config)
    spread = jax.vmap(_spread, in_axes=(None, 0))(candidates, masks)
    ranks, correlation = _ranks(candidates, config)
    if not config.loss.decorrelation_weight:
        correlation = jax.tree.map(jnp.zeros_like, correlation)
    return Terms(loss, active, spread, ranks, track, soft, of_tags, correlation)


class _Seen(NamedTuple):
    """What a device compares: its own examples, the anchors, with all candidates."""

    embeddings: Array
    candidates: Array
    labels: Mapping[str, Array]
    candidate_labels: Mapping[str, Array]
    masks: Array


def _triplet_terms(seen: _Seen, key: Array, config: ConfigDict) -> tuple[Total, Total, Total]:
    """Loss and active share of every dimension [S], and the track regularisation's loss."""
    mine = functools.partial(
        losses.triplet_loss,
        seen.embeddings,
        seen.candidates,
        margin=config.loss.margin,
        band=config.loss.band,
        pick=config.loss.pick,
        average=config.loss.average,
        distance=config.loss.distance,
    )
    relation = _relations(seen.labels, seen.candidate_labels, key, config)
    shape = (len(seen.masks) + 1, len(seen.candidates))
    random = jnp.swapaxes(_random(key, seen.labels["index"], shape), 0, 1)
    loss, active = _over_dimensions(mine, seen.masks, relation, random[:-1], config=config)
    if not config.loss.track_weight:
        return loss, active, Total(jnp.zeros(()), jnp.zeros(()))
    whole, same_track = jnp.ones(seen.embeddings.shape[1]), _same_track(seen, config)
    if config.loss.track in ("softmax", "tag_softmax"):
        mask = whole if config.loss.track == "softmax" else tag_mask(config, seen.masks)
        track = softmax.same_track_loss(
            seen.embeddings, seen.candidates, mask, same_track, config.loss.temperature
        )
    else:
        track, _ = mine(whole, same_track, random[-1])
    return loss, active, track


def _soft_term(
    seen: _Seen, mask: Array, teacher: str, temperature: float, config: ConfigDict
) -> Total:
    """The divergence from a teacher; an example is not compared with what overlaps it."""
    same_track = _same_track(seen, config)
    return softmax.soft_target_loss(
        seen.embeddings,
        seen.candidates,
        mask,
        seen.labels[teacher],
        seen.candidate_labels[teacher],
        same_track.similar | same_track.dissimilar,
        temperature,
    )


def _tag_term(seen: _Seen, config: ConfigDict) -> Total:
    """The divergence of every sub-space of tags from what the teacher says of its tags."""
    terms = [
        _soft_term(seen, mask, f"teacher_{name}", config.loss.tag_temperature, config)
        for name, mask in zip(config.dimensions, seen.masks, strict=True)
        if name in TAG_DIMENSIONS
    ]
    return jax.tree.map(lambda *parts: sum(parts, jnp.zeros(())), *terms)


def tag_mask(config: ConfigDict, masks: ArrayLike) -> Array:
    """The sub-spaces of tags together: a teacher of tags knows nothing of tempo and key."""
    of_tags = np.array([name in TAG_DIMENSIONS for name in config.dimensions])
    return jnp.max(jnp.asarray(masks)[of_tags], axis=0)


def _over_dimensions(mine, *arguments, config: ConfigDict):
    """Maps the loss of one dimension over all S: at once, or some at a time to save memory."""

    def one_by_one(*arguments):
        return jax.lax.map(lambda each: mine(*each), arguments)

    at_once = config.parallel.dimensions_at_once
    if at_once == 0:
        return jax.lax.platform_dependent(*arguments, cpu=one_by_one, default=jax.vmap(mine))
    if at_once >= len(config.dimensions):
        return jax.vmap(mine)(*arguments)
    return jax.lax.map(lambda each: mine(*each), arguments, batch_size=at_once)


def _gathered(own, axis: str | None, config: ConfigDict):
    """The examples among which this device's anchors find positives and negatives."""
    if axis is None:
        return own
    devices, size = jax.lax.axis_size(axis), config.parallel.mining_group
    groups = None
    if 0 < size < devices:
        groups = [list(range(first, first + size)) for first in range(0, devices, size)]
    gather = functools.partial(
        jax.lax.all_gather, axis_name=axis, axis_index_groups=groups, tiled=True
    )
    return jax.tree.map(gather, own)


def _relations(labels, candidate_labels, key, config: ConfigDict) -> Relation:
    """The relations of all dimensions [S, A, B] by the rules of `config.relation`."""
    random = None
    if config.relation.tags == "sampled_label":
        random = {
            dimension: _preferring_drawn(
                _random(
                    jax.random.fold_in(key, number + 1),
                    labels["index"],
                    labels[dimension].shape[1:],
                ),
                labels,
                dimension,
            )
            for number, dimension in enumerate(config.dimensions)
            if labels[dimension].ndim == 2
        }
    return relations(
        labels,
        candidate_labels,
        config.dimensions,
        tempo_tolerance=config.relation.tempo_tolerance,
        tempo_relation=config.relation.tempo,
        key_relation=config.relation.key,
        tags=config.relation.tags,
        unlabelled=config.relation.unlabelled,
        random=random,
    )


def _preferring_drawn(random, labels, dimension: str):
    """Random numbers [A, C] whose largest is that of the tag the anchor was drawn for, if any.

    Else the relation would draw another of the anchor's tags than its group shares.
    """
    here = labels["drawn_dimension"] == DIMENSIONS.index(dimension)
    drawn = here[:, None] & jax.nn.one_hot(labels["drawn_tag"], random.shape[1], dtype=bool)
    return jnp.where(drawn, 2.0, random)


def _same_track(seen: _Seen, config: ConfigDict) -> Relation:
    """Which segments are of the anchor's track and which of others (C, B's track regularisation).

    A segment that overlaps the anchor by more than half, itself included, is neither.
    """
    frames = config.features.segment_frames
    return of_one_track(seen.labels, seen.candidate_labels, frames)


def of_one_track(
    labels: Mapping[str, Array], candidate_labels: Mapping[str, Array], frames: int
) -> Relation:
    """The relation of segments of `frames` frames, by their "track" and "start"."""
    same = labels["track"][:, None] == candidate_labels["track"]
    apart = jnp.abs(labels["start"][:, None] - candidate_labels["start"])
    return Relation(same & (apart >= least_apart(frames)), ~same)


def class_shapes(config: ConfigDict, labels: Mapping[str, ArrayLike]) -> dict[str, tuple[int, int]]:
    """Number and length of each dimension's class vectors; nothing for triplets.

    Proxies are as long as the embedding, and masked. Disentangled centroids are as long as their
    sub-space: B's multi-task form.
    """
    if config.loss.method == "triplet":
        return {}
    length = config.model.embedding_size
    if config.loss.method == "classification" and config.loss.disentangled:
        length //= len(config.dimensions)
    counts = {"tempo": config.loss.tempo_classes, "key": KEY_CLASSES}
    return {
        dimension: (counts.get(dimension) or np.shape(labels[dimension])[1], length)
        for dimension in config.dimensions
    }


def _class_loss(embeddings, classes, masks, labels, config: ConfigDict) -> Total:
    """The proxy or classification loss of all dimensions [S], their classes padded to one size."""
    most = max(len(vectors) for vectors in classes.values())

    def padded(x, axis: int):
        return jnp.pad(x, [(0, most - x.shape[axis] if i == axis else 0) for i in range(x.ndim)])

    each = [_targets(labels[dimension], dimension, config) for dimension in config.dimensions]
    targets, counted = (
        jnp.stack([padded(x, axis=1) for x in column]) for column in zip(*each, strict=True)
    )
    vectors = jnp.stack([padded(classes[dimension], axis=0) for dimension in config.dimensions])
    if config.loss.method == "proxy":
        mapped = jax.vmap(losses.proxy_loss, in_axes=(None, 0, 0, 0, 0))
        return mapped(embeddings, vectors, masks, targets, counted)
    own = len(embeddings), len(masks) if config.loss.disentangled else 1, -1
    features = jnp.swapaxes(embeddings.reshape(own), 0, 1)
    features = jnp.broadcast_to(features, (len(masks), *features.shape[1:]))
    classify = functools.partial(losses.classification_loss, normalised=config.loss.normalised)
    return jax.vmap(classify)(features, vectors, targets, counted)


def _targets(labels: Array, dimension: str, config: ConfigDict) -> tuple[Array, Array]:
    """Which classes the examples belong to, and which entries count: bool [B, C] each."""
    if dimension == "tempo":
        targets = tempo_classes(
            labels, count=config.loss.tempo_classes, tolerance=config.relation.tempo_tolerance
        )
    elif dimension == "key":
        targets = key_classes(labels, relation=config.relation.key)
    else:
        targets = labels
        if config.relation.unlabelled == "negative":
            return targets, jnp.ones_like(targets)
    return targets, jnp.broadcast_to(jnp.any(targets, axis=1, keepdims=True), targets.shape)


def _random(key, index, shape: tuple[int, ...]):
    """Uniform numbers [A, *shape] that depend on the anchor's global index, not on its device."""
    return jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i), shape))(index)


def _spread(candidates, mask) -> Total:
    vectors = jax.lax.stop_gradient(losses.unit(candidates, mask))
    return Total(1.0 - jnp.sum(jnp.mean(vectors, axis=0) ** 2), jnp.ones(()))


def _ranks(candidates, config: ConfigDict) -> tuple[Total, Total]:
    """`effective_rank` of every sub-space [S], and the loss that pushes them up.

    An undivided space has one rank for all dimensions. The loss is log(D / rank) of a sub-space of
    D numbers, which ends when all its directions vary equally and independently.
    """
    count = len(config.dimensions)
    parts = count if config.loss.disentangled else 1
    vectors = candidates.reshape(len(candidates), parts, -1)
    ranks = jax.vmap(effective_rank, in_axes=1)(vectors)
    logarithms = jnp.log(vectors.shape[2] / jnp.maximum(ranks, 1.0))
    seen = jnp.broadcast_to(jax.lax.stop_gradient(ranks), (count,))
    return Total(seen, jnp.ones(count)), Total(jnp.sum(logarithms), jnp.float32(parts))


@checked
def effective_rank(vectors: Float[Array, "B D"]) -> Float[Array, ""]:
    """How many directions vectors of length 1 differ in; 0 if they are all the same.

    (sum of l)^2 / sum of l^2 over the eigenvalues l of their covariance: n if n of them are equal
    and the others 0. The sums are the covariance's trace and its squared Frobenius norm, so that no
    eigenvalue is computed.
    """
    vectors = losses.unit(vectors, jnp.ones(vectors.shape[1]))
    centred = vectors - jnp.mean(vectors, axis=0)
    covariance = losses.product(centred.T, centred) / len(vectors)
    variance = jnp.trace(covariance)
    same = variance < LEAST_VARIANCE
    # Divided by 1 where they are the same, so that the gradient is finite there.
    rank = variance**2 / jnp.where(same, 1.0, jnp.sum(covariance**2))
    return jnp.where(same, 0.0, rank)
