"""Measures against plain loops in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from jaxsim.evaluation import metrics
from jaxsim.evaluation.metrics import Triplets

SIZE = 37


def unit_vectors(seed: int, parts: int = 3, length: int = 4) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(SIZE, parts, length))
    return vectors / np.linalg.norm(vectors, axis=2, keepdims=True)


def random_triplets(seed: int, count: int = 2500) -> Triplets:
    return Triplets(*np.random.default_rng(seed).integers(SIZE, size=(3, count)))


def test_triplets_equal_a_loop_over_distances() -> None:
    """More triplets than are in memory at once; every single sub-space and every subset."""
    vectors, rows = unit_vectors(0), random_triplets(1)
    names = ("genre", "tempo", "key")
    found = metrics.subset_predictions(metrics.gaps(vectors, rows), names)
    subsets = metrics.subsets(names)
    assert subsets[0] == ("genre",) and subsets[-1] == names and len(subsets) == 7
    for column, subset in enumerate(subsets):
        own = vectors[:, [names.index(name) for name in subset]].reshape(SIZE, -1)
        for number in range(len(rows)):
            a, p, n = (own[part[number]] for part in (rows.anchor, rows.positive, rows.negative))
            near, far = np.sqrt(np.sum((a - p) ** 2)), np.sqrt(np.sum((a - n) ** 2))
            if abs(near - far) > 1e-9:
                assert found[number, column] == (near < far)


def test_a_tie_counts_one_half() -> None:
    vectors = np.ones((3, 2, 1))
    gap = metrics.gaps(vectors, Triplets(np.array([0]), np.array([1]), np.array([2])))
    np.testing.assert_array_equal(metrics.right(gap), [[0.5, 0.5]])


def naive_neighbours(vectors: np.ndarray, groups: np.ndarray, query: int) -> list[int]:
    others = [row for row in range(len(vectors)) if groups[row] != groups[query]]
    return sorted(others, key=lambda row: (np.sum((vectors[row] - vectors[query]) ** 2), row))


@pytest.mark.parametrize("block", [1, 3, 256])
def test_neighbours_are_those_of_a_full_sort(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the blocks, though they do not divide the number of tracks."""
    monkeypatch.setattr(metrics, "QUERIES", block)
    random = np.random.default_rng(3)
    vectors, groups = random.normal(size=(SIZE, 5)), random.integers(12, size=SIZE)
    vectors[5] = vectors[9]  # equally near to everything
    found = metrics.neighbours(vectors, groups, 4)
    for query in range(SIZE):
        np.testing.assert_array_equal(found[query], naive_neighbours(vectors, groups, query)[:4])


def test_where_there_are_no_more_neighbours_there_is_none() -> None:
    found = metrics.neighbours(np.eye(3), np.array([0, 0, 1]), 8)
    np.testing.assert_array_equal(found, [[2, -1, -1], [2, -1, -1], [0, 1, -1]])


def test_recall_equals_a_loop_over_sets() -> None:
    """B Eq. 12, with unlabelled tracks and groups."""
    random = np.random.default_rng(4)
    vectors, groups = random.normal(size=(SIZE, 5)), random.integers(12, size=SIZE)
    labels = random.random((SIZE, 6)) < 0.25
    labels[3] = labels[8] = False
    found = metrics.recall_at(vectors, labels, groups, (1, 2, 4, 8))
    for query in range(SIZE):
        own = set(np.flatnonzero(labels[query]))
        near = naive_neighbours(vectors, groups, query)
        for column, k in enumerate((1, 2, 4, 8)):
            union = set(itertools.chain(*(np.flatnonzero(labels[row]) for row in near[:k])))
            if own:
                assert found[query, column] == pytest.approx(len(own & union) / len(own))
            else:
                assert np.isnan(found[query, column])


def test_a_million_tracks_are_searched_in_blocks_of_bounded_memory() -> None:
    """The compiled search of a block holds less than 4 GiB beside the library."""
    rows = metrics.DISTANCES // 1_000_000
    vectors = jax.ShapeDtypeStruct((1_000_000, 384), jnp.float32)
    groups = jax.ShapeDtypeStruct((1_000_000,), jnp.int32)
    index = jax.ShapeDtypeStruct((rows,), jnp.int32)
    search = jax.jit(metrics.nearest_of_others, static_argnames="count")
    compiled = search.lower(index, (vectors, groups), count=8)
    memory = compiled.compile().memory_analysis()
    assert memory.argument_size_in_bytes < 1.6e9
    assert memory.temp_size_in_bytes + memory.output_size_in_bytes < 4 * 2**30


def test_auc_equals_sklearns_with_ties_and_weights() -> None:
    random = np.random.default_rng(5)
    scores = random.integers(6, size=50).astype(float)
    labels = random.random(50) < 0.3
    weights = random.integers(4, size=(7, 50)).astype(float)
    found = metrics.roc_auc(scores, labels, weights)
    expected = [sklearn.metrics.roc_auc_score(labels, scores, sample_weight=w) for w in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.isnan(metrics.roc_auc(scores, labels, np.where(labels, 0.0, 1.0)[None])).all()


def test_tagging_leaves_out_what_cannot_be_measured() -> None:
    random = np.random.default_rng(6)
    labels = random.random((60, 5)) < 0.4
    labels[:, 1] = True  # nothing to tell apart
    labels[:, 4] = False  # nor here
    scores = labels + random.normal(size=(60, 5))
    scores[:, 3] = np.nan  # a tag without a prototype
    score, each = metrics.tagging_auc(scores, labels, np.arange(60) // 3)
    assert set(each) == {0, 2}
    for tag, value in each.items():
        expected = sklearn.metrics.roc_auc_score(labels[:, tag], scores[:, tag])
        assert value == pytest.approx(expected)
    assert score.value == pytest.approx(np.mean(list(each.values())))
    assert score.low < score.value < score.high
    empty, none = metrics.tagging_auc(scores[:, 1:2], labels[:, 1:2], np.arange(60))
    assert np.isnan(empty.value) and none == {}


def test_prototypes_are_means_and_scores_are_distances() -> None:
    vectors = np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], bool)
    centres = metrics.prototypes(vectors, labels)
    np.testing.assert_allclose(centres[:2], [[2, 0], [1.5, 1]])
    assert np.isnan(centres[2]).all()
    scores = metrics.prototype_scores(vectors, centres)
    np.testing.assert_allclose(scores[0, :2], [-1, -np.sqrt(0.25 + 1)])
    assert np.isnan(scores[:, 2]).all()


def test_intervals_resample_groups_and_not_values() -> None:
    """Twenty copies of a value say no more than one."""
    random = np.random.default_rng(7)
    values = random.random(40)
    alone = metrics.bootstrap(values, np.arange(40))
    copied = metrics.bootstrap(np.repeat(values, 20), np.repeat(np.arange(40), 20))
    assert (copied.value, copied.low) == pytest.approx((alone.value, alone.low))
    assert alone.value == pytest.approx(values.mean())
    assert alone.low < alone.value < alone.high
    expected = 1.96 * values.std() / np.sqrt(40)
    assert (alone.high - alone.low) / 2 == pytest.approx(expected, rel=0.1)
    assert metrics.bootstrap(np.repeat(values, 20), np.arange(800)).low > alone.low


def test_effective_rank_and_spread_tell_collapse() -> None:
    random = np.random.default_rng(8)
    point = np.tile([0.6, 0.8], (50, 1))
    assert metrics.effective_rank(point) == 0
    assert metrics.spread(point) == pytest.approx(0)
    plane = random.normal(size=(4000, 2)) @ random.normal(size=(2, 9))
    assert 1 < metrics.effective_rank(plane) <= 2
    assert metrics.effective_rank(random.normal(size=(20000, 5))) == pytest.approx(5, rel=0.01)
    opposite = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert metrics.spread(opposite) == 1
    assert metrics.effective_rank(opposite) == pytest.approx(1)
    uneven = random.normal(size=(30, 4)) * [1, 2, 3, 5]
    eigenvalues = np.linalg.eigvalsh(np.cov(uneven.T))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert metrics.effective_rank(uneven) == pytest.approx(expected) != 4
