"""The search equals a brute force in float64 that shares no code with it."""

import functools
import operator
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from jaxsim.evaluation import excerpt_retrieval
from jaxsim.library.search import query, scanning
from jaxsim.library.store import Store
from jaxsim.network import subspaces
from tests.helpers.libraries import random_vectors

MakeStore = Callable[..., Store]


def brute_force(store: Store, seeds: Sequence, weights: Sequence[float]) -> list[tuple]:
    """Minus score, id and row of every track, in the order of the search: loops over float64."""
    vectors = np.array(store.vectors, np.float64)
    result = []
    for row in store.rows:
        score = 0.0
        for number, weight in enumerate(weights):
            part = slice(4 * number, 4 * number + 4)
            cosines = []
            for seed in seeds:
                if isinstance(seed, int):
                    q = vectors[seed, part]
                else:
                    q = seed[part] / np.sqrt((seed[part] ** 2).sum())
                cosines.append(float(q @ vectors[row, part]))
            likeness = (np.mean(cosines) - store.mean[number]) / store.deviation[number]
            score += weight * likeness
        result.append((-score, store.ids[row], int(row)))
    return sorted(result)


WEIGHTS = [
    (1, 1, 1),
    (0.3, 2.0, 0.7),
    (1, -2, 0.5),
    (-1, -1, -1),
    (0, 0, 1),
    (1, 0, 0),
    (0, -1, 0),
    (1e-3, 50, 0),
]


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@pytest.mark.parametrize("number_of_seeds", [1, 2])
@pytest.mark.parametrize("coarse", [False, True])
def test_search_equals_brute_force(
    make_store: MakeStore, weights: tuple[float, ...], number_of_seeds: int, coarse: bool
) -> None:
    store = make_store(random_vectors(1500))
    if coarse:
        store.warm()
    seeds = [1234, 77][:number_of_seeds]
    expected = [hit for hit in brute_force(store, seeds, weights) if hit[2] not in seeds][:25]
    hits = query.search(store, seeds, weights, top=25)
    assert [hit.row for hit in hits] == [row for *_, row in expected]
    found = [hit.score for hit in hits]
    np.testing.assert_allclose(found, [-score for score, *_ in expected], atol=1e-12)


def test_an_embedding_is_a_seed_of_any_length(make_store: MakeStore) -> None:
    store = make_store(random_vectors(300))
    seed = np.random.default_rng(5).normal(size=12) * np.repeat([0.1, 1, 30], 4)
    expected = brute_force(store, [seed, 7], (1, 2, 3))[:10]
    hits = query.search(store, [seed, 7], (1, 2, 3), top=10, include_seeds=True)
    assert [hit.row for hit in hits] == [row for *_, row in expected]


def test_the_scan_reads_float16_as_it_is() -> None:
    """All finite float16, zeros of both signs and subnormal ones among them."""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    vectors = every[np.isfinite(every)].reshape(-1, 8)
    random = np.random.default_rng(0)
    for scale in (1e-6, 1, 1e5):
        vector = scale * random.normal(size=8)
        found = scanning.scan(vectors, vector)
        rounded = scanning.rounded(vector)
        exact = vectors.astype(np.float64) @ rounded
        bound = 16 * 2.0**-24 * (np.abs(vectors.astype(np.float64)) @ np.abs(vector))
        assert (np.abs(found - exact) <= bound + 1e-30).all()
        lost = np.abs(rounded - vector)
        assert (lost <= 2.0**-11 * np.abs(vector) + 2.0**-39 * np.abs(vector).max()).all()


def test_contributions_add_up_exactly_and_are_what_they_say(make_store: MakeStore) -> None:
    store = make_store(random_vectors(500))
    weights = {"genre": 0.1, "tempo": -0.7, "key": 1.3}
    hits = query.search(store, [3, 4], weights, top=50)
    for hit in hits:
        assert functools.reduce(operator.add, hit.contributions.tolist()) == hit.score
    rows = [hit.row for hit in hits]
    expected = query.likenesses(store, [3, 4], rows) * [0.1, -0.7, 1.3]
    np.testing.assert_allclose([hit.contributions for hit in hits], expected, atol=1e-12)


@pytest.mark.parametrize("weights", [(0.1, -0.7, 1.3), (0, 2, 0), (0, 0, 0)], ids=str)
def test_likeness_is_exact_whatever_the_weights(
    make_store: MakeStore, weights: tuple[float, ...]
) -> None:
    store = make_store(random_vectors(100))
    hits = query.search(store, [3, 4], weights, top=20)
    rows = [hit.row for hit in hits]
    expected = query.likenesses(store, [3, 4], rows)
    np.testing.assert_array_equal([hit.likeness for hit in hits], expected)
    assert np.ptp(expected, axis=0).min() > 0.1, "each dimension must tell them apart"
    scored = query.score_tracks(store, [3, 4], weights, rows[::-1])[::-1]
    for one, other in zip(scored, hits, strict=True):
        assert (one.row, one.score) == (other.row, other.score)
        np.testing.assert_array_equal(one.contributions, other.contributions)
        np.testing.assert_array_equal(one.likeness, other.likeness)


def test_two_seeds_are_the_mean_of_their_scores(make_store: MakeStore) -> None:
    store = make_store(random_vectors(60))
    scores = [
        {h.row: h.score for h in query.search(store, s, (1, -1, 2), top=60, include_seeds=True)}
        for s in ([5], [9], [5, 9])
    ]
    for row in store.rows.tolist():
        assert scores[2][row] == pytest.approx((scores[0][row] + scores[1][row]) / 2, abs=1e-12)


def test_equal_weights_are_equal_influence(make_store: MakeStore) -> None:
    """Whatever the spread of a dimension, its likenesses of random pairs have deviation 1."""
    store = make_store(random_vectors(400))
    assert store.deviation.max() > 3 * store.deviation.min(), "the spreads must differ"
    likeness = np.concatenate(
        [query.likenesses(store, [row], np.delete(store.rows, row)) for row in range(400)]
    )
    np.testing.assert_allclose(likeness.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(likeness.std(axis=0), 1, atol=0.05)


@pytest.mark.parametrize("noise", [0, 1e-4])
def test_a_dimension_that_is_constant_says_nothing(make_store: MakeStore, noise: float) -> None:
    vectors = random_vectors(50)
    vectors[:, 8:] = [1, 2, 3, 4] + noise * vectors[:, 8:]
    store = make_store(vectors)
    hits = query.search(store, [0], (1, 0, 100), top=50)
    assert len(hits) == 49
    for hit in hits:
        assert hit.contributions[2] == 0 and abs(hit.score) < 100


def test_ties_are_ordered_by_id(make_store: MakeStore) -> None:
    vectors = np.repeat(random_vectors(3), 40, axis=0)
    order = np.random.default_rng(0).permutation(120)
    names = [f"{place:03d}" for place in order]
    store = make_store(vectors, [{"id": name} for name in names])
    for weights in ((1, 1, 1), (0, 0, 0), (-1, 0, 0)):
        hits = query.search(store, [0], weights, top=30)
        keys = [(-hit.score, store.ids[hit.row]) for hit in hits]
        assert keys == sorted(keys)
        best = [hit for hit in brute_force(store, [0], weights) if hit[2] != 0][:30]
        assert [hit.row for hit in hits] == [row for *_, row in best]


def test_ties_survive_the_rounding_of_the_scan(make_store: MakeStore) -> None:
    """Equal in float64, whatever the order of summation; in float32 not all are."""
    random = np.random.default_rng(0)
    parts = np.tile(random.uniform(0.1, 1, (3, 4)), (1000, 1, 1))
    store = make_store(random.permuted(parts, axis=2).reshape(1000, 12))
    store.deviation = np.array([0.3, 0.7, 1.1])
    seed, weights = np.ones(12), (0.3, 0.7, 1.9)
    w = query.weight_vector(store, weights)
    vector = query.vector(store, query.seed_vector(store, [seed]), w)
    assert len(set(scanning.scan(store.vectors, vector).tolist())) > 1
    hits = query.search(store, [seed], weights, top=50)
    assert len({hit.score for hit in hits}) == 1
    assert [store.ids[hit.row] for hit in hits] == [f"{i:04d}" for i in range(50)]


def test_filters_and_caps_never_shorten(make_store: MakeStore) -> None:
    """One artist owns the best 190 tracks of 200; the others are few and far."""
    vectors = np.tile(np.eye(3, 12, 0)[:1] + np.eye(3, 12, 4)[:1] + np.eye(3, 12, 8)[:1], (200, 1))
    random = np.random.default_rng(0)
    vectors[:190] += 0.01 * random.normal(size=(190, 12))
    vectors[190:] = random.normal(size=(10, 12))
    metadata = [{"artist": "BJÖRK" if i % 2 else "bjork"} for i in range(190)]
    metadata += [{"artist": f"artist {i // 2}", "tempo": 100.0 + i} for i in range(9)] + [{}]
    store = make_store(vectors, metadata)
    hits = query.search(store, [0], top=8, max_per_artist=2)
    artists = [track["artist"] for track in store.metadata([hit.row for hit in hits])]
    assert len(hits) == 8 and sum(str(a).lower().startswith("bj") for a in artists) == 2
    assert len(query.search(store, [0], top=50, max_per_artist=1)) == 1 + 5 + 1
    assert len(query.search(store, [0], top=5, where="tempo>=104")) == 5
    assert len(query.search(store, [0], top=50, where="tempo>=104")) == 5
    excluded = query.search(store, [0], top=200, exclude=range(1, 150))
    assert {hit.row for hit in excluded} == set(range(150, 200))


def test_unknown_artists_are_not_capped(make_store: MakeStore) -> None:
    store = make_store(random_vectors(20), [{"artist": ""}] * 10 + [{}] * 10)
    assert len(query.search(store, [0], top=19, max_per_artist=1)) == 19


def limited(ranked: list[int], limits: list[tuple[int, dict[int, str]]]) -> list[int]:
    """Goes down the ranking and takes what no limit forbids."""
    taken: list[int] = []
    for row in ranked:
        counts = [
            sum(of.get(other) == of[row] for other in taken) if row in of else -1
            for _, of in limits
        ]
        if all(count < limit for count, (limit, _) in zip(counts, limits, strict=True)):
            taken.append(row)
    return taken


@pytest.mark.parametrize(("per_artist", "per_album"), [(2, None), (None, 1), (None, 2), (3, 1)])
def test_limits_per_artist_and_album(
    make_store: MakeStore, per_artist: int | None, per_album: int | None
) -> None:
    random = np.random.default_rng(3)
    artist, album = random.integers(4, size=60), random.integers(3, size=60)
    guests = ("", " feat. Guest", "; Other", " (with Guest)")
    metadata = [
        {"artist": f"A{a}{guests[i % 4]}", "album": f"Album {b}"} if i % 7 else {}
        for i, (a, b) in enumerate(zip(artist, album, strict=True))
    ]
    store = make_store(random_vectors(60), metadata)
    artists = {i: f"{artist[i]}" for i in range(60) if i % 7}
    albums = {i: f"{artist[i]} {album[i]}" for i in artists}
    ranked = [hit.row for hit in query.search(store, [0], top=59)]
    limits = [(n, of) for n, of in ((per_artist, artists), (per_album, albums)) if n is not None]
    expected = limited(ranked, limits)
    assert 10 < len(expected) < 59
    for top in (1, 5, 59):
        hits = query.search(store, [0], top=top, max_per_artist=per_artist, max_per_album=per_album)
        assert [hit.row for hit in hits] == expected[:top]


@pytest.mark.parametrize(
    ("seeds", "options", "message"),
    [
        ([], {}, "no seed"),
        ([50], {}, "row 50 does not belong"),
        ([-1], {}, "row -1 does not belong"),
        ([np.zeros(6)], {}, r"shape \(6,\), expected 12"),
        ([np.full(12, np.nan)], {}, "expected 12 finite"),
        ([0], {"weights": {"mood": 1}}, "'mood' is not a dimension"),
        ([0], {"weights": (1, 2)}, "expected 3 numbers"),
        ([0], {"weights": (1, 2, np.inf)}, "key is inf"),
        ([0], {"weights": (1, np.nan, 2)}, "tempo is nan"),
        ([0], {"top": 0}, "top is 0"),
        ([0], {"max_per_artist": 0}, "max_per_artist is 0"),
        ([0], {"max_per_album": 0}, "max_per_album is 0"),
        ([0], {"where": "colour='red'"}, "where: "),
    ],
)
def test_refuses(make_store: MakeStore, seeds: list, options: dict, message: str) -> None:
    store = make_store(random_vectors(20))
    with pytest.raises(ValueError, match=message):
        query.search(store, seeds, **options)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_small_libraries(make_store: MakeStore, count: int) -> None:
    store = make_store(random_vectors(count))
    assert len(query.search(store, [0], top=5)) == count - 1
    assert np.isfinite(query.likenesses(store, [0], store.rows)).all()


def test_evaluation_ranks_as_the_search_does(make_store: MakeStore) -> None:
    """With equal weights, up to what float16 cannot tell apart; a plain cosine does not."""
    vectors = random_vectors(150)
    store = make_store(vectors)
    points = excerpt_retrieval.search_points(vectors.reshape(150, 3, 4))
    whole = subspaces.normalised(vectors, 3)
    for seed in range(5):
        hits = query.search(store, [seed], top=149)
        scores, rows = np.array([hit.score for hit in hits]), [hit.row for hit in hits]
        near = points[rows] @ points[seed]
        slope, level = np.polyfit(near, scores, 1)
        assert slope > 0
        np.testing.assert_allclose(slope * near + level, scores, atol=2e-3 * np.ptp(scores))
        assert np.corrcoef(whole[rows] @ whole[seed], scores)[0, 1] < 0.99
