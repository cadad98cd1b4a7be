"""What a store keeps of a track's sound: the model's readings and those of the features."""

import json
from pathlib import Path

import numpy as np
import pytest

from input_pipeline.hearing import readings as of_features
from input_pipeline.hearing.readings import Evidence
from jaxsim.exported import model_writing, numpy_model, readings
from jaxsim.exported.readings import Prototypes
from jaxsim.library.intake import heard
from jaxsim.library.store import schema
from tests.helpers.models import model_file

EVIDENCE = Evidence(np.zeros(of_features.CANDIDATES), np.eye(24)[21] * 0.9 + 0.1 / 24)


def with_readings(folder: Path) -> numpy_model.Model:
    """A model with two numbers per sub-space, in the order genre, tempo, key."""
    turns = 2 * np.pi * np.arange(24) / 24
    around = np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)
    two = np.float32([[1, 0], [0, 1]])
    given = {
        "genre": Prototypes(("jazz", "rock"), two, np.float32([2, 3]), np.float32([-1, -2])),
        "tempo": Prototypes(readings.TEMPI, around, *np.float32([[5] * 24, [0] * 24])),
    }  # fmt: skip
    source = model_file(folder / "old.npz")
    model_writing.add_readings(source, given, folder / "new.npz")
    return numpy_model.load(folder / "new.npz")


def test_columns(tmp_path: Path) -> None:
    vector = np.float32([0.6, 0.8, 0, 1, 1, 0])  # the tempo's is that of class 6 of 24
    found = heard.columns(with_readings(tmp_path), vector, EVIDENCE)
    assert tuple(found) == schema.HEARD
    tags = json.loads(found["heard_tags"])
    jazz, rock = (1 / (1 + np.exp(-score)) for score in (2 * 0.6 - 1, 3 * 0.8 - 2))
    assert tags == {"genre": {"jazz": round(jazz, 3), "rock": round(rock, 3)}}
    assert list(tags["genre"]) == ["rock", "jazz"] and rock > jazz
    octaves = np.log2(found["heard_tempo"] / 30) % 1
    assert octaves == pytest.approx(6 / 24, abs=0.01), "the embedding decides"
    assert (found["heard_key"], found["heard_key_confidence"]) == ("A minor", 0.904)


def test_a_model_without_readings_leaves_it_to_the_features(tmp_path: Path) -> None:
    model = numpy_model.load(model_file(tmp_path / "old.npz"))
    vector = np.float32([1, 0, 1, 0, 1, 0])
    found = heard.columns(model, vector, Evidence(None, EVIDENCE.key))
    assert found["heard_tags"] == "{}" and found["heard_key"] == "A minor"
    assert found["heard_tempo"] is found["heard_tempo_confidence"] is None
    assert heard.columns(model, vector, Evidence())["heard_key"] is None


def test_improbable_tags_are_not_kept(tmp_path: Path) -> None:
    vector = np.float32([-0.8, -0.6, 1, 0, 1, 0])
    found = heard.columns(with_readings(tmp_path), vector, EVIDENCE)
    assert json.loads(found["heard_tags"]) == {"genre": {}}
