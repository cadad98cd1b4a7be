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
from tests.helpers.naive import drawn, mined, of_one_track, related, targets

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


# The tables; test_softmax.py and test_decorrelation.py.
BESIDE = {
    *("method", "track", "soft_weight", "tag_weight", "teacher", "temperature", "tag_temperature"),
    "decorrelation_weight",
}


def test_the_tables_have_every_field() -> None:
    rows = [*TRIPLETS.values(), *CLASSES.values()]
    named = {name.split(".")[1] for row in rows for name in row} | BESIDE
    assert named == {*PUBLISHED.loss, *PUBLISHED.relation}


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


def triplets(distances, pairs, draws, config: ConfigDict) -> tuple[list[float], int]:
    """The hinges of the picked triplets of one dimension, and how many would be possible."""
    chosen, possible = mined(distances, pairs, draws, config)
    hinges = [
        max(0.0, distances[a, p] - distances[a, n] + config.loss.margin) for a, p, n in chosen
    ]
    return hinges, possible


def distances_of(vectors: np.ndarray, distance: str) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    if distance == "euclidean":
        return np.linalg.norm(unit[:, None] - unit, axis=2)
    return 1 - unit @ unit.T


def naive_triplet_loss(embeddings, labels, config: ConfigDict) -> float:
    embeddings, loss = embeddings.astype(np.float64), config.loss
    draws, total = drawn(KEY, 0, SIZE, (len(DIMENSIONS) + 1, SIZE)), 0.0
    for number, dimension in enumerate(config.dimensions):
        own = slice(WIDTH * number, WIDTH * (number + 1)) if loss.disentangled else slice(None)
        pairs = [
            [related(labels, number, config, a, c, KEY) for c in range(SIZE)] for a in range(SIZE)
        ]
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
