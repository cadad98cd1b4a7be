"""What is heard in an evaluation: every reader against every truth, and what the report says."""

import dataclasses

import numpy as np
import pytest

from input_pipeline.hearing import baselines
from input_pipeline.hearing import readings as hearing
from input_pipeline.tracks import KEYS
from jaxsim.evaluation import readings
from jaxsim.evaluation.readings_section import readings_section
from jaxsim.evaluation.systems import System
from jaxsim.exported.readings import TEMPI, Prototypes
from tests.helpers.batches import FakeDataSet, fake_data
from tests.input_pipeline.hearing.test_readings import pulses, scale

DIMENSIONS = ("genre", "tempo", "key")
TRACKS = 8
TRUE = [60.0, 75.0, 90.0, 100.0, 110.0, 120.0, 132.0, 150.0]
# A wrong label and an unknown one; the last three are estimates.
TEMPO = np.array([60, 150, 45, 77, 0, 120, 132, 99], np.float32)
KEY = np.array([0, 1, 14, 3, -1, 5, 6, 7], np.int32)
IS_ESTIMATE = np.arange(TRACKS) >= 5


class Sounding(FakeDataSet):
    """Each track has a tempo of `TRUE`, and is in the major key of its number."""

    def stored(self, index: int) -> dict[str, np.ndarray]:
        rate = self.feature_config.sample_rate / self.feature_config.hop_length
        onset = pulses(TRUE[index], rate=rate).astype(np.float32)
        return {"onset": onset, "cens": scale(index, minor=False)}


@pytest.fixture(scope="module")
def data() -> FakeDataSet:
    tags = np.zeros((TRACKS, 6), bool)
    tags[:4, 0] = tags[2:4, 1] = tags[5, 2] = tags[6:, 0] = True
    base = fake_data(
        TRACKS,
        tempo=TEMPO,
        key=KEY,
        groups=[str(number // 2) for number in range(TRACKS)],
        tempo_estimated=IS_ESTIMATE,
        key_estimated=IS_ESTIMATE,
        tempo_confidence=np.float32([0, 0, 0, 0, 0, 0.2, 0.9, 0.5]),
        key_confidence=np.float32([0, 0, 0, 0, 0, 0.9, 0.8, 0.1]),
    )
    return Sounding(
        **{field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
        | {"tags": base.tags | {"genre": tags}}
        | {"tags_estimated": base.tags_estimated | {"genre": IS_ESTIMATE}}
    )


@pytest.fixture(scope="module")
def heard(data: FakeDataSet) -> readings.Heard:
    return readings.hear(data)


@pytest.fixture(scope="module")
def by_data(heard: readings.Heard) -> dict:
    return readings.of_data(heard)


def system(**own: Prototypes) -> System:
    """One whose sub-spaces hold the tempo, the key, and how much a track is of tag "a"."""
    vectors = np.zeros((TRACKS, 3, 24))
    for row in range(TRACKS):
        octave = np.log2(TRUE[row] / 30) % 1
        vectors[row, 1, round(24 * octave) % 24] = 1
        vectors[row, 2, row + 12] = 1  # its parallel key
        vectors[row, 0, :2] = (1, 0) if row < 4 else (0, 1)
    return System(
        name="read",
        dimensions=DIMENSIONS,
        vectors=vectors,
        covered=np.ones(TRACKS, bool),
        training=vectors,
        training_covered=np.ones(TRACKS, bool),
        readings=own,
    )


def prototypes(names: tuple[str, ...], slope: float = 9.0) -> Prototypes:
    count = len(names)
    return Prototypes(names, np.eye(24)[:count], np.full(count, slope), np.zeros(count))


def values(scores: dict) -> dict[str, float]:
    return {name: round(each["value"], 3) for name, each in scores.items() if each}


def test_given_and_estimated_labels_are_never_counted_together(
    heard: readings.Heard, by_data: dict
) -> None:
    found = by_data
    assert [(name, each["tracks"]) for name, each in found["tempo"].items()] == [
        ("given", 4),
        ("estimated", 3),
    ]
    by_features = found["tempo"]["given"]["readers"]["features"]
    # 60 and 75 (said to be 150), 90 (said to be 45), and 100, said to be 77.
    heard_as = [heard.evidence[row].reading().tempo for row in range(4)]
    right = [abs(one / said - 1) <= 0.04 for one, said in zip(heard_as, TEMPO, strict=False)]
    assert values(by_features) == {
        "accuracy 1": np.mean(right),
        "accuracy 2": 0.75,
        "octaves": 0.75,
    }
    assert by_features["octaves"]["low"] < 0.75 < by_features["octaves"]["high"] == 1
    surer = found["tempo"]["estimated"]["readers"]["features"]
    assert values(surer)["octaves"] == 0.667 and values(surer)["octaves, surer half"] == 0.5
    key = found["key"]
    # Said to be D minor, which is D's parallel key; all others are right.
    assert values(key["given"]["readers"]["features"]) == {"exact": 0.75, "MIREX": 0.8}
    assert values(key["estimated"]["readers"]["features"]) == {
        **dict.fromkeys(("exact", "MIREX"), 1.0),
        "exact, surer half": 1.0,
    }


def test_the_baselines_are_those_of_the_same_tracks(by_data, data) -> None:
    stored = [data.stored(row) for row in range(4)]
    tempi = np.array([baselines.tempo(one["onset"], data.feature_config) for one in stored])
    expected = np.mean(np.abs(tempi / TEMPO[:4] - 1) <= 0.04)
    found = by_data["tempo"]["given"]["readers"]["librosa"]
    assert found["accuracy 1"]["value"] == pytest.approx(expected)


def test_a_model_reads_with_its_sub_spaces(heard: readings.Heard) -> None:
    own = system(
        genre=prototypes(("a", "unheard of", "b")), tempo=prototypes(TEMPI), key=prototypes(KEYS)
    )
    found = readings.of_system(heard, own)
    assert found is not None
    assert values(found["tempo"]["given"]["sub-space alone"]) == {"octaves": 0.75}
    both = found["tempo"]["given"]["features and sub-space"]
    scores = own.readings["tempo"].scores(own.vectors[:4, 1])
    tempi = [heard.evidence[row].reading(scores[row]).tempo for row in range(4)]
    right = np.abs(np.array(tempi) / TEMPO[:4] - 1) <= 0.04
    assert both["accuracy 1"]["value"] == right.mean()
    # The sub-space names the parallel key: right only where that is what is said.
    assert values(found["key"]["given"]["sub-space alone"]) == {"exact": 0.25, "MIREX": 0.4}
    given = found["tags"]["given"]
    assert set(given) == {"genre"} and given["genre"]["tracks"] == 4
    # Of four tracks, all have "a" (so it tells nothing), and the two last have "b" by chance .5.
    assert values({k: given["genre"][k] for k in ("AUC", "average precision")}) == {
        "AUC": 0.5,
        "average precision": 0.5,
    }
    sure = 1 / (1 + np.exp(-9))
    assert given["genre"]["calibration error"]["value"] == pytest.approx((1 - sure) / 2, abs=1e-9)
    assert found["tags"]["estimated"]["genre"]["tracks"] == 3


def test_a_model_without_readings_and_data_without_labels(heard: readings.Heard) -> None:
    assert readings.of_system(heard, system()) is None
    only_tags = readings.of_system(heard, system(genre=prototypes(("a", "b"))))
    assert only_tags is not None and set(only_tags) == {"tags", "tempo", "key"}
    assert only_tags["tempo"] == only_tags["key"] == {}
    unknown = fake_data(3, tempo=np.zeros(3, np.float32), key=np.full(3, -1, np.int32))
    assert readings.of_data(readings.hear(unknown)) == {"tempo": {}, "key": {}}


def test_many_tracks_are_sampled(monkeypatch, data) -> None:
    monkeypatch.setattr(readings, "MOST_TRACKS", 3)
    monkeypatch.setattr(hearing, "evidence", lambda *_: hearing.Evidence())
    found = readings.hear(data)
    assert len(found.evidence) == 3 == len(set(found.evidence))


def test_the_report_marks_what_is_estimated(heard: readings.Heard, by_data: dict) -> None:
    own = system(genre=prototypes(("a", "b")), tempo=prototypes(TEMPI))
    results = {
        "readings": by_data,
        "systems": {"read": {"readings": readings.of_system(heard, own)}, "old": {}},
    }
    (section,) = readings_section(results)
    titles = [title for title, _ in section.tables]
    assert titles == [
        "Tempo, against given tempi, 4 tracks",
        "Tempo, agreement with madmom's estimates, 3 tracks",
        "Key, against given keys, 4 tracks",
        "Key, agreement with madmom's estimates, 3 tracks",
        "Tags, against given tags",
        "Tags, agreement with MusiCNN's estimates",
    ]
    assert "there is no truth" in section.text
    tempo = section.tables[1][1]
    assert [row[0] for row in tempo.rows] == [
        "features alone",
        "librosa.feature.tempo",
        "read: sub-space alone",
        "read: features and sub-space",
    ]
    assert tempo.headings[-1] == "octaves, surer half"
    assert all(len(row) == len(table.headings) for _, table in section.tables for row in table.rows)
    assert list(readings_section({"systems": {}})) == [], "of an older evaluation"
