"""Maps: near is alike; computed once; for any number of tracks."""

import sys
from collections.abc import Callable

import numpy as np
import pytest
import sklearn.decomposition

from jaxsim.library.search import projection
from jaxsim.library.store import Store
from tests.helpers.libraries import random_vectors

MakeStore = Callable[..., Store]


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the extra `map`."""
    monkeypatch.setitem(sys.modules, "sklearn", None)


def groups(count: int) -> np.ndarray:
    """Vectors [count, 12] in two groups in the second sub-space, in none in the others."""
    vectors = random_vectors(count)
    vectors[:, 4:8] *= 0.1
    vectors[:, 4] += np.where(np.arange(count) % 2, 5.0, -5.0)
    return vectors


@pytest.mark.parametrize("way", ["t-SNE", "large", "light"])
def test_groups_are_apart_in_their_space(
    make_store: MakeStore,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    way: str,
) -> None:
    if way == "large":
        monkeypatch.setattr(projection, "MAX_TSNE", 10)
    if way == "light":
        request.getfixturevalue("light")
    monkeypatch.setattr(projection, "BLOCK", 16)
    store = make_store(groups(60))
    points = projection.load(store, "tempo")
    assert points.shape == (60, 2) and points.dtype == np.float32
    assert points.min() >= 0 and points.max() <= 1
    assert np.ptp(points, axis=0).max() == pytest.approx(1)
    odd, even = points[1::2], points[::2]
    apart = np.linalg.norm(odd.mean(axis=0) - even.mean(axis=0))
    assert apart > 2 * max(odd.std(axis=0).max(), even.std(axis=0).max())
    other = projection.load(store, "genre")
    assert np.linalg.norm(other[1::2].mean(axis=0) - other[::2].mean(axis=0)) < apart / 2


def test_principal_components_are_scikit_learns(make_store: MakeStore, light: None) -> None:
    store = make_store(groups(60) * np.linspace(1, 3, 12))
    points = projection.load(store, "tempo")
    vectors = np.asarray(store.vectors[store.rows], np.float64)[:, store.subspaces["tempo"]]
    expected = sklearn.decomposition.PCA(2).fit_transform(vectors)
    scale = np.ptp(expected, axis=0).max()
    for axis in range(2):  # either way round, and on a scale of their own
        found, wanted = points[:, axis] - points[:, axis].mean(), expected[:, axis] / scale
        np.testing.assert_allclose(found * np.sign(found @ wanted), wanted, atol=1e-5)


def test_a_map_is_laid_out_anew_with_scikit_learn(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(groups(60))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "sklearn", None)
        projection.load(store)
        assert projection.is_there(store)
    assert not projection.is_there(store)


def test_a_map_is_computed_once(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(random_vectors(12))
    assert not projection.is_there(store)
    points = projection.load(store)
    assert projection.is_there(store) and not projection.is_there(store, "key")
    monkeypatch.setattr(projection, "compute", None)
    np.testing.assert_array_equal(projection.load(store), points)


@pytest.mark.parametrize("damage", ["other tracks", "cut", "text"])
def test_a_map_of_something_else_is_computed_again(make_store: MakeStore, damage: str) -> None:
    store = make_store(random_vectors(12))
    expected = projection.load(store)
    file = store.path / "map-all.npz"
    if damage == "other tracks":
        store.rows = np.concatenate([store.rows[6:], store.rows[:6]])
        found = projection.load(store)
        assert not np.array_equal(found, expected)
        np.testing.assert_array_equal(found, projection.compute(store))
        return
    file.write_bytes(file.read_bytes()[:200] if damage == "cut" else b"text")
    np.testing.assert_array_equal(projection.load(store), expected)
    assert projection.is_there(store)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_few_tracks_have_a_map(make_store: MakeStore, count: int) -> None:
    points = projection.load(make_store(random_vectors(count)))
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()


@pytest.mark.parametrize("different", [0, 1, 2, 10])
def test_equal_tracks_have_a_map(make_store: MakeStore, different: int) -> None:
    vectors = np.ones((50, 12))
    vectors[:different] = random_vectors(different)
    points = projection.load(make_store(vectors))
    assert points.shape == (50, 2)
    assert np.isfinite(points).all()


def test_an_unknown_space_is_refused(make_store: MakeStore) -> None:
    with pytest.raises(ValueError, match="'colour' is not a space of this library, expected one"):
        projection.load(make_store(random_vectors(3)), "colour")
