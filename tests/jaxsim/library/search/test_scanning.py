"""The first pass in eight bits: how far it can be off, and when it is not good enough."""

from collections.abc import Callable

import numpy as np
import pytest

from jaxsim.library.search import query, scanning
from jaxsim.library.search.steps import Stepwise
from jaxsim.library.store import Store, coarse
from jaxsim.network import subspaces
from tests.helpers.libraries import random_vectors

SIZE, DIMENSIONS = 48, 3


def matrix(kind: str, rows: int = 5000) -> np.ndarray:
    """float16 [rows, 48] with three sub-spaces at length 1, or 0."""
    random = np.random.default_rng(3)
    vectors = random.normal(size=(rows, SIZE))
    if kind == "spiked":  # one number of a sub-space is nearly all of it
        vectors[:, ::16] *= 1000
    if kind == "alike":
        vectors = vectors[:1] + 0.01 * vectors
    if kind == "zeros":
        vectors[::3, :16] = 0
    if kind == "nothing":
        vectors *= 0
    return subspaces.normalised(vectors, DIMENSIONS).astype(np.float16)


def true_products(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return np.array([float(row @ vector) for row in vectors.astype(np.float64)])


@pytest.mark.parametrize("kind", ["random", "spiked", "alike", "zeros", "nothing"])
def test_no_product_is_farther_off_than_it_says(kind: str) -> None:
    vectors = matrix(kind)
    numbers = coarse.of(vectors, DIMENSIONS)
    assert numbers.errors.max() < 0.02
    random = np.random.default_rng(0)
    queries = [scale * random.normal(size=SIZE) for scale in (1e-30, 1e-3, 1.0, 1e6)]
    queries += [np.zeros(SIZE), np.eye(SIZE)[5], np.repeat([1.0, 1e-9, -3.0], 16)]
    queries += [vectors[0].astype(np.float64)]
    closest = 1.0
    for vector in queries:
        found, bound = scanning.scan_coarse(numbers, vector)
        off = np.abs(found - true_products(vectors, vector)).max()
        assert off <= bound
        assert bound <= 0.05 * np.abs(vector).sum() + 1e-30, "a useful bound"
        closest = min(closest, 1 - off / bound)
    assert kind == "nothing" or closest < 0.9, "it is not far from what happens"


def test_rows_are_as_far_off_as_the_errors_say() -> None:
    vectors = matrix("random")
    whole, step, errors = coarse.of(vectors, DIMENSIONS)
    numbers = whole.products(np.eye(SIZE, dtype=np.int8)).T
    rest = vectors.astype(np.float64) - step * numbers
    lengths = np.sqrt((rest.reshape(len(rest), DIMENSIONS, -1) ** 2).sum(axis=2)).max(axis=0)
    assert (lengths <= errors).all() and (errors < 1.01 * lengths).all()


def test_it_is_used_unless_it_is_too_coarse(
    make_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("scan", "scan_coarse"):
        real = getattr(query, name).steps
        steps = lambda *a, name=name, real=real: calls.append(name) or real(*a)  # noqa: E731
        monkeypatch.setattr(query, name, Stepwise(steps))
    spread = make_store(random_vectors(4000))
    expected = [hit.row for hit in query.search(spread, [5], top=5)]
    assert calls == ["scan"], "before it is warm"
    spread.warm()
    calls.clear()
    assert [hit.row for hit in query.search(spread, [5], top=5)] == expected
    assert calls == ["scan_coarse"]


def test_what_eight_bits_cannot_tell_apart_is_told_apart(
    make_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    vectors = random_vectors(1)[0] + 2e-3 * random.normal(size=(3000, 12))
    store = make_store(vectors)
    expected = [hit.row for hit in query.search(store, [5], top=5)]
    store.warm()
    again: list[int] = []
    real = query.scan.steps
    monkeypatch.setattr(query, "scan", Stepwise(lambda *a: again.append(1) or real(*a)))
    assert [hit.row for hit in query.search(store, [5], top=5)] == expected
    assert again
