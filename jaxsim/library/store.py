"""A library on disk, read: who its tracks are and where their embeddings lie. NumPy and SQLite.

A store is a folder:

  library.json: format, hash of the model, dimensions, embedding size, features; written last, so
    that a folder without it is no store.
  model.npz: the model in the form of `jaxsim.export`, so that a query is embedded by the same one.
  library.sqlite: metadata, and which rows of the matrix hold a track.
  vectors-<n>.f16: the matrix [M, E] in float16, every sub-space at length 1; it only grows, until a
    pruning writes the next one.

Rows are appended to the matrix before the transaction that says whose they are, so a process that
is killed leaves at most rows that nobody owns. A `Store` is a snapshot: what other processes write
later is not seen. `jaxsim.library.writing` writes.
"""

import contextlib
import functools
import json
import os
import sqlite3
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxsim.library import where as conditions
from jaxsim.library.where import FIELDS as METADATA

FORMAT = "jaxsim-library"
FORMAT_VERSION = 1  # Raise it whenever the description, the tables or the matrix change.
DESCRIPTION, DATABASE, MODEL = "library.json", "library.sqlite", "model.npz"
SPREAD_PAIRS = 20_000


class Store:
    """A snapshot of a library; any number of threads may use it.

    A track is known by its row in the matrix. Rows of no track (of files that changed or are gone)
    lie between them: `rows` says which are tracks.

    Attributes:
      path: the folder.
      description: of `library.json`.
      dimensions: names of the similarity dimensions; each owns an equal slice of the embedding.
      matrix: name of the matrix's file.
      vectors: float16 [M, E], a memory map of it; a sub-space's length is 1 (to float16), or 0
        where the network gave none.
      rows: int64 [N], the rows of tracks, ascending.
      ids: [M] the track's id per row; None in rows of no track.
      mean, deviation: float64 [S] of the cosine between random pairs of tracks, per dimension.
    """

    def __init__(self, path: str | Path):
        """See `open`."""
        self.path = Path(path)
        self.description = read_description(self.path)
        self.dimensions: tuple[str, ...] = tuple(self.description["dimensions"])
        self._lock = threading.Lock()
        self._chosen = functools.lru_cache(maxsize=64)(self._choose)
        self._connection = connect(self.path, write=False)
        self._connection.execute("BEGIN")  # the snapshot lasts until `close`
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def _load(self) -> None:
        self.matrix, count = self._connection.execute("SELECT file, rows FROM matrix").fetchone()
        self.vectors = open_matrix(self.path / self.matrix, count, self.embedding_size)
        owners = self._connection.execute("SELECT row, id FROM tracks WHERE present ORDER BY row")
        pairs = owners.fetchall()
        self.rows = np.fromiter((row for row, _ in pairs), np.int64, len(pairs))
        self.ids = np.full(count, None, object)
        self.ids[self.rows] = [name for _, name in pairs]
        stored = dict(
            (name, (mean, deviation))
            for name, mean, deviation in self._connection.execute(
                "SELECT dimension, mean, deviation FROM spread"
            )
        )
        if set(stored) == set(self.dimensions):
            self.mean, self.deviation = np.array([stored[name] for name in self.dimensions]).T
        else:  # the first embedding was interrupted
            self.mean, self.deviation = spread(self.vectors, self.rows, len(self.dimensions))

    @property
    def embedding_size(self) -> int:
        return self.description["embedding_size"]

    @property
    def subspaces(self) -> dict[str, slice]:
        """The slice of the embedding that each dimension owns."""
        size = self.embedding_size // len(self.dimensions)
        return {name: slice(i * size, (i + 1) * size) for i, name in enumerate(self.dimensions)}

    def __len__(self) -> int:
        return len(self.rows)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def metadata(self, rows: Iterable[int] | np.ndarray) -> list[dict[str, Any]]:
        """What is known of the tracks in `rows`, in their order: the fields of `METADATA`.

        Texts that have several values have "; " between them; what is unknown is None; a track
        without a title has its file's name. tempo in beats per minute, seconds of audio.

        Raises:
          KeyError: a row is no track's.
        """
        query = f"SELECT {', '.join(METADATA)} FROM tracks WHERE present AND row = ?"
        result = []
        with self._lock:
            for row in rows:
                values = self._connection.execute(query, (int(row),)).fetchone()
                if values is None:
                    raise KeyError(f"{self.path}: row {row} is no track's")
                result.append(dict(zip(METADATA, values, strict=True)))
        return result

    def path_of(self, row: int) -> Path:
        """The audio file of a track; it may have vanished since it was embedded."""
        return Path(self.metadata([row])[0]["path"])

    def row_of(self, track_id: str) -> int | None:
        """The row of the track with this id, if there is one."""
        return self._row("id", track_id)

    def row_of_path(self, path: str | Path) -> int | None:
        """The row of the track in this file, if there is one."""
        return self._row("path", os.path.abspath(path))

    def _row(self, column: str, value: str) -> int | None:
        with self._lock:
            found = self._connection.execute(
                f"SELECT row FROM tracks WHERE present AND {column} = ?", (value,)
            ).fetchone()
        return found and found[0]

    def find(self, text: str, limit: int | None = None) -> list[int]:
        """Rows of the tracks whose title, artist and album hold every word of `text`.

        Case and accents do not count. Titles that equal the text come first, then those that begin
        with it, then the others, each by title and artist.
        """
        words = folded(text).split()
        if not words:
            return []
        wanted, found = " ".join(words), self._titles
        for word in words:
            found = [track for track in found if word in track[2]]
        ranked = [
            (title != wanted, not title.startswith(wanted), everything, row)
            for row, title, everything in found
        ]
        return [row for *_, row in sorted(ranked)[:limit]]

    @functools.cached_property
    def _titles(self) -> list[tuple[int, str, str]]:
        """Row, folded title, and folded title, artist and album of every track."""
        rows = self._select("SELECT row, title, artist, album FROM tracks WHERE present")
        return [
            (row, folded(title or ""), folded(" ".join(filter(None, (title, *others)))))
            for row, title, *others in rows
        ]

    @functools.cached_property
    def id_rank(self) -> np.ndarray:
        """int64 [M]: the place of each track among all, in the order of ids."""
        rank = np.full(len(self.ids), -1)
        rank[self.rows[np.argsort(self.ids[self.rows], kind="stable")]] = np.arange(len(self))
        return rank

    @functools.cached_property
    def artist_number(self) -> np.ndarray:
        """int64 [M]: equal for tracks of one artist, whatever the case; -1 if it is unknown."""
        numbers: dict[str, int] = {}
        result = np.full(len(self.ids), -1)
        for row, artist in self._select("SELECT row, artist FROM tracks WHERE present"):
            if name := folded(artist or ""):
                result[row] = numbers.setdefault(name, len(numbers))
        return result

    def select(self, where: str | None) -> np.ndarray:
        """bool [M], the tracks that meet a condition (`jaxsim.library.where`); None: all tracks.

        Raises:
          ValueError: it is no condition; the message says where.
        """
        return self._chosen(where)

    def _choose(self, where: str | None) -> np.ndarray:
        chosen = np.zeros(len(self.ids), bool)
        if where is None:
            chosen[self.rows] = True
        else:
            sql, values = conditions.to_sql(where)
            found = self._select(f"SELECT row FROM tracks WHERE present AND ({sql})", values)
            chosen[[row for (row,) in found]] = True
        chosen.flags.writeable = False
        return chosen

    def _select(self, query: str, values: Sequence[Any] = ()) -> list[tuple]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()


def open(path: str | Path) -> Store:
    """Opens a store for reading.

    Raises:
      FileNotFoundError: there is no store.
      ValueError: it is of another format version, or damaged.
    """
    return Store(path)


def read_description(path: Path) -> dict[str, Any]:
    """Reads and checks `library.json`; raises as `open` does."""
    file = path / DESCRIPTION
    if not file.is_file():
        raise FileNotFoundError(
            f"{path}: no library (it has no {DESCRIPTION}); make one with "
            f"`python -m jaxsim.embed --model=MODEL --store={path} FOLDER`"
        )
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: not JSON ({error})") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ValueError(f"{file}: not a jaxsim library (format is not {FORMAT!r})")
    if description.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{file}: format_version is {description.get('format_version')}, expected "
            f"{FORMAT_VERSION}; embed the library again, or install the jaxsim that wrote it"
        )
    return description


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Opens the database of a store; transactions are begun and ended by the caller."""
    file = path / DATABASE
    if not file.is_file():
        raise ValueError(f"{file}: missing, although {path / DESCRIPTION} is there")
    options = "mode=rw" if write else "mode=ro"
    if not write and not os.access(path, os.W_OK):
        options += "&immutable=1"  # a log of writers cannot be made there, and needs not
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?{options}",
        uri=True,
        timeout=30,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        connection.close()
        raise ValueError(f"{file}: cannot be read ({error})") from None
    connection.create_function("holds", 2, _holds, deterministic=True)
    connection.create_function("contains", 2, _contains, deterministic=True)
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All that is executed within is written, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def open_matrix(file: Path, rows: int, size: int) -> np.ndarray:
    """Maps the first `rows` rows [rows, size] of a matrix."""
    found = file.stat().st_size if file.is_file() else 0
    if found < rows * size * 2:
        raise ValueError(
            f"{file}: has {found} bytes, expected at least {rows * size * 2} ({rows} rows of "
            f"{size} float16); the store is damaged, embed the library again"
        )
    if not rows:
        return np.zeros((0, size), np.float16)
    return np.memmap(file, np.float16, mode="r", shape=(rows, size))


def normalised(vectors: np.ndarray, subspaces: int) -> np.ndarray:
    """Embeddings [N, E] as float64 [N, E] with every sub-space at length 1 (zeros stay zeros)."""
    parts = np.asarray(vectors, np.float64).reshape(len(vectors), subspaces, -1)
    lengths = np.linalg.norm(parts, axis=2, keepdims=True)
    return (parts / np.maximum(lengths, 1e-12)).reshape(len(vectors), -1)


def spread(vectors: np.ndarray, rows: np.ndarray, subspaces: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation [S] of the cosine between two random tracks, per sub-space.

    All pairs if there are few tracks, else `SPREAD_PAIRS` random ones, the same at every call. One
    pair or none says nothing of the spread: mean 0 and deviation 1.
    """
    count = len(rows)
    if count < 3:
        return np.zeros(subspaces), np.ones(subspaces)
    if count * (count - 1) // 2 <= SPREAD_PAIRS:
        first, second = np.triu_indices(count, 1)
    else:
        random = np.random.default_rng(0)
        first = random.integers(count, size=SPREAD_PAIRS)
        second = (first + random.integers(1, count, size=SPREAD_PAIRS)) % count
    cosines = []
    for start in range(0, len(first), 2048):
        part = slice(start, start + 2048)
        products = np.asarray(vectors[rows[first[part]]], np.float64) * vectors[rows[second[part]]]
        cosines.append(products.reshape(len(products), subspaces, -1).sum(axis=2))
    together = np.concatenate(cosines)
    return together.mean(axis=0), together.std(axis=0)


def name_of(track: Mapping[str, Any]) -> str:
    """Title and artist of a track's metadata, for people."""
    return ", ".join(filter(None, (track["title"], track["artist"])))


def folded(text: str) -> str:
    """Without case and accents, for comparisons."""
    if text.isascii():  # most are, and there are many
        return text.lower().strip()
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in parts if not unicodedata.combining(letter)).strip()


def _holds(values: str | None, wanted: str) -> bool | None:
    """Whether `wanted` is one of the values of a text; None if it is unknown, as in SQL."""
    if values is None:
        return None
    wanted, values = folded(wanted), folded(values)
    return wanted == values or (";" in values and wanted in map(str.strip, values.split(";")))


def _contains(text: str | None, part: str) -> bool | None:
    return None if text is None else folded(part) in folded(text)


def describe(
    *,
    model: str,
    dimensions: Sequence[str],
    embedding_size: int,
    feature_version: int,
    feature_config: Mapping[str, Any],
    tag_names: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """The content of `library.json`; `model` is the hash of the model."""
    return {
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
