"""What lies on the disk, said in full: libraries that were written before must stay readable."""

import json
import sqlite3
from pathlib import Path

import numpy as np

from jaxsim.library import store
from jaxsim.library.search import preferences, presets
from jaxsim.library.store import entries, writing
from tests.helpers.libraries import describe, entry

OLD_TABLES = """CREATE TABLE tracks (
  path TEXT PRIMARY KEY, id TEXT UNIQUE NOT NULL, row INTEGER NOT NULL, present INTEGER NOT NULL,
  size INTEGER NOT NULL, modified INTEGER NOT NULL, digest TEXT NOT NULL, model TEXT NOT NULL,
  feature_version INTEGER NOT NULL, tags TEXT NOT NULL, given TEXT NOT NULL,
  title TEXT, artist TEXT, album TEXT, genre TEXT, mood TEXT, instrument TEXT, era TEXT, key TEXT,
  year INTEGER, tempo REAL, seconds REAL);
CREATE INDEX tracks_row ON tracks (row);
CREATE TABLE skipped (path TEXT PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE matrix (file TEXT NOT NULL, rows INTEGER NOT NULL);
CREATE TABLE spread (dimension TEXT PRIMARY KEY, mean REAL NOT NULL, deviation REAL NOT NULL);
CREATE TABLE presets (name TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE answers (number INTEGER PRIMARY KEY, judge TEXT NOT NULL, content TEXT NOT NULL)"""
TABLES = """CREATE TABLE tracks (
  path TEXT PRIMARY KEY, id TEXT UNIQUE NOT NULL, row INTEGER NOT NULL, present INTEGER NOT NULL,
  size INTEGER NOT NULL, modified INTEGER NOT NULL, digest TEXT NOT NULL,
  fingerprint TEXT NOT NULL, real_path TEXT, model TEXT NOT NULL,
  feature_version INTEGER NOT NULL, tags TEXT NOT NULL, given TEXT NOT NULL,
  title TEXT, artist TEXT, album TEXT, genre TEXT, mood TEXT, instrument TEXT, era TEXT, key TEXT,
  year INTEGER, tempo REAL, seconds REAL, album_artist TEXT, track_number INTEGER,
  disc_number INTEGER, compilation INTEGER,
  heard_tempo REAL, heard_tempo_confidence REAL, heard_tempo_level REAL,
  heard_key TEXT, heard_key_confidence REAL, heard_tags TEXT);
CREATE INDEX tracks_row ON tracks (row);
CREATE INDEX tracks_digest ON tracks (digest);
CREATE TABLE skipped (path TEXT PRIMARY KEY, reason TEXT NOT NULL,
  size INTEGER NOT NULL, modified INTEGER NOT NULL, heard_by TEXT NOT NULL);
CREATE TABLE matrix (file TEXT NOT NULL, rows INTEGER NOT NULL);
CREATE TABLE spread (dimension TEXT PRIMARY KEY, mean REAL NOT NULL, deviation REAL NOT NULL);
CREATE TABLE presets (name TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE answers (number INTEGER PRIMARY KEY, judge TEXT NOT NULL, content TEXT NOT NULL)"""
ROWS = f"""
INSERT INTO matrix VALUES ('vectors-3.f16', 3);
INSERT INTO tracks VALUES
  ('/music/a.wav', 'a', 2, 1, 7, 8, 'ff', '{"a" * 64}', 1, '{{"title": "A"}}', '{{}}',
   'A', 'Björk', NULL, 'jazz; blues', NULL, NULL, NULL, NULL, 1999, 90.5, 30.0),
  ('/music/b.wav', 'b', 0, 1, 7, 8, 'fe', '{"a" * 64}', 1, '{{}}', '{{}}',
   'b', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 31.0),
  ('/music/c.wav', 'c', 1, 0, 7, 8, 'fd', '{"a" * 64}', 1, '{{}}', '{{}}',
   'c', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 32.0);
INSERT INTO spread VALUES ('genre', 0.25, 0.5), ('tempo', 0.125, 0.75), ('key', 0, 1);
INSERT INTO presets VALUES
  ('dance', '{{"weights": {{"genre": 0.0, "tempo": 2.0, "key": 0.0}}}}');
INSERT INTO skipped VALUES ('/music/d.wav', 'silent');
INSERT INTO answers VALUES
  (1, 'me', '{{"anchor": "a", "a": "b", "b": "c", "choice": "skip"}}');
"""
DESCRIPTION = f"""{{
 "format": "jaxsim-library",
 "format_version": 2,
 "model": "{"a" * 64}",
 "dimensions": [
  "genre",
  "tempo",
  "key"
 ],
 "embedding_size": 12,
 "subspace_size": 4,
 "feature_version": 1,
 "feature_config": {{}},
 "tag_names": {{}}
}}"""


def write_old(path: Path) -> bytes:
    """A library as the first version wrote it; returns its vectors."""
    vectors = np.arange(36, dtype="<f2").reshape(3, 12) / 64
    (path / "library.json").write_text(DESCRIPTION.replace('_version": 2', '_version": 1', 1))
    (path / "model.npz").write_bytes(b"model")
    (path / "vectors-3.f16").write_bytes(vectors.tobytes())
    with sqlite3.connect(path / "library.sqlite") as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"{OLD_TABLES};{ROWS}")
    connection.close()
    return vectors.tobytes()


def columns(path: Path) -> dict[str, set[str]]:
    connection = sqlite3.connect(path / "library.sqlite")
    found = {
        table: {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    connection.close()
    return found


def test_an_older_library_is_read_as_it_is_and_upgraded_when_it_is_written(tmp_path: Path) -> None:
    written = write_old(tmp_path)
    vectors = np.frombuffer(written, "<f2").reshape(3, 12)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with store.open(tmp_path) as library:
        assert library.ids.tolist() == ["b", None, "a"]
        np.testing.assert_array_equal(library.vectors, vectors)
        assert library.mean.tolist() == [0.25, 0.125, 0]
        assert library.deviation.tolist() == [0.5, 0.75, 1]
        (track,) = library.metadata([2])
        assert track["path"] == "/music/a.wav" and (track["year"], track["tempo"]) == (1999, 90.5)
        kept = track["album_artist"], track["track_number"], track["compilation"]
        assert kept == (None, None, None)  # not known to that version
        assert np.flatnonzero(library.select("artist='bjork' and genre='blues'")).tolist() == [2]
        assert presets.load(library, "dance") == {"genre": 0, "tempo": 2, "key": 0}
        assert preferences.answers_of(library, "me") == [preferences.Answer("a", "b", "c", "skip")]
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    with writing.open(tmp_path, describe(), b"model") as writer:
        known = writer.known()
        assert known["/music/c.wav"].present is False
        assert [known[path].fingerprint for path in sorted(known)] == ["", "", ""]
        assert writer.skipped() == {"/music/d.wav": entries.Skipped("silent", -1, -1, "")}
        writer.add([entry(7, np.full(12, 0.5))])
    assert (tmp_path / "vectors-3.f16").read_bytes() == (
        written + np.full(12, 0.5, "<f2").tobytes()
    )
    assert json.loads((tmp_path / "library.json").read_text())["format_version"] == 2
    with writing.open(tmp_path / "new", describe(), b"model"):
        pass
    assert columns(tmp_path) == columns(tmp_path / "new")
    with store.open(tmp_path) as library:
        assert sorted(filter(None, library.ids)) == ["0007", "a", "b"]
        assert preferences.answers_of(library, "me") == [preferences.Answer("a", "b", "c", "skip")]


def test_an_upgrade_that_was_killed_is_finished(tmp_path: Path) -> None:
    """Between the tables and the description, which are two files."""
    write_old(tmp_path)
    description = (tmp_path / "library.json").read_text()
    for _ in range(2):
        with writing.open(tmp_path, describe(), b"model") as writer:
            assert len(writer.known()) == 3
        (tmp_path / "library.json").write_text(description)
    assert len(store.open(tmp_path)) == 2


def test_a_new_library_has_these_files(tmp_path: Path) -> None:
    with writing.open(tmp_path / "store", describe(), b"model") as writer:
        writer.add([entry(0, np.linspace(0, 1, 12))])
        writer.measure_cosines()
    names = sorted(file.name for file in (tmp_path / "store").iterdir())
    assert [name for name in names if not name.startswith((".lock", "library.sqlite-"))] == [
        "library.json",
        "library.sqlite",
        "model.npz",
        "vectors-0.f16",
    ]
    assert (tmp_path / "store" / "library.json").read_text() == DESCRIPTION
    assert (tmp_path / "store" / "model.npz").read_bytes() == b"model"
    matrix = np.linspace(0, 1, 12).astype("<f2").tobytes()
    assert (tmp_path / "store" / "vectors-0.f16").read_bytes() == matrix
    connection = sqlite3.connect(tmp_path / "store" / "library.sqlite")
    made = connection.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY rowid")
    assert [sql for (sql,) in made] == TABLES.split(";\n")
    select = "SELECT tags, given, title, seconds, present FROM tracks"
    assert connection.execute(select).fetchall() == [("{}", "{}", "0", 10.0, 1)]
    spread = connection.execute("SELECT dimension, mean, deviation FROM spread").fetchall()
    assert sorted(spread) == [("genre", 0.0, 1.0), ("key", 0.0, 1.0), ("tempo", 0.0, 1.0)]
    connection.close()
    library = store.open(tmp_path / "store")
    presets.save(library, "x", {"tempo": 2})
    connection = sqlite3.connect(tmp_path / "store" / "library.sqlite")
    ((name, content),) = connection.execute("SELECT name, content FROM presets")
    assert (name, json.loads(content)) == ("x", {"weights": {"genre": 0, "tempo": 2, "key": 0}})
    connection.close()
