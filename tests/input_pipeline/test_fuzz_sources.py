"""Manifests, tag maps, pickles, databases and arrays of sources, damaged in every way."""

import contextlib
import json
import pickle
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from input_pipeline import manifest
from input_pipeline.collection import Collection
from input_pipeline.sources import msd, tag_map, unpickling
from input_pipeline.tracks import SPLITS, TAG_DIMENSIONS
from tests.helpers.fuzzing import (
    DEPTHS,
    damaged,
    few_or_many,
    fuzz,
    fuzz_file,
    json_values,
    nested,
    scalars,
    scrambled,
)

CSV = (
    b"path,track_id,split,group,artist,genre,mood,tempo,key\n"
    b'a.wav,a,train,g,"x, y",rock;jazz,happy,120,A minor\n'
    b"b.wav,b,validation,h,,pop,,90.5,8A\n"
    b'c.wav,c,test,i,"",,sad,,F#m\n'
)


def check_collection(found: Collection) -> None:
    assert len({track.track_id for track in found.tracks}) == len(found.tracks) > 0
    for track in found.tracks:
        assert track.split in SPLITS
        assert track.tempo is None or 0 < track.tempo < 1000


@few_or_many
def test_csv_manifests(examples: int, tmp_path: Path) -> None:
    cells = [*CSV.replace(b"\n", b"\n,").split(b","), b",", b"\n", b'"', b";", b"\0", b"\xff"]
    contents = damaged(CSV) | scrambled(cells) | scrambled(cells).map(lambda x: CSV + x)
    fuzz_file(examples, tmp_path / "tracks.csv", contents, manifest.read, check_collection)


@few_or_many
def test_json_lines_manifests(examples: int, tmp_path: Path) -> None:
    rows = st.dictionaries(st.sampled_from(manifest.COLUMNS), json_values)
    right = {"path": "a.wav", "track_id": "a", "split": "train", "genre": ["x"], "tempo": 99}
    headers = st.dictionaries(st.sampled_from(manifest.HEADER_FIELDS), json_values)
    lines = st.lists(
        rows.map(lambda row: right | row)
        | headers.map(lambda header: {"collection": header})
        | json_values,
        max_size=4,
    ).map(lambda each: "\n".join(map(json.dumps, each)).encode())
    whole = "\n".join(map(json.dumps, [{"collection": {"name": "x"}}, right])).encode()
    contents = (
        lines
        | damaged(whole)
        | nested(DEPTHS, '{"path": ', "}")
        | nested(DEPTHS, '{"collection": ', "}")
        | nested(DEPTHS, '{"path": "a.wav", "genre": ', "}")
    )
    fuzz_file(examples, tmp_path / "tracks.jsonl", contents, manifest.read, check_collection)


@few_or_many
def test_tag_maps(examples: int, tmp_path: Path) -> None:
    header = b"tag,dimension,label\n"
    whole = header + b'rock,genre,\n"Mellow, soft",mood,calm\nseen live,,\ngenre---*,genre,\n'
    cells = [b"rock", b"genre", b"mood", b",", b"\n", b'"', b"*", header]
    long_cell = header + b"x" * 200_000

    def check(found: tag_map.TagMap) -> None:
        labels = tag_map.sort_tags(["Rock", "genre---x", "", "*"], found, Counter())
        assert set(labels) <= set(TAG_DIMENSIONS)

    contents = damaged(whole) | scrambled(cells) | st.just(long_cell)
    fuzz_file(examples, tmp_path / "map.csv", contents, tag_map.read, check)


PICKLED = {
    "TRAAA": np.array([True, False, True]),
    "b": [1, 2.5, None, "é", b"\xff\0", (1j, {3}, frozenset("x")), bytearray(b"ab")],
    "scalar": np.float64(1.5),
}
PICKLE_PARTS = [
    *(bytes([code]) for code in range(256)),
    *(f"c{name}\n".encode() for name in ("os\nsystem", "builtins\neval", "builtins\nbytearray")),
    *(f"c{name}\n".encode() for name in ("numpy\ndtype", "_codecs\nencode", "builtins\nset")),
    *(b"(", b"t", b"R", b"b", b"}", b"]", b"s", b"a", b".", b"I7\n", b"S'touch ran'\n", b"2", b"0"),
    *(
        b"\x8c\x02os\x8c\x06system\x93",
        b"r\xff\xff\xff\x7f",
        b"J\xff\xff\xff\x7f",
        b"\x86",
        b"\x85",
    ),
]


@few_or_many
def test_pickles(examples: int, tmp_path: Path) -> None:
    whole = [pickle.dumps(PICKLED, protocol) for protocol in range(6)]
    contents = st.one_of(*map(damaged, whole)) | scrambled(PICKLE_PARTS)
    fuzz_file(5 * examples, tmp_path / "split.pkl", contents, unpickling.load)
    assert [path.name for path in tmp_path.iterdir()] == ["split.pkl"]


@pytest.fixture
def choi(tmp_path: Path) -> Path:
    """Choi's division of one track each, and tags of Last.fm."""
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}_x_msd_id.txt").write_text(f"TR{part}\n")
        (tmp_path / f"{part}_x_filename.txt").write_text(f"6/0/{part}.npy\n")
        np.save(tmp_path / f"{part}_y.npy", np.ones((1, len(msd.TAGS)), bool))
    return tmp_path


def database(path: Path, script: str, rows: Sequence[tuple[Any, Any]] = ()) -> bytes:
    path.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as opened:
        opened.executescript(f"PRAGMA synchronous = OFF; PRAGMA page_size = 512; {script}")
        for tid, tag in rows:
            opened.execute("INSERT INTO tids VALUES (?)", (tid,))
            opened.execute("INSERT INTO tags VALUES (?)", (tag,))
        opened.commit()
    return path.read_bytes()


TABLES = (
    "CREATE TABLE tids (tid TEXT PRIMARY KEY); CREATE TABLE tags (tag TEXT);"
    "CREATE TABLE tid_tag (tid INT, tag INT, val FLOAT, FOREIGN KEY(tid) REFERENCES tids(ROWID));"
    "INSERT INTO tid_tag VALUES (1, 1, 100), (2, 2, 60), (3, 1, 51);"
)
ENDLESS = "(WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c)"
COMPUTED = TABLES.replace(
    "tags (tag TEXT)", "tags (x INT, tag TEXT AS (printf('%.*c', 999999999, 'x')))"
)


@few_or_many
def test_tag_databases(examples: int, choi: Path) -> None:
    path = choi / "lastfm_tags.db"
    whole = database(path, TABLES, [("TRtrain", "rock"), ("TRvalid", "sad"), ("TRtest", "90s")])
    views = TABLES.replace(
        "CREATE TABLE tags (tag TEXT);", f"CREATE VIEW tags AS SELECT * FROM {ENDLESS};"
    )
    computed = database(
        path, COMPUTED + "INSERT INTO tags (x) VALUES (1), (2), (3); INSERT INTO tids VALUES ('a');"
    )
    odd = st.lists(
        st.tuples(st.none() | st.text() | st.binary(), scalars.filter(storable)), max_size=4
    )
    contents = (
        damaged(whole)
        | st.sampled_from([b"", database(path, views), computed])
        | odd.map(lambda rows: database(path, TABLES.replace(" PRIMARY KEY", ""), rows))
    )

    def read(file: Path) -> Collection:
        return msd.read(choi, audio="audio", lastfm=file)

    fuzz_file(examples, path, contents, read, check_collection)


def storable(value: Any) -> bool:
    """Whether SQLite can hold it."""
    return value != "\ud800" and not (isinstance(value, int) and abs(value) >= 2**63)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@few_or_many
def test_arrays_of_a_division(examples: int, choi: Path) -> None:
    path = choi / "valid_y.npy"

    def read(file: Path) -> Collection:
        return msd.read(choi, audio="audio")

    fuzz_file(examples, path, damaged(path.read_bytes()), read, check_collection)


@few_or_many
def test_pickled_divisions(examples: int, tmp_path: Path) -> None:
    names = ("TRA", "TRB")
    right = {
        "filtered_list_train.cP": [*names],
        "filtered_list_test.cP": ["TRC"],
        "MSD_id_to_7D_id.pkl": {name: 7 for name in (*names, "TRC")},
        "7D_id_to_path.pkl": {"7": "8/9/a.clip.mp3"},
        "msd_id_to_tag_vector.cP": {name: [1] * len(msd.TAGS) for name in names},
    }
    plain = scalars | st.just(np.ones(3)) | st.lists(scalars, max_size=3)
    values = st.dictionaries(scalars | st.sampled_from(names), plain) | st.lists(plain) | plain
    changes = st.dictionaries(st.sampled_from(list(right)), values, max_size=2)

    def check(change: dict[str, Any]) -> None:
        for name, content in (right | change).items():
            (tmp_path / name).write_bytes(pickle.dumps(content, 2))
        try:
            check_collection(msd.read(tmp_path, audio="audio"))
        except ValueError as error:
            assert str(error).startswith(str(tmp_path))

    fuzz(examples, changes, check)
