import dataclasses
import re
import shutil

import librosa
import numpy as np
import pytest
import scipy.signal

from input_pipeline import manifest
from input_pipeline.datasets import dataset
from input_pipeline.hearing.audio import load_audio
from input_pipeline.hearing.features import FeatureConfig, extract
from input_pipeline.tracks import KEYS

CONFIG = FeatureConfig()


@pytest.fixture(scope="module")
def train(prepared_directory):
    return dataset.open(prepared_directory, "train", CONFIG)


@pytest.fixture
def copy(prepared_directory, tmp_path):
    """A copy of the data set without any index, to be damaged."""
    ignore = shutil.ignore_patterns("index-*")
    return shutil.copytree(prepared_directory, tmp_path / "copy", ignore=ignore)


def _by_id(tracks_csv, split):
    tracks = [track for track in manifest.read(tracks_csv).tracks if track.split == split]
    return sorted(tracks, key=lambda track: track.track_id)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_labels_are_those_of_the_csv(prepared_directory, tracks_csv, split):
    tracks = _by_id(tracks_csv, split)
    data = dataset.open(prepared_directory, split, CONFIG)
    assert len(data) == len(tracks)
    assert data.track_ids == [track.track_id for track in tracks]
    assert data.groups == [track.group for track in tracks]
    assert data.artists == [track.artist for track in tracks]
    assert data.titles == [track.title for track in tracks]
    assert data.tag_names == {
        "genre": ("jazz", "pop", "rock"),
        "mood": ("happy", "sad"),
        "instrument": (),
        "era": ("60s", "90s"),
    }
    for dimension, names in data.tag_names.items():
        expected = [[name in track.tags.get(dimension, ()) for name in names] for track in tracks]
        assert data.tags[dimension].dtype == bool
        np.testing.assert_array_equal(
            data.tags[dimension], np.array(expected).reshape(len(tracks), len(names))
        )
    assert data.tempo.dtype == np.float32 and data.key.dtype == np.int32
    assert data.tempo.tolist() == [track.tempo for track in tracks]
    assert data.key.tolist() == [KEYS.index(t.key) if t.key else -1 for t in tracks]
    assert data.tempo_confidence.tolist() == [1.0] * len(tracks)
    assert data.key_confidence.tolist() == [float(t.key is not None) for t in tracks]
    assert not data.tempo_estimated.any() and not data.key_estimated.any()


def test_whole_tracks_are_the_extracted_features(train, tracks_csv):
    tracks = _by_id(tracks_csv, "train")
    assert len(tracks) == len(train) == 4
    for index, track in enumerate(tracks):
        expected = extract(load_audio(track.audio, 22050), CONFIG)
        mel, cens, onset = train.read_track(index)
        assert len(mel) == train.num_frames[index]
        np.testing.assert_array_equal(mel, expected["mel"])
        np.testing.assert_array_equal(cens, expected["cens"])
        padded = np.pad(expected["onset"], 192, mode="linear_ramp", end_values=0)[:-1]
        np.testing.assert_array_equal(onset, padded)


def test_framed_onset_gives_librosas_tempogram(train, tracks_csv):
    track = _by_id(tracks_csv, "train")[1]
    envelope = extract(load_audio(track.audio, 22050), CONFIG)["onset"]
    oracle = librosa.feature.tempogram(onset_envelope=envelope, win_length=384)  # [384, T]
    start, frames = 70, 129
    onset = train.read(1, start, frames)[2].astype(np.float64)
    window = scipy.signal.get_window("hann", 384)
    for t in range(frames):
        frame = onset[t : t + 384] * window
        lags = np.correlate(frame, frame, mode="full")[383:]
        expected = oracle[:, start + t]
        np.testing.assert_allclose(lags / np.abs(lags).max(), expected, atol=1e-5)


@pytest.mark.parametrize("where", ["start", "near start", "middle", "near end", "end", "all"])
@pytest.mark.parametrize("index", [0, 3])
def test_crops_are_slices_of_the_whole(train, index, where):
    length = int(train.num_frames[index])
    start, frames = {
        "start": (0, 129),
        "near start": (1, 129),
        "middle": (length // 2, 7),
        "near end": (length - 130, 129),
        "end": (length - 129, 129),
        "all": (0, length),
    }[where]
    mel, cens, onset = train.read_track(index)
    crop = train.read(index, start, frames)
    assert [array.dtype.name for array in crop] == ["float16", "float16", "float32"]
    np.testing.assert_array_equal(crop[0], mel[start : start + frames])
    np.testing.assert_array_equal(crop[1], cens[start : start + frames])
    np.testing.assert_array_equal(crop[2], onset[start : start + frames + 383])


def test_a_crop_in_the_middle_of_a_long_track_needs_no_padding(tmp_path):
    onset = np.arange(1000, dtype=np.float32)
    data = _single_track(tmp_path, onset)
    np.testing.assert_array_equal(data.read(0, 300, 129)[2], onset[300 - 192 : 300 + 129 + 191])


@pytest.mark.parametrize("window", [384, 9])
@pytest.mark.parametrize("length", [150, 700])
def test_crops_at_the_ends_of_a_track_that_is_loud_there(tmp_path, window, length):
    onset = 1 + np.random.default_rng(0).random(length, np.float32)
    config = dataclasses.replace(CONFIG, tempogram_window=window)
    data = dataclasses.replace(_single_track(tmp_path, onset), feature_config=config)
    padded = np.pad(onset, window // 2, mode="linear_ramp", end_values=0)
    starts = [*range(0, length - 129, 5), length - 129]
    crops = data.read_crops([0] * len(starts), starts, 129)[2]
    for start, crop in zip(starts, crops, strict=True):
        np.testing.assert_array_equal(crop, padded[start : start + 129 + window - 1])


def _single_track(tmp_path, onset):
    frames = len(onset)
    mel = np.zeros((frames, 128), np.float16)
    cens = np.zeros((frames, 12), np.float16)
    shard = tmp_path / "shard"
    shard.write_bytes(mel.tobytes() + cens.tobytes() + onset.tobytes())
    offsets = {"mel": [0], "cens": [mel.nbytes], "onset": [mel.nbytes + cens.nbytes]}
    empty = {field.name: None for field in dataclasses.fields(dataset.DataSet)}
    return dataset.DataSet(
        **empty
        | {
            "feature_config": CONFIG,
            "track_ids": ["a"],
            "num_frames": np.array([frames]),
            "_shards": [dataset.Shard(shard)],
            "_shard_of_track": np.array([0]),
            "_offsets": {name: np.array(value) for name, value in offsets.items()},
        }
    )


def test_a_file_that_is_cut_after_it_was_opened(tmp_path):
    data = _single_track(tmp_path, np.arange(1000, dtype=np.float32))
    with (tmp_path / "shard").open("r+b") as file:
        file.truncate((tmp_path / "shard").stat().st_size - 1000)
    assert data.read(0, 0, 129)[0].shape == (129, 128)
    with pytest.raises(ValueError, match=r"shard: ends before byte \d+, so it was changed after"):
        data.read(0, 800, 129)


@pytest.mark.parametrize(("start", "frames"), [(-1, 129), (0, 10_000), (200, 129), (5, -1)])
def test_crops_beyond_the_track(train, start, frames):
    message = f"track {train.track_ids[0]!r}: frames {start} to {start + frames} are not"
    with pytest.raises(IndexError, match=re.escape(message)):
        train.read(0, start, frames)


def test_reads_are_writable_copies(train):
    first = train.read(0, 0, 129)
    for array in first:
        array[:] = 7
    assert not (train.read(0, 0, 129)[0] == 7).any()


def test_opening_twice_is_the_same(copy):
    first, second = (dataset.open(copy, "train", CONFIG) for _ in range(2))
    assert (copy / "index-train.npz").is_file()
    assert first.track_ids == second.track_ids
    np.testing.assert_array_equal(first.read(2, 9, 50)[0], second.read(2, 9, 50)[0])


def test_a_damaged_index_is_made_anew(copy):
    first = dataset.open(copy, "train", CONFIG)
    (copy / "index-train.npz").write_bytes(b"half a file")
    assert dataset.open(copy, "train", CONFIG).track_ids == first.track_ids


def test_another_feature_configuration(prepared_directory):
    other = dataclasses.replace(CONFIG, hop_length=256)
    with pytest.raises(ValueError, match=r"metadata.json: hop_length is 512, expected 256"):
        dataset.open(prepared_directory, "train", other)


def test_another_feature_version(prepared_directory, monkeypatch):
    monkeypatch.setattr(dataset, "FEATURE_VERSION", 99)
    with pytest.raises(ValueError, match=r"metadata\.json: feature_version is 1, expected 99"):
        dataset.open(prepared_directory, "train", CONFIG)


def test_no_data_set(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none: not a prepared .*input_pipeline\.prepare"):
        dataset.open(tmp_path / "none", "train", CONFIG)


def test_no_such_split(prepared_directory):
    with pytest.raises(ValueError, match=r"no split 'dev', expected one of \['test', 'train'"):
        dataset.open(prepared_directory, "dev", CONFIG)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def _drop_last_record(path):
    data = path.read_bytes()
    path.write_bytes(data[: 16 + int.from_bytes(data[:8], "little")])


def _flip(position):
    def damage(path):
        data = bytearray(path.read_bytes())
        data[position] ^= 1
        path.write_bytes(data)

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, "damaged at record 3"),
        (_drop_last_record, "has 1 records, expected 4"),
        (_flip(3), "damaged at record 0, byte 0"),
        (_flip(5000), "damaged at record 0, byte 0"),
        (_flip(-5), "damaged at record 3"),
        (lambda path: path.unlink(), "missing; prepare the data set again"),
        (lambda path: path.write_bytes(b""), "has 0 records, expected 4"),
    ],
    ids=["truncated", "record lost", "length flipped", "data flipped", "last", "missing", "empty"],
)
@pytest.mark.parametrize("indexed", [False, True])
def test_a_damaged_shard_is_named(copy, damage, message, indexed):
    if indexed:
        dataset.open(copy, "train", CONFIG)
    (shard,) = copy.glob("*train.tfrecord*")
    damage(shard)
    with pytest.raises((ValueError, FileNotFoundError), match=f"{shard.name}: {message}"):
        dataset.open(copy, "train", CONFIG)
