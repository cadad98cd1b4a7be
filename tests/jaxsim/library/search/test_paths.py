"""Playlists: the best one, by trying all; schedules; where the dimensions are on the way."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from jaxsim.library.search import paths
from jaxsim.library.store import Store
from tests.helpers.libraries import random_vectors

MakeStore = Callable[..., Store]


def arc(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """The unit vector at a share of the angle from a to b: Gram-Schmidt, then a rotation."""
    a, b = a / np.sqrt(a @ a), b / np.sqrt(b @ b)
    across = b - (b @ a) * a
    across /= np.sqrt(across @ across)
    angle = share * np.arccos(a @ b)
    return np.cos(angle) * a + np.sin(angle) * across


@pytest.mark.parametrize("weights", [(1, 1, 1), (0.2, 3, 0.5), (0, 1, 0)])
def test_the_playlist_is_the_best_of_all(make_store: MakeStore, weights: tuple) -> None:
    store = make_store(random_vectors(8, seed=3))
    schedule = {"tempo": (0.0, 0.5), "key": (0.5, 1.0)}
    steps = paths.find(store, 2, 6, length=5, weights=weights, schedule=schedule)
    vectors = np.array(store.vectors, np.float64).reshape(8, 3, 4)
    ways = [(0.25, 0.5, 0.0), (0.5, 1.0, 0.0), (0.75, 1.0, 0.5)]

    def score(step: int, row: int) -> float:
        total = 0.0
        for i, weight in enumerate(weights):
            aim = arc(vectors[2, i], vectors[6, i], ways[step][i])
            total += weight * (aim @ vectors[row, i] - store.mean[i]) / store.deviation[i]
        return total

    others = [row for row in range(8) if row not in (2, 6)]
    best = max(
        sum(score(step, row) for step, row in enumerate(rows))
        for rows in itertools.permutations(others, 3)
    )
    assert [steps[0].row, steps[-1].row] == [2, 6]
    assert len({step.row for step in steps}) == 5
    found = sum(step.score for step in steps[1:-1])
    assert found == pytest.approx(best, abs=5e-3)  # lengths are 1 to float16
    for number, step in enumerate(steps[1:-1]):
        assert step.score == pytest.approx(score(number, step.row), abs=5e-3)
        assert step.score == pytest.approx(step.contributions.sum(), abs=1e-12)


def test_schedules_say_how_far_each_dimension_has_gone(make_store: MakeStore) -> None:
    store = make_store(random_vectors(5))
    schedule = {"genre": (0.25, 0.75), "key": (0.5, 0.5)}
    found = paths.positions(store, schedule, np.linspace(0, 1, 5))
    expected = [[0, 0, 0], [0, 0.25, 0], [0.5, 0.5, 1], [1, 0.75, 1], [1, 1, 1]]
    np.testing.assert_allclose(found, expected)


def test_a_dimension_that_stays_still_arrives(make_store: MakeStore) -> None:
    store = make_store(random_vectors(5))
    schedule = {"genre": (1.0, 1.0), "key": (0.0, 0.0)}
    found = paths.positions(store, schedule, np.linspace(0, 1, 4))
    assert found[:, 0].tolist() == [0, 0, 0, 1]
    assert found[:, 2].tolist() == [0, 1, 1, 1]


def test_on_a_circle_the_playlist_walks_along_it(make_store: MakeStore) -> None:
    """Tracks at equal angles from one song to the other: all are passed, in their order."""
    angles = np.linspace(0, np.pi / 2, 6)
    circle = np.stack([np.cos(angles), np.sin(angles), 0 * angles, 0 * angles], 1)
    store = make_store(np.concatenate([np.tile(circle, (1, 3)), random_vectors(60)]))
    steps = paths.find(store, 0, 5, length=6)
    assert [step.row for step in steps] == list(range(6))
    # cos(90° - x) - cos(x), from -1 to 1, as a share of the way
    expected = (np.sin(angles) - np.cos(angles) + 1) / 2
    for step, way in zip(steps, expected, strict=True):
        np.testing.assert_allclose(step.reached, way, atol=1e-3)
        np.testing.assert_allclose(step.targets, step.share)


def test_opposite_and_equal_sub_spaces_have_a_way(make_store: MakeStore) -> None:
    vectors = random_vectors(30)
    vectors[1] = vectors[0] * np.repeat([-1.0, 1.0, 1.0], 4)
    vectors[1, 8:] = np.random.default_rng(2).normal(size=4)
    store = make_store(vectors)
    steps = paths.find(store, 0, 1, length=6)
    assert len(steps) == 6
    for step in steps:
        assert np.isfinite(step.score)
        assert np.isnan(step.reached).tolist() == [False, True, False]


def test_conditions_choose_the_tracks_between(make_store: MakeStore) -> None:
    tempi = [{"tempo": 60.0 + i} for i in range(20)]
    store = make_store(random_vectors(20), tempi)
    steps = paths.find(store, 0, 1, length=5, where="tempo>70")
    assert [step.row for step in steps][::4] == [0, 1]
    assert all(step.row > 10 for step in steps[1:-1])
    with pytest.raises(ValueError, match="length is 12, expected at most 11: only 9 tracks"):
        paths.find(store, 0, 1, length=12, where="tempo>70")


def test_two_songs_are_a_playlist(make_store: MakeStore) -> None:
    store = make_store(random_vectors(2))
    assert [step.row for step in paths.find(store, 1, 0, length=2)] == [1, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 1}, "length is 1, expected 2 to 50"),
        ({"length": 51}, "length is 51, expected 2 to 50"),
        ({"end": 0}, "first and the last song are the same"),
        ({"end": 77}, "row 77 does not belong to a track"),
        ({"weights": {"genre": -1}}, "expected none below 0"),
        ({"weights": {}}, "expected none below 0 and at least one above"),
        ({"schedule": {"colour": (0, 1)}}, "'colour' is not a dimension"),
        ({"schedule": {"key": (0.6, 0.5)}}, r"key moves from 0\.6 to 0\.5"),
        ({"schedule": {"key": (0, float("nan"))}}, "key moves from 0 to nan"),
    ],
    ids=str,
)
def test_a_wrong_playlist_is_refused(make_store: MakeStore, options: dict, message: str) -> None:
    store = make_store(random_vectors(9))
    with pytest.raises(ValueError, match=message):
        paths.find(store, 0, options.pop("end", 1), **options)
