"""What is read from embeddings: prototypes, their calibration, and how a model's file keeps it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from jaxsim.exported import model_format, model_writing, numpy_model, readings
from jaxsim.exported.readings import Prototypes, Tracks
from jaxsim.library.intake.embedding import _digest
from tests.helpers.models import model_file


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def drawn(count: int, seed: int) -> Tracks:
    """Tracks that have a tag with a probability that grows with their closeness to its centre."""
    random = np.random.default_rng(seed)
    parts = unit(random.normal(size=(count, 6)) + 0.8)  # as of networks, to one side
    chance = 1 / (1 + np.exp(-(6 * parts[:, :3] - np.array([0.0, 1.5, 3.0]))))
    labels = (random.random((count, 3)) < chance).astype(float)
    return Tracks({"genre": parts}, {"genre": labels}, {"genre": np.ones(count, bool)})


def test_prototypes_are_means_and_probabilities_are_calibrated() -> None:
    train, held_out, judged = drawn(4000, 0), drawn(4000, 1), drawn(8000, 2)
    found = readings.fit(train, held_out, {"genre": ("a", "b", "c")})["genre"]
    for tag in range(3):
        having = [x for x, y in zip(train.parts["genre"], train.weights["genre"], strict=True)
                  if y[tag]]  # fmt: skip
        mean = sum(having) / len(having)
        np.testing.assert_allclose(found.prototypes[tag], mean / np.linalg.norm(mean), atol=1e-6)
    probabilities = found.probabilities(judged.parts["genre"])
    labels = judged.weights["genre"]
    for low in np.arange(0, 1, 0.2):
        inside = (probabilities >= low) & (probabilities < low + 0.2)
        if inside.sum() > 300:
            assert probabilities[inside].mean() == pytest.approx(labels[inside].mean(), abs=0.06)
    assert probabilities.max() > 0.9 and probabilities.min() < 0.05


def test_rare_names_and_unknown_tracks_are_left_out() -> None:
    train = drawn(50, 0)
    train.weights["genre"][:, 1] = 0
    train.weights["genre"][:2, 1] = 1
    known = np.arange(50) < 40
    halved = dataclasses.replace(train, known={"genre": known})
    found = readings.fit(halved, drawn(50, 1), {"genre": ("a", "b", "c")})["genre"]
    assert found.names == ("a", "c")
    having = train.parts["genre"][known & (train.weights["genre"][:, 0] > 0)].mean(axis=0)
    np.testing.assert_allclose(found.prototypes[0], having / np.linalg.norm(having), atol=1e-6)
    nobody = dataclasses.replace(train, known={"genre": np.zeros(50, bool)})
    assert readings.fit(nobody, drawn(50, 1), {"genre": ("a", "b", "c")}) == {}


def test_tempi_count_for_their_octave() -> None:
    weights = readings.tempo_weights(np.array([60.0, 120.0, 0.0, 62.0]))
    np.testing.assert_allclose(weights[0], weights[1])
    assert weights[0].argmax() == 0 and readings.TEMPI[0] == "30.00" and not weights[2].any()
    assert weights[3].argmax() == 1, "31 BPM is nearer to 30.88 than to 30 BPM"
    assert (weights[[0, 1, 3]] > 0).all(), "a tempo that no track has takes from its neighbours"


def some(names: tuple[str, ...], size: int = 2) -> Prototypes:
    random = np.random.default_rng(len(names))
    prototypes = unit(random.normal(size=(len(names), size))).astype(np.float16)
    slope, offset = random.normal(size=(2, len(names))).astype(np.float32)
    return Prototypes(names, prototypes.astype(np.float32), slope, offset)


@pytest.mark.parametrize("name", ["read.npz", "read.safetensors"])
def test_the_network_stays_as_it_is(tmp_path: Path, name: str) -> None:
    source, out = model_file(tmp_path / "old.npz"), tmp_path / name
    given = {"genre": some(("jazz", "rock")), "key": some(("A minor", "C major"))}
    given["tempo"] = some(readings.TEMPI)
    model_writing.add_readings(source, given, out)
    before, after = numpy_model.load(source), numpy_model.load(out)
    assert before.readings == {} and _digest(before) == _digest(after)
    for array, bits in before.arrays.items():
        assert after.arrays[array].tobytes() == bits.tobytes()
    for dimension, one in given.items():
        found = after.readings[dimension]
        assert found.names == one.names
        for part in readings.PARTS:
            np.testing.assert_array_equal(getattr(found, part), getattr(one, part))
    assert model_format.read(out)[0]["format_version"] == 4
    model_writing.add_readings(out, {"genre": given["genre"]}, out)
    assert set(numpy_model.load(out).readings) == {"genre"}, "they are replaced"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mood": some(("sad",))}, "readings is 'mood', expected one of"),
        ({"genre": some(("jazz", "jazz"))}, r"readings\.genre is .* expected different names"),
        ({"genre": some(("jazz",), size=3)}, r"readings/genre/prototypes has shape \(1, 3\)"),
        ({"tempo": some(("30.00", "60.00"))}, r"readings\.tempo is"),
    ],
)
def test_readings_of_other_models_are_refused(tmp_path: Path, given: dict, message: str) -> None:
    source = model_file(tmp_path / "old.npz")
    with pytest.raises(ValueError, match=message):
        model_writing.add_readings(source, given, tmp_path / "new.npz")
    assert not (tmp_path / "new.npz").exists()
