"""Every system is measured in the metric that it was trained in: directions, or raw distances."""

import dataclasses

import numpy as np
import pytest

from configs.lee2020_ismir import classification_unnormalised
from jaxsim.evaluation import comparison, metrics, systems
from jaxsim.evaluation.metrics import Triplets
from jaxsim.evaluation.sections import triplet_section
from jaxsim.evaluation.validation import Validation
from jaxsim.training import train_step
from tests.helpers.batches import fake_data

# By track. 0 and 1 have one direction and are far apart; 2 is near 0 in another direction.
PLACES = np.array([[1.0, 0, 2, 1], [10, 0, 20, 10], [1, 1, 1.5, 0], [-3, 2, 0, 4]])
TRIPLET = Triplets(np.array([0]), np.array([2]), np.array([1]))  # right only where lengths count


@pytest.fixture
def data():
    return fake_data(4, num_frames=np.array([390, 130, 300, 129], np.int32))


def embed(state, batch) -> np.ndarray:
    """A track's place, longer the later the segment begins (the frame is in the mel's fraction)."""
    first = np.asarray(batch["mel"][:, 0, 0], np.float64)
    return PLACES[np.floor(first).astype(int)] * (1 + first % 1)[:, None]


def oracle(data, parts: int, *, raw: bool) -> np.ndarray:
    result = np.zeros((4, parts, 4 // parts))
    for track, length in enumerate(data.num_frames):
        starts = [np.float64(np.float16(track + s / 1024)) % 1 for s in range(0, length - 128, 129)]
        mean = PLACES[track] * (1 + sum(starts) / len(starts))
        for part in range(parts):
            own = mean[part * 4 // parts : (part + 1) * 4 // parts]
            result[track, part] = own if raw else own / np.sqrt(own @ own)
    return result


def config_of(method: str, *, normalised: bool, disentangled: bool):
    config = classification_unnormalised.get_config("demo")
    config.dimensions = ("genre", "mood")
    config.model.embedding_size = 4
    config.loss.update(method=method, normalised=normalised, disentangled=disentangled)
    config.evaluation.batch_size = 3
    return config


ROWS = [  # method, normalised, disentangled; whether it is raw
    ("classification", False, False, True),
    ("classification", False, True, True),
    ("classification", True, False, False),
    ("classification", True, True, False),
    ("proxy", False, False, False),  # always unit vectors, whatever the field says
    ("triplet", False, True, False),
]


@pytest.mark.parametrize(("method", "normalised", "disentangled", "raw"), ROWS)
def test_vectors_are_in_the_metric_of_the_objective(
    method: str, normalised: bool, disentangled: bool, raw: bool, data
) -> None:
    config = config_of(method, normalised=normalised, disentangled=disentangled)
    parts = 2 if disentangled else 1
    expected = oracle(data, parts, raw=raw)
    state = train_step.State(0, {}, {}, ())
    splits = {"train": data, "test": data}
    system = systems._of_state(config, embed, splits, "it", state, {}, batch_size=3)
    validation = Validation(config, fake_data())
    validation.data, validation._embed = data, embed
    for found in (system.vectors, system.training, validation._embeddings(state)):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert system.raw == raw
    segments, track = system.segments
    lengths = np.linalg.norm(segments, axis=2)
    assert np.allclose(lengths, 1) != raw
    assert list(track) == [0, 0, 0, 1, 2, 2, 3]
    gap = metrics.gaps(system.vectors, TRIPLET).sum(axis=1)
    assert (gap > 0) == raw, "track 1 is nearer in direction, track 2 in distance"
    flat = system.vectors.reshape(4, -1)
    assert metrics.neighbours(flat, np.arange(4), 1)[0] == (2 if raw else 1)


def test_the_report_says_which_row_is_raw(data) -> None:
    config = config_of("classification", normalised=False, disentangled=False)
    big = fake_data(40)
    vectors = np.random.default_rng(0).normal(size=(40, 1, 4))
    unit = systems.System("unit", (), vectors, np.ones(40, bool), vectors, np.ones(40, bool))
    raw = dataclasses.replace(unit, name="mine", raw=True)
    results = comparison.compare([raw, unit], big, big, config=config, count=20)
    assert [each["raw"] for each in results["systems"].values()] == [True, False]
    section = triplet_section(results)
    names = [row[0] for row in section.tables[0][1].rows]
    assert names == ["mine (raw distances)", "unit"]
    assert "nothing of it is normalised" in section.text
    for system in results["systems"].values():
        spread = system["collapse"]["whole space"]["spread"]
        directions = vectors[:, 0] / np.linalg.norm(vectors[:, 0], axis=1)[:, None]
        assert spread == pytest.approx(1 - np.sum(directions.mean(axis=0) ** 2))
