"""The search equals a brute force in float64 that shares no code with it."""

from collections.abc import Callable

import numpy as np
import pytest

from jaxsim.library import query
from jaxsim.library.store import Store
from tests.jaxsim.library.conftest import DIMENSIONS

MakeStore = Callable[..., Store]


def random_vectors(count: int, seed: int = 0) -> np.ndarray:
    """Sub-spaces of different spread around different directions."""
    random = np.random.default_rng(seed)
    centre = random.normal(size=(1, 3, 4)) * np.array([0.0, 1.0, 3.0])[:, None]
    return (centre + random.normal(size=(count, 3, 4))).reshape(count, 12)


def brute_force(store: Store, seeds, weights) -> list[tuple[float, str, int]]:
    """Score, id and row of every track, in the order of the search: loops over float64."""
    vectors = np.array(store.vectors, np.float64)
    result = []
    for row in store.rows:
        score = 0.0
        for number, weight in enumerate(weights):
            part = slice(4 * number, 4 * number + 4)
            cosines = []
            for seed in seeds:
                q = vectors[seed] if np.ndim(seed) == 0 else np.asarray(seed, np.float64)
                q = q[part] if np.ndim(seed) == 0 else q[part] / np.sqrt((q[part] ** 2).sum())
                cosines.append(float(q @ vectors[row, part]))
            z = (np.mean(cosines) - store.mean[number]) / store.deviation[number]
            score += weight * z
        result.append((score, store.ids[row], int(row)))
    return sorted(result, key=lambda hit: (-hit[0], hit[1]))


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
def test_search_equals_brute_force(
    make_store: MakeStore, weights: tuple[float, ...], number_of_seeds: int
) -> None:
    store = make_store(random_vectors(3000))
    for first in (0, 1234):
        seeds = [first, 77][:number_of_seeds]
        expected = [hit for hit in brute_force(store, seeds, weights) if hit[2] not in seeds]
        hits = query.search(store, seeds, weights, top=25)
        assert [hit.row for hit in hits] == [row for *_, row in expected[:25]]
        np.testing.assert_allclose(
            [hit.score for hit in hits], [score for score, *_ in expected[:25]], atol=1e-12
        )
