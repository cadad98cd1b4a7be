"""How many tracks a hit is closer than, against loops over every track in float64."""

from collections.abc import Callable

import numpy as np
import pytest

from jaxsim.library.search import query, shares
from jaxsim.library.store import Store, snapshot
from tests.helpers.libraries import random_vectors

MakeStore = Callable[..., Store]
ONE = 1.01 / 600  # of the tracks: two that are as good as equal may change places by rounding
WEIGHTS = [(1, 1, 1), (0.3, 2.0, -0.7), (0, 0, 1), (1, 0, 0)]


def cosines_of(store: Store, seeds: list[int]) -> np.ndarray:
    """Mean cosines of every track with the seeds, by dimension."""
    vectors = np.array(store.vectors, np.float64).reshape(-1, 3, 4)
    result = np.zeros((len(store), 3))
    for i, row in enumerate(store.rows):
        for number in range(3):
            found = [vectors[seed, number] @ vectors[row, number] for seed in seeds]
            result[i, number] = np.mean(found)
    return result


def share_below(values: np.ndarray, value: float) -> float:
    smaller = 0
    for each in values:
        smaller += bool(each < value - 1e-9)
    return smaller / len(values)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_shares_are_counted(make_store: MakeStore, weights: tuple[float, ...]) -> None:
    store = make_store(random_vectors(600))
    seeds = [77, 12]
    cosines = cosines_of(store, seeds)
    scores = cosines @ (np.array(weights) / store.deviation)
    place = {int(row): i for i, row in enumerate(store.rows)}
    for hit in query.search(store, seeds, weights, top=40):
        own = place[hit.row]
        # Two scores that the scan's rounding exchanges would be off by one track.
        assert hit.closer_than == pytest.approx(share_below(scores, scores[own]), abs=1.01 / 600)
        for number in range(3):
            expected = share_below(cosines[:, number], cosines[own, number])
            assert hit.closer_in[number] == pytest.approx(expected, abs=ONE)


def test_conditions_and_limits_do_not_change_them(make_store: MakeStore) -> None:
    """A share is of the library, not of what is left of it."""
    tracks = [{"title": f"Song {i}", "artist": f"A {i % 7}"} for i in range(300)]
    store = make_store(random_vectors(300), tracks)
    every = {hit.row: hit for hit in query.search(store, [5], top=299)}
    for options in ({"where": "artist='A 3'"}, {"max_per_artist": 1}, {"exclude": range(100)}):
        for hit in query.search(store, [5], top=30, **options):
            assert hit.closer_than == every[hit.row].closer_than
            assert (hit.closer_in == every[hit.row].closer_in).all()
    last = every[list(every)[-1]]
    assert last.closer_than == 0 and max(hit.closer_than for hit in every.values()) < 1


def test_nothing_is_closer_than_all(make_store: MakeStore) -> None:
    """Not even the query itself, nor one of many that are equal."""
    vectors = random_vectors(50)
    vectors[10:20] = vectors[10]
    store = make_store(vectors)
    (itself, *_) = query.search(store, [10], top=1, include_seeds=True)
    assert itself.closer_than == 40 / 50
    assert itself.closer_in.tolist() == 3 * [40 / 50]
    (scored,) = query.score_tracks(store, [10], None, [10])
    assert (scored.closer_than, scored.closer_in.tolist()) == (40 / 50, 3 * [40 / 50])


def test_rows_of_no_track_do_not_count(make_store: MakeStore) -> None:
    """Tracks 40 to 49 are like the query, until their files change and they are no longer."""
    vectors = random_vectors(50)
    vectors[40:] = vectors[10]
    before = make_store(vectors)
    assert query.search(before, [10], top=50)[15].closer_than < 35 / 50
    vectors[40:] = random_vectors(10, seed=5)
    after = make_store(vectors)
    assert len(after.ids) > len(after) == 50
    seed = after.row_of("0010")
    scores = cosines_of(after, [seed]) @ (1 / after.deviation)
    for hit, expected in zip(query.search(after, [seed], top=9), range(48, 39, -1), strict=True):
        assert hit.closer_than == expected / 50
        assert sum(scores < scores[list(after.rows).index(hit.row)] - 1e-9) == expected


def test_a_dimension_in_which_all_are_alike_says_nothing(make_store: MakeStore) -> None:
    vectors = random_vectors(60)
    vectors[:, 8:] = vectors[0, 8:] + 1e-5 * random_vectors(60, seed=1)[:, 8:]
    store = make_store(vectors)
    for hit in query.search(store, [3], top=10):
        assert hit.closer_in[2] == 0 < hit.closer_in[:2].max()


def test_a_sample_stands_for_a_large_library(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(random_vectors(3000))
    exact = query.score_tracks(store, [9], (1, 2, -1), range(3000))
    assert store.sample.shape == (3, snapshot.SAMPLE, 4)
    cosines = cosines_of(store, [9])
    shares_of = np.argsort(np.argsort(cosines, axis=0), axis=0) / 3000
    errors = np.array([hit.closer_in for hit in exact]) - shares_of
    # Standard error sqrt(p (1 - p) / 1000) of a random sample, less for a third of the library.
    assert 0.001 < np.abs(errors).mean() < 0.016
    assert max(hit.closer_in.max() for hit in exact) < 1
    assert max(hit.closer_than for hit in exact) < 1
    counted = {hit.row: hit for hit in query.search(store, [9], (1, 2, -1), top=2999)}
    differences = [hit.closer_than - counted[hit.row].closer_than for hit in exact if hit.row != 9]
    assert 0.001 < np.abs(differences).mean() < 0.016


@pytest.mark.parametrize(("share", "expected"), [(0.29, 29), (0.9999, 99), (0, 0), (0.5, 50)])
def test_percents_are_rounded_down(share: float, expected: int) -> None:
    assert shares.percent(share) == expected
