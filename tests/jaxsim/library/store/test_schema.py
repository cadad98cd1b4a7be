"""What lies on the disk, said in full: libraries that were written before must stay readable."""

import json
import sqlite3
from pathlib import Path

import numpy as np

from jaxsim.library import store
from jaxsim.library.search import preferences, presets
from jaxsim.library.store import writing
from tests.helpers.libraries import describe, entry

TABLES = """CREATE TABLE tracks (
  path TEXT PRIMARY KEY, id TEXT UNIQUE NOT NULL, row INTEGER NOT NULL, present INTEGER NOT NULL,
  size INTEGER NOT NULL, modified INTEGER NOT NULL, digest TEXT NOT NULL, model TEXT NOT NULL,
  feature_version INTEGER NOT NULL, tags TEXT NOT NULL, given TEXT NOT NULL,
  title TEXT, artist TEXT, album TEXT, genre TEXT, mood TEXT, instrument TEXT, era TEXT, key TEXT,
  year INTEGER, tempo REAL, seconds REAL, album_artist TEXT, track_number INTEGER,
  disc_number INTEGER, compilation INTEGER);
CREATE INDEX tracks_row ON tracks (row);
CREATE TABLE skipped (path TEXT PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE matrix (file TEXT NOT NULL, rows INTEGER NOT NULL);
CREATE TABLE spread (dimension TEXT PRIMARY KEY, mean REAL NOT NULL, deviation REAL NOT NULL);
CREATE TABLE presets (name TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE answers (number INTEGER PRIMARY KEY, judge TEXT NOT NULL, content TEXT NOT NULL)"""
ROWS = f"""
INSERT INTO matrix VALUES ('vectors-3.f16', 3);
INSERT INTO tracks VALUES
  ('/music/a.wav', 'a', 2, 1, 7, 8, 'ff', '{"a" * 64}', 1, '{{"title": "A"}}', '{{}}',
   'A', 'Björk', NULL, 'jazz; blues', NULL, NULL, NULL, NULL, 1999, 90.5, 30.0,
   'Björk', 3, NULL, 0),
  ('/music/b.wav', 'b', 0, 1, 7, 8, 'fe', '{"a" * 64}', 1, '{{}}', '{{}}',
   'b', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 31.0, NULL, NULL, NULL, NULL),
  ('/music/c.wav', 'c', 1, 0, 7, 8, 'fd', '{"a" * 64}', 1, '{{}}', '{{}}',
   'c', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 32.0, NULL, NULL, NULL, NULL);
INSERT INTO spread VALUES ('genre', 0.25, 0.5), ('tempo', 0.125, 0.75), ('key', 0, 1);
INSERT INTO presets VALUES
  ('dance', '{{"weights": {{"genre": 0.0, "tempo": 2.0, "key": 0.0}}}}');
INSERT INTO answers VALUES
  (1, 'me', '{{"anchor": "a", "a": "b", "b": "c", "choice": "skip"}}');
"""
DESCRIPTION = f"""{{
 "format": "jaxsim-library",
 "format_version": 1,
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


def test_a_library_of_literal_files_is_read_and_written_on(tmp_path: Path) -> None:
    vectors = np.arange(36, dtype="<f2").reshape(3, 12) / 64
    (tmp_path / "library.json").write_text(DESCRIPTION)
    (tmp_path / "model.npz").write_bytes(b"model")
    (tmp_path / "vectors-3.f16").write_bytes(vectors.tobytes())
    with sqlite3.connect(tmp_path / "library.sqlite") as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"{TABLES};{ROWS}")
    connection.close()
    with store.open(tmp_path) as library:
        assert library.ids.tolist() == ["b", None, "a"]
        np.testing.assert_array_equal(library.vectors, vectors)
        assert library.mean.tolist() == [0.25, 0.125, 0]
        assert library.deviation.tolist() == [0.5, 0.75, 1]
        (track,) = library.metadata([2])
        assert track["path"] == "/music/a.wav" and (track["year"], track["tempo"]) == (1999, 90.5)
        kept = track["album_artist"], track["track_number"], track["compilation"]
        assert kept == ("Björk", 3, 0)
        assert np.flatnonzero(library.select("artist='bjork' and genre='blues'")).tolist() == [2]
        assert presets.load(library, "dance") == {"genre": 0, "tempo": 2, "key": 0}
        assert preferences.answers_of(library, "me") == [preferences.Answer("a", "b", "c", "skip")]
    with writing.open(tmp_path, describe(), b"model") as writer:
        assert writer.known()["/music/c.wav"].present is False
        writer.add([entry(7, np.full(12, 0.5))])
    written = (tmp_path / "vectors-3.f16").read_bytes()
    assert written == vectors.tobytes() + np.full(12, 0.5, "<f2").tobytes()


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
