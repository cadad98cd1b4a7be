"""Retrieval of excerpts against plain loops in float64."""

import numpy as np
import pytest

from jaxsim.evaluation import excerpt_retrieval
from jaxsim.evaluation.excerpt_retrieval import MEASURES, STRENGTHS, outcomes

# Groups of 3, 1, 2, 1 and 4 tracks, not in order; two excerpts each.
GROUPS = np.array([0, 2, 0, 1, 4, 4, 0, 3, 2, 4, 4])
TRACK = np.repeat(np.arange(len(GROUPS)), 2)
GROUP = GROUPS[TRACK]


def embeddings(seed: int = 0, columns: int = 5) -> np.ndarray:
    """Unit vectors [22, columns], not alike in their columns; some excerpts are the same."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(len(TRACK), columns)) * np.arange(1, columns + 1) + 0.5
    points += random.normal(size=(5, columns))[GROUP] * 2
    points[7] = points[2]  # of another group: a tie
    points[12] = points[5]  # of another track of the group,
    points[13] = points[5] * (1 + 1e-12 * np.arange(columns))  # and as good as the same
    return points / np.sqrt((points**2).sum(axis=1, keepdims=True))


def share(nearer: list[float]) -> float:
    return sum(nearer) / len(nearer) if nearer else np.nan


def naive(points: np.ndarray, track: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Loops over queries, right and wrong excerpts."""
    n, result = len(points), []

    def near(one: int, other: int) -> float:
        return round(sum(float(a * b) for a, b in zip(points[one], points[other], strict=True)), 9)

    def pairs(q: int, right: list[int], wrong: list[int]) -> float:
        won = []
        for r in right:
            for w in wrong:
                won.append(0.5 if near(q, r) == near(q, w) else float(near(q, r) > near(q, w)))
        return share(won)

    def first(q: int, right: list[int], wrong: list[int]) -> float:
        if not right or not wrong:
            return np.nan
        best = max(near(q, j) for j in right + wrong)
        return share([float(j in right) for j in right + wrong if near(q, j) == best])

    for q in range(n):
        own = [j for j in range(n) if track[j] == track[q] and j != q]
        others = [j for j in range(n) if track[j] != track[q]]
        album = [j for j in others if group[j] == group[q]]
        strange = [j for j in others if group[j] != group[q]]
        result.append(
            [
                pairs(q, own, others),
                pairs(q, album, strange),
                first(q, own, others),
                first(q, album, strange),
            ]
        )
    return np.array(result)


@pytest.mark.parametrize("block", [3, 256])
def test_outcomes_are_those_of_loops(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ties, groups of different sizes and of one track; whatever the blocks."""
    monkeypatch.setattr(excerpt_retrieval, "QUERIES", block)
    points = embeddings()
    found, expected = outcomes(points, TRACK, GROUP), naive(points, TRACK, GROUP)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    alone = np.isin(GROUP, (1, 3))
    np.testing.assert_array_equal(np.isnan(found[:, 1]), alone)
    np.testing.assert_array_equal(np.isnan(found[:, 3]), alone)
    assert not np.isnan(found[:, [0, 2]]).any()
    assert np.any((found[:, 2] > 0) & (found[:, 2] < 1)), "several are the nearest"
    assert len(set(np.round(np.nanmean(found, axis=0), 6))) == len(MEASURES), "all differ"


def test_all_alike_is_chance() -> None:
    found = outcomes(np.ones((6, 1)), np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 0, 1, 1]))
    np.testing.assert_allclose(found[0], [0.5, 0.5, 1 / 5, 2 / 4])
    np.testing.assert_allclose(found[5], [0.5, np.nan, 1 / 5, np.nan])


def test_one_group_has_no_answer_for_albums_and_one_track_none_at_all() -> None:
    points = embeddings()[:4]
    found = outcomes(points, np.array([0, 0, 1, 1]), np.zeros(4, int))
    assert not np.isnan(found[:, [0, 2]]).any() and np.isnan(found[:, [1, 3]]).all()
    assert np.isnan(outcomes(points[:2], np.zeros(2, int), np.zeros(2, int))).all()


def test_the_order_of_the_excerpts_does_not_matter() -> None:
    vectors = embeddings(1, 6).reshape(-1, 3, 2)
    found, strength = excerpt_retrieval.measured(vectors, vectors, TRACK, GROUP)
    order = np.random.default_rng(2).permutation(len(vectors))
    again, same = excerpt_retrieval.measured(vectors[order], vectors, TRACK[order], GROUP[order])
    assert strength == same
    for space, values in found.items():
        np.testing.assert_allclose(again[space], values[order], rtol=1e-9, err_msg=space)


def test_every_space_by_hand() -> None:
    """The points of each space, written out, through the loops."""
    random = np.random.default_rng(3)
    vectors = embeddings(3, 6).reshape(-1, 3, 2) * [[[1.0], [0.3], [2.0]]]
    vectors[:, 0] += [2.0, 1.0]
    fitting = random.normal(size=(40, 6)) @ random.normal(size=(6, 6))
    fitted = fitting.reshape(-1, 3, 2)
    found, strength = excerpt_retrieval.measured(vectors, fitted, TRACK, GROUP, tags=[0, 2])
    flat = vectors.reshape(len(vectors), 6)

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x * x).sum(axis=-1, keepdims=True))

    np.testing.assert_allclose(found["cosine"], naive(unit(flat), TRACK, GROUP), rtol=1e-9)
    scored = (flat - flat.mean(axis=0)) / flat.std(axis=0)
    np.testing.assert_allclose(found["z-scored"], naive(unit(scored), TRACK, GROUP), rtol=1e-9)

    whitened = {}
    for r in STRENGTHS:
        _, values, axes = np.linalg.svd(fitting - fitting.mean(axis=0))
        deviations = values / np.sqrt(40)
        components = (flat - fitting.mean(axis=0)) @ axes.T / (deviations + r * deviations.max())
        whitened[r] = naive(unit(components), TRACK, GROUP)
    means = {r: np.nanmean(values, axis=0).mean() for r, values in whitened.items()}
    assert means[strength] == max(means.values()) and len(set(means.values())) > 1
    np.testing.assert_allclose(found["whitened"], whitened[strength], rtol=1e-9)

    parts = unit(vectors)
    pairs = [(i, j) for i in range(len(parts)) for j in range(i)]
    cosines = np.array([(parts[i] * parts[j]).sum(axis=1) for i, j in pairs])
    scaled = parts / np.sqrt(cosines.std(axis=0))[:, None]
    # The loops round to absolute 1e-9, so lengths must be about 1; those of all points are equal.
    expected = naive(unit(scaled.reshape(len(parts), 6)), TRACK, GROUP)
    np.testing.assert_allclose(found["search"], expected, rtol=1e-9)
    assert not np.array_equal(found["search"], found["cosine"], equal_nan=True)

    by_tags = naive(unit(scaled[:, [0, 2]].reshape(len(parts), 4)), TRACK, GROUP)
    np.testing.assert_allclose(found["search by tags"], by_tags, rtol=1e-9)
    assert not np.array_equal(by_tags, expected, equal_nan=True)


def test_a_space_without_sub_spaces_of_tags_is_not_searched_by_them() -> None:
    vectors = embeddings(1, 6)
    undivided, _ = excerpt_retrieval.measured(vectors[:, None], vectors[:, None], TRACK, GROUP)
    np.testing.assert_array_equal(undivided["search by tags"], undivided["search"])
    divided = vectors.reshape(-1, 3, 2)
    found, _ = excerpt_retrieval.measured(divided, divided, TRACK, GROUP, tags=[])
    assert "search by tags" not in found and "search" in found


def test_whitened_vectors_have_equal_deviations() -> None:
    random = np.random.default_rng(4)
    vectors = random.normal(size=(500, 4)) * [1, 5, 0.2, 2] @ random.normal(size=(4, 4)) + 3
    ((_, whitened),) = excerpt_retrieval.whitened(vectors, vectors, [1e-9])
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), np.eye(4), atol=1e-6)
    constant = np.ones((5, 1))
    ((_, whitened),) = excerpt_retrieval.whitened(constant, constant, [0.1])
    assert not whitened.any()


def test_constant_columns_say_nothing() -> None:
    vectors = embeddings()
    widened = np.concatenate([vectors, np.full((len(vectors), 1), 0.3)], axis=1)
    found = excerpt_retrieval.z_scored(widened)
    assert not found[:, 5].any()
    np.testing.assert_allclose(found[:, :5], excerpt_retrieval.z_scored(vectors))
