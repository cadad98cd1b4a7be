"""The validation loss: naive values, every track, and a fall when the model gets better."""

import dataclasses

import numpy as np
import pytest

from configs.six_dim import get_config
from jaxsim.evaluation import metrics
from jaxsim.evaluation import validation as validation_module
from jaxsim.evaluation.metrics import Triplets
from jaxsim.evaluation.sampled_triplets import sample_triplets
from jaxsim.evaluation.validation import Validation, class_losses, triplet_losses
from jaxsim.network import subspaces
from jaxsim.training.train_step import State
from tests.helpers.batches import fake_data

DIMENSIONS = ("key", "genre", "era")  # not the order of the default
WIDTH = 4  # numbers of a sub-space


def config_of(**loss):
    config = get_config()
    config.dimensions = DIMENSIONS
    config.model.embedding_size = WIDTH * len(DIMENSIONS)
    config.loss.update(margin=0.37, **loss)
    config.loss.weights.era = 3.0
    config.evaluation.triplets = 300
    return config


def state_of(classes) -> State:
    return State(0, {"classes": classes}, {}, ())


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("parts", [1, 3])
def test_triplets_lose_in_their_own_subspace(distance: str, parts: int) -> None:
    random = np.random.default_rng(0)
    vectors = subspaces.divided(random.normal(size=(9, WIDTH * 3)) + 0.5, parts)
    triplets = {
        "era": Triplets(*random.integers(9, size=(3, 40))),
        "key": Triplets(*random.integers(9, size=(3, 7))),
    }  # no triplet of a genre
    found = triplet_losses(config_of(distance=distance), vectors, triplets)
    for number, dimension in enumerate(DIMENSIONS):
        own, hinges = vectors[:, number if parts > 1 else 0], []
        chosen = triplets.get(dimension, Triplets(*np.zeros((3, 0), int)))
        for a, p, n in zip(chosen.anchor, chosen.positive, chosen.negative, strict=True):
            if distance == "cosine":
                to_positive, to_negative = 1 - own[a] @ own[p], 1 - own[a] @ own[n]
            else:
                to_positive, to_negative = np.sqrt([sum((own[a] - own[o]) ** 2) for o in (p, n)])
            hinges.append(max(0, to_positive - to_negative + 0.37))
        assert found[number] == pytest.approx(np.mean(hinges) if hinges else 0)


@pytest.mark.parametrize("method", ["proxy", "classification"])
def test_classes_lose_over_all_tracks(method: str) -> None:
    data, random = fake_data(70), np.random.default_rng(1)
    config = config_of(method=method)
    vectors = subspaces.divided(random.normal(size=(70, WIDTH * 3)), 3)
    length = WIDTH * 3 if method == "proxy" else WIDTH
    counts = {"key": 24, "genre": 6, "era": 6}
    classes = {
        name: random.normal(size=(count, length)).astype(np.float32)
        for name, count in counts.items()
    }
    found = class_losses(config, state_of(classes), vectors, data)
    for number, dimension in enumerate(DIMENSIONS):
        centres = np.float64(classes[dimension])
        if method == "proxy":
            centres = centres[:, WIDTH * number : WIDTH * (number + 1)]
        entropies = []
        for track in range(70):
            if dimension == "key":
                key = data.key[track]
                wanted = np.array([key >= 0 and c % 12 == key % 12 for c in range(24)])
            else:
                wanted = data.tags[dimension][track]
            if wanted.any():
                chance = 1 / (1 + np.exp(-centres @ vectors[track, number]))
                entropies.append(-np.log(np.where(wanted, chance, 1 - chance)).sum())
        assert 30 < len(entropies) < 70
        assert found[number] == pytest.approx(np.mean(entropies), rel=1e-5)


def hits(vectors: np.ndarray, validation: Validation) -> dict[str, float]:
    """How often the positive is nearer, in each dimension's own sub-space."""
    result = {}
    for number, dimension in enumerate(DIMENSIONS):
        rows, right = validation.triplets[dimension], []
        for a, p, n in zip(rows.anchor, rows.positive, rows.negative, strict=True):
            to = [np.linalg.norm(vectors[a, number] - vectors[other, number]) for other in (p, n)]
            right.append(0.5 if np.isclose(*to, rtol=0, atol=1e-9) else to[0] < to[1])
        result[dimension] = np.mean(right)
    return result


def test_the_loss_falls_as_embeddings_get_better() -> None:
    """From no sign of the labels to nothing but them; weights count."""
    config, data = config_of(), fake_data(80)
    validation, random = Validation(config, data), np.random.default_rng(2)
    noise = random.normal(size=(80, 3, 24))
    labels = np.zeros((80, 3, 24))
    labels[np.arange(80), 0, data.key % 12] = 1
    labels[:, 1, :6], labels[:, 2, :6] = data.tags["genre"], data.tags["era"]
    losses, scores = [], []
    for share in (0.0, 0.2, 0.5, 0.9, 1.0):
        vectors = subspaces.normalised(
            (share * labels + (1 - share) * 0.3 * noise).reshape(80, -1) + 1e-9, 3
        ).reshape(80, 3, 24)
        validation._embeddings = lambda state, vectors=vectors: vectors
        measured = validation.measure(state_of({}))
        assert measured.own == pytest.approx(hits(vectors, validation))
        own = triplet_losses(config, vectors, validation.triplets)
        assert measured.loss == pytest.approx((own[0] + own[1] + 3 * own[2]) / 3)
        losses.append(measured.loss)
        scores.append(measured.score)
    assert (np.diff(scores) >= 0).all() and scores[0] < 0.6 < scores[-1]
    assert (np.diff(losses) < 0).all()
    assert losses[-1] < 0.2 * losses[0]


def test_the_table_compares_with_networks_measured_on_the_training_tracks(monkeypatch) -> None:
    """Dimensions in another order than the default's, one of them without triplets."""
    config, data, training = config_of(), fake_data(60), fake_data(7)
    data.tags["genre"][:] = False
    groups = [str(row // 5) for row in range(60)]
    validation = Validation(config, dataclasses.replace(data, groups=groups))
    config.evaluation.batch_size = 3
    random = np.random.default_rng(0)
    vectors = [random.normal(size=(60, 3, WIDTH)) for _ in range(3)]
    places = dict(zip(("trained", 0, 1), vectors, strict=True))

    def starts(config, data, *, batch_size: int):
        assert data is training and batch_size == 3
        return [state_of(number) for number in (0, 1)]

    monkeypatch.setattr(validation_module, "untrained_states", starts)
    monkeypatch.setattr(validation_module.parallel, "replicate", lambda state: state)
    validation._embeddings = lambda state: places[state.params["classes"]]
    table = validation.compare(state_of("trained"), training)
    assert list(table) == ["key", "era"]
    for dimension, scores in table.items():
        number, rows = DIMENSIONS.index(dimension), validation.triplets[dimension]

        def right(place: np.ndarray, rows=rows) -> np.ndarray:
            near, far = (
                np.linalg.norm(place[rows.anchor] - place[other], axis=1)
                for other in (rows.positive, rows.negative)
            )
            return (near < far).astype(float)

        own, *before = (right(each[:, number]) for each in vectors)
        whole = right(vectors[0].reshape(60, -1))
        of = np.array(groups)[rows.anchor]
        assert scores["own"] == metrics.bootstrap(own, of)
        assert scores["untrained"].value == pytest.approx(np.mean(before))
        assert scores["gain"].value == pytest.approx(own.mean() - np.mean(before))
        assert scores["own_over_whole"].value == pytest.approx(own.mean() - whole.mean())


def test_the_loss_is_of_triplets_of_the_whole_split() -> None:
    config, data = config_of(), fake_data(80)
    config.seed = 6
    config.evaluation.triplets = 2000
    drawn = sample_triplets(data, config, count=2000, seed=config.seed)
    validation = Validation(config, data)
    for dimension, triplets in validation.triplets.items():
        np.testing.assert_array_equal(triplets.anchor, drawn[dimension].anchor)
        labelled = data.key >= 0 if dimension == "key" else data.tags[dimension].any(axis=1)
        assert labelled[triplets.anchor].all()
        assert len(set(triplets.anchor)) > 0.9 * labelled.sum()
