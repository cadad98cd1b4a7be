"""Tempo and key by other systems: their files, what they are worth, and what the tables say."""

from pathlib import Path

import mir_eval
import numpy as np
import pytest

from input_pipeline.tracks import KEYS
from jaxsim.evaluation import estimate_files, readings, reporting
from jaxsim.evaluation.readings import GIVEN, Heard, Truth
from jaxsim.evaluation.readings_section import readings_section
from tests.helpers.batches import fake_data

TRACKS = 40


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_file_is_read_in_any_spelling(tmp_path: Path) -> None:
    path = written(
        tmp_path / "essentia.csv",
        "\ufefftrack_id, confidence,key,tempo",
        '"a, b",0.5,8A,"128,5"',
        "c,,Bb,  ",
        "",
        "d,1,,90 BPM",
        "e,,,",
    )
    found = estimate_files.read(path)
    assert found.name == "essentia"
    assert found.values == {
        "a, b": (128.5, KEYS.index("A minor")),
        "c": (0.0, KEYS.index("A# major")),
        "d": (90.0, -1),
        "e": (0.0, -1),
    }


HEADER = "track_id,tempo,key"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], ": has columns none; expected track_id, tempo, key, each once"),
        (["track_id,bpm,key"], ": has columns 'track_id', 'bpm', 'key'; expected track_id, tempo"),
        ([f"{HEADER},key"], ": has columns 'track_id', 'tempo', 'key', 'key'; expected track_id,"),
        ([HEADER, "", "a,fast,C"], ", line 3: tempo is 'fast', expected beats per minute"),
        ([HEADER, "a,0,C"], ", line 2: tempo is '0', expected beats per minute"),
        ([HEADER, "a,60,H sharp"], ", line 2: key is 'H sharp', expected a tonic and a mode"),
        ([HEADER, "a,60"], ", line 2: number of cells is 2, expected 3 as in the header"),
        ([HEADER, " ,60,C"], ", line 2: track_id is empty, expected that of a track"),
        ([HEADER, "a,60,C", "a,,"], ", line 3: track_id is 'a' again, expected one row for each"),
        ([HEADER, 'a,60,"C'], ": not a CSV file in UTF-8 (unexpected end of data)"),
        ([HEADER, "x,60,C"], ": has none of the 3 tracks of fake, split 'train'; its first"),
        ([HEADER, "x,60,C"], "its first track_id is 'x', theirs is '0'"),
        ([HEADER], "its first track_id is '', theirs is '0'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(lines: list[str], message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "others.csv", *lines)
    with pytest.raises(ValueError) as error:
        estimate_files.read(path).check(fake_data(3))
    said = str(error.value)
    assert said.startswith(str(path)) and message in said and "\n" not in said


def test_other_bytes_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "others.csv").write_bytes(b"track_id,tempo,key\n\xff,60,C\n")
    with pytest.raises(ValueError, match=r"others\.csv: not a CSV file in UTF-8"):
        estimate_files.read(tmp_path / "others.csv")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        estimate_files.read(tmp_path / "nowhere.csv")


@pytest.fixture(scope="module")
def heard() -> Heard:
    """A quarter of the tempi and of the keys are unknown."""
    data = fake_data(TRACKS)
    truths = {}
    for what, values, known in (
        ("tempo", data.tempo, data.tempo > 0),
        ("key", data.key, data.key >= 0),
    ):
        rows = np.flatnonzero(known)
        truths[what] = {GIVEN: Truth(rows, values[rows], None)}
    # What features say does not matter here, but of which tracks they say it does.
    rows = np.flatnonzero((data.tempo > 0) | (data.key >= 0)).tolist()
    return Heard(data, np.arange(TRACKS) // 2, truths, dict.fromkeys(rows), {})


@pytest.fixture(scope="module")
def estimates(heard: Heard) -> dict[str, tuple[float, int]]:
    """Right, wrong, at another level or in a related key, unknown, or of no track; by track id."""
    random, found = np.random.default_rng(3), {"another": (120.0, 3)}
    for row in range(TRACKS):
        if row % 5:
            tempo = heard.data.tempo[row] * random.choice([1, 1.02, 2, 1 / 3, 4, 1.3, 0])
            key = random.choice([heard.data.key[row], random.integers(24), -1])
            found[str(row)] = float(tempo), int(key)
    return found


def test_scores_are_those_of_a_loop(heard: Heard, estimates) -> None:
    """Tracks that the file lacks, and those that it has without a value, count as wrong."""
    found = readings.of_estimates(heard, estimate_files.Estimates(Path("a/b.csv"), estimates))
    data, right = heard.data, {"accuracy 1": [], "accuracy 2": [], "exact": [], "MIREX": []}
    covered = {"tempo": 0, "key": 0}
    for row in range(TRACKS):
        tempo, key = estimates.get(str(row), (0.0, -1))
        true = float(data.tempo[row])
        if true > 0:
            covered["tempo"] += tempo > 0
            for name, factors in (("accuracy 1", [1]), ("accuracy 2", [1, 2, 3, 1 / 2, 1 / 3])):
                near = any(abs(tempo - each * true) <= 0.04 * each * true for each in factors)
                right[name].append(near)
        if data.key[row] >= 0:
            covered["key"] += key >= 0
            names = KEYS[data.key[row]], KEYS[key]
            right["exact"].append(key >= 0 and names[0] == names[1])
            right["MIREX"].append(mir_eval.key.weighted_score(*names) if key >= 0 else 0)
    for what, measures in (("tempo", ("accuracy 1", "accuracy 2")), ("key", ("exact", "MIREX"))):
        own = found[what][GIVEN]
        assert 0 < own["covered"] == covered[what] < len(heard.truths[what][GIVEN].rows)
        for name in measures:
            assert own["scores"][name]["value"] == pytest.approx(np.mean(right[name]))
            assert 0 < own["scores"][name]["value"] < 1


def test_a_system_that_knows_no_key_has_no_row_among_the_keys(heard: Heard) -> None:
    tempi = {str(row): (100.0, -1) for row in range(TRACKS)}
    only_tempo = readings.of_estimates(heard, estimate_files.Estimates(Path("b.csv"), tempi))
    assert only_tempo["key"] == {} and set(only_tempo["tempo"]) == {GIVEN}
    score = {"value": 0.5, "low": 0.25, "high": 0.75}
    measures = dict.fromkeys(("accuracy 1", "accuracy 2", "octaves", "exact", "MIREX"), score)
    own = {"covered": 6, "scores": measures}
    results = {
        "readings": {
            what: {GIVEN: {"tracks": 8, "readers": {"features": measures, "librosa": measures}}}
            for what in ("tempo", "key")
        },
        "systems": {},
        "estimates": {
            "all": {"tempo": {GIVEN: own | {"covered": 8}}, "key": {GIVEN: own}},
            "beats": {"tempo": {GIVEN: own}, "key": {}},
        },
    }
    (section,) = readings_section(results)
    (_, tempo), (_, key) = section.tables
    assert [row[0] for row in tempo.rows[2:]] == ["all", "beats (of 6 tracks)"]
    assert [row[0] for row in key.rows[2:]] == ["all (of 6 tracks)"]
    assert tempo.rows[3][1:] == ["0.500 [0.250, 0.750]"] * 3
    assert "all, beats: estimates from files" in section.text
    (older,) = readings_section({name: results[name] for name in ("readings", "systems")})
    assert [len(table.rows) for _, table in older.tables] == [2, 2]
    assert "from files" not in older.text


def test_reports_of_several_evaluations_have_the_estimates_of_all() -> None:
    older = {"data": 1, "triplets_per_dimension": 2, "judged_triplets": {}, "systems": {}}
    one, other = ({"estimates": {name: {"tempo": {}, "key": {}}}} for name in "ab")
    merged = reporting.merged([older, older | one, older | other])
    assert merged["estimates"] == one["estimates"] | other["estimates"]
    another = {"estimates": {"a": {"tempo": {GIVEN: {}}, "key": {}}}}
    with pytest.raises(ValueError, match="two different systems are called 'a'"):
        reporting.merged([older | one, older | another])
