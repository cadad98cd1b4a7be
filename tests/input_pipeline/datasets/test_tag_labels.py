"""Which tags a track gets, compared with the rule as loops over tracks and tags."""

import csv
import dataclasses
import math

import numpy as np
import pytest

from input_pipeline.datasets import tag_labels
from input_pipeline.datasets.tag_labels import TagConfig
from input_pipeline.hearing.tagging import TAGS
from input_pipeline.sources import tag_map
from input_pipeline.tracks import TAG_DIMENSIONS, Track

NAMES = [(network, tag) for network in ("msd", "mtt") for tag in TAGS[network]]
SPLITS = ("train", "test", "train", "validation")


def _tracks(count, **tags):
    """Tracks of all splits; every third one is given the tags."""
    return [
        Track(str(n), SPLITS[n % 4], "none.wav", tags=tags if n % 3 == 0 else {})
        for n in range(count)
    ]


def _heard(tracks, seed=0):
    random = np.random.default_rng(seed)
    offsets = random.normal(scale=3, size=100)
    rows = {track.track_id: random.normal(size=100) + offsets for track in tracks}
    return {
        name: {"msd_logits": np.float32(row[:50]), "mtt_logits": np.float32(row[50:])}
        for name, row in rows.items()
    }


def _oracle(tracks, heard, config):
    """(labels, confidence) by track_id and dimension."""
    logit = {
        (track_id, *name): float(np.concatenate([one["msd_logits"], one["mtt_logits"]])[place])
        for track_id, one in heard.items()
        for place, name in enumerate(NAMES)
    }
    reference = [t.track_id for t in tracks if t.split == "train" and t.track_id in heard]
    with open(config.table, newline="") as file:
        table = list(csv.DictReader(file))
    found = {}
    for track in tracks:
        for dimension in TAG_DIMENSIONS:
            if track.track_id not in heard or track.tags.get(dimension):
                continue
            deviations = {}
            for row in table:
                if row["dimension"] != dimension:
                    continue
                name = row["network"], row["tag"]
                values = [logit[(one, *name)] for one in reference]
                mean = sum(values) / len(values)
                spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
                deviations[name, row["label"] or row["tag"]] = (
                    logit[(track.track_id, *name)] - mean
                ) / spread
            chosen = [key for key, z in deviations.items() if z > getattr(config, dimension)]
            if not chosen and dimension in config.at_least_best and deviations:
                chosen = [max(deviations, key=deviations.get)]
            if chosen:
                probabilities = [
                    1 / (1 + math.exp(-logit[(track.track_id, *name)])) for name, _ in chosen
                ]
                labels = tuple(sorted({label for _, label in chosen}))
                found[track.track_id, dimension] = labels, sum(probabilities) / len(probabilities)
    return found


def _flat(decided):
    return {
        (track_id, dimension): (tags.labels, tags.confidence)
        for track_id, by_dimension in decided.items()
        for dimension, tags in by_dimension.items()
    }


@pytest.mark.parametrize(
    "config",
    [
        TagConfig(),
        TagConfig(genre=2.5, mood=0.3, instrument=2.0, era=-1.0),
        TagConfig(genre=2.5, at_least_best=("era", "mood")),
    ],
)
def test_the_rule_is_that_of_the_loops(config):
    tracks = _tracks(23, mood=("given",), era=("1920s",))
    heard = _heard(tracks[:-3])
    found = _flat(tag_labels.decide(tracks, heard, config))
    expected = _oracle(tracks, heard, config)
    assert {key: labels for key, (labels, _) in found.items()} == {
        key: labels for key, (labels, _) in expected.items()
    }
    for key, (_, confidence) in expected.items():
        assert found[key][1] == pytest.approx(confidence, rel=1e-6)
    assert {dimension for _, dimension in found} == set(TAG_DIMENSIONS)


def test_only_training_tracks_are_compared_with():
    tracks = _tracks(12)
    heard = _heard(tracks)
    before = tag_labels.decide(tracks, heard, TagConfig())
    for track in tracks:
        if track.split != "train":
            heard[track.track_id] = {n: a + 50 for n, a in heard[track.track_id].items()}
    after = tag_labels.decide(tracks, heard, TagConfig())
    for track in tracks:
        assert (after[track.track_id] == before[track.track_id]) == (track.split == "train")


def test_without_training_tracks_all_are_compared_with():
    tracks = [dataclasses.replace(track, split="test") for track in _tracks(9)]
    heard = _heard(tracks)
    training = [dataclasses.replace(track, split="train") for track in tracks]
    found = tag_labels.decide(tracks, heard, TagConfig())
    assert found == tag_labels.decide(training, heard, TagConfig())
    assert any(found.values())


def test_given_tags_win_and_lend_their_spelling():
    tracks = _tracks(20, genre=("ROCK", "ballad"))
    found = tag_labels.decide(tracks, _heard(tracks), TagConfig(genre=0.0))
    assert not any("genre" in found[track.track_id] for track in tracks if track.tags)
    labels = {label for one in found.values() if "genre" in one for label in one["genre"].labels}
    assert "ROCK" in labels and "rock" not in labels and "pop" in labels


@pytest.mark.parametrize("count", [1, 3])
def test_logits_that_are_all_equal_stand_out_nowhere(count):
    tracks = _tracks(count)
    same = {"msd_logits": np.full(50, 2, np.float32), "mtt_logits": np.full(50, 2, np.float32)}
    found = tag_labels.decide(tracks, {t.track_id: same for t in tracks}, TagConfig())
    assert {key: labels for key, (labels, _) in _flat(found).items()} == {
        (track.track_id, "genre"): ("rock",) for track in tracks
    }


def test_nothing_heard_gives_no_tags():
    assert tag_labels.decide(_tracks(3), {}, TagConfig()) == {}


def test_the_table_has_every_tag_once_and_the_labels_of_the_sources():
    with tag_labels.TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["network"], row["tag"]) for row in rows] == NAMES
    maps = {
        "msd": tag_map.read(tag_map.FOLDER / "msd.csv"),
        "mtt": tag_map.read(tag_map.FOLDER / "magnatagatune.csv"),
    }
    for row in rows:
        if row["dimension"]:
            ((dimension, label),) = maps[row["network"]][row["tag"].lower()]
            assert (row["dimension"], row["label"] or row["tag"]) == (dimension, label)
        assert (row["dimension"] == "instrument") <= (row["network"] == "mtt")


def test_a_table_of_ones_own(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("network,tag,dimension,label\nmtt,sitar,era,raga time\nmsd,rock,,\n")
    tracks = _tracks(6)
    found = tag_labels.decide(tracks, _heard(tracks), TagConfig(era=-9, table=table))
    assert {key: labels for key, (labels, _) in _flat(found).items()} == {
        (track.track_id, "era"): ("raga time",) for track in tracks
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tag,dimension\n", "columns are 'tag,dimension', expected 'network,tag,dimension,label'"),
        ("network,tag,dimension,label\nmsd,sitar,era,\n", "line 2: .*'msd', 'sitar', expected a"),
        ("network,tag,dimension,label\nmsd,rock,tempo,\n", "line 2: dimension is 'tempo', exp"),
        ("network,tag,dimension,label\nmsd,ro\0ck,genre,\n", "expected|cannot be read"),
        (b"\xff\xfe", "cannot be read as UTF-8"),
    ],
)
def test_a_table_that_is_none(tmp_path, text, message):
    path = tmp_path / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=f"table.csv.*{message}"):
        tag_labels.read_table(path)


def test_no_table(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv: no such table of tags"):
        tag_labels.read_table(tmp_path / "none.csv")
