import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from input_pipeline import collection, manifest, prepare, scores
from input_pipeline.datasets import builder, dataset
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.scores import default_data
from tests.helpers.audio import write_csv

ROOT = Path(prepare.__file__).parent.parent


def _run(*arguments):
    """The command, with one worker and without estimates unless they are asked for."""
    prepare.main(["--source=csv", "--estimate=", "--workers=1", *arguments])


@pytest.fixture
def bad_rows(track_rows):
    """A CSV beside the audio: two good tracks, one without a file, one bad row, one bad label."""
    folder, rows = track_rows
    rows = [
        *rows[:2],
        rows[1] | {"path": "none.wav", "track_id": "lost"},
        rows[0] | {"track_id": "dev", "split": "dev"},
        rows[2] | {"key": "H minor", "split": "test"},
    ]
    return write_csv(folder / "bad.csv", rows)


def test_command_line_prepares_a_csv(bad_rows, tmp_path, capsys):
    out = tmp_path / "out"
    _run(f"--path={bad_rows}", f"--data_dir={out}")
    split = "split is 'dev', expected one of train, validation, test"
    key = 'key is \'H minor\', expected a tonic and a mode such as "A minor" or "Bb"'
    assert capsys.readouterr().out.splitlines() == [
        "tracks: Tracks of bad.csv.",
        "read: 4 tracks (3 train, 0 validation, 1 test) in 3 groups",
        "labelled: genre 4 (100 %), mood 4 (100 %), instrument 0 (0 %), era 4 (100 %), "
        "tempo 4 (100 %), key 3 (75 %)",
        "no tracks in: validation. Groups are never divided: use smaller groups where splits are "
        "drawn, or give the splits in a manifest",
        "tracks skipped: 1: split is invalid 1",
        f"  the first: bad.csv, line 5: {split}",
        "labels left out: 1: key is invalid 1",
        f"  the first: bad.csv, line 6: {key}",
        "3 tracks (2 train, 1 test), 0.01 hours",
        f"tracks skipped: 1, with reasons in {out / 'skipped.csv'}",
        "labelled tracks: genre 3, mood 3, instrument 0, era 3, tempo 3, key 2",
        f"data set: {out}",
    ]
    assert len(dataset.open(out, "train", FeatureConfig())) == 2
    with (out / "skipped.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[:3] == [
        ["track_id", "reason"],
        ["bad.csv, line 5", split],
        ["bad.csv, line 6", f"label left out: {key}"],
    ]
    assert [row[0] for row in rows[3:]] == ["lost"]
    assert manifest.read(out / "manifest.jsonl").tracks == manifest.read(bad_rows).tracks
    assert not (out / "unknown_tags.csv").exists()


def test_what_is_known_of_a_source_is_stored(tracks_csv, tmp_path, monkeypatch, capsys):
    known = collection.Collection(
        "music",
        manifest.read(tracks_csv).tracks[:2],
        description="Two tones.",
        citation="Somebody 2020",
        licence="CC0",
        label_descriptions={"genre": "as heard"},
        unknown_tags={"b": 3, "a,\n": 1},
    )
    monkeypatch.setitem(prepare.READERS, "folder", lambda path: known)
    out = tmp_path / "out"
    _run("--source=folder", f"--path={tracks_csv}", f"--data_dir={out}")
    printed = capsys.readouterr().out
    assert "licence: CC0\nplease cite: Somebody 2020\n" in printed
    info = tfds.builder_from_directory(out).info
    assert (info.name, info.description, info.citation) == ("music", "Two tones.", "Somebody 2020")
    assert info.metadata["licence"] == "CC0"
    assert info.metadata["label_descriptions"] == {"genre": "as heard"}
    with (out / "unknown_tags.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["tag", "count"], ["b", "3"], ["a,\n", "1"]]
    header = json.loads((out / "manifest.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert header["collection"]["licence"] == "CC0"


def test_options_reach_the_builder(tracks_csv, tmp_path, monkeypatch):
    seen = {}

    def stop(tracks, directory, **options):
        seen.update(options, directory=directory, tracks=len(tracks))
        raise KeyboardInterrupt

    monkeypatch.setattr(builder, "prepare", stop)
    options = ["--runner=DirectRunner", "--direct_num_workers=2"]
    with pytest.raises(SystemExit, match="interrupted; running the same command again resumes"):
        _run(
            f"--path={tracks_csv}",
            f"--data_dir={tmp_path}",
            f"--beam_options={','.join(options)}",
            "--estimate=key",
            "--feature=n_mels=96",
            "--feature=hop_length=256",
        )
    expected = {"beam_options": options, "estimate": ["key"], "workers": 1, "name": "tracks"}
    expected |= {"feature_config": FeatureConfig(n_mels=96, hop_length=256)}
    expected |= {"directory": tmp_path, "tracks": 8, "problems": []}
    assert expected.items() <= seen.items()


def test_a_dry_run_only_reads(tmp_path):
    """It prints the summary, writes nothing and does not wait for TensorFlow."""
    (tmp_path / "tracks.csv").write_text("path,genre\na.wav,x\n")
    command = [sys.executable, "-X", "importtime", "-m", "input_pipeline.prepare", "--dry_run"]
    done = subprocess.run(
        [*command, "--source=folder", f"--path={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == [
        "tracks: Tracks of tracks.csv.",
        "read: 1 tracks (1 train, 0 validation, 0 test) in 1 groups",
    ]
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "input_pipeline.manifest" in imported
    assert not imported & {"tensorflow", "tensorflow_datasets", "jax"}
    assert [path.name for path in tmp_path.iterdir()] == ["tracks.csv"]


def test_a_dry_run_of_the_scores(monkeypatch, tmp_path, capsys):
    track = manifest.Track("a", "train", lambda: None, tags={"era": ("tape",)})
    monkeypatch.setattr(scores, "tracks", lambda config, *, workers: [track])
    _run("--source=scores", "--dry_run", f"--data_dir={tmp_path}")
    assert "read: 1 tracks (1 train" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_options_reach_the_source(monkeypatch, capsys):
    seen = {}

    def read(path, *, audio, split="0", subset=""):
        seen.update(path=path, audio=audio, split=split, subset=subset)
        return collection.Collection("toy", [manifest.Track("a", "train", "a.wav")])

    monkeypatch.setitem(prepare.READERS, "jamendo", read)
    monkeypatch.setenv("HOME", "/home/me")
    _run(
        "--source=jamendo",
        "--path=~/here",
        "--audio=~/audio",
        "--option=split=3",
        "--option=subset=a=b",
        "--dry_run",
    )
    assert seen == {
        "path": Path("/home/me/here"),
        "audio": "/home/me/audio",
        "split": "3",
        "subset": "a=b",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--path=none.csv", "--data_dir=out"], "error: none.csv: no such CSV file"),
        (["--data_dir=out"], "error: --source=csv needs --path (what to read) and --data_dir"),
        (["--path=tracks.csv"], "error: --source=csv needs --path"),
        (
            ["--source=jamendo", "--path=x", "--dry_run"],
            "error: --source=jamendo needs --audio=...",
        ),
        (
            ["--source=mirdata", "--path=x", "--dry_run"],
            "error: --source=mirdata needs --option=dataset=...",
        ),
        (
            ["--path=x", "--dry_run", "--audio=y"],
            "error: option 'audio' is unknown to csv, expected none",
        ),
        (
            ["--source=folder", "--path=x", "--dry_run", "--option=g=1"],
            "error: option 'g' is unknown to folder, expected one of group",
        ),
        (["--feature=n_mel=96"], "error: --feature is 'n_mel=96', expected NAME=VALUE of sample"),
        (["--feature=n_mels=a"], "error: --feature is 'n_mels=a', expected a number (int)"),
        (["--feature=hop_length=65"], "error: features.hop_length is 65, expected a multiple"),
        (
            ["--path=x", "--dry_run", "--option=g"],
            "error: --option is 'g', expected name=value",
        ),
    ],
)
def test_expected_problems_are_one_line(arguments, message):
    with pytest.raises(SystemExit) as stop:
        _run(*arguments)
    # A string makes the exit code 1 and is all that Python prints.
    assert stop.value.code.startswith(message) and "\n" not in stop.value.code


def test_default_directory_depends_on_the_configurations(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXSIM_DATA", str(tmp_path))
    directories = {
        default_data.default_directory(
            scores.ScoresConfig(**scores_fields), FeatureConfig(**fields)
        )
        for scores_fields in ({}, {"seed": 1}, {"renderings": 2})
        for fields in ({}, {"hop_length": 256})
    }
    assert len(directories) == 6
    assert {directory.parent for directory in directories} == {tmp_path}
    again = default_data.default_directory(scores.ScoresConfig(), FeatureConfig())
    assert again in directories


def test_scores_that_are_there_are_not_made_again(monkeypatch, prepared_directory):
    monkeypatch.setattr(scores, "tracks", pytest.fail)
    found = default_data.prepare_scores(scores.ScoresConfig(), FeatureConfig(), prepared_directory)
    assert found == prepared_directory
