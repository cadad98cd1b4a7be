"""The benchmark that writes madmom's estimates: of which tracks, what, and how long it took."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks import estimates as benchmark
from input_pipeline import manifest, scores
from input_pipeline.hearing.estimates import Estimate
from input_pipeline.tracks import KEYS, Track
from jaxsim.evaluation import estimate_files
from tests.helpers.audio import pulsed_tone, write_csv

SCORES = scores.ScoresConfig()


@pytest.fixture(scope="module")
def listed(track_rows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of the eight tracks and of one that is no audio, without their audio beside it."""
    folder, rows = track_rows
    listed = [row | {"path": str(folder / row["path"])} for row in rows]
    broken = listed[3] | {"path": str(folder / "none.wav"), "track_id": "broken", "group": "none"}
    return write_csv(tmp_path_factory.mktemp("listed") / "manifest.csv", [*listed, broken])


def test_tracks_are_those_of_the_manifest_that_a_data_set_has(
    tracks_csv: Path, track_rows, tmp_path: Path
) -> None:
    manifest.write(manifest.read(tracks_csv), tmp_path / manifest.NAME)
    for split in ("train", "validation", "test"):
        expected = [row["track_id"] for row in track_rows[1] if row["split"] == split]
        for source in (tracks_csv, tmp_path):
            found = benchmark.tracks(str(source), split=split, config=SCORES)
            assert [track.track_id for track in found] == expected


def test_the_scores_are_those_of_the_options(monkeypatch, tmp_path: Path) -> None:
    asked, measured = [], []
    every = [Track(name, split, "") for name, split in (("a", "train"), ("b", "test"))]
    monkeypatch.setattr(scores, "tracks", lambda config: asked.append(config) or every)
    monkeypatch.setattr(benchmark, "measure", lambda *given: measured.extend(given))
    given = ["--pieces_per_genre=5", "--renderings=2", "--seconds=4", "--seed=7"]
    benchmark.main(["scores", *given, f"--out={tmp_path / 'a.csv'}"])
    assert asked == [scores.ScoresConfig(pieces_per_genre=5, renderings=2, seconds=4.0, seed=7)]
    assert measured == [[every[1]], tmp_path / "a.csv"]


def test_the_file_has_what_madmom_said(
    listed: Path, track_rows, monkeypatch, capsys, tmp_path: Path
) -> None:
    """Of audio at its own rate; what cannot be decoded is left out and said."""
    said = [Estimate(), Estimate(tempo=59.996, key=22), Estimate(tempo=133.333)]
    lengths, cores = [], []

    def madmom(samples: np.ndarray, rate: float) -> Estimate:
        lengths.append(len(samples) / rate)
        cores.append(len(os.sched_getaffinity(0)))
        return said[len(lengths) - 1]

    monkeypatch.setattr(benchmark.estimates, "estimate_tempo_and_key", madmom)
    before, out = os.sched_getaffinity(0), tmp_path / "madmom.csv"
    benchmark.main([str(listed), "--split=test", f"--out={out}"])
    assert os.sched_getaffinity(0) == before and cores == [1, 1, 1]
    ids = [row["track_id"] for row in track_rows[1] if row["split"] == "test"]
    values = [(60.0, KEYS.index("A# minor")), (133.33, -1)]
    assert estimate_files.read(out).values == dict(zip(ids, values, strict=True))
    # The first one is heard twice: what that loads and compiles does not count.
    assert lengths == pytest.approx([6.75, 6.75, 7.75], abs=0.01)
    printed = capsys.readouterr()
    assert "2 tracks, 0.2 minutes of audio; ms of processor time per minute" in printed.out
    assert "broken: " in printed.err


def test_what_is_timed_is_named(monkeypatch) -> None:
    """By a clock that each of the two moves by its own time, whichever comes first."""
    now, order = [0.0], []

    def lasting(name: str, seconds: float):
        def run(*_) -> str:
            now[0] += seconds
            order.append(name)
            return name

        return run

    monkeypatch.setattr(benchmark.time, "process_time", lambda: now[0])
    monkeypatch.setattr(benchmark.estimates, "estimate_tempo_and_key", lasting("madmom", 8.0))
    monkeypatch.setattr(benchmark, "read", lasting("ours", 0.5))
    turns = [benchmark.in_turns(np.zeros(5), 22050, number) for number in range(3)]
    assert turns == [("madmom", (8.0, 0.5))] * 3
    assert order == ["madmom", "ours", "ours", "madmom", "madmom", "ours"]


def test_the_ratio_is_that_of_all_tracks_together() -> None:
    took = np.array([[4.0, 0.5], [2.0, 0.1], [6.0, 0.4], [3.0, 1.0], [5.0, 1.0]])
    # 20 and 3 s for 4 minutes; the tracks' own ratios are 3, 5, 8, 15 and 20.
    assert benchmark.described(took, 4.0) == (
        "5 tracks, 4.0 minutes of audio; ms of processor time per minute, on one core: "
        "madmom 5000, features and readings 750; ratio 6.7 (half of the tracks: 5.0 to 15.0)"
    )


def test_what_is_read_is_the_tempo_that_sounds() -> None:
    reading = benchmark.read(pulsed_tone(0, seconds=12, beats_per_minute=100), 22050)
    levels = np.log2(reading.tempo / 100)
    assert levels == pytest.approx(np.round(levels), abs=0.03)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{folder}", r"{folder}: holds no manifest, expected one of manifest.csv, .*'scores'"),
        ("{folder}/x.csv", r"{folder}/x.csv: no such CSV file"),
        ("{folder}/one/tracks.csv", r"has none of its 1 tracks in the split 'validation'"),
        ("{folder}/none/tracks.csv", r"none of the 1 tracks can be heard"),
    ],
)
def test_sources_without_tracks_are_one_line(source: str, message: str, tmp_path: Path) -> None:
    for name, split in (("one", "train"), ("none", "validation")):
        (tmp_path / name).mkdir()
        write_csv(tmp_path / name / "tracks.csv", [{"path": "nowhere.wav", "split": split}])
    out = tmp_path / "out.csv"
    given = [source.replace("{folder}", str(tmp_path)), "--split=validation", f"--out={out}"]
    with pytest.raises(SystemExit, match="^error: .*" + message.replace("{folder}", str(tmp_path))):
        benchmark.main(given)
    assert not out.exists()
