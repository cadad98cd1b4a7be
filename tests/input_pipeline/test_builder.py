import csv
import functools
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from input_pipeline import builder, features
from input_pipeline.tracks import Track, read_csv
from tests.conftest import pulsed_tone, report_loaded_modules


def _track(track_id="a", split="train", seconds=4.0, **fields):
    audio = functools.partial(pulsed_tone, 0, seconds=seconds)
    return Track(**{"track_id": track_id, "split": split, "audio": audio} | fields)


def _prepare(tracks, directory, **options):
    options = {"name": "toy", "description": "", "estimate": (), "workers": 1} | options
    return builder.prepare(tracks, directory, **options)


def test_one_and_two_workers_write_the_same_bytes(tracks_csv, prepared_directory, tmp_path):
    _prepare(read_csv(tracks_csv), tmp_path / "one")
    written = sorted(path.name for path in (tmp_path / "one").glob("*.tfrecord*"))
    assert [name.split(".")[0] for name in written] == ["toy-test", "toy-train", "toy-validation"]
    for name in written:
        assert (tmp_path / "one" / name).read_bytes() == (prepared_directory / name).read_bytes()


def test_fields_are_written_in_a_fixed_order(prepared_directory):
    # Within one process protobuf's own order repeats; between processes it does not.
    (shard,) = prepared_directory.glob("*train.tfrecord*")
    for record in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator():
        example = tf.train.Example.FromString(record)
        assert record == example.SerializeToString(deterministic=True)


def test_tfds_reads_what_was_written(prepared_directory, tracks_csv):
    data = tfds.builder_from_directory(prepared_directory)
    assert data.info.metadata["feature_version"] == features.FEATURE_VERSION
    tracks = {track.track_id: track for track in read_csv(tracks_csv)}
    genres = data.info.features["genre"].feature.names
    seen = []
    for record in tfds.as_numpy(data.as_dataset(split="train+validation+test")):
        track = tracks[record["track_id"].decode()]
        seen.append(track.track_id)
        samples = features.load_audio(track.audio, 22050)
        for name, expected in features.extract(samples, features.FeatureConfig()).items():
            np.testing.assert_array_equal(record[name], expected)
        assert [genres[i] for i in record["genre"]] == sorted(track.tags.get("genre", ()))
        assert record["tempo"] == track.tempo and record["tempo_confidence"] == 1
        assert (record["key"] == -1) == (track.key is None) == (record["key_confidence"] == 0)
        assert not record["key_estimated"]
        assert record["group"].decode() == track.group
    assert sorted(seen) == sorted(tracks)


def test_report_counts(tmp_path):
    tracks = [
        _track("a", tags={"genre": ("x",)}, tempo=100),
        _track("b", "test", key="Am"),
        _track("c", seconds=1.0),
        _track("d", audio=tmp_path / "none.wav"),
    ]
    report = _prepare(tracks, tmp_path / "data")
    assert report.directory == tmp_path / "data"
    assert report.num_tracks == {"train": 1, "test": 1}
    assert report.hours == pytest.approx(8 / 3600)
    expected = {"genre": 1, "mood": 0, "instrument": 0, "era": 0, "tempo": 1, "key": 1}
    assert report.label_counts == expected
    assert [track_id for track_id, _ in report.skipped] == ["c", "d"]
    with (tmp_path / "data" / "skipped.csv").open(newline="") as file:
        rows = [tuple(row) for row in csv.reader(file)]
    assert rows == [("track_id", "reason"), *report.skipped]


@pytest.mark.parametrize(
    ("tracks", "options", "message"),
    [
        ([_track("a"), _track("a")], {}, "track_id 'a' occurs twice"),
        (
            [_track("a", group="g"), _track("b", "test", group="g")],
            {},
            "group 'g' is in the splits 'train' and 'test'",
        ),
        ([_track("a", "test")], {}, "no track is in the split 'train'"),
        ([], {}, "no track is in the split 'train'"),
        ([_track("a", seconds=1)], {}, "'train' has no usable track out of 1.*'a': too short"),
        ([_track()], {"name": "My data"}, "name is 'My data', expected lower-case"),
        ([_track()], {"estimate": ("mood",)}, r"estimate has \['mood'\]"),
    ],
)
def test_bad_input_leaves_nothing_behind(tmp_path, tracks, options, message):
    with pytest.raises(ValueError, match=message):
        _prepare(tracks, tmp_path / "data", **options)
    assert list(tmp_path.iterdir()) == []


def test_never_overwrites(tmp_path):
    (tmp_path / "precious.txt").touch()
    with pytest.raises(FileExistsError, match="is not empty"):
        _prepare([_track()], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def _fail():
    raise ZeroDivisionError("oops")


def _interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("audio", "error", "message"),
    [
        (_fail, RuntimeError, "track 'b': its audio failed: .*oops"),
        (_interrupt, KeyboardInterrupt, None),
    ],
)
def test_a_failure_half_way_leaves_nothing_behind(tmp_path, audio, error, message):
    threads = threading.active_count()
    with pytest.raises(error, match=message):
        _prepare([_track("a"), _track("b", audio=audio)], tmp_path / "data")
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() <= threads


def test_workers_load_neither_tensorflow_nor_jax(tmp_path):
    tracks = [_track("a"), _track("b", audio=report_loaded_modules)]
    ((_, reason),) = _prepare(tracks, tmp_path / "data", workers=2).skipped
    assert reason == "loaded: []"


@pytest.mark.slow
def test_first_start_of_two_workers(tracks_csv, tmp_path):
    # With nothing compiled by Numba yet, two workers used to write what crashed them.
    root = Path(builder.__file__).parent.parent
    command = [sys.executable, "-m", "input_pipeline.prepare", "--source=csv"]
    options = [f"--path={tracks_csv}", f"--data_dir={tmp_path / 'data'}", "--workers=2"]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    done = subprocess.run(
        [*command, *options], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "numba").rglob("*.nbc")), "Numba's cache must have been empty"
