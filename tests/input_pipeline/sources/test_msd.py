"""The Million Song Dataset: Choi's and Lee's divisions in their own formats, and Last.fm's tags."""

import pickle
import sqlite3

import numpy as np
import pytest

from input_pipeline.collection import Problem
from input_pipeline.sources import msd

PARTS = {"train": ["TRA", "TRB", "TRC"], "valid": ["TRD"], "test": ["TRE"]}
TAGS = {"TRA": ["rock", "90s"], "TRB": ["female vocalists", "Mellow", "Hip-Hop"], "TRC": []}
TAGS |= {"TRD": ["happy"], "TRE": ["guitar", "60s"]}
SORTED = {
    "TRA": ("train", {"genre": ("rock",), "era": ("90s",)}),
    "TRB": (
        "train",
        {"genre": ("Hip-Hop",), "mood": ("Mellow",), "instrument": ("female vocalists",)},
    ),
    "TRC": ("train", {}),
    "TRD": ("validation", {"mood": ("happy",)}),
    "TRE": ("test", {"instrument": ("guitar",), "era": ("60s",)}),
}


def vector(tags):
    return np.isin(np.array(msd.TAGS), tags)


def python_2(content) -> bytes:
    """A pickle as Python 2 writes it with protocol 0: its texts are bytes."""
    if isinstance(content, dict):
        items = (python_2(key) + python_2(value) + b"s" for key, value in content.items())
        return b"(d" + b"".join(items)
    if isinstance(content, list):
        return b"(l" + b"".join(python_2(item) + b"a" for item in content)
    if isinstance(content, bool):
        return b"I0%d\n" % content
    return b"S'%s'\n" % content.encode()


@pytest.fixture
def choi(tmp_path):
    for part, ids in PARTS.items():
        (tmp_path / f"{part}_x_msd_id.txt").write_text("".join(f"{name}\n" for name in ids))
        names = "".join(f"6/0/{name}.npy\n" for name in ids)
        (tmp_path / f"{part}_x_filename.txt").write_text(names)
        np.save(tmp_path / f"{part}_y.npy", np.stack([vector(TAGS[name]) for name in ids]))
    return tmp_path


@pytest.fixture
def lee(tmp_path, monkeypatch):
    monkeypatch.setattr(msd, "LEE_TRAIN_TRACKS", 3)
    pickles = {
        "filtered_list_train.cP": PARTS["train"] + PARTS["valid"],
        "filtered_list_test.cP": [*PARTS["test"], "TRX"],
        "MSD_id_to_7D_id.pkl": {name: f"7{name}" for name in [*TAGS, "TRX"]},
        "7D_id_to_path.pkl": {f"7{name}": f"8/9/{name}.clip.mp3" for name in TAGS},
        "msd_id_to_tag_vector.cP": {name: vector(tags).tolist() for name, tags in TAGS.items()},
    }
    for name, content in pickles.items():
        (tmp_path / name).write_bytes(python_2(content) + b".")
    (tmp_path / "50tagList.txt").write_text("".join(f"{tag}\n" for tag in msd.TAGS))
    return tmp_path


def _found(collection):
    return {track.track_id: (track.split, track.tags) for track in collection.tracks}


def test_choi(choi, tmp_path):
    collection = msd.read(choi, audio=tmp_path / "audio")
    assert _found(collection) == SORTED
    assert collection.tracks[0].audio == tmp_path / "audio/6/0/TRA.clip.mp3"
    assert collection.tracks[0].group == "TRA"
    assert collection.problems == () and not collection.unknown_tags
    assert "Choi" in collection.citation and "non-commercial" in collection.licence


def test_lee(lee, tmp_path):
    collection = msd.read(lee, audio=tmp_path / "audio")
    assert _found(collection) == SORTED
    assert collection.tracks[0].audio == tmp_path / "audio/8/9/TRA.clip.mp3"
    reason = "the division names no audio file for this track"
    assert collection.problems == (Problem("TRX", reason),)
    assert "Lee, Nam" in collection.citation


def test_lee_with_arrays_and_a_short_vector(lee):
    """Whether the vectors are lists or arrays is not documented: both are read."""
    vectors = {name: vector(tags) for name, tags in TAGS.items()} | {"TRE": np.ones(49)}
    (lee / "msd_id_to_tag_vector.cP").write_bytes(pickle.dumps(vectors, 2))
    collection = msd.read(lee, audio="audio")
    assert _found(collection) == SORTED | {"TRE": ("test", {})}
    reason = "tag vector has 49 numbers, expected 50"
    assert collection.problems[0] == Problem("TRE", reason, skipped=False)


def test_lastfm_tags_take_the_place_of_the_50(choi, tmp_path):
    file = tmp_path / "lastfm_tags.db"
    with sqlite3.connect(file) as database:
        database.executescript(
            """
            CREATE TABLE tids (tid TEXT); CREATE TABLE tags (tag TEXT);
            CREATE TABLE tid_tag (tid INT, tag INT, val FLOAT);
            INSERT INTO tids VALUES ('TRZ'), ('TRA'), ('TRD');
            INSERT INTO tags VALUES ('seen live'), ('Hip-hop'), ('90s'), ('sad');
            INSERT INTO tid_tag VALUES (2, 2, 60), (2, 3, 100), (2, 1, 51), (3, 4, 50), (3, 1, 99),
              (1, 4, 100);
            """
        )
    collection = msd.read(choi, audio="audio", lastfm=file)
    assert [track.tags for track in collection.tracks] == [
        *({"era": ("90s",), "genre": ("Hip-Hop",)}, {}, {}, {}, {})
    ]
    assert collection.unknown_tags == {"seen live": 2}
    assert "tags of lastfm_tags.db" in collection.description


def test_a_malicious_pickle_is_refused(lee):
    (lee / "msd_id_to_tag_vector.cP").write_bytes(b"cbuiltins\neval\n(S'1'\ntR.")
    with pytest.raises(ValueError, match=r"vector\.cP: not a pickle .* asks for builtins\.eval"):
        msd.read(lee, audio="audio")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("valid_x_filename.txt", b"a.npy\nb.npy\n", "has 2 lines, expected 1 as in valid_x_msd_id"),
        ("test_y.npy", b"", r"test_y\.npy: not a NumPy array"),
        ("test_y.npy", pickle.dumps([1]), r"test_y\.npy: not a NumPy array"),
        ("lastfm_tags.db", b"no database", r"tags\.db: not an SQLite file with the tables tids"),
    ],
)
def test_bad_files_of_choi(choi, file, content, message):
    (choi / file).write_bytes(content)
    lastfm = choi / file if file.endswith(".db") else ""
    with pytest.raises(ValueError, match=message):
        msd.read(choi, audio="audio", lastfm=lastfm)


def test_other_errors(choi, lee, tmp_path):
    np.save(choi / "test_y.npy", np.zeros((1, 49), bool))
    with pytest.raises(ValueError, match=r"test_y\.npy: has shape \(1, 49\), expected \(1, 50\)"):
        msd.read(choi, audio="audio")
    (choi / "train_x_msd_id.txt").unlink()  # now it is Lee's
    (lee / "filtered_list_test.cP").write_bytes(pickle.dumps({}))
    with pytest.raises(ValueError, match=r"list_test\.cP: is a dict, expected a list"):
        msd.read(lee, audio="audio")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty: has neither train_x_msd_id\.txt"):
        msd.read(tmp_path / "empty", audio="audio")
