import csv
import dataclasses
import functools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import numpy as np
import pytest
import soundfile
import tensorflow as tf
import tensorflow_datasets as tfds

from input_pipeline import manifest
from input_pipeline.datasets import builder, dataset, updates
from input_pipeline.datasets import workers as worker_processes
from input_pipeline.hearing import audio, features
from input_pipeline.hearing.estimates import Estimate
from input_pipeline.tracks import Track
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone, report_loaded_modules


def _track(track_id="a", split="train", seconds=4.0, **fields):
    audio = functools.partial(pulsed_tone, 0, seconds=seconds)
    return Track(**{"track_id": track_id, "split": split, "audio": audio} | fields)


def _prepare(tracks, directory, **options):
    options = {"name": "toy", "description": "", "estimate": (), "workers": 1} | options
    return builder.prepare(tracks, directory, **options)


def test_one_and_two_workers_write_the_same_bytes(tracks_csv, prepared_directory, tmp_path):
    _prepare(manifest.read(tracks_csv).tracks, tmp_path / "one")
    written = sorted(path.name for path in (tmp_path / "one").glob("*.tfrecord*"))
    assert [name.split(".")[0] for name in written] == ["toy-test", "toy-train", "toy-validation"]
    for name in written:
        assert (tmp_path / "one" / name).read_bytes() == (prepared_directory / name).read_bytes()


def test_fields_are_written_in_a_fixed_order(prepared_directory):
    # Within one process protobuf's own order repeats; between processes it does not.
    (shard,) = prepared_directory.glob("*train.tfrecord*")
    records = list(tf.data.TFRecordDataset(str(shard)).as_numpy_iterator())
    assert len(records) == 4
    for record in records:
        example = tf.train.Example.FromString(record)
        assert record == example.SerializeToString(deterministic=True)


def test_tfds_reads_what_was_written(prepared_directory, tracks_csv):
    data = tfds.builder_from_directory(prepared_directory)
    assert data.info.metadata["feature_version"] == features.FEATURE_VERSION
    tracks = {track.track_id: track for track in manifest.read(tracks_csv).tracks}
    genres = data.info.features["genre"].feature.names
    seen = []
    for record in tfds.as_numpy(data.as_dataset(split="train+validation+test")):
        track = tracks[record["track_id"].decode()]
        seen.append(track.track_id)
        samples = audio.load_audio(track.audio, 22050)
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
        _track("e", "test", audio=tmp_path / "cut.wav"),
    ]
    soundfile.write(tmp_path / "cut.wav", pulsed_tone(3, seconds=8), 22050)
    os.truncate(tmp_path / "cut.wav", 44 + 4 * 22050 * 2)
    report = _prepare(tracks, tmp_path / "data")
    assert report.directory == tmp_path / "data"
    assert report.num_tracks == {"train": 1, "test": 2}
    assert report.hours == pytest.approx(12 / 3600, rel=1e-3)
    expected = {"genre": 1, "mood": 0, "instrument": 0, "era": 0, "tempo": 1, "key": 1}
    assert report.label_counts == expected
    assert [track_id for track_id, _ in report.skipped] == ["c", "d"]
    with (tmp_path / "data" / "skipped.csv").open(newline="") as file:
        rows = [tuple(row) for row in csv.reader(file)]
    assert rows == [
        *(("track_id", "reason"), *report.skipped),
        ("e", "used: 4 s heard (the header says 8 s)"),
    ]


def test_estimates_are_written_where_nothing_is_known(tmp_path, monkeypatch):
    """Tempo and key each with their own confidence; a given label stays, with confidence 1."""
    heard = Estimate(tempo=97.5, tempo_confidence=0.625, key=0, key_confidence=0.25)
    listen = worker_processes.listen

    def estimating(audio, config, *, estimate, **options):
        kept = {n: v for n, v in dataclasses.asdict(heard).items() if n.split("_")[0] in estimate}
        found = listen(audio, config, estimate=(), **options)
        return dataclasses.replace(found, estimate=Estimate(**kept))

    monkeypatch.setattr(worker_processes, "listen", estimating)
    tracks = [_track("a"), _track("b", tempo=60.0), _track("c", key="Am")]
    report = _prepare(tracks, tmp_path / "data", estimate=("tempo", "key"))
    assert (report.label_counts["tempo"], report.label_counts["key"]) == (3, 3)
    data = dataset.open(tmp_path / "data", "train", features.FeatureConfig())
    assert data.tempo.tolist() == [97.5, 60, 97.5]
    assert data.tempo_confidence.tolist() == [0.625, 1, 0.625]
    assert data.tempo_estimated.tolist() == [True, False, True]
    assert data.key.tolist() == [0, 0, 21]
    assert data.key_confidence.tolist() == [0.25, 0.25, 1]
    assert data.key_estimated.tolist() == [True, True, False]
    report = _prepare(tracks, tmp_path / "tempo alone", estimate=("tempo",))
    assert (report.label_counts["tempo"], report.label_counts["key"]) == (3, 1)


@pytest.mark.parametrize(
    ("tracks", "options", "message"),
    [
        ([_track("a"), _track("a")], {}, "track_id 'a' occurs twice"),
        (
            [_track("a", group="g"), _track("b", "test", group="g")],
            {},
            "group 'g' is in the splits 'train' and 'test'",
        ),
        ([], {}, "there are no tracks"),
        ([_track("a", seconds=1)], {}, "'train' has no usable track among 1.*'a': too short"),
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
    with pytest.raises(FileExistsError, match="is neither empty nor a data set"):
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
def test_a_failure_half_way_leaves_nothing_behind_but_what_was_extracted(
    tmp_path, audio, error, message
):
    threads = threading.active_count()
    with pytest.raises(error, match=message):
        _prepare([_track("a"), _track("b", audio=audio)], tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == [".data.partial"]
    assert [path.suffix for path in tmp_path.rglob("*.*") if path.is_file()] == [".npz"]
    assert threading.active_count() <= threads


def _counting(path, seconds):
    with path.open("a") as file:
        file.write("x")
    return pulsed_tone(0, seconds=seconds)


def test_an_interrupted_run_goes_on(tmp_path):
    calls = tmp_path / "calls"
    first = _track("a", audio=functools.partial(_counting, calls, 4.0))
    with pytest.raises(KeyboardInterrupt):
        _prepare([first, _track("b", audio=_interrupt)], tmp_path / "data")
    report = _prepare([first, _track("b", seconds=5.0)], tmp_path / "data")
    assert calls.read_text() == "x"
    assert report.num_tracks == {"train": 2} and report.kept == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls", "data"]
    _prepare([_track("a", audio=first.audio), _track("b", seconds=5.0)], tmp_path / "fresh")
    assert _records(tmp_path / "data") == _records(tmp_path / "fresh")


def test_what_an_interrupted_run_extracted_otherwise_is_not_used(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _prepare([_track("a"), _track("b", audio=_interrupt)], tmp_path / "data")
    tracks, config = [_track("a"), _track("b")], features.FeatureConfig(n_mels=64)
    _prepare(tracks, tmp_path / "data", feature_config=config)
    _prepare(tracks, tmp_path / "fresh", feature_config=config)
    assert _records(tmp_path / "data") == _records(tmp_path / "fresh")


def _records(directory):
    return {path.name: path.read_bytes() for path in directory.glob("*.tfrecord*")}


@pytest.fixture
def changing_tracks(tmp_path):
    """Three files of audio, one of them for the test to change, as tracks."""
    for number in range(3):
        _write(tmp_path / f"{number}.wav", number)
    splits = ("train", "train", "test")
    return [
        Track(str(n), split, tmp_path / f"{n}.wav", tags={"genre": ("x",)})
        for n, split in enumerate(splits)
    ]


def _write(path, number):
    soundfile.write(path, pulsed_tone(number, seconds=4.0), SAMPLE_RATE)


def test_only_changed_audio_is_extracted_again(tmp_path, changing_tracks, monkeypatch):
    data = tmp_path / "data"
    assert _prepare(changing_tracks, data).kept == 0
    _write(tmp_path / "1.wav", 7)
    extracted = []
    original = features.hear
    monkeypatch.setattr(
        features, "hear", lambda *given: extracted.append(len(given[0])) or original(*given)
    )
    labelled = [*changing_tracks[:2], dataclasses.replace(changing_tracks[2], key="Am")]
    added = Track("3", "test", tmp_path / "3.wav")
    report = _prepare([*labelled, added], data)
    assert (report.kept, report.skipped) == (2, (("3", f"no such file: {added.audio}"),))
    assert extracted.count(4 * SAMPLE_RATE) == 1
    _prepare([*labelled, added], tmp_path / "fresh")
    assert _records(data) == _records(tmp_path / "fresh")
    assert report.label_counts["key"] == 1


def test_names_of_all_sorts(tmp_path):
    names = ["new\nline.wav", "emoji \N{MUSICAL SCORE}.wav", "x" * 250 + ".wav", "a 'b' \"c\".wav"]
    for name in names:
        _write(tmp_path / name, 1)
    tracks = [Track(name, "train", tmp_path / name, title=name) for name in names]
    assert _prepare(tracks, tmp_path / "data").skipped == ()
    data = dataset.open(tmp_path / "data", "train", features.FeatureConfig())
    assert data.track_ids == data.titles == sorted(names)


def test_features_of_another_kind_are_not_mixed(tmp_path, changing_tracks):
    data = tmp_path / "data"
    _prepare(changing_tracks, data)
    before = _records(data)
    with pytest.raises(FileExistsError, match=r"n_mels is 128, expected 64.*\n.*delete it"):
        _prepare(changing_tracks, data, feature_config=features.FeatureConfig(n_mels=64))
    assert _records(data) == before


def test_the_old_data_set_stays_until_the_new_one_is_whole(tmp_path, changing_tracks, monkeypatch):
    data = tmp_path / "data"
    _prepare(changing_tracks, data)
    before = _records(data)
    with monkeypatch.context() as patch:
        # Killed between the two renames.
        patch.setattr(updates.shutil, "rmtree", lambda *_, **__: None)
        patch.setattr(updates.os, "replace", _fail_at_the_new(os.replace))
        with pytest.raises(KeyboardInterrupt):
            _prepare(changing_tracks[:2], data)
    assert not data.exists()
    with pytest.raises(KeyboardInterrupt):
        _prepare([_track("x", audio=_interrupt)], data)
    assert _records(data) == before
    assert _prepare(changing_tracks[:2], data).num_tracks == {"train": 2}


def _fail_at_the_new(replace):
    def fails(source, target):
        if Path(target).name == "old" or Path(source).name != dataset.RECORD_VERSION:
            return replace(source, target)
        raise KeyboardInterrupt

    return fails


def test_one_process_at_a_time(tmp_path):
    with (
        filelock.FileLock(tmp_path / ".data.lock"),
        pytest.raises(filelock.Timeout, match=r"data\.lock"),
    ):
        _prepare([_track()], tmp_path / "data")


def test_workers_load_neither_tensorflow_nor_jax(tmp_path):
    tracks = [_track("a"), _track("b", audio=report_loaded_modules)]
    ((_, reason),) = _prepare(tracks, tmp_path / "data", workers=2).skipped
    assert reason == "loaded: []"


@pytest.mark.slow
def test_what_taggers_compile_is_cached_before_workers_start(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "JAXSIM_DATA": str(tmp_path)}
    hear = "tagging.patches(numpy.zeros(16000, numpy.float32), 16000)"
    modules = "import numpy; from input_pipeline.hearing import tagging"
    compiled = set()
    for program in (
        "from input_pipeline.datasets.workers import *; compile_librosa()",
        f"{modules}; {hear}",
    ):
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)
        before, compiled = compiled, set(tmp_path.rglob("*.nbc"))
    assert before == compiled != set()


@pytest.mark.parametrize("has_tagger", [True, False])
def test_librosa_is_compiled_for_taggers_only(tmp_path, monkeypatch, has_tagger):
    compiled = []
    monkeypatch.setattr(worker_processes, "compile_librosa", lambda: compiled.append(True))
    tagger = object() if has_tagger else None
    job = worker_processes.Job(tmp_path, features.FeatureConfig(), (), tagger=tagger)
    assert list(worker_processes.analyse_all([], job, workers=2)) == []
    assert compiled == [True] * has_tagger


@pytest.mark.slow
def test_two_workers_compile_nothing(tracks_csv, tmp_path):
    # Two that compile with Numba at once can write what crashes them and all that come later.
    root = Path(builder.__file__).parent.parent
    command = [sys.executable, "-m", "input_pipeline.prepare", "--source=csv"]
    options = [f"--path={tracks_csv}", f"--data_dir={tmp_path / 'data'}", "--workers=2"]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    done = subprocess.run(
        [*command, *options], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "numba").rglob("*.nbc")) == []


@pytest.mark.slow
def test_beam_writes_the_same_bytes(tracks_csv, prepared_directory, tmp_path):
    tracks = [*manifest.read(tracks_csv).tracks, Track("gone", "train", tmp_path / "none.wav")]
    options = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    report = _prepare(tracks, tmp_path / "data", beam_options=["--runner=DirectRunner", *options])
    assert report.skipped == (("gone", f"no such file: {tmp_path / 'none.wav'}"),)
    assert _records(tmp_path / "data") == _records(prepared_directory)
    assert _prepare(tracks, tmp_path / "data").kept == 8


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_audio_that_kills_its_worker_is_skipped(tmp_path):
    tracks = [_track("a"), _track("deadly", audio=_die), _track("b", seconds=5.0)]
    report = _prepare(tracks, tmp_path / "data", workers=2)
    assert report.skipped == (("deadly", "cannot be read (its worker process died)"),)
    assert report.num_tracks == {"train": 2}


def test_a_decoders_surprise_is_a_reason(tmp_path, changing_tracks, monkeypatch):
    def fail(path, *_, **__):
        if Path(path).stem == "1":
            raise MemoryError("no memory")
        return audio.Decoded(pulsed_tone(0, seconds=4.0), SAMPLE_RATE, 4.0)

    monkeypatch.setattr(audio, "decode", fail)
    ((track_id, reason),) = _prepare(changing_tracks, tmp_path / "data").skipped
    assert track_id == "1" and reason.startswith("cannot be read (MemoryError: no memory): ")
