"""What a library is on disk: its files and its tables.

A store is a folder:

  library.json: format, hash of the model, dimensions, embedding size, features; written last, so
    that a folder without it is not a store.
  model.npz: the model as `jaxsim.export` writes it, so that queries are embedded by the same one.
  library.sqlite: metadata, and which rows of the matrix hold a track.
  vectors-<n>.f16: the matrix [M, E] in float16, every sub-space at length 1; it only grows, until
    pruning writes the next one.

Rows are appended to the matrix before the transaction that assigns them to tracks, so a killed
process leaves at most rows that belong to no track.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = "jaxsim-library"
FORMAT_VERSION = 2  # Raise it whenever the description, the tables or the matrix change.
OLDEST_VERSION = 1  # that `upgrade` knows
DESCRIPTION, DATABASE, MODEL = "library.json", "library.sqlite", "model.npz"
MATRICES, FIRST_MATRIX = "vectors-*.f16", "vectors-0.f16"
SCHEMA = """
CREATE TABLE tracks (
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
CREATE TABLE answers (number INTEGER PRIMARY KEY, judge TEXT NOT NULL, content TEXT NOT NULL);
INSERT INTO matrix VALUES ('vectors-0.f16', 0);
PRAGMA user_version = 2;
"""
UPGRADES = {  # from each older version to the next
    1: """
ALTER TABLE tracks ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE tracks ADD COLUMN real_path TEXT;
ALTER TABLE tracks ADD COLUMN album_artist TEXT;
ALTER TABLE tracks ADD COLUMN track_number INTEGER;
ALTER TABLE tracks ADD COLUMN disc_number INTEGER;
ALTER TABLE tracks ADD COLUMN compilation INTEGER;
ALTER TABLE tracks ADD COLUMN heard_tempo REAL;
ALTER TABLE tracks ADD COLUMN heard_tempo_confidence REAL;
ALTER TABLE tracks ADD COLUMN heard_tempo_level REAL;
ALTER TABLE tracks ADD COLUMN heard_key TEXT;
ALTER TABLE tracks ADD COLUMN heard_key_confidence REAL;
ALTER TABLE tracks ADD COLUMN heard_tags TEXT;
CREATE INDEX tracks_digest ON tracks (digest);
ALTER TABLE skipped ADD COLUMN size INTEGER NOT NULL DEFAULT -1;
ALTER TABLE skipped ADD COLUMN modified INTEGER NOT NULL DEFAULT -1;
ALTER TABLE skipped ADD COLUMN heard_by TEXT NOT NULL DEFAULT '';
PRAGMA user_version = 2;
""",
}
TEXTS = ("title", "artist", "album", "album_artist", "genre", "mood", "instrument", "era", "key")
# compilation: whether the album is one, 1 or 0.
NUMBERS = ("year", "tempo", "seconds", "track_number", "disc_number", "compilation")
METADATA = ("id", "path", *TEXTS, *NUMBERS)  # columns of a track that users see
# What was read from the sound, beside the tags: confidences are probabilities, heard_tempo_level
# that of the metrical level, and heard_tags is JSON, {dimension: {tag: probability}}, NULL in
# tracks that were embedded before there were readings.
HEARD = (
    "heard_tempo",
    "heard_tempo_confidence",
    "heard_tempo_level",
    "heard_key",
    "heard_key_confidence",
    "heard_tags",
)
_HEARD_NAMES = [name.removeprefix("heard_") for name in HEARD[:-1]]  # the last one has the tags


def describe(
    *,
    model: str,
    dimensions: Sequence[str],
    embedding_size: int,
    feature_version: int,
    feature_config: Mapping[str, Any],
    tag_names: Mapping[str, Sequence[str]],
    seconds: float | None = None,
) -> dict[str, Any]:
    """The content of `library.json`.

    `model` is the hash of the model; `seconds`, how much of a longer track is embedded, in
    excerpts: None for whole tracks, and then not named.
    """
    heard = {} if seconds is None else {"seconds": seconds}
    return heard | {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": model,
        "dimensions": list(dimensions),
        "embedding_size": embedding_size,
        "subspace_size": embedding_size // len(dimensions),
        "feature_version": feature_version,
        "feature_config": dict(feature_config),
        "tag_names": {name: list(tags) for name, tags in tag_names.items()},
    }


def read_description(path: Path) -> dict[str, Any]:
    """Reads and checks the `library.json` in the folder `path`.

    Raises:
      FileNotFoundError: there is no store.
      ValueError: it has a different format version, or is damaged.
    """
    file = path / DESCRIPTION
    if not file.is_file():
        raise FileNotFoundError(
            f"{path}: not a library (it has no {DESCRIPTION}); create one with "
            f"`python -m jaxsim.embed --model=MODEL --store={path} FOLDER`"
        )
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: not JSON ({error})") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ValueError(f"{file}: not a jaxsim library (format is not {FORMAT!r})")
    version = description.get("format_version")
    if not isinstance(version, int) or not OLDEST_VERSION <= version <= FORMAT_VERSION:
        raise ValueError(
            f"{file}: format_version is {version}, expected {OLDEST_VERSION} to {FORMAT_VERSION}; "
            "embed the library again, or install the jaxsim that wrote it"
        )
    return description


def heard_of(values: Sequence[Any]) -> dict[str, Any]:
    """What the values of the columns `HEARD` say, as `Store.heard` returns it."""
    *others, tags = values
    if tags is None:
        return {}
    return dict(zip(_HEARD_NAMES, others, strict=True)) | {"tags": json.loads(tags)}


def open_matrix(file: Path, rows: int, size: int) -> np.ndarray:
    """Maps the first `rows` rows of a matrix: float16 [rows, size].

    Raises:
      ValueError: the file is missing or shorter.
    """
    found = file.stat().st_size if file.is_file() else 0
    if found < rows * size * 2:
        raise ValueError(
            f"{file}: has {found} bytes, expected at least {rows * size * 2} ({rows} rows of "
            f"{size} float16); the store is damaged, embed the library again"
        )
    if not rows:
        return np.zeros((0, size), np.float16)
    # As a plain array: slices of a memmap cost several times as much.
    return np.asarray(np.memmap(file, np.float16, mode="r", shape=(rows, size)))
