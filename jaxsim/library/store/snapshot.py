"""Reads a library. A `Store` is a snapshot: it does not see what other processes write later."""

import functools
import itertools
import json
import os
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxsim.library.store import conditions
from jaxsim.library.store.connecting import ATTEMPTS, connect
from jaxsim.library.store.matching import folded, limited_album, limited_artist
from jaxsim.library.store.schema import (
    HEARD,
    METADATA,
    heard_of,
    open_matrix,
    read_description,
)
from jaxsim.network import subspaces
from jaxsim.network.likeness import cosine_statistics


class Store:
    """A snapshot of a library; any number of threads may use it.

    A track is known by its row in the matrix. Rows that belong to no track (of files that
    changed or are gone) lie in between; `rows` lists those that do.

    Attributes:
      path: the folder.
      description: the content of `library.json`.
      dimensions: names of the similarity dimensions; each owns an equal slice of the embedding.
      matrix: name of the matrix's file.
      vectors: float16 [M, E], a memory map of it; a sub-space's length is 1 (to float16), or 0
        where the network's output was 0.
      rows: int64 [N], the rows of tracks, ascending.
      ids: [M], the id of each row's track; None in rows that belong to no track.
      mean, deviation: float64 [S], of the cosine between random pairs of tracks, per dimension.
    """

    def __init__(self, path: str | Path):
        """See `open`."""
        self.path = Path(path)
        self.description = read_description(self.path)
        self.dimensions: tuple[str, ...] = tuple(self.description["dimensions"])
        self._lock = threading.Lock()
        self._chosen = functools.lru_cache(maxsize=64)(self._choose)
        for attempt in itertools.count(1):
            self._connection = connect(self.path, write=False)
            try:
                self._load()
                return
            except FileNotFoundError:  # pruning replaced the matrix in between
                self.close()
                if attempt == ATTEMPTS:
                    raise ValueError(f"{self.path / self.matrix}: missing") from None
            except BaseException:
                self.close()
                raise

    def _load(self) -> None:
        self.matrix, count = self._connection.execute("SELECT file, rows FROM matrix").fetchone()
        if count and not (self.path / self.matrix).is_file():
            raise FileNotFoundError
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
            self.mean, self.deviation = cosine_statistics(
                self.vectors, self.rows, len(self.dimensions)
            )

    @property
    def embedding_size(self) -> int:
        return self.description["embedding_size"]

    @property
    def subspaces(self) -> dict[str, slice]:
        """The slice of the embedding that each dimension owns."""
        return subspaces.slices(self.dimensions, self.embedding_size)

    def by_dimension(self, values: np.ndarray) -> dict[str, float]:
        """Values [S] by the names of their dimensions."""
        return dict(zip(self.dimensions, values.tolist(), strict=True))

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
        """What is known about the tracks in `rows`, in that order: the fields of `METADATA`.

        Several values of a text are separated by "; "; what is unknown is None; a track without a
        title has its file's name. tempo is in beats per minute, seconds the duration of the audio.

        Raises:
          KeyError: a row does not belong to a track.
        """
        return self._columns(METADATA, rows)

    def heard(self, rows: Iterable[int] | np.ndarray) -> list[dict[str, Any]]:
        """What was read from the sound of the tracks in `rows`, in that order.

        tempo (beats per minute, None if unknown), tempo_confidence, tempo_level (the probability of
        its metrical level), key, key_confidence, and tags: probabilities by dimension and tag, the
        most probable first. Empty for tracks that were embedded before there were readings.

        Raises:
          KeyError: a row does not belong to a track.
        """
        return [heard_of(columns) for columns in self._columns(HEARD, rows)]

    def _columns(
        self, names: Sequence[str], rows: Iterable[int] | np.ndarray
    ) -> list[dict[str, Any]]:
        wanted = [int(row) for row in rows]
        found = self._select(
            f"SELECT row, {', '.join(names)} FROM tracks "
            "WHERE present AND row IN (SELECT value FROM json_each(?))",
            (json.dumps(wanted),),
        )
        values = {row: content for row, *content in found}
        for row in wanted:
            if row not in values:
                raise KeyError(f"{self.path}: row {row} does not belong to a track")
        return [dict(zip(names, values[row], strict=True)) for row in wanted]

    def path_of(self, row: int) -> Path:
        """The audio file of a track; it may have vanished since it was embedded."""
        return Path(self.metadata([row])[0]["path"])

    def real_path_of(self, row: int) -> Path:
        """Where the path of a track's audio file led, through links, when it was embedded."""
        with self._lock:
            ((found,),) = self._connection.execute(
                "SELECT coalesce(real_path, path) FROM tracks WHERE present AND row = ?",
                (int(row),),
            ).fetchall() or [(None,)]
        if found is None:
            raise KeyError(f"{self.path}: row {row} does not belong to a track")
        return Path(found)

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
        """Rows of the tracks whose title, artist and album contain every word of `text`.

        Case, accents and what keyboards do not have (`matching.folded`) do not count. Titles equal
        to the text come first, then those that begin with it, then all others; each group is sorted
        by title and artist.
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
    def root(self) -> Path:
        """The folder that holds all audio files."""
        paths = self._select("SELECT path FROM tracks WHERE present")
        folders = {os.path.dirname(path) for (path,) in paths}
        return Path(os.path.commonpath(folders) if folders else os.sep)

    @functools.cached_property
    def seconds(self) -> np.ndarray:
        """float64 [M]: the duration of each track's audio; nan in rows that belong to no track."""
        result = np.full(len(self.ids), np.nan)
        for row, seconds in self._select("SELECT row, seconds FROM tracks WHERE present"):
            result[row] = seconds
        return result

    @functools.cached_property
    def audio_number(self) -> np.ndarray:
        """int64 [M]: equal for tracks with the same audio in their files; -1 if unknown."""
        numbers: dict[str, int] = {}
        result = np.full(len(self.ids), -1)
        known = "SELECT row, fingerprint FROM tracks WHERE present AND fingerprint != ''"
        for row, fingerprint in self._select(known):
            result[row] = numbers.setdefault(fingerprint, len(numbers))
        return result

    @functools.cached_property
    def id_rank(self) -> np.ndarray:
        """int64 [M]: the position of each track when all are ordered by id."""
        rank = np.full(len(self.ids), -1)
        rank[self.rows[np.argsort(self.ids[self.rows], kind="stable")]] = np.arange(len(self))
        return rank

    @functools.cached_property
    def artist_number(self) -> np.ndarray:
        """int64 [M]: equal for the same artist (`matching.limited_artist`); -1 if unknown."""
        return self._numbers("artist, album_artist, compilation", limited_artist)

    @functools.cached_property
    def album_number(self) -> np.ndarray:
        """int64 [M]: equal for the same album (`matching.limited_album`); -1 if unknown."""
        return self._numbers("album, artist, album_artist, compilation", limited_album)

    def _numbers(self, columns: str, named: Callable[..., Hashable]) -> np.ndarray:
        """int64 [M]: numbers what `named` makes of the columns; -1 where that is empty."""
        numbers: dict[Hashable, int] = {}
        result = np.full(len(self.ids), -1)
        for row, *values in self._select(f"SELECT row, {columns} FROM tracks WHERE present"):
            if name := named(*values):
                result[row] = numbers.setdefault(name, len(numbers))
        return result

    def select(self, where: str | None) -> np.ndarray:
        """bool [M]: the tracks that meet a condition (`jaxsim.library.store.conditions`).

        None selects all tracks.

        Raises:
          ValueError: it is not a condition; the message says where.
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
      ValueError: it has a different format version, or is damaged.
    """
    return Store(path)


def name_of(track: Mapping[str, Any]) -> str:
    """Title and artist from a track's metadata, for people to read."""
    return ", ".join(filter(None, (track["title"], track["artist"])))
