"""Semi-hard mining from given distances: equal to a triple loop, and exact at the band's edges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.objective import mining

WIDTH = 0.125  # a binary fraction, as are all distances here: ties and edges are exact


def pairs(classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Similar and dissimilar pairs of examples with the given classes; -1 = unlabelled."""
    labelled = (classes >= 0)[:, None] & (classes >= 0)
    same = classes[:, None] == classes
    return same & labelled & ~np.eye(len(classes), dtype=bool), ~same & labelled


def find_bands(distances, similar, dissimilar) -> mining.Bands:
    return jax.jit(functools.partial(mining.semi_hard_bands, width=WIDTH))(
        jnp.asarray(distances), jnp.asarray(similar), jnp.asarray(dissimilar)
    )


def band(distances, similar, dissimilar, a: int, p: int) -> list[int]:
    """The negatives of an (anchor, positive) pair, nearest first; equally near ones by number."""
    if not similar[a, p]:
        return []
    inside = [
        n
        for n in range(distances.shape[1])
        if dissimilar[a, n] and distances[a, p] < distances[a, n] <= distances[a, p] + WIDTH
    ]
    return sorted(inside, key=lambda n: (distances[a, n], n))


CASES = {
    "several classes": np.array([0, 1, 2, 0, 1, -1, 2, 0, 1, 0, -1, 2, 2, 1]),
    "no positive": np.arange(9),
    "one class": np.zeros(9, int),
    "unlabelled": np.full(9, -1),
    "one labelled": np.array([-1, 0, -1]),
    "batch of one": np.array([0]),
}


@pytest.mark.parametrize("platform", ["cpu", "default"])
@pytest.mark.parametrize("case", CASES)
def test_every_band_and_pick_equals_a_triple_loop(
    case: str, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        mining.lax, "platform_dependent", lambda *arguments, **forms: forms[platform](*arguments)
    )
    classes = CASES[case]
    random = np.random.default_rng(3)
    size = len(classes)
    distances = (random.integers(0, 12, (size, size)) / 32).astype(np.float32)  # many ties
    numbers = random.random((size, size), np.float32)
    numbers[0] = np.float32(1) - np.finfo(np.float32).epsneg  # the largest below 1
    similar, dissimilar = pairs(classes)
    bands = find_bands(distances, similar, dissimilar)
    nearest = np.asarray(mining.nearest(bands))
    uniform = np.asarray(mining.uniform(bands, jnp.asarray(numbers)))
    order, lower, upper = map(np.asarray, bands)
    found_any = False
    for a in range(size):
        for p in range(size):
            expected = band(distances, similar, dissimilar, a, p)
            found_any |= bool(expected)
            assert order[a, lower[a, p] : upper[a, p]].tolist() == expected
            assert 0 <= nearest[a, p] < size
            assert 0 <= uniform[a, p] < size
            if expected:
                assert nearest[a, p] == expected[0]
                assert uniform[a, p] == expected[int(numbers[a, p] * len(expected))]
    assert found_any == (case == "several classes")


@pytest.mark.parametrize(
    ("negative", "inside"),
    [
        (0.5, False),  # equal to the positive's: not farther
        (np.nextafter(np.float32(0.5), np.float32(1)), True),
        (0.5 + WIDTH, True),  # exactly at the far edge
        (np.nextafter(np.float32(0.5 + WIDTH), np.float32(1)), False),
        (0.25, False),
    ],
)
def test_edges_of_the_band(negative: float, inside: bool) -> None:
    distances = np.float32([[0, 0.5, negative]])
    similar, dissimilar = np.array([[False, True, False]]), np.array([[False, False, True]])
    bands = find_bands(distances, similar, dissimilar)
    assert int(bands.upper[0, 1] - bands.lower[0, 1]) == int(inside)


def test_all_negatives_of_an_anchor_belong_to_each_of_its_positives() -> None:
    similar, dissimilar = pairs(CASES["several classes"])
    order, lower, upper = map(np.asarray, jax.jit(mining.all_negatives)(similar, dissimilar))
    for a, p in np.ndindex(similar.shape):
        expected = np.flatnonzero(dissimilar[a]).tolist() if similar[a, p] else []
        assert order[a, lower[a, p] : upper[a, p]].tolist() == expected


def test_no_gradient_flows_through_the_choice() -> None:
    random = np.random.default_rng(0)
    distances = random.random((6, 6), np.float32)
    similar, dissimilar = pairs(np.array([0, 0, 1, 1, 0, 1]))

    def bounds(distances):
        bands = find_bands(distances, similar, dissimilar)
        return (bands.lower + bands.upper).astype(jnp.float32).sum()

    assert not np.asarray(jax.grad(bounds)(distances)).any()
