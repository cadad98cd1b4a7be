"""Writes a library: appends embeddings, and follows files that change, move or vanish.

Nothing counts until an SQLite transaction is committed. Rows are in the matrix, and on disk, before
that.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from input_pipeline.files import replacing
from jaxsim.library.store import connecting, schema
from jaxsim.library.store.connecting import transaction
from jaxsim.library.store.entries import Entry, Known, Skipped, Vector
from jaxsim.library.store.schema import DATABASE, DESCRIPTION, HEARD, METADATA, MODEL
from jaxsim.network.likeness import cosine_statistics

LOCK = ".lock"
# What the paths of tracks without a place begin with: while they move, or until they are forgotten.
MOVING, REPLACED = "moving:", "replaced:"


class Writer:
    """The one process that writes the tracks of a store; see `open`."""

    def __init__(self, path: Path):
        self.path = path
        self.description = schema.read_description(path)
        self._connection = connecting.connect(path, write=True)
        connecting.upgrade(self._connection)
        if self.description["format_version"] != schema.FORMAT_VERSION:
            self.description |= {"format_version": schema.FORMAT_VERSION}
            _write_description(path, self.description)
        file, self._rows = self._connection.execute("SELECT file, rows FROM matrix").fetchone()
        self._matrix = path / file
        for other in path.glob(schema.MATRICES):
            if other != self._matrix:  # left by a pruning that was killed
                other.unlink()

    def close(self) -> None:
        self._connection.close()

    @property
    def embedding_size(self) -> int:
        return self.description["embedding_size"]

    def known(self) -> dict[str, Known]:
        """All files whose vectors the store has, by path."""
        names = [field.name for field in dataclasses.fields(Known)]
        rows = self._connection.execute(f"SELECT {', '.join(names)} FROM tracks")
        found = (Known(*row) for row in rows)
        return {
            file.path: dataclasses.replace(
                file, present=bool(file.present), given=json.loads(str(file.given))
            )
            for file in found
        }

    def together(self) -> contextlib.AbstractContextManager:
        """Everything that is written inside is written at once, or nothing is."""
        return transaction(self._connection)

    def vector_of(self, digest: str) -> Vector:
        """The embedding of a known file with this content, and what else does not change."""
        names = ", ".join(("row", "seconds", "fingerprint", *HEARD))
        row, seconds, fingerprint, *heard = self._connection.execute(
            f"SELECT {names} FROM tracks WHERE digest = ?", (digest,)
        ).fetchone()
        matrix = schema.open_matrix(self._matrix, self._rows, self.embedding_size)
        own = dict(zip(HEARD, heard, strict=True))
        return Vector(np.array(matrix[row]), seconds, fingerprint, own)

    def unheard(self) -> int:
        """How many tracks were embedded before there were readings."""
        count = "SELECT count(*) FROM tracks WHERE present AND heard_tags IS NULL"
        return self._connection.execute(count).fetchone()[0]

    def add(self, entries: Sequence[Entry]) -> None:
        """Adds tracks, replacing those of the same files; all of them or none."""
        if not entries:
            return
        vectors = np.stack([entry.vector for entry in entries]).astype(np.float16)
        self._append(vectors)
        with transaction(self._connection) as connection:
            for number, entry in enumerate(entries):
                self._insert(entry, self._rows + number)
            connection.execute("UPDATE matrix SET rows = ?", (self._rows + len(entries),))
        self._rows += len(entries)

    def _append(self, vectors: np.ndarray) -> None:
        """Writes rows to disk, after those that count."""
        end = self._rows * self.embedding_size * 2
        with self._matrix.open("r+b" if self._matrix.exists() else "x+b") as file:
            if file.seek(0, os.SEEK_END) < end:
                schema.open_matrix(self._matrix, self._rows, self.embedding_size)  # raises
            file.seek(end)
            file.truncate()  # what a killed process left
            file.write(vectors.tobytes())
            file.flush()
            os.fsync(file.fileno())

    def _insert(self, entry: Entry, row: int) -> None:
        self._release(entry.track_id, entry.path)
        columns = {
            "path": entry.path,
            "id": entry.track_id,
            "row": row,
            "present": 1,
            "size": entry.size,
            "modified": entry.modified,
            "digest": entry.digest,
            "fingerprint": entry.fingerprint,
            "real_path": entry.real_path,
            "model": self.description["model"],
            "feature_version": self.description["feature_version"],
            "tags": json.dumps(dict(entry.tags)),
            "given": json.dumps(dict(entry.given)),
            "seconds": entry.seconds,
        } | _metadata(entry.path, entry.tags, entry.given)
        columns |= {name: entry.heard.get(name) for name in HEARD}
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        self._connection.execute(
            f"INSERT OR REPLACE INTO tracks ({names}) VALUES ({marks})", list(columns.values())
        )
        self._connection.execute("DELETE FROM skipped WHERE path = ?", (entry.path,))

    def _release(self, track_id: str, path: str) -> None:
        """Frees an id that belongs to a file that is gone."""
        owner = self._connection.execute(
            "SELECT path, present FROM tracks WHERE id = ? AND path != ?", (track_id, path)
        ).fetchone()
        if owner is not None and owner[1]:
            raise ValueError(f"{path}: track_id {track_id!r} is already used by {owner[0]}")
        if owner is not None:
            self._connection.execute("DELETE FROM tracks WHERE path = ?", (owner[0],))

    def confirm(self, path: str, track_id: str, given: Mapping[str, Any], **changes: Any) -> bool:
        """Records that a file still has the content that was embedded.

        Args:
          path: a known file.
          track_id, given: what its source says now.
          changes: size, modified, digest, fingerprint, real_path or tags, where they have changed.

        Returns:
          Whether the tags are other ones than before.
        """
        with transaction(self._connection) as connection:
            self._release(track_id, path)
            (before,) = connection.execute(
                "SELECT tags FROM tracks WHERE path = ?", (path,)
            ).fetchone()
            tags = changes.pop("tags", json.loads(before))
            columns = {"id": track_id, "present": 1, "tags": json.dumps(dict(tags))}
            columns |= {"given": json.dumps(dict(given))} | changes
            columns |= _metadata(path, tags, given)
            names = ", ".join(f"{name} = ?" for name in columns)
            connection.execute(
                f"UPDATE tracks SET {names} WHERE path = ?", [*columns.values(), path]
            )
            connection.execute("DELETE FROM skipped WHERE path = ?", (path,))
            return dict(tags) != json.loads(before)

    def move(self, places: Mapping[str, str]) -> None:
        """Gives tracks other paths, old to new, all at once: they may change places.

        Tracks that were at a new path and do not move themselves get a path of no file.
        """
        with transaction(self._connection) as connection:
            change = "UPDATE tracks SET path = ?, present = ? WHERE path = ?"
            for old in places:
                connection.execute(change, (f"{MOVING}{old}", 1, old))
            for old, new in places.items():
                connection.execute(
                    "UPDATE tracks SET path = ? || id, present = 0 WHERE path = ?", (REPLACED, new)
                )
                connection.execute(change, (new, 1, f"{MOVING}{old}"))
                connection.execute("DELETE FROM skipped WHERE path = ?", (new,))

    def relocate(self, old: str, new: str) -> int:
        """Replaces the beginning of all paths, for music that is found elsewhere now.

        Args:
          old, new: absolute paths of folders.

        Returns:
          The number of tracks.

        Raises:
          ValueError: a track is already there.
        """
        old, new = old.rstrip("/") + "/", new.rstrip("/") + "/"
        paths = [path for (path,) in self._connection.execute("SELECT path FROM tracks")]
        moved = {path: new + path.removeprefix(old) for path in paths if path.startswith(old)}
        if taken := set(moved.values()).intersection(set(paths) - set(moved)):
            raise ValueError(f"{min(taken)}: is already in this library, expected a new place")
        with transaction(self._connection) as connection:
            update = "UPDATE tracks SET path = ?, real_path = ? WHERE path = ?"
            connection.executemany(update, [(MOVING + path, None, path) for path in moved])
            connection.executemany(
                update, [(to, real_path(to), MOVING + path) for path, to in moved.items()]
            )
            connection.execute("DELETE FROM skipped")  # they are heard again at the new place
        return len(moved)

    def skip(
        self, path: str, reason: str, *, size: int = -1, modified: int = -1, heard_by: str = ""
    ) -> None:
        """Records why a file is currently not a track.

        Args:
          path: of the file.
          reason: in words.
          size, modified: of the file, so that it is not heard again unless it has changed.
          heard_by: what the reason depends on besides the file.
        """
        with transaction(self._connection) as connection:
            connection.execute("UPDATE tracks SET present = 0 WHERE path = ?", (path,))
            connection.execute(
                "INSERT OR REPLACE INTO skipped VALUES (?, ?, ?, ?, ?)",
                (path, reason, size, modified, heard_by),
            )

    def hide(self, paths: Iterable[str]) -> None:
        """Hides files that are gone; their vectors are kept for their return."""
        with transaction(self._connection) as connection:
            for path in paths:
                connection.execute("UPDATE tracks SET present = 0 WHERE path = ?", (path,))
                connection.execute("DELETE FROM skipped WHERE path = ?", (path,))

    def skipped(self) -> dict[str, Skipped]:
        """The files, by path, that are not tracks."""
        select = "SELECT path, reason, size, modified, heard_by FROM skipped"
        return {path: Skipped(*rest) for path, *rest in self._connection.execute(select)}

    def measure_cosines(self) -> None:
        """Stores mean and deviation of the cosine between random tracks, per dimension."""
        rows = self._connection.execute("SELECT row FROM tracks WHERE present ORDER BY row")
        present = np.array([row for (row,) in rows], np.int64)
        dimensions = self.description["dimensions"]
        matrix = schema.open_matrix(self._matrix, self._rows, self.embedding_size)
        mean, deviation = cosine_statistics(matrix, present, len(dimensions))
        with transaction(self._connection) as connection:
            connection.execute("DELETE FROM spread")
            values = zip(dimensions, mean.tolist(), deviation.tolist(), strict=True)
            connection.executemany("INSERT INTO spread VALUES (?, ?, ?)", values)

    def prune(self) -> int:
        """Forgets files that are gone, and writes a new matrix without their rows.

        Files that are there but cannot be used now are not gone.

        Returns:
          The number of tracks forgotten.
        """
        kept = "present OR path IN (SELECT path FROM skipped)"
        select = f"SELECT path, row FROM tracks WHERE {kept} ORDER BY row"
        owners = self._connection.execute(select).fetchall()
        matrix = schema.open_matrix(self._matrix, self._rows, self.embedding_size)
        number = int(self._matrix.stem.partition("-")[2]) + 1
        file = self.path / f"vectors-{number}.f16"
        with replacing(file) as written:
            for _, row in owners:
                written.write(matrix[row].tobytes())
        with transaction(self._connection) as connection:
            gone = connection.execute(f"DELETE FROM tracks WHERE NOT ({kept})").rowcount
            moved = [(row, path) for row, (path, _) in enumerate(owners)]
            connection.executemany("UPDATE tracks SET row = ? WHERE path = ?", moved)
            connection.execute("UPDATE matrix SET file = ?, rows = ?", (file.name, len(owners)))
        self._matrix.unlink(missing_ok=True)
        self._matrix, self._rows = file, len(owners)
        return gone


def real_path(path: str) -> str | None:
    """Where a path leads, if that is elsewhere."""
    found = os.path.realpath(path)
    return found if found != path else None


@contextlib.contextmanager
def open(
    path: str | Path, description: Mapping[str, Any] | None = None, model: bytes = b""
) -> Iterator[Writer]:
    """Opens a store for writing; it is created if it does not exist.

    Args:
      path: the folder.
      description: what its `library.json` must say, see `schema.describe`; None for any, of a
        store that exists.
      model: the content of its `model.npz`.

    Raises:
      ValueError: it is damaged or of another model, another process is writing to it, or the
        folder holds something else.
    """
    path = Path(path)
    if description is None:
        description = schema.read_description(path)
    _check_place(path)
    path.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(path / LOCK, timeout=0):
            if (path / DESCRIPTION).is_file():
                _check_same(path, description)
            else:
                _create(path, description, model)
            writer = Writer(path)
            try:
                yield writer
            finally:
                writer.close()
    except filelock.Timeout:
        raise ValueError(f"{path}: another process is writing to this library") from None


def _check_place(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path}: is a file, expected a folder for the library")
    if path.is_dir() and not (path / DESCRIPTION).is_file():
        ours = (DATABASE, DESCRIPTION, MODEL, LOCK)
        for found in sorted(path.iterdir()):
            if not found.name.removeprefix(".").startswith(tuple(n.lstrip(".") for n in ours)):
                raise ValueError(f"{path}: has {found.name}, expected an empty folder or a library")


def _check_same(path: Path, description: Mapping[str, Any]) -> None:
    found = schema.read_description(path)
    for field in ("model", "feature_version"):
        if found.get(field) != description[field]:
            raise ValueError(
                f"{path}: was embedded with {field} {str(found.get(field))[:12]}, found "
                f"{str(description[field])[:12]}: vectors from different models cannot be "
                "compared; choose another --store, or leave out --model to use this store's model"
            )
    heard, wanted = (_heard(one.get("seconds")) for one in (found, description))
    if heard != wanted:
        raise ValueError(
            f"{path}: was embedded from {heard}, found --seconds for {wanted}: leave it out to use "
            "this store's, or choose another --store"
        )


def _heard(seconds: float | None) -> str:
    return "whole tracks" if seconds is None else f"{seconds:g} s of a track"


def _create(path: Path, description: Mapping[str, Any], model: bytes) -> None:
    """Creates an empty store; the description comes last, so that a described one is complete."""
    for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):
        (path / name).unlink(missing_ok=True)
    (path / DATABASE).touch()
    connection = connecting.connect(path, write=True)
    connection.execute("PRAGMA journal_mode = WAL")  # readers keep their snapshot
    connection.executescript(schema.SCHEMA)
    connection.close()
    with replacing(path / MODEL) as file:
        file.write(model)
    _write_description(path, description)


def _write_description(path: Path, description: Mapping[str, Any]) -> None:
    with replacing(path / DESCRIPTION) as file:
        file.write(json.dumps(dict(description), indent=1).encode())


def _metadata(path: str, tags: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata columns; what is given takes precedence over the file's tags."""
    fields = [name for name in METADATA if name not in ("id", "path", "seconds")]
    values = {"title": Path(path).stem} | dict(tags) | dict(given)
    return {name: values.get(name) for name in fields}
