"""The objective: masks are slices, the map over dimensions is a loop, devices share candidates."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxsim.losses import PICKS, triplet_loss
from jaxsim.objective import Terms, subspace_masks, triplet_terms
from jaxsim.relations import Relation, relations

DIMENSIONS = ("genre", "era", "key", "tempo")
SIZE = 16
KEY = jax.random.key(3)
CONFIG = ConfigDict(
    dict(
        dimensions=DIMENSIONS,
        relation=dict(tempo_tolerance=5.0, key="parallel"),
        loss=dict(margin=0.1, band=0.1, pick="nearest", average="mined"),
    )
)


def batch(seed: int) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Embeddings [16, 32] and labels of which some are missing."""
    random = np.random.default_rng(seed)
    embeddings = random.normal(size=32) + random.normal(size=(SIZE, 32))
    labels = {
        "genre": jnp.asarray(random.random((SIZE, 5)) < 0.3),
        "era": jnp.asarray(random.random((SIZE, 3)) < 0.4),
        "key": jnp.asarray(random.integers(-1, 4, SIZE), jnp.int32),
        "tempo": jnp.asarray(random.choice([0, 60, 100, 104, 150], SIZE), jnp.float32),
        "index": jnp.arange(SIZE),
    }
    return jnp.asarray(embeddings, jnp.float32), labels


def with_pick(pick: str) -> ConfigDict:
    config = CONFIG.copy_and_resolve_references()
    config.loss.pick = pick
    return config


@jax.jit(static_argnames="pick")
def whole(embeddings, labels, *, pick: str = "nearest") -> tuple[Terms, jax.Array]:
    """The terms of one device's batch, and the gradient [S, B, E] of every dimension's loss sum."""

    def losses(embeddings):
        terms = triplet_terms(embeddings, labels, KEY, with_pick(pick))
        return terms.loss.sum, terms

    gradients, terms = jax.jacrev(losses, has_aux=True)(embeddings)
    return terms, gradients


def test_masks_are_disjoint_equal_and_cover_the_embedding() -> None:
    masks = subspace_masks(3, 12)
    np.testing.assert_array_equal(masks.sum(axis=0), np.ones(12))
    for number, mask in enumerate(masks):
        np.testing.assert_array_equal(np.flatnonzero(mask), np.arange(4) + 4 * number)


def test_an_embedding_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(ValueError, match=r"embedding_size is 256, expected a multiple of 6"):
        subspace_masks(6, 256)


@pytest.mark.parametrize("pick", PICKS)
def test_all_dimensions_equal_a_loop_over_slices(pick: str) -> None:
    """Masked = sliced, and mapped = looped."""
    embeddings, labels = batch(0)
    mapped, _ = whole(embeddings, labels, pick=pick)
    relation = relations(labels, labels, DIMENSIONS, tempo_tolerance=5.0, key_relation="parallel")
    random = [
        jax.random.uniform(jax.random.fold_in(KEY, index), (len(DIMENSIONS), SIZE))
        for index in range(SIZE)
    ]

    @jax.jit
    def sliced(own, similar, dissimilar, random):
        options = dict(margin=0.1, band=0.1, pick=pick)
        relation = Relation(similar, dissimilar)
        return triplet_loss(own, own, jnp.ones(8), relation, random, **options)

    for number in range(len(DIMENSIONS)):
        loss, active = sliced(
            embeddings[:, 8 * number : 8 * (number + 1)],
            relation.similar[number],
            relation.dissimilar[number],
            jnp.stack([of_anchor[number] for of_anchor in random]),
        )
        assert loss.weight > 0
        for one, all_of_them in ((loss, mapped.loss), (active, mapped.active)):
            np.testing.assert_allclose(all_of_them.sum[number], one.sum, rtol=1e-5)
            assert all_of_them.weight[number] == one.weight


@pytest.mark.parametrize("pick", PICKS)
def test_a_dimension_has_no_gradient_outside_its_slice(pick: str) -> None:
    embeddings, labels = batch(1)
    gradients = np.asarray(whole(embeddings, labels, pick=pick)[1])
    for number, gradient in enumerate(gradients):
        own = slice(8 * number, 8 * (number + 1))
        assert np.abs(gradient[:, own]).max() > 0.01
        assert not np.delete(gradient, own, axis=1).any()


@pytest.mark.parametrize("pick", PICKS)
def test_anchors_dealt_out_to_devices_give_the_whole_batch(pick: str) -> None:
    """Sums, weights and gradients; `vmap` with an axis name stands for the devices."""
    embeddings, labels = batch(2)
    config = with_pick(pick)

    def dealt_out(embeddings):
        parts = jax.tree.map(lambda x: x.reshape(4, 4, *x.shape[1:]), (embeddings, labels))
        terms = jax.vmap(
            lambda own, labels: triplet_terms(own, labels, KEY, config, axis="data"),
            axis_name="data",
        )(*parts)
        return terms.loss.sum.sum(), jax.tree.map(lambda x: x.sum(axis=0), terms)

    gradient, found = jax.jit(jax.grad(dealt_out, has_aux=True))(embeddings)
    expected, expected_gradients = whole(embeddings, labels, pick=pick)
    for one, other in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_allclose(one.sum, other.sum, rtol=1e-5)
        np.testing.assert_array_equal(one.weight, other.weight)
    np.testing.assert_allclose(found.spread.mean(), expected.spread.mean(), rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradients.sum(axis=0), atol=1e-5)


def test_spread_is_one_minus_the_squared_length_of_the_mean_direction() -> None:
    embeddings, labels = batch(4)
    embeddings = embeddings.at[:, 8:16].set(jnp.arange(8.0))  # the second sub-space has collapsed
    terms, _ = whole(embeddings, labels)
    vectors = np.asarray(embeddings, np.float64).reshape(SIZE, 4, 8)
    directions = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    expected = 1 - (directions.mean(axis=0) ** 2).sum(axis=-1)
    np.testing.assert_allclose(terms.spread.mean(), expected, atol=1e-6)
    assert expected[1] < 1e-9 < 0.1 < expected[0]


def test_without_labels_everything_is_zero_and_finite() -> None:
    embeddings, labels = batch(5)
    labels = {name: jnp.zeros_like(values) for name, values in labels.items()}
    labels |= {"key": jnp.full(SIZE, -1), "index": jnp.arange(SIZE)}

    terms, gradients = whole(embeddings, labels)
    assert not np.asarray(gradients).any()
    for total in (terms.loss, terms.active):
        np.testing.assert_array_equal(total.weight, 0)
        np.testing.assert_array_equal(total.mean(), 0)


LARGE_BATCH = """
import resource, sys
import jax, jax.numpy as jnp, numpy as np
from ml_collections import ConfigDict
from jaxsim.objective import triplet_terms

SIZE = 4096
dimensions = ("genre", "mood", "instrument", "era", "tempo", "key")
config = ConfigDict(
    dict(
        dimensions=dimensions,
        relation=dict(tempo_tolerance=5.0, key="parallel"),
        loss=dict(margin=0.1, band=0.1, pick=sys.argv[1]),
    )
)
random = np.random.default_rng(0)
labels = {dimension: jnp.asarray(random.random((SIZE, 8)) < 0.2) for dimension in dimensions[:4]}
labels["tempo"] = jnp.float32(random.uniform(60, 200, SIZE))
labels["key"] = jnp.int32(random.integers(0, 24, SIZE))
labels["index"] = jnp.arange(SIZE)
embeddings = jnp.float32(random.normal(size=(SIZE, 384)))

def loss(embeddings, labels):
    return triplet_terms(embeddings, labels, jax.random.key(0), config).loss.mean().mean()

gradient = jax.jit(jax.grad(loss))(embeddings, labels)
assert np.isfinite(gradient).all() and np.any(gradient)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
@pytest.mark.parametrize("pick", PICKS)
def test_a_batch_of_4096_is_mined_within_six_gigabytes(pick: str) -> None:
    """Forward and backward, six dimensions; the peak of a process of its own, in GiB."""
    command = [sys.executable, "-c", LARGE_BATCH, pick]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert float(output.stdout) < 6
