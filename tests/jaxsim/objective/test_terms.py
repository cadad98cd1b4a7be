"""The objective: masks are slices, the map over dimensions is a loop, devices share candidates."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.six_dim import get_config
from input_pipeline.datasets.batches import compose
from input_pipeline.datasets.partners import partners_of
from input_pipeline.tracks import TAG_DIMENSIONS
from jaxsim.network import subspaces
from jaxsim.objective.losses import PICKS, triplet_loss
from jaxsim.objective.relations import Relation, relations
from jaxsim.objective.terms import (
    Terms,
    _relations,
    class_shapes,
    objective_terms,
    of_one_track,
)
from jaxsim.training.machines import parallel
from tests.helpers.batches import fake_data

DIMENSIONS = ("genre", "era", "key", "tempo")
SIZE = 16
KEY = jax.random.key(3)
CONFIG = get_config()
CONFIG.dimensions = DIMENSIONS
CONFIG.model.embedding_size = 32
CONFIG.lock()
OBJECTIVES = {  # changes of config.loss and config.relation
    "euclidean": (dict(distance="euclidean"), {}),
    "sampled label": ({}, dict(tags="sampled_label", unlabelled="negative")),
    "whole space": (dict(disentangled=False), {}),
    "track": (dict(track_weight=0.5, pick="uniform"), {}),
    "proxy": (dict(method="proxy"), {}),
    "proxy, whole space": (dict(method="proxy", disentangled=False), dict(unlabelled="negative")),
    "classification": (dict(method="classification"), {}),
    "classification, whole space, not normalised": (
        dict(method="classification", disentangled=False, normalised=False),
        {},
    ),
}


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
        "track": jnp.arange(SIZE) // 3,
        "start": jnp.asarray(random.integers(0, 300, SIZE), jnp.int32),
        "drawn_dimension": jnp.full(SIZE, -1),
        "drawn_tag": jnp.full(SIZE, -1),
    }
    return jnp.asarray(embeddings, jnp.float32), labels


def with_pick(pick: str) -> ConfigDict:
    config = CONFIG.copy_and_resolve_references()
    config.loss.pick = pick
    return config


def changed(name: str) -> ConfigDict:
    config = CONFIG.copy_and_resolve_references()
    loss, relation = OBJECTIVES[name]
    config.loss.update(loss)
    config.relation.update(relation)
    return config


def class_vectors(config: ConfigDict, labels) -> dict[str, jax.Array]:
    random = np.random.default_rng(11)
    shapes = class_shapes(config, labels)
    return {name: jnp.float32(3 * random.normal(size=shape)) for name, shape in shapes.items()}


@jax.jit(static_argnames="pick")
def whole(embeddings, labels, *, pick: str = "nearest") -> tuple[Terms, jax.Array]:
    """The terms of one device's batch, and the gradient [S, B, E] of every dimension's loss sum."""

    def losses(embeddings):
        terms = objective_terms(embeddings, {}, labels, KEY, with_pick(pick))
        return terms.loss.sum, terms

    gradients, terms = jax.jacrev(losses, has_aux=True)(embeddings)
    return terms, gradients


def test_the_positives_of_a_track_overlap_the_anchor_by_half_at_most() -> None:
    """Against a loop over pairs, whose frames are counted."""
    random = np.random.default_rng(12)
    track, start = random.integers(0, 5, 60), random.integers(0, 200, 60)
    start[:4], track[:4] = [7, 7 + 64, 7 + 65, 7], [2, 2, 2, 2]  # 65, 64 and 129 frames in common
    labels = {"track": jnp.int32(track), "start": jnp.int32(start)}
    own = jax.tree.map(lambda x: x[:40], labels)
    found = of_one_track(own, labels, 129)
    for a in range(40):
        for c in range(60):
            common = set(range(start[a], start[a] + 129)) & set(range(start[c], start[c] + 129))
            same = track[a] == track[c]
            assert found.similar[a, c] == (same and len(common) <= 129 / 2)
            assert found.dissimilar[a, c] == (not same)


def test_an_anchor_is_compared_by_the_tag_it_was_drawn_for() -> None:
    """Against a loop: every group of a composed batch is similar in its dimension, by one tag."""
    data = fake_data(40, tags={d: tags_of(40, n) for n, d in enumerate(TAG_DIMENSIONS)})
    config = changed("sampled label")
    config.dimensions = ("genre", "key", "era")
    partners = partners_of(data, config.dimensions, tempo_tolerance=5.0, key_relation="parallel")
    composed = compose(partners, data.num_frames, batch_size=48, frames=129, seed=1, step=2)
    rows = {
        "genre": data.tags["genre"][composed.track],
        "era": data.tags["era"][composed.track],
        "key": data.key[composed.track],
        "index": np.arange(48),
        "drawn_dimension": composed.drawn_dimension,
        "drawn_tag": composed.drawn_tag,
    }
    labels = jax.tree.map(jnp.asarray, rows)
    keys = jax.vmap(jax.random.key)(jnp.arange(400))
    similar = np.asarray(
        jax.vmap(lambda key: _relations(labels, labels, key, config).similar)(keys)
    )
    for row in range(48):
        dimension, pair = row // 2 % 3, row ^ 1
        assert similar[:, dimension, row, pair].all()
        for number, name in ((0, "genre"), (2, "era")):
            own, others = rows[name][row], np.arange(48) != row
            shares = {
                tuple(rows[name][:, tag] & others): tag for tag in np.flatnonzero(own)
            }  # the candidates by which a tag can be told
            found = [shares[tuple(each)] for each in similar[:, number, row]] if shares else []
            if dimension == number:
                assert set(found) <= {composed.drawn_tag[row]}
            elif len(shares) > 1:
                count = np.bincount(found, minlength=6)[list(shares.values())]
                assert (abs(count - 400 / len(shares)) < 5 * np.sqrt(400 / len(shares))).all()


def tags_of(tracks: int, seed: int) -> np.ndarray:
    """Several tags of six for most tracks."""
    return np.random.default_rng(seed).random((tracks, 6)) < 0.4


def test_masks_are_disjoint_equal_and_cover_the_embedding() -> None:
    masks = subspaces.masks(3, 12)
    np.testing.assert_array_equal(masks.sum(axis=0), np.ones(12))
    for number, mask in enumerate(masks):
        np.testing.assert_array_equal(np.flatnonzero(mask), np.arange(4) + 4 * number)


def test_an_embedding_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(ValueError, match=r"embedding_size is 256, expected a multiple of 6"):
        subspaces.masks(6, 256)


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


@functools.cache
def mined(at_once: int):
    """Gradient, totals, and the program that computed them."""
    embeddings, labels = batch(0)
    config = with_pick("uniform")
    config.parallel.dimensions_at_once = at_once

    def losses(embeddings):
        terms = objective_terms(embeddings, {}, labels, KEY, config)
        return terms.loss.sum.sum(), (terms.loss, terms.active)

    traced = jax.jit(jax.grad(losses, has_aux=True)).trace(embeddings)
    return *traced.lower().compile()(embeddings), str(traced.jaxpr)


@pytest.mark.parametrize("at_once", [1, 2, 3, 9])
def test_the_dimensions_may_be_mined_some_at_a_time(at_once: int) -> None:
    gradient, totals, _ = mined(0)
    found_gradient, found, program = mined(at_once)
    assert f"i32[{min(at_once, len(DIMENSIONS))},16,16]" in program
    assert ("i32[4,16,16]" in program) == (at_once >= len(DIMENSIONS))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, totals)
    np.testing.assert_allclose(found_gradient, gradient, atol=1e-6)


def test_the_dimensions_are_vmapped_on_accelerators_and_looped_on_processors() -> None:
    embeddings, labels = batch(0)

    def sums(embeddings):
        return objective_terms(embeddings, {}, labels, KEY, with_pick("nearest")).loss.sum

    def one_at_a_time(platform: str) -> bool:
        lowered = jax.jit(sums).trace(embeddings).lower(lowering_platforms=(platform,))
        (products,) = (
            line for line in lowered.as_text().splitlines() if "HIGHEST, HIGHEST" in line
        )
        return "tensor<4x16x16xf32>" not in products

    assert one_at_a_time("cpu")
    assert not one_at_a_time("tpu") and not one_at_a_time("cuda")


@pytest.mark.parametrize("name", [*PICKS, *OBJECTIVES])
def test_distances_and_logits_are_computed_in_float32_on_every_platform(name: str) -> None:
    """The default precision of a TPU rounds a product's factors to bfloat16."""
    embeddings, labels = batch(0)
    config = with_pick(name) if name in PICKS else changed(name)
    classes = class_vectors(config, labels)

    def loss(embeddings, classes):
        terms = objective_terms(embeddings, classes, labels, KEY, config)
        return terms.loss.sum.sum() + terms.track.sum

    program = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(embeddings, classes).as_text()
    products = [line for line in program.splitlines() if "stablehlo.dot_general" in line]
    rounded = [line for line in products if "precision = [HIGHEST, HIGHEST]" not in line]
    tags = [f"(tensor<16x{count}xf32>, tensor<{count}x16xf32>)" for count in (5, 3)]
    assert len(products) - len(rounded) >= 3  # the distances or logits, and their two gradients
    for line in rounded:  # zeros and ones are exact in bfloat16 too
        assert any(shapes in line for shapes in tags), line


@pytest.mark.parametrize("pick", PICKS)
def test_a_dimension_has_no_gradient_outside_its_slice(pick: str) -> None:
    embeddings, labels = batch(1)
    gradients = np.asarray(whole(embeddings, labels, pick=pick)[1])
    for number, gradient in enumerate(gradients):
        own = slice(8 * number, 8 * (number + 1))
        assert np.abs(gradient[:, own]).max() > 0.01
        assert not np.delete(gradient, own, axis=1).any()


@pytest.mark.parametrize("name", [*PICKS, *OBJECTIVES])
def test_examples_dealt_out_to_devices_give_the_whole_batch(name: str) -> None:
    """Sums, weights and gradients; `vmap` with an axis name stands for the devices."""
    embeddings, labels = batch(2)
    config = with_pick(name) if name in PICKS else changed(name)
    config.parallel.dimensions_at_once = len(DIMENSIONS)  # half the program; see the test above
    classes = class_vectors(config, labels)

    def dealt_out(embeddings, devices):
        parts = jax.tree.map(
            lambda x: x.reshape(devices, SIZE // devices, *x.shape[1:]), (embeddings, labels)
        )
        terms = jax.vmap(
            lambda own, labels: objective_terms(own, classes, labels, KEY, config, axis="data"),
            axis_name="data",
        )(*parts)
        terms = jax.tree.map(lambda x: x.sum(axis=0), terms)
        return terms.loss.sum.sum() + terms.track.sum, terms

    compiled = jax.jit(jax.grad(dealt_out, has_aux=True), static_argnums=1)
    gradient, found = compiled(embeddings, 4)
    expected_gradient, expected = compiled(embeddings, 1)
    assert np.abs(expected_gradient).max() > 0.01
    assert min(expected.loss.weight) > 0
    assert (expected.track.weight > 0) == (name == "track")
    for one, other in zip(
        (found.loss, found.active, found.track),
        (expected.loss, expected.active, expected.track),
        strict=True,
    ):
        np.testing.assert_allclose(one.sum, other.sum, rtol=1e-5)
        np.testing.assert_array_equal(one.weight, other.weight)
    np.testing.assert_allclose(found.spread.mean(), expected.spread.mean(), rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5)


@pytest.mark.parametrize("mapping", parallel.MAPPINGS)
def test_groups_of_devices_mine_by_themselves(mapping: str) -> None:
    """Eight devices in groups of four: as two batches of half the size."""
    embeddings, labels = batch(2)
    config = with_pick("nearest")
    alone = jax.jit(lambda own, labels: objective_terms(own, {}, labels, KEY, with_pick("nearest")))
    whole = alone(embeddings, labels)
    config.parallel.mining_group = 4

    def dealt(x):
        return x.reshape(8, SIZE // 8, *x.shape[1:])

    mapped = parallel.map_over_devices(
        lambda own: jax.lax.psum(objective_terms(*own, KEY, config, axis="data"), "data"),
        split=(True,),
        mapping=mapping,
        devices=jax.devices()[:8],
    )
    found = mapped((dealt(embeddings), {}, jax.tree.map(dealt, labels)))
    halves = [
        alone(*jax.tree.map(lambda x, rows=rows: x[rows], (embeddings, labels)))
        for rows in (slice(SIZE // 2), slice(SIZE // 2, None))
    ]
    for field in ("loss", "active"):
        one, other = (getattr(half, field) for half in halves)
        np.testing.assert_allclose(getattr(found, field).sum, one.sum + other.sum, rtol=1e-5)
        np.testing.assert_array_equal(getattr(found, field).weight, one.weight + other.weight)
    assert np.all(found.active.weight < whole.active.weight)


@pytest.mark.parametrize("method", ["proxy", "classification"])
@pytest.mark.parametrize("disentangled", [True, False])
def test_classes_equal_a_loop_over_examples_and_classes(method: str, disentangled: bool) -> None:
    """Every dimension, with unlabelled examples, against float64 NumPy."""
    embeddings, labels = batch(6)
    config = changed("proxy")
    config.loss.update(method=method, disentangled=disentangled)
    classes = class_vectors(config, labels)
    found = objective_terms(embeddings, classes, labels, KEY, config).loss
    for number, dimension in enumerate(DIMENSIONS):
        own = slice(8 * number, 8 * number + 8) if disentangled else slice(None)
        total, count = 0.0, 0
        for example in range(SIZE):
            positive = naive_classes(labels, dimension, example)
            if not positive:
                continue
            count += 1
            vector = np.asarray(embeddings, np.float64)[example, own]
            vector /= np.sqrt(vector @ vector)
            for number_of_class, other in enumerate(np.asarray(classes[dimension], np.float64)):
                other = other[own] if method == "proxy" else other
                probability = 1 / (1 + np.exp(-vector @ other))
                is_positive = number_of_class in positive
                total -= np.log(probability if is_positive else 1 - probability)
        assert 0 < count < SIZE
        assert found.weight[number] == count
        np.testing.assert_allclose(found.sum[number], total, rtol=1e-5)


def naive_classes(labels, dimension: str, example: int) -> set[int]:
    label = np.asarray(labels[dimension])[example]
    if dimension == "key":
        return {k for k in range(24) if label >= 0 and k % 12 == label % 12}
    if dimension == "tempo":
        count = CONFIG.loss.tempo_classes
        centres = [60 * 2 ** ((i + 0.5) / count) for i in range(count)]
        return {
            i
            for i, centre in enumerate(centres)
            if label > 0 and any(abs(label - centre * 2.0**k) <= 5 for k in range(-4, 5))
        }
    return set(np.flatnonzero(label))


def test_the_masked_form_is_the_multi_task_form() -> None:
    """B's proof (Eq. 9 to 11): a masked dense layer is one sub-dense layer per dimension."""
    _, labels = batch(7)
    random = np.random.default_rng(1)
    hidden = jnp.float32(random.normal(size=(SIZE, 20)))
    dense = jnp.float32(random.normal(size=(20, 32)))
    masked, multi_task = changed("proxy"), changed("classification")
    centroids = class_vectors(multi_task, labels)
    proxies = {  # zero outside the dimension's slice, as the mask makes them
        name: jnp.zeros((len(vectors), 32)).at[:, 8 * i : 8 * i + 8].set(vectors)
        for i, (name, vectors) in enumerate(centroids.items())
    }
    sub_dense = jnp.split(dense, len(DIMENSIONS), axis=1)

    def one_layer(dense, proxies):
        terms = objective_terms(hidden @ dense, proxies, labels, KEY, masked)
        return terms.loss.sum.sum()

    def sub_layers(sub_dense, centroids):
        parts = jnp.concatenate([hidden @ layer for layer in sub_dense], axis=1)
        terms = objective_terms(parts, centroids, labels, KEY, multi_task)
        return terms.loss.sum.sum()

    both = [jax.jit(jax.value_and_grad(form, (0, 1))) for form in (one_layer, sub_layers)]
    value, (layer, vectors) = both[0](dense, proxies)
    expected, (layers, expected_vectors) = both[1](sub_dense, centroids)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(layer, np.concatenate(layers, axis=1), atol=1e-5)
    for i, name in enumerate(DIMENSIONS):
        np.testing.assert_allclose(
            vectors[name][:, 8 * i : 8 * i + 8], expected_vectors[name], atol=1e-5
        )


def test_proxies_and_centroids_of_the_whole_space_are_one_loss() -> None:
    """B Eq. 6 and 8."""
    embeddings, labels = batch(8)
    proxy = changed("proxy, whole space")
    classification = changed("proxy, whole space")
    classification.loss.method = "classification"
    classes = class_vectors(proxy, labels)
    one, other = (
        objective_terms(embeddings, classes, labels, KEY, config).loss
        for config in (proxy, classification)
    )
    np.testing.assert_allclose(one.sum, other.sum, rtol=1e-6)
    np.testing.assert_array_equal(one.weight, other.weight)


@functools.cache
def compiled_gradient(name: str):
    """The gradient with respect to the embeddings, and the terms; the same for all cases."""
    config = changed(name)

    def loss(embeddings, classes, labels):
        terms = objective_terms(embeddings, classes, labels, KEY, config)
        return terms.loss.mean().sum() + terms.track.mean(), terms

    return jax.jit(jax.grad(loss, has_aux=True))


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("case", ["unlabelled", "one example", "all equal", "zero", "huge"])
def test_degenerate_batches_stay_finite(name: str, case: str) -> None:
    embeddings, labels = batch(9)
    config = changed(name)
    classes = class_vectors(config, labels)
    if case == "unlabelled":
        empty = {dimension: jnp.zeros_like(labels[dimension]) for dimension in DIMENSIONS}
        labels = labels | empty | {"key": jnp.full(SIZE, -1, jnp.int32)}
    elif case == "one example":
        embeddings, labels = jax.tree.map(lambda x: x[:1], (embeddings, labels))
    else:
        embeddings = {
            "all equal": jnp.ones_like(embeddings),
            "zero": jnp.zeros_like(embeddings),
            "huge": 1e15 * embeddings,
        }[case]

    gradient, terms = compiled_gradient(name)(embeddings, classes, labels)
    assert np.isfinite(gradient).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(terms))
    if case == "unlabelled" and config.relation.unlabelled == "excluded":
        np.testing.assert_array_equal(terms.loss.weight, 0)


def test_spread_is_one_minus_the_squared_length_of_the_mean_direction() -> None:
    embeddings, labels = batch(4)
    embeddings = embeddings.at[:, 8:16].set(jnp.arange(8.0))  # the second sub-space has collapsed
    terms, _ = whole(embeddings, labels)
    vectors = np.asarray(embeddings, np.float64).reshape(SIZE, 4, 8)
    directions = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    expected = 1 - (directions.mean(axis=0) ** 2).sum(axis=-1)
    np.testing.assert_allclose(terms.spread.mean(), expected, atol=1e-6)
    assert expected[1] < 1e-9 < 0.1 < expected[0]


def naive_rank(vectors: np.ndarray) -> float:
    """By the eigenvalues of the covariance of the vectors' directions, float64."""
    directions = np.asarray(vectors, np.float64)
    directions = directions / np.sqrt((directions**2).sum(axis=1, keepdims=True))
    eigenvalues = np.linalg.eigvalsh(np.cov(directions.T, bias=True))
    return eigenvalues.sum() ** 2 / (eigenvalues**2).sum()


@pytest.mark.parametrize("disentangled", [True, False])
def test_effective_rank_is_that_of_the_eigenvalues_on_one_and_eight_devices(disentangled) -> None:
    embeddings, labels = batch(4)
    flat = np.random.default_rng(1).normal(size=(2, 8)) + 2 * np.eye(2, 8)
    plane = jax.random.normal(KEY, (SIZE, 2)) @ flat
    embeddings = embeddings.at[:, 8:16].set(plane).at[:, 16:24].set(jnp.arange(1.0, 9.0))
    config = changed("whole space") if not disentangled else with_pick("nearest")
    expected = np.array([naive_rank(part) for part in np.split(np.asarray(embeddings), 4, axis=1)])
    expected[2] = 0  # all the same
    if not disentangled:
        expected[:] = naive_rank(embeddings)
    found = jax.jit(lambda own: objective_terms(own, {}, labels, KEY, config))(embeddings)
    np.testing.assert_allclose(found.rank.mean(), expected, rtol=1e-4)
    assert not disentangled or 0 < expected[1] < 2.5 < 4 < expected[0]

    dealt = jax.tree.map(lambda x: x.reshape(8, SIZE // 8, *x.shape[1:]), (embeddings, labels))
    mapped = parallel.map_over_devices(
        lambda own: jax.lax.psum(
            objective_terms(own[0], {}, own[1], KEY, config, axis="data").rank, "data"
        ),
        split=(True,),
        mapping="pmap",
        devices=jax.devices()[:8],
    )
    np.testing.assert_allclose(mapped(dealt).mean(), found.rank.mean(), rtol=1e-5)


def test_without_labels_everything_is_zero_and_finite() -> None:
    embeddings, labels = batch(5)
    labels = labels | {name: jnp.zeros_like(labels[name]) for name in DIMENSIONS}
    labels |= {"key": jnp.full(SIZE, -1)}

    terms, gradients = whole(embeddings, labels)
    assert not np.asarray(gradients).any()
    for total in (terms.loss, terms.active):
        np.testing.assert_array_equal(total.weight, 0)
        np.testing.assert_array_equal(total.mean(), 0)


@pytest.mark.slow
@pytest.mark.parametrize("pick", PICKS)
def test_a_batch_of_4096_is_mined_within_four_gigabytes(pick: str) -> None:
    """Forward and backward, six dimensions: what the compiled program reserves."""
    config = get_config()
    config.loss.pick = pick
    shapes = {name: (jnp.bool, 8) for name in TAG_DIMENSIONS}
    shapes |= {"tempo": (jnp.float32,), "key": (jnp.int32,), "index": (jnp.int32,)}
    labels = {
        name: jax.ShapeDtypeStruct((4096, *shape), dtype)
        for name, (dtype, *shape) in shapes.items()
    }
    embeddings = jax.ShapeDtypeStruct((4096, config.model.embedding_size), jnp.float32)

    def loss(embeddings, labels):
        return objective_terms(embeddings, {}, labels, KEY, config).loss.mean().mean()

    compiled = jax.jit(jax.grad(loss)).lower(embeddings, labels).compile()
    assert 1 < compiled.memory_analysis().temp_size_in_bytes / 2**30 < 4
