"""Estimated tags from end to end: the command, the records, the reader, and updates."""

import csv
import dataclasses
import functools
import importlib.util
import json
import math
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from input_pipeline import prepare
from input_pipeline.datasets import builder, dataset, tag_labels, workers
from input_pipeline.datasets.tag_labels import TagConfig
from input_pipeline.hearing import features, segments, tagging
from input_pipeline.hearing.estimates import Estimate
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.hearing.listening import Heard
from input_pipeline.tracks import TAG_DIMENSIONS, Track
from tests.helpers import taggers
from tests.helpers.audio import pulsed_tone, write_csv

CONFIG = FeatureConfig()
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return taggers.install(tmp_path_factory.mktemp("packages"))


@pytest.fixture
def musicnn(package, monkeypatch):
    """The small tagger, installed."""
    monkeypatch.syspath_prepend(package.parent)


@pytest.fixture(scope="module")
def tagged(track_rows, package, tmp_path_factory):
    """What the command printed, and the data set it wrote of eight tracks; six have genres."""
    folder, rows = track_rows
    wanted = ("path", "track_id", "split", "group", "genre", "tempo", "key")
    manifest = write_csv(folder / "untagged.csv", [{k: row[k] for k in wanted} for row in rows])
    directory = tmp_path_factory.mktemp("tagged") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(package.parent)
        _run(manifest, directory, "--estimate=segments")  # and tags, whose tagger it is
    return manifest, directory


def _run(manifest, directory, *options):
    prepare.main(
        ["--source=csv", "--workers=1", f"--path={manifest}", f"--data_dir={directory}", *options]
    )


def _splits(directory):
    return {split: dataset.open(directory, split, CONFIG) for split in SPLITS}


def _labels(directory):
    """(labels, whether they are estimates, confidence) by track_id and dimension."""
    return {
        (track_id, dimension): (
            tuple(np.array(data.tag_names[dimension])[data.tags[dimension][row]].tolist()),
            bool(data.tags_estimated[dimension][row]),
            float(data.tags_confidence[dimension][row]),
        )
        for data in _splits(directory).values()
        for row, track_id in enumerate(data.track_ids)
        for dimension in TAG_DIMENSIONS
    }


def _expected(directory, manifest, thresholds):
    """The same by the rule in words, from the logits in the records."""
    with manifest.open(newline="") as file:
        given = {row["track_id"]: row["genre"] for row in csv.DictReader(file)}
    logits = {
        (split, track_id): data.tag_estimate(row)
        for split, data in _splits(directory).items()
        for row, track_id in enumerate(data.track_ids)
    }
    with tag_labels.TABLE.open(newline="") as file:
        table = list(csv.DictReader(file))
    found = {}
    for (_, track_id), own in logits.items():
        for dimension in TAG_DIMENSIONS:
            scores = {}
            for row in (row for row in table if row["dimension"] == dimension):
                name = f"{row['network']}_logits"
                place = tagging.TAGS[row["network"]].index(row["tag"])
                train = [float(a[name][place]) for (s, _), a in logits.items() if s == "train"]
                z = (float(own[name][place]) - np.mean(train)) / np.std(train)
                scores[row["tag"]] = z, row["label"] or row["tag"], float(own[name][place])
            chosen = [one for one in scores.values() if one[0] > thresholds[dimension]]
            if dimension == "genre" and not chosen:
                chosen = [max(scores.values())]
            labels = tuple(sorted({label for _, label, _ in chosen}))
            certainty = [1 / (1 + math.exp(-logit)) for *_, logit in chosen]
            found[track_id, dimension] = labels, bool(labels), np.mean(certainty or [0])
            if dimension == "genre" and given[track_id]:
                found[track_id, "genre"] = tuple(sorted(given[track_id].split(";"))), False, 1.0
    return found


def _assert_same(found, expected):
    assert {key: one[:2] for key, one in found.items()} == {
        key: one[:2] for key, one in expected.items()
    }
    for key, (*_, confidence) in expected.items():
        assert found[key][2] == pytest.approx(confidence, rel=1e-5)


DEFAULTS = {"genre": 1.5, "mood": 1.2, "instrument": 1.2, "era": 1.0}


def test_what_stands_out_becomes_a_label_and_given_ones_win(tagged):
    manifest, directory = tagged
    found = _labels(directory)
    _assert_same(found, _expected(directory, manifest, DEFAULTS))
    estimated = [key for key, (_, is_estimate, _) in found.items() if is_estimate]
    assert {dimension for _, dimension in estimated} == set(TAG_DIMENSIONS)
    assert sum(dimension == "genre" for _, dimension in estimated) == 2
    vocabulary = dataset.open(directory, "train", CONFIG).tag_names["genre"]
    assert {"rock", "jazz", "pop"} < set(vocabulary) and sorted(vocabulary) == list(vocabulary)


def test_records_hold_what_was_heard(tagged, package, tmp_path):
    manifest, directory = tagged
    tagger = tagging.export(package, tmp_path / "musicnn.npz")
    metadata = json.loads((directory / "metadata.json").read_text())
    assert metadata["tagger"] == tagger.digest
    for data in _splits(directory).values():
        assert data.has_tag_estimate.all()
        for row, track_id in enumerate(data.track_ids):
            path = manifest.parent / f"{7 - int(track_id.removeprefix('track-'))}.wav"
            decoded = tagging.audio.decode(path)
            expected = tagger.estimate(decoded.samples, decoded.rate)
            heard = features.hear(decoded.samples, CONFIG)
            middles = segments.middles(heard, CONFIG)
            assert data.num_segments_heard[row] == len(middles) == data.num_frames[row] // 129 > 0
            expected |= tagger.hear_around(decoded.samples, decoded.rate, middles)
            found = data.tag_estimate(row) | data.of_segments(row)
            assert set(found) == set(expected)
            for name, value in expected.items():
                # Not the same bytes: here XLA has another number of threads than in a worker.
                assert found[name].dtype == value.dtype
                smallest = 2e-3 if value.dtype == np.float16 else 1e-5
                np.testing.assert_allclose(found[name], value, rtol=10 * smallest, atol=smallest)
            chosen = [0, len(middles) - 1]
            for name in tagging.OF_SEGMENTS:
                np.testing.assert_array_equal(
                    data.read_of_segments(name, [row, row], chosen), found[name][chosen]
                )
    records = tfds.builder_from_directory(directory).as_dataset(split="test")
    for record in tfds.as_numpy(records):
        assert record["tag_embedding"].shape == (taggers.EMBEDDING,)
        assert record["genre_confidence"].dtype == np.float32


def test_other_thresholds_rewrite_labels_without_listening(tagged, tmp_path, monkeypatch, capsys):
    manifest, directory = tagged
    data = shutil.copytree(directory, tmp_path / "data")
    monkeypatch.setattr(tagging.Tagger, "estimate", pytest.fail)
    monkeypatch.setattr(workers, "listen", pytest.fail)
    table = tmp_path / "table.csv"
    shutil.copy(tag_labels.TABLE, table)
    thresholds = {"genre": 0.4, "mood": 9.0, "instrument": 1.2, "era": 0.2}
    option = ",".join(f"{name}={value}" for name, value in thresholds.items())
    options = ["--estimate=", f"--tag_thresholds={option}", f"--tag_table={table}"]
    _run(manifest, data, *options)
    expected = _expected(directory, manifest, thresholds)
    _assert_same(_labels(data), expected)
    assert capsys.readouterr().out.splitlines()[-2] == "of these, estimated: " + ", ".join(
        f"{name} {sum(one[1] for key, one in expected.items() if key[1] == name)}"
        for name in ("genre", "mood", "instrument", "era", "tempo", "key")
    )
    _run(manifest, data, "--estimate=")
    for name in (path.name for path in directory.glob("*.tfrecord*")):
        assert (data / name).read_bytes() == (directory / name).read_bytes()


def _heard(path, seed):
    """Audio that notes every time it is listened to."""
    with path.open("a") as file:
        file.write(f"{seed}")
    return pulsed_tone(seed, seconds=7)


def _counted(path):
    return [
        Track(str(n), split, functools.partial(_heard, path, n), tempo=90.0, key="C")
        for n, split in enumerate(("train", "train", "test"))
    ]


def _prepare(tracks, directory, **options):
    options = {"name": "toy", "description": "", "estimate": (), "workers": 1} | options
    return builder.prepare(tracks, directory, **options)


def _interrupt():
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def heard(package, tmp_path_factory):
    """Three tracks, the file that notes when they are listened to, and their data set with tags."""
    folder = tmp_path_factory.mktemp("heard")
    tracks = _counted(folder / "calls")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(package.parent)
        _prepare(tracks, folder / "data", estimate=("tags",))
    return tracks, folder / "calls", folder / "data"


@pytest.mark.slow
def test_only_tags_are_estimated_where_features_are_there(heard, musicnn, tmp_path):
    tracks, calls, fresh = heard
    calls.unlink()
    data = tmp_path / "data"
    assert _prepare(tracks, data).kept == 0
    assert calls.read_text() == "201"  # small splits first
    with pytest.raises(KeyboardInterrupt):
        _prepare([*tracks, Track("late", "train", _interrupt)], data, estimate=("tags",))
    assert calls.read_text() == "201201"
    report = _prepare(tracks, data, estimate=("tags",), workers=2)
    assert calls.read_text() == "201201", "an interrupted run goes on where it stopped"
    assert (report.kept, report.label_counts["genre"]) == (3, 3)
    assert report.estimated_counts["genre"] == 3 and "tempo" not in report.estimated_counts
    assert _prepare(tracks, data, estimate=("tags",)).kept == 3
    assert calls.read_text() == "201201"
    assert _records(data) == _records(fresh)
    assert list(tmp_path.iterdir()) == [data]


@pytest.mark.slow
def test_only_segments_are_heard_where_tags_are_there(heard, musicnn, tmp_path):
    tracks, calls, with_tags = heard
    data = shutil.copytree(with_tags, tmp_path / "data")
    _prepare(tracks, tmp_path / "fresh", estimate=("tags", "segments"))
    calls.unlink()
    for _ in range(2):  # the second time, from the data set
        report = _prepare(tracks, data, estimate=("segments",), workers=2)
        assert (report.kept, report.estimated_counts["genre"]) == (3, 3)
        assert sorted(calls.read_text()) == sorted("012")
    assert _records(data) == _records(tmp_path / "fresh")
    assert dataset.open(data, "train", CONFIG).num_segments_heard.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("kept", "estimate", "extract"),
    [
        (workers.NOTHING, ("key", "tags", "segments"), True),
        (workers.Kept("other", ("key", "tags", "segments")), ("key", "tags", "segments"), True),
        (workers.Kept("same", ()), ("key", "tags", "segments"), False),
        (workers.Kept("same", ("key",)), ("tags", "segments"), False),
        (workers.Kept("same", ("key", "tags")), ("segments",), False),
        (workers.Kept("same", ("tags", "segments")), ("key",), False),
    ],
)
def test_only_what_is_missing_is_listened_to(tmp_path, monkeypatch, kept, estimate, extract):
    asked = []

    def listen(audio, config, **how):
        asked.append(how)
        features = {"onset": np.arange(3.0)} if how["extract"] else {}
        return Heard(features, 4.0, Estimate(key=3, tags={"msd_logits": np.arange(2.0)}))

    monkeypatch.setattr(workers, "listen", listen)
    monkeypatch.setattr(workers, "digest", lambda audio: "same")
    tagger = tagging.Tagger(tmp_path / "none.npz", "digest")
    wanted = ("tempo", "key", "tags", "segments")
    job = workers.Job(tmp_path, CONFIG, wanted, tagger=tagger)
    track = Track("a", "train", "a.wav", tempo=90.0, tags=dict.fromkeys(TAG_DIMENSIONS, ("x",)))
    for _ in range(2):  # the second time, from the file
        outcome = workers.analyse_into_file(track, job, kept)
        assert outcome == workers.Outcome("a", 4.0, kept=not extract) == workers.outcome(track, job)
    assert asked == [{"estimate": estimate, "tagger": tagger, "extract": extract}]
    analysis = workers.load(track, job)
    assert set(analysis.arrays) == ({"onset"} if extract else set())
    assert analysis.estimate.key == 3 and set(analysis.estimate.tags) == {"msd_logits"}
    workers.analyse_into_file(track, dataclasses.replace(job, tagger=_other(tagger)), kept)
    by_tagger = "segments" in estimate
    assert len(asked) == 1 + by_tagger, "another tagger's estimates are not used"


def _other(tagger):
    return dataclasses.replace(tagger, digest="another")


def test_nothing_is_listened_to_where_nothing_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "listen", pytest.fail)
    monkeypatch.setattr(workers, "digest", lambda audio: "same")
    job = workers.Job(tmp_path, CONFIG, ("key", "tags"), tagger=tagging.Tagger(tmp_path, ""))
    kept = workers.Kept("same", ("key", "tags"))
    track = Track("a", "train", "a.wav")
    assert workers.analyse_into_file(track, job, kept) == workers.Outcome("a", kept=True)


def test_estimates_complete_each_other():
    one, two = Estimate(tempo=90.0, tempo_confidence=0.5), Estimate(60.0, 0.1, 4, 0.2, {"a": 1})
    assert one.completed_by(two) == Estimate(90.0, 0.5, 4, 0.2, {"a": 1})
    assert two.completed_by(one) == two
    assert Estimate(tags={"a": 2}).completed_by(two).tags == {"a": 2}
    assert Estimate(tags={"b": 2}).completed_by(two).tags == {"a": 1, "b": 2}


@pytest.mark.slow
def test_other_weights_listen_again(heard, musicnn, tmp_path, monkeypatch):
    tracks, calls, fresh = heard
    calls.unlink()
    data = shutil.copytree(fresh, tmp_path / "data")
    before = dataset.open(data, "train", CONFIG).tag_estimate(0)
    other = taggers.install(tmp_path / "other", seed=5)
    monkeypatch.setattr(tagging, "find", lambda: other)
    assert _prepare(tracks, data, estimate=("tags",)).kept == 3
    assert sorted(calls.read_text()) == sorted("012")
    after = dataset.open(data, "train", CONFIG).tag_estimate(0)
    assert np.abs(before["msd_logits"] - after["msd_logits"]).max() > 0.1
    _prepare(tracks, data, estimate=("segments",))
    assert dataset.open(data, "train", CONFIG).num_segments_heard.tolist() == [2, 2]
    monkeypatch.setattr(tagging, "find", lambda: taggers.install(tmp_path / "third", seed=6))
    _prepare(tracks, data, estimate=("tags",))
    assert not dataset.open(data, "train", CONFIG).num_segments_heard.any(), "the other's"


def test_a_missing_musicnn_stops_at_once(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    hidden = lambda name, *others: None if name == "musicnn" else found(name, *others)  # noqa: E731
    monkeypatch.setattr(tagging.importlib.util, "find_spec", hidden)
    (tmp_path / "tracks.csv").write_text("path\na.wav\n")
    with pytest.raises(SystemExit) as stop:
        _run(tmp_path / "tracks.csv", tmp_path / "data", "--estimate=tempo,key,tags")
    assert stop.value.code == (
        "error: tags cannot be estimated without MusiCNN: pip install --no-deps musicnn==0.1.0, "
        "or leave out 'tags'"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["tracks.csv"]


@pytest.mark.parametrize("given", ["tempo=1", "genre", "genre=loud"])
def test_thresholds_that_are_none(given, capsys):
    with pytest.raises(SystemExit):
        prepare.main([f"--tag_thresholds={given}"])
    assert f"{given!r}, expected a threshold such as genre=1.5" in capsys.readouterr().err


def test_a_wrong_table_stops_at_once(tmp_path):
    config = TagConfig(table=tmp_path / "none.csv")
    with pytest.raises(FileNotFoundError, match=r"none\.csv: no such table of tags"):
        _prepare(_counted(tmp_path / "calls"), tmp_path / "data", tag_config=config)
    assert list(tmp_path.iterdir()) == []


OLD_TEXTS = ("track_id", "group", "artist", "title", "source", "content")


def _as_older(directory, version, features):
    """Turns a data set into what a version with these fields wrote."""
    for path in directory.glob("*.tfrecord*"):
        records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                example = tf.train.Example.FromString(record)
                for name in set(example.features.feature) - set(features):
                    del example.features.feature[name]
                writer.write(example.SerializeToString(deterministic=True))
    for path in (*directory.glob("features.json"), *directory.glob("index-*")):
        path.unlink()
    tfds.features.FeaturesDict(features).save_config(directory)
    path = directory / "dataset_info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": version}))


@pytest.mark.parametrize(
    ("version", "lacks"),
    [("1.2.0", {"harmony", *tagging.OF_SEGMENTS}), ("1.3.0", {*tagging.OF_SEGMENTS})],
)
def test_data_sets_of_later_versions_open(tagged, tmp_path, version, lacks):
    _, directory = tagged
    data = shutil.copytree(directory, tmp_path / "data")
    known = tfds.builder_from_directory(data).info.features
    _as_older(data, version, {name: known[name] for name in set(known) - lacks})
    for split in SPLITS:
        before, after = (dataset.open(d, split, CONFIG) for d in (data, directory))
        assert not before.num_segments_heard.any() and after.num_segments_heard.all()
        for row in range(len(before)):
            np.testing.assert_equal(before.tag_estimate(row), after.tag_estimate(row))
            assert before.of_segments(row) == {}
            assert set(after.stored(row)) - set(before.stored(row)) == lacks & {"harmony"}
            np.testing.assert_equal(before.read_track(row), after.read_track(row))


def _as_version_1_1_0(directory):
    """Turns a data set without estimated tags into what version 1.1.0 wrote."""
    info = tfds.builder_from_directory(directory).info
    tags = {
        name: tfds.features.Sequence(
            tfds.features.ClassLabel(names=info.features[name].feature.names)
        )
        for name in ("genre", "mood", "instrument", "era")
    }

    def array(shape, dtype):
        return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")

    fields = {
        **{name: tfds.features.Text() for name in OLD_TEXTS},
        **{"mel": array((None, 128), np.float16), "cens": array((None, 12), np.float16)},
        **{"onset": array((None,), np.float32), "seconds": np.float32},
        **tags,
        **{"tempo": np.float32, "tempo_estimated": np.bool_, "tempo_confidence": np.float32},
        **{"key": np.int32, "key_estimated": np.bool_, "key_confidence": np.float32},
    }
    _as_older(directory, "1.1.0", fields)
    path = directory / "metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["tagger"]
    path.write_text(json.dumps(metadata))


@pytest.fixture
def old(prepared_directory, tmp_path):
    """The eight tracks as version 1.1.0 wrote them."""
    directory = shutil.copytree(prepared_directory, tmp_path / "old")
    _as_version_1_1_0(directory)
    assert not {"genre_estimated", "tag_embedding"} & set(
        tfds.builder_from_directory(directory).info.features
    )
    return directory


def test_a_data_set_of_version_1_1_0_opens(old, prepared_directory):
    for split in SPLITS:
        before, after = (dataset.open(d, split, CONFIG) for d in (old, prepared_directory))
        for field in dataclasses.fields(dataset.DataSet):
            if field.name.startswith("_") or field.name == "directory":
                continue
            np.testing.assert_equal(getattr(before, field.name), getattr(after, field.name))
        for row in range(len(before)):
            for one, other in zip(before.read_track(row), after.read_track(row), strict=True):
                np.testing.assert_array_equal(one, other)
            assert before.tag_estimate(row) == {}
        for dimension in TAG_DIMENSIONS:
            labelled = before.tags[dimension].any(axis=1)
            np.testing.assert_array_equal(before.tags_confidence[dimension], labelled)
            assert not before.tags_estimated[dimension].any()


def test_a_data_set_of_version_1_1_0_is_brought_up_to_date(
    old, tracks_csv, prepared_directory, monkeypatch
):
    monkeypatch.setattr(workers, "listen", pytest.fail)
    _run(tracks_csv, old, "--estimate=")
    found = _records(old)
    assert {record.features.feature["harmony"].bytes_list.value[0] for record in found} == {b""}
    expected = _records(prepared_directory)
    for record in expected:  # what its version did not extract, it does not have
        record.features.feature["harmony"].bytes_list.value[0] = b""
    assert found == expected
    for split in SPLITS:
        data = dataset.open(old, split, CONFIG)
        assert all("harmony" not in data.stored(row) for row in range(len(data)))


def _records(directory):
    paths = sorted(directory.glob("*.tfrecord*"), key=lambda path: path.name.split("-", 1)[1])
    data = tf.data.TFRecordDataset(list(map(str, paths)))
    return [tf.train.Example.FromString(record) for record in data.as_numpy_iterator()]


def test_an_unknown_version_is_refused(old):
    path = old / "dataset_info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "1.0.0"}))
    with pytest.raises(ValueError, match=r"records 1\.0\.0, expected one of 1\.1\.0, .*\)"):
        dataset.open(old, "train", CONFIG)
