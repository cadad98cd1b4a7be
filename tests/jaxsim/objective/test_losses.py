"""The triplet loss against a triple loop in float64, and its gradient against explicit triplets."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsim.objective.losses import PICKS, Total, cosine_distances, triplet_loss, unit
from jaxsim.objective.relations import Relation

MARGIN = 0.15
BAND = 0.125
MASK = jnp.repeat(jnp.float32([0, 1]), 16)  # the second half of 32


def relation_of(classes: np.ndarray) -> Relation:
    """Same class = similar, another = dissimilar, -1 = unlabelled."""
    size = len(classes)
    similar, dissimilar = np.zeros((size, size), bool), np.zeros((size, size), bool)
    for a in range(size):
        for b in range(size):
            if a != b and classes[a] >= 0 and classes[b] >= 0:
                similar[a, b] = classes[a] == classes[b]
                dissimilar[a, b] = classes[a] != classes[b]
    return Relation(similar, dissimilar)


def distance(x: np.ndarray, y: np.ndarray) -> float:
    """Cosine distance in the second half, float64; a zero vector is at distance 1 of everything."""
    x, y = x[16:].astype(np.float64), y[16:].astype(np.float64)
    lengths = np.sqrt(x @ x) * np.sqrt(y @ y)
    return 1 - (x @ y) / lengths if lengths > 0 else 1.0


def triplets(embeddings, relation: Relation, random, pick: str) -> list[tuple[int, int, int]]:
    """All (anchor, positive, negative) that are picked, by a triple loop."""
    size = len(embeddings)
    result = []
    for a in range(size):
        to = [distance(embeddings[a], other) for other in embeddings]
        for p in range(size):
            inside = [
                n
                for n in range(size)
                if relation.similar[a, p]
                and relation.dissimilar[a, n]
                and (pick == "any" or to[p] < to[n] <= to[p] + BAND)
            ]
            if pick != "any":
                inside.sort(key=lambda n: to[n])
            if inside and pick == "nearest":
                inside = inside[:1]
            if inside and pick in ("uniform", "any"):
                inside = [inside[int(random[a, p] * len(inside))]]
            result += [(a, p, n) for n in inside]
    return result


def spread_out(size: int, seed: int) -> np.ndarray:
    """Embeddings at all distances from near to far."""
    random = np.random.default_rng(seed)
    common = random.normal(size=32)
    return (common + 0.7 * random.normal(size=(size, 32))).astype(np.float32)


def lattice(size: int, seed: int) -> np.ndarray:
    """Vectors of ±1/4: lengths and distances are binary fractions, so ties and edges are exact."""
    random = np.random.default_rng(seed)
    return (random.choice([-0.25, 0.25, 0.25], (size, 32))).astype(np.float32)


def case(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and classes."""
    random = np.random.default_rng(7)
    classes = random.integers(-1, 4, 24)
    embeddings = spread_out(24, seed=1)
    if name == "duplicates":
        return np.concatenate([lattice(12, seed=2)] * 2), classes
    if name == "no positive":
        return embeddings, np.arange(24)
    if name == "no negative in the band":
        sign = np.float32([1, -1])[classes % 2][:, None]
        return sign * np.abs(lattice(24, seed=3)), classes % 2
    if name == "unlabelled":
        return embeddings, np.full(24, -1)
    if name == "one class":
        return embeddings, np.zeros(24, int)
    if name == "batch of one":
        return embeddings[:1], np.zeros(1, int)
    if name == "all equal":
        return np.full((24, 32), 0.25, np.float32), classes
    if name == "zero vectors":
        embeddings[classes == 2] = 0
    if name == "huge":
        embeddings *= np.float32(1e15)
    if name == "small":
        embeddings *= np.float32(1e-4)
    return embeddings, classes


WITH_TRIPLETS = ("several classes", "duplicates", "zero vectors", "huge", "small")
ONLY_OUTSIDE_THE_BAND = ("no negative in the band", "all equal")
WITHOUT_TRIPLETS = (
    "no positive",
    *ONLY_OUTSIDE_THE_BAND,
    "unlabelled",
    "one class",
    "batch of one",
)


@jax.jit(static_argnames=("pick", "average"))
def value_and_gradient(embeddings, relation, random, *, pick: str, average: str = "mined"):
    options = dict(margin=MARGIN, band=BAND, pick=pick, average=average)

    def total(embeddings):
        loss, active = triplet_loss(embeddings, embeddings, MASK, relation, random, **options)
        return loss.sum, (loss, active)

    (_, totals), gradient = jax.value_and_grad(total, has_aux=True)(embeddings)
    return totals, gradient


@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize("name", WITH_TRIPLETS + WITHOUT_TRIPLETS)
def test_loss_equals_a_triple_loop(name: str, pick: str) -> None:
    embeddings, classes = case(name)
    relation = relation_of(classes)
    random = np.random.default_rng(5).random((len(classes), len(classes)), np.float32)
    mined = triplets(embeddings, relation, random, pick)
    hinges = [
        max(
            0.0,
            distance(embeddings[a], embeddings[p])
            - distance(embeddings[a], embeddings[n])
            + MARGIN,
        )
        for a, p, n in mined
    ]
    (loss, active), gradient = value_and_gradient(embeddings, relation, random, pick=pick)
    exists = name in WITH_TRIPLETS or (pick == "any" and name in ONLY_OUTSIDE_THE_BAND)
    assert bool(mined) == exists
    assert int(loss.weight) == len(mined)
    np.testing.assert_allclose(loss.sum, sum(hinges), rtol=1e-4)
    assert int(active.sum) == len({(a, p) for a, p, _ in mined})
    assert int(active.weight) == relation.similar.sum()
    assert np.isfinite(gradient).all()
    assert np.asarray(gradient).any() == (name in WITH_TRIPLETS)
    if not mined:
        assert float(loss.mean()) == 0


@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize("name", ["several classes", "duplicates"])
def test_gradient_equals_that_of_the_explicit_triplets(name: str, pick: str) -> None:
    embeddings, classes = case(name)
    relation = relation_of(classes)
    random = np.random.default_rng(6).random((24, 24), np.float32)
    a, p, n = np.array(triplets(embeddings, relation, random, pick)).T

    def naive(z):
        z = z[:, 16:]
        z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
        hinge = 1 - (z[a] * z[p]).sum(1) - (1 - (z[a] * z[n]).sum(1)) + MARGIN
        return jnp.sum(jnp.where(hinge > 0, hinge, 0))

    _, found = value_and_gradient(embeddings, relation, random, pick=pick)
    expected = np.asarray(jax.grad(naive)(embeddings))
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize("name", WITH_TRIPLETS + WITHOUT_TRIPLETS)
def test_possible_triplets_are_counted_without_their_distances(name: str, pick: str) -> None:
    embeddings, classes = case(name)
    relation = relation_of(classes)
    random = np.full((len(classes), len(classes)), 0.5, np.float32)
    (loss, _), _ = value_and_gradient(embeddings, relation, random, pick=pick, average="possible")
    (mined, _), _ = value_and_gradient(embeddings, relation, random, pick=pick)
    one_of_each_pair, size = pick != "all", range(len(classes))
    possible = {
        (a, p, -1 if one_of_each_pair else n)
        for a in size
        for p in size
        for n in size
        if relation.similar[a, p] and relation.dissimilar[a, n]
    }
    assert int(loss.weight) == len(possible)
    assert float(loss.sum) == float(mined.sum)


@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e30])
def test_extreme_magnitudes_stay_finite(scale: float, pick: str) -> None:
    embeddings, classes = case("several classes")
    embeddings[::2] *= np.float32(scale)  # beside ordinary ones
    random = np.full((24, 24), 0.5, np.float32)
    (loss, active), gradient = value_and_gradient(
        embeddings, relation_of(classes), random, pick=pick
    )
    assert np.isfinite([loss.sum, loss.weight, active.sum, active.weight]).all()
    assert np.isfinite(gradient).all()


def test_distances_are_cosine_distances_inside_the_mask() -> None:
    anchors, candidates = spread_out(5, seed=8), spread_out(9, seed=9)
    expected = [[distance(a, c) for c in candidates] for a in anchors]
    found = cosine_distances(jnp.asarray(anchors), jnp.asarray(candidates), MASK)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_unit_vectors_have_length_one_or_zero() -> None:
    vectors = spread_out(4, seed=1)
    vectors[2] = 0
    lengths = np.linalg.norm(np.asarray(unit(jnp.asarray(vectors), MASK)), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 0, 1], atol=1e-6)


@pytest.mark.parametrize("pick", PICKS)
def test_vectors_without_a_direction_have_no_gradient(pick: str) -> None:
    """Theirs would be that of a vector of length 1e-6: a million times the others'."""
    embeddings, classes = case("several classes")
    short = classes == 2
    embeddings[short] *= np.where(np.arange(short.sum()) % 2, 0, 1e-8)[:, None].astype(np.float32)
    random = np.full((24, 24), 0.5, np.float32)
    _, gradient = value_and_gradient(embeddings, relation_of(classes), random, pick=pick)
    assert short.sum() > 2
    assert not gradient[short].any()
    assert gradient[classes == 1].any()


def test_the_mean_of_nothing_is_zero() -> None:
    mean = Total(jnp.float32([0, 6]), jnp.float32([0, 4])).mean()
    np.testing.assert_array_equal(mean, [0, 1.5])


def test_euclidean_loss_is_optaxs_on_the_mined_triplets():
    """optax has the same hinge, but no mining and no cosine distance; its margin is ours."""
    embeddings = spread_out(24, seed=5)
    relation = relation_of(np.arange(24) % 4)
    inside = np.float64(embeddings[:, 16:])
    vectors = inside / np.linalg.norm(inside, axis=1, keepdims=True)
    to = np.linalg.norm(vectors[:, None] - vectors, axis=2)
    mined = [
        (a, p, n)
        for a, p in np.argwhere(relation.similar)
        for n in np.flatnonzero(relation.dissimilar[a])
        if to[a, p] < to[a, n] <= to[a, p] + BAND
    ]
    anchor, positive, negative = (vectors[list(rows)] for rows in zip(*mined, strict=True))
    expected = optax.losses.triplet_margin_loss(
        *map(jnp.float32, (anchor, positive, negative)), margin=MARGIN, eps=1e-12
    )
    found, _ = triplet_loss(
        jnp.float32(embeddings),
        jnp.float32(embeddings),
        MASK,
        Relation(*map(jnp.asarray, relation)),
        jnp.zeros((24, 24)),
        margin=MARGIN,
        band=BAND,
        pick="all",
        distance="euclidean",
    )
    assert len(mined) > 100 and found.weight == len(mined)
    np.testing.assert_allclose(found.mean(), expected.mean(), rtol=1e-5)
