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

from jaxsim.library.store import changes, coarse, conditions
from jaxsim.library.store.connecting import ATTEMPTS, connect
from jaxsim.library.store.matching import folded, limited_album, limited_artist
from jaxsim.library.store.remembering import Remembering
from jaxsim.library.store.schema import (
    FIRST_MATRIX,
    HEARD,
    METADATA,
    heard_of,
    open_matrix,
    read_description,
)
from jaxsim.network import subspaces
from jaxsim.network.likeness import cosine_statistics

CHOICES, COLUMNS = 64, 16  # that conditions choose, and read, which are kept
SAMPLE = 1000  # tracks that stand for a large library


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
      coarse: the same in eight bits (`jaxsim.library.store.coarse`), once there is one (`warm`).
      rows: int64 [N], the rows of tracks, ascending.
      ids: [M], the id of each row's track; None in rows that belong to no track.
      signature: of the library's files, from before they were read (`changes.signature`).
      mean, deviation: float64 [S], of the cosine between random pairs of tracks, per dimension.
    """

    def __init__(self, path: str | Path):
        """See `open`."""
        self.path = Path(path)
        self.description = read_description(self.path)
        self.dimensions: tuple[str, ...] = tuple(self.description["dimensions"])
        self.signature = changes.signature(self.path)
        self.coarse: coarse.Coarse | None = None
        self._lock = threading.Lock()
        self._chosen = Remembering(self._choose, CHOICES)
        self._read = Remembering(self._read_column, COLUMNS)
        self._reading = threading.Lock()
        for attempt in itertools.count(1):
            self._connection = connect(self.path, write=False)
            try:
                self._load()
                return
            except FileNotFoundError:  # pruning replaced the matrix in between
                self._connection.close()
                if attempt == ATTEMPTS:
                    raise ValueError(f"{self.path / self.matrix}: missing") from None
            except BaseException:
                self.close()
                raise

    def _load(self) -> None:
        self.matrix, count = self._connection.execute("SELECT file, rows FROM matrix").fetchone()
        try:
            self.vectors = open_matrix(self.path / self.matrix, count, self.embedding_size)
        except ValueError:
            if not (self.path / self.matrix).is_file():
                raise FileNotFoundError from None
            raise
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
    def is_warm(self) -> bool:
        """Whether `warm` is done, so that a search waits for nothing to be read."""
        return self.coarse is not None

    @property
    def embedding_size(self) -> int:
        return self.description["embedding_size"]

    @property
    def is_renumbered(self) -> bool:
        """Whether pruning has ever given tracks other rows: then this is not the first matrix."""
        return self.matrix != FIRST_MATRIX

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
        """Closes it; its memory is free as soon as nobody refers to it."""
        with self._lock:
            self._connection.close()
        for cache in ("_chosen", "_read"):  # which refer to the snapshot that has them
            vars(self).pop(cache, None)

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
        return [dict(zip(METADATA, values, strict=True)) for values in self._values(METADATA, rows)]

    def heard(self, rows: Iterable[int] | np.ndarray) -> list[dict[str, Any]]:
        """What was read from the sound of the tracks in `rows`, in that order.

        tempo (beats per minute, None if unknown), tempo_confidence, tempo_level (the probability of
        its metrical level), key, key_confidence, and tags: probabilities by dimension and tag, the
        most probable first. Empty for tracks that were embedded before there were readings.

        Raises:
          KeyError: a row does not belong to a track.
        """
        return [heard_of(values) for values in self._values(HEARD, rows)]

    def known(
        self, rows: Iterable[int] | np.ndarray
    ) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """What `metadata` and `heard` say about the tracks in `rows`, in that order, at once.

        Raises:
          KeyError: a row does not belong to a track.
        """
        count = len(METADATA)
        return [
            (dict(zip(METADATA, values, strict=False)), heard_of(values[count:]))
            for values in self._values((*METADATA, *HEARD), rows)
        ]

    def values(self, field: str) -> list[Any]:
        """A field of `METADATA` of every track, in the order of `rows`."""
        return self._every(field)

    def _every(self, sql: str) -> list[Any]:
        found = dict(self._select(f"SELECT row, {sql} FROM tracks WHERE present"))
        return [found[row] for row in self.rows.tolist()]

    def known_fields(self, fields: Sequence[str]) -> list[str]:
        """Those of some fields of `METADATA` that at least one track has."""
        some = ", ".join(f"max({name} IS NOT NULL)" for name in fields)
        (found,) = self._select(f"SELECT {some} FROM tracks WHERE present")
        return [name for name, is_known in zip(fields, found, strict=True) if is_known]

    def _values(
        self, columns: Sequence[str], rows: Iterable[int] | np.ndarray
    ) -> list[tuple[Any, ...]]:
        wanted = [int(row) for row in rows]
        found = self._select(
            f"SELECT {', '.join(columns)}, row FROM tracks "
            "WHERE present AND row IN (SELECT value FROM json_each(?))",
            (json.dumps(wanted),),
        )
        of_row = {values[-1]: values[:-1] for values in found}
        for row in wanted:
            if row not in of_row:
                raise KeyError(f"{self.path}: row {row} does not belong to a track")
        return [of_row[row] for row in wanted]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Equal to `changes.fingerprint` as long as the library has not changed since."""
        return changes.hashed(lambda sql, *values: self._select(sql, values))

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

    def in_files(self, name: str, limit: int) -> list[int]:
        """Rows of the tracks in files of this name, or whose paths end with this one; sorted."""
        with self._lock:
            found = self._connection.execute(
                "SELECT row FROM tracks WHERE present "
                "AND (path = ?1 OR substr(path, -length(?1) - 1) = '/' || ?1) "
                "ORDER BY path LIMIT ?2",
                (name, limit),
            ).fetchall()
        return [row for (row,) in found]

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
    def sample(self) -> np.ndarray:
        """float32 [S, n, E / S]: sub-spaces of `SAMPLE` random tracks; of all if they are fewer."""
        rows = self.rows
        if len(rows) > SAMPLE:
            rows = np.sort(np.random.default_rng(0).choice(rows, SAMPLE, replace=False))
        parts = subspaces.split(self.vectors[rows], len(self.dimensions))
        return np.ascontiguousarray(parts.transpose(1, 0, 2), np.float32)

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
        named = functools.lru_cache(maxsize=1 << 16)(named)
        for row, *values in self._select(f"SELECT row, {columns} FROM tracks WHERE present"):
            if name := named(*values):
                result[row] = numbers.setdefault(name, len(numbers))
        return result

    def warm(self) -> None:
        """Reads what the first searches would otherwise wait for, and makes the later ones faster.

        Only a process that searches often gains from the latter.
        """
        self.find("a", 1)
        self.select(None)
        for name in ("id_rank", "seconds", "audio_number", "artist_number", "album_number"):
            getattr(self, name)
        self.coarse = coarse.of(self.vectors, len(self.dimensions))

    def select(self, where: str | None) -> np.ndarray:
        """bool [M]: the tracks that meet a condition (`jaxsim.library.store.conditions`).

        None selects all tracks.

        Raises:
          ValueError: it is not a condition; the message says where.
        """
        return self._chosen(where)

    def has_selected(self, where: str | None) -> bool:
        """Whether `select` remembers what meets a condition, and returns it at once."""
        return where in self._chosen

    def _choose(self, where: str | None) -> np.ndarray:
        chosen = np.zeros(len(self.ids), bool)
        if where is None:
            chosen[self.rows] = True
        else:
            chosen[self.rows] = conditions.parse(where)(self.column).holds
        chosen.flags.writeable = False
        return chosen

    def column(self, field: str) -> conditions.Column:
        """A field of all tracks, one of `conditions.FIELDS`, in the order of `rows`."""
        with self._reading:  # many may ask for the same one at once
            return self._read(field)

    def _read_column(self, field: str) -> conditions.Column:
        values = self._every(conditions.FIELDS[field])
        if conditions.is_number(field):
            return conditions.Column(np.array(values, np.float64))
        numbers: dict[str | None, int] = {None: -1}
        codes = [numbers.setdefault(text, len(numbers) - 1) for text in values]
        texts = tuple(text for text in numbers if text is not None)
        return conditions.Column(np.array(codes, np.int32), texts)

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
