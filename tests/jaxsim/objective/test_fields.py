"""Every field of `config.loss` and `config.relation` says what the papers say, in one table.

For each row the objective equals a naive float64 computation with that value, and differs from the
one with the published value: a field that is ignored or crossed with another fails here.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.six_dim import get_config
from input_pipeline.tracks import DIMENSIONS as DIMENSIONS_OF_TRACKS
from jaxsim.objective.terms import class_shapes, objective_terms
from jaxsim.training import train_step

SIZE, WIDTH = 20, 6  # examples; numbers of a sub-space
KEY = jax.random.key(8)
DIMENSIONS = ("tempo", "era", "key", "genre")  # not the order of the default
PUBLISHED = get_config()
PUBLISHED.dimensions = DIMENSIONS
PUBLISHED.model.embedding_size = WIDTH * len(DIMENSIONS)
PUBLISHED.lock()
TRIPLETS = {
    "published": {},
    "disentangled": {"loss.disentangled": False},
    "distance": {"loss.distance": "euclidean"},
    "margin": {"loss.margin": 0.37},
    "band": {"loss.band": 0.3},
    "pick: uniform": {"loss.pick": "uniform"},
    "pick: all": {"loss.pick": "all"},
    "pick: any": {"loss.pick": "any"},
    "average": {"loss.average": "possible"},
    "weights": {"loss.weights.key": 3.0, "loss.weights.era": 0.5},
    "track_weight": {"loss.track_weight": 0.7},
    "tempo_tolerance": {"relation.tempo_tolerance": 1.5},
    "tempo": {"relation.tempo": "symmetric"},
    "key": {"relation.key": "relative"},
    "tags": {"relation.tags": "sampled_label"},
    "unlabelled": {"relation.unlabelled": "negative"},
}
CLASSES = {
    "published": {},
    "disentangled": {"loss.disentangled": False},
    "normalised": {"loss.normalised": False},
    "weights": {"loss.weights.key": 3.0, "loss.weights.era": 0.5},
    "tempo_classes": {"loss.tempo_classes": 17},
    "tempo_tolerance": {"relation.tempo_tolerance": 1.5},
    "key": {"relation.key": "relative"},
    "unlabelled": {"relation.unlabelled": "negative"},
}


def changed(fields: dict) -> ConfigDict:
    config = PUBLISHED.copy_and_resolve_references()
    config.update_from_flattened_dict(fields)
    return config


def batch() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    random = np.random.default_rng(17)
    embeddings = random.normal(size=PUBLISHED.model.embedding_size) + 0.8 * random.normal(
        size=(SIZE, PUBLISHED.model.embedding_size)
    )
    genre = random.random((SIZE, 4)) < 0.4
    by_genre = np.where(np.arange(SIZE) % 2, DIMENSIONS_OF_TRACKS.index("genre"), 1)
    return embeddings.astype(np.float32), {
        "genre": genre,
        "era": random.random((SIZE, 3)) < 0.35,
        "key": random.integers(-1, 24, SIZE).astype(np.int32) // 3 * 3,
        "tempo": random.choice([0, 42, 45, 60, 84, 88, 122, 125, 171], SIZE).astype(np.float32),
        "index": np.arange(SIZE, dtype=np.int32),
        "track": (np.arange(SIZE) // 4).astype(np.int32),
        "start": random.choice([0, 50, 64, 65, 129, 200], SIZE).astype(np.int32),
        "drawn_dimension": by_genre.astype(np.int32),
        "drawn_tag": np.where(genre.any(axis=1), 3 - genre[:, ::-1].argmax(axis=1), -1),
    }


def drawn(number: int, shape: tuple[int, ...]) -> np.ndarray:
    """The numbers that an anchor's place in the batch determines."""
    key = KEY if number == 0 else jax.random.fold_in(KEY, number)
    return np.stack(
        [jax.random.uniform(jax.random.fold_in(key, index), shape) for index in range(SIZE)]
    )


def near(first: float, second: float, tolerance: float) -> bool:
    return any(abs(first - second * 2.0**octave) <= tolerance for octave in range(-9, 10))


def in_one_group(first: int, second: int, relation: str) -> bool:
    """The same key; or the same tonic (parallel), or the same key signature (relative)."""

    def group(key: int) -> int:
        return key % 12 if relation == "parallel" or key < 12 else (key + 3) % 12

    return bool(group(first) == group(second))


def related(labels, number: int, config: ConfigDict, a: int, c: int) -> bool | None:
    """Whether two examples are similar (A §3.3, B §3.1); None = not comparable."""
    dimension, relation = config.dimensions[number], config.relation
    own, other = labels[dimension][a], labels[dimension][c]
    if a == c:
        return None
    if dimension == "tempo":
        found = near(own, other, relation.tempo_tolerance)
        if relation.tempo == "symmetric":
            found = found or near(other, own, relation.tempo_tolerance)
        return found if own and other else None
    if dimension == "key":
        known = own >= 0 and other >= 0
        return in_one_group(own, other, relation.key) if known else None
    if not own.any() or (relation.unlabelled == "excluded" and not other.any()):
        return None
    place = DIMENSIONS_OF_TRACKS.index(dimension)
    if relation.tags == "sampled_label" and labels["drawn_dimension"][a] == place:
        own = np.arange(len(own)) == labels["drawn_tag"][a]
    elif relation.tags == "sampled_label":
        draws = drawn(number + 1, own.shape)[a]
        own = own & (draws == draws[own].max())
    return bool((own & other).any())


def of_one_track(labels, a: int, c: int) -> bool | None:
    """Two segments of 129 frames of a track: similar, unless they overlap by more than half (C)."""
    if labels["track"][a] != labels["track"][c]:
        return False
    overlap = 129 - abs(int(labels["start"][a]) - int(labels["start"][c]))
    return True if overlap <= 129 / 2 else None


def triplets(distances, pairs, draws, config: ConfigDict) -> tuple[list[float], int]:
    """The hinges of the picked triplets of one dimension, and how many would be possible."""
    hinges, possible, loss = [], 0, config.loss
    for a, p in np.ndindex(distances.shape):
        if pairs[a][p] is not True:
            continue
        negatives = [n for n in range(SIZE) if pairs[a][n] is False]
        possible += len(negatives) if loss.pick == "all" else bool(negatives)
        to = distances[a]
        if loss.pick != "any":
            negatives = [n for n in negatives if to[p] < to[n] <= to[p] + loss.band]
            negatives.sort(key=lambda n: to[n])
        if negatives and loss.pick == "nearest":
            negatives = negatives[:1]
        if negatives and loss.pick in ("uniform", "any"):
            negatives = [negatives[int(draws[a, p] * len(negatives))]]
        hinges += [max(0.0, to[p] - to[n] + loss.margin) for n in negatives]
    return hinges, possible


def distances_of(vectors: np.ndarray, distance: str) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    if distance == "euclidean":
        return np.linalg.norm(unit[:, None] - unit, axis=2)
    return 1 - unit @ unit.T


def naive_triplet_loss(embeddings, labels, config: ConfigDict) -> float:
    embeddings, draws = embeddings.astype(np.float64), drawn(0, (len(DIMENSIONS) + 1, SIZE))
    total, loss = 0.0, config.loss
    for number, dimension in enumerate(config.dimensions):
        own = slice(WIDTH * number, WIDTH * (number + 1)) if loss.disentangled else slice(None)
        pairs = [[related(labels, number, config, a, c) for c in range(SIZE)] for a in range(SIZE)]
        distances = distances_of(embeddings[:, own], loss.distance)
        hinges, possible = triplets(distances, pairs, draws[:, number], config)
        count = possible if loss.average == "possible" else len(hinges)
        total += loss.weights[dimension] * sum(hinges) / max(count, 1)
    total /= len(config.dimensions)
    if loss.track_weight:
        pairs = [[of_one_track(labels, a, c) for c in range(SIZE)] for a in range(SIZE)]
        hinges, possible = triplets(
            distances_of(embeddings, loss.distance), pairs, draws[:, -1], config
        )
        count = possible if loss.average == "possible" else len(hinges)
        total += loss.track_weight * sum(hinges) / max(count, 1)
    return total


def naive_class_loss(embeddings, classes, labels, config: ConfigDict) -> float:
    """B §3.2, §3.3: one binary cross-entropy for every class."""
    total, loss = 0.0, config.loss
    for number, dimension in enumerate(config.dimensions):
        own = slice(WIDTH * number, WIDTH * (number + 1)) if loss.disentangled else slice(None)
        centres = np.asarray(classes[dimension], np.float64)
        if loss.method == "proxy":
            centres = centres[:, own]
        entropy, count = 0.0, 0
        for example in range(SIZE):
            wanted = targets(labels[dimension][example], dimension, len(centres), config)
            tags = dimension in ("genre", "era")
            if not wanted and not (tags and config.relation.unlabelled == "negative"):
                continue
            count += 1
            vector = embeddings[example, own].astype(np.float64)
            if loss.normalised or loss.method == "proxy":
                vector = vector / np.linalg.norm(vector)
            chance = 1 / (1 + np.exp(-centres @ vector))
            entropy -= sum(
                np.log(chance[c] if c in wanted else 1 - chance[c]) for c in range(len(centres))
            )
        total += loss.weights[dimension] * entropy / count
    return total / len(config.dimensions)


def targets(label, dimension: str, count: int, config: ConfigDict) -> set[int]:
    if dimension == "tempo":
        centres = [60 * 2 ** ((number + 0.5) / count) for number in range(count)]
        tolerance = config.relation.tempo_tolerance
        return {c for c, centre in enumerate(centres) if label and near(label, centre, tolerance)}
    if dimension == "key":
        same = (c for c in range(24) if in_one_group(label, c, config.relation.key))
        return set(same) if label >= 0 else set()
    return set(np.flatnonzero(label))


def found_loss(embeddings, classes, labels, config: ConfigDict) -> float:
    placed = jax.tree.map(jnp.asarray, (embeddings, classes, labels))
    terms = objective_terms(*placed, KEY, config)
    loss = jnp.mean(train_step.weights(config) * terms.loss.mean())
    return float(loss + config.loss.track_weight * terms.track.mean())


@pytest.mark.parametrize("field", TRIPLETS)
def test_a_field_of_the_triplets_is_heeded(field: str) -> None:
    embeddings, labels = batch()
    config = changed(TRIPLETS[field])
    expected = naive_triplet_loss(embeddings, labels, config)
    np.testing.assert_allclose(found_loss(embeddings, {}, labels, config), expected, rtol=1e-4)
    published = naive_triplet_loss(embeddings, labels, PUBLISHED)
    assert (abs(expected - published) > 1e-3 * published) == (field != "published")


@pytest.mark.parametrize("method", ["proxy", "classification"])
@pytest.mark.parametrize("field", CLASSES)
def test_a_field_of_the_classes_is_heeded(field: str, method: str) -> None:
    embeddings, labels = batch()

    def losses(fields: dict) -> tuple[float, float]:
        config, random = changed({"loss.method": method} | fields), np.random.default_rng(3)
        classes = {
            name: random.normal(size=shape).astype(np.float32)
            for name, shape in class_shapes(config, labels).items()
        }
        arguments = embeddings, classes, labels, config
        return naive_class_loss(*arguments), found_loss(*arguments)

    expected, found = losses(CLASSES[field])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    published, _ = losses({})
    ignored = field == "published" or (
        field == "normalised" and method == "proxy"
    )  # they always are
    assert (abs(expected - published) > 1e-3 * published) != ignored
