"""How the database of a library is opened: to write to it, or as a private copy to read.

A copy locks nothing, so the log of a writer does not grow because of a reader; it can be made
without permission to write; and it is consistent whatever happens to the original meanwhile.
"""

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from jaxsim.library.store import matching, schema

ATTEMPTS, PAUSE = 100, 0.05  # to copy files that are written to, and seconds in between


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Opens the database of a store to write to it, or a copy of what it holds now.

    The caller begins and ends transactions. A copy has the tables of this version; the database
    itself keeps those that it has, see `upgrade`.

    Its SQL has the function heard_as of `jaxsim.library.store.matching`.
    """
    file = path / schema.DATABASE
    if not file.is_file():
        raise ValueError(f"{file}: missing, although {path / schema.DESCRIPTION} exists")
    if not write:
        return _private_copy(file)
    connection = _opened(file.absolute().as_uri() + "?mode=rw", file)
    _add_function(connection)
    return connection


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one short look at tables that all versions have."""
    file = path / schema.DATABASE
    if os.access(path, os.W_OK):
        with _reading(file.absolute(), file) as connection:
            yield connection
    else:
        with contextlib.closing(_private_copy(file)) as connection:
            yield connection


def upgrade(connection: sqlite3.Connection) -> bool:
    """Brings older tables to `schema.FORMAT_VERSION`, step by step; whether they were older."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found = version = version or schema.OLDEST_VERSION  # which did not set it
    while version in schema.UPGRADES:
        connection.executescript(f"BEGIN IMMEDIATE; {schema.UPGRADES[version]} COMMIT;")
        version += 1
    return found < version


def _opened(address: str, file: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            address, uri=True, timeout=30, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{file}: cannot be read ({error})") from None
    return connection


def _private_copy(file: Path) -> sqlite3.Connection:
    """A copy of a database as it is now, which nobody else sees."""
    with contextlib.ExitStack() as stack:
        if os.access(file.parent, os.W_OK):
            source = stack.enter_context(_reading(file.absolute(), file))
        else:  # SQLite would have to write there: to the index of the log, at least
            source = stack.enter_context(_reading(stack.enter_context(_copied(file)), file))
        for place in ("", ":memory:"):  # a temporary file, if there can be one
            copy = sqlite3.connect(place, isolation_level=None, check_same_thread=False)
            try:
                source.backup(copy)
                upgrade(copy)
                break
            except sqlite3.OperationalError as error:
                copy.close()
                if place == ":memory:":
                    raise ValueError(f"{file}: cannot be read ({error})") from None
            except sqlite3.DatabaseError as error:
                copy.close()
                raise ValueError(f"{file}: cannot be read ({error})") from None
    _add_function(copy)
    return copy


@contextlib.contextmanager
def _reading(file: Path, named: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(_opened(f"{file.as_uri()}?mode=ro", named)) as connection:
        yield connection


@contextlib.contextmanager
def _copied(file: Path) -> Iterator[Path]:
    """A copy of a database's files, made between two writes of its owner."""
    log = file.with_name(f"{file.name}-wal")
    with _temporary_folder() as folder:
        copy = folder / file.name
        for _ in range(ATTEMPTS):
            before = _state(file, log)
            shutil.copyfile(file, copy)
            copied_log = copy.with_name(log.name)
            copied_log.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(log, copied_log)
            if _state(file, log) == before:
                yield copy
                return
            time.sleep(PAUSE)
        raise ValueError(f"{file}: keeps changing; try again when it is not being written to")


def _state(file: Path, log: Path) -> tuple[int, int, bytes]:
    """What changes when pages are written to the database, or its log begins anew."""
    status = file.stat()
    try:
        with log.open("rb") as opened:
            header = opened.read(32)
    except FileNotFoundError:
        header = b""
    return status.st_size, status.st_mtime_ns, header


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    for place in (None, "/dev/shm"):  # in a container, only this may be writable
        with contextlib.suppress(OSError):
            folder = tempfile.mkdtemp(prefix="jaxsim-", dir=place)
            break
    else:
        raise ValueError("no temporary folder can be written to; name one in TMPDIR")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _add_function(connection: sqlite3.Connection) -> None:
    connection.create_function("heard_as", 2, matching.heard_as, deterministic=True)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Everything executed inside is written, or nothing is; one inside another is part of that."""
    if connection.in_transaction:
        yield connection
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
