"""Tag maps: which tags belong to which dimension."""

from collections import Counter

import pytest

from input_pipeline.sources import msd, tag_map


def _map(tmp_path, *rows):
    path = tmp_path / "map.csv"
    path.write_text("\n".join(["tag,dimension,label", *rows]) + "\n")
    return tag_map.read(path)


def test_tags_are_sorted_by_dimension(tmp_path):
    known = _map(
        tmp_path,
        "Rock,genre,",
        "woman,instrument,female voice",
        "female opera,genre,opera",
        "female opera,instrument,female voice",
        "fast,,",
        "genre---60s,era,60s",
        "genre---*,genre,",
    )
    unknown = Counter({"old": 1})
    tags = ["ROCK", "woman", "female opera", "fast", "Old", "old", "genre---60s", "genre---Ska"]
    assert tag_map.sort_tags(tags, known, unknown) == {
        "genre": ("Rock", "opera", "Ska"),
        "instrument": ("female voice",),
        "era": ("60s",),
    }
    assert unknown == {"old": 2, "Old": 1}
    assert tag_map.sort_tags(["genre---"], known, unknown) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tag,dimension\n", "map.csv: columns are 'tag,dimension', expected 'tag,dimension,label'"),
        ("tag,dimension,label\nx,tempo,\n", "map.csv, line 2: dimension is 'tempo', expected one"),
        ("tag,dimension,label\nx\n\ny,colour,\n", "map.csv, line 4: dimension is 'colour'"),
    ],
)
def test_bad_maps_are_refused(tmp_path, text, message):
    path = tmp_path / "map.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        tag_map.read(path)
    with pytest.raises(FileNotFoundError, match=r"none\.csv: no such tag map"):
        tag_map.read(tmp_path / "none.csv")


def test_the_map_of_the_million_song_dataset():
    known = tag_map.read(tag_map.FOLDER / "msd.csv")
    assert set(known) == {tag.lower() for tag in msd.TAGS} and len(known) == 50
    found = tag_map.sort_tags(msd.TAGS, known, Counter())
    assert {dimension: len(tags) for dimension, tags in found.items()} == {
        "genre": 28,
        "mood": 12,
        "instrument": 5,
        "era": 5,
    }
    assert set(found["era"]) == {"60s", "70s", "80s", "90s", "00s"}
    assert "Mellow" in found["mood"] and "Hip-Hop" in found["genre"]


def test_the_map_of_magnatagatune():
    known = tag_map.read(tag_map.FOLDER / "magnatagatune.csv")
    assert len(known) == 188
    tags = ["woman singing", "female vocal", "clasical", "harpsicord", "no vocals", "no piano"]
    unknown = Counter()
    assert tag_map.sort_tags(tags, known, unknown) == {
        "genre": ("classical",),
        "instrument": ("female voice", "harpsichord", "instrumental"),
    }
    assert not unknown
    # No tag and its negation share a label, nor do voice and its absence.
    labels = {tag: dict(entries) for tag, entries in known.items()}
    for tag in ("no piano", "no guitar", "no drums", "not rock", "not classical"):
        assert labels[tag] == {}
    assert labels["voice"] != labels["no voice"]
