"""Whether a library has changed since a snapshot was taken."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

from jaxsim.library.store import connecting, schema

ROWS = 2000  # that are hashed at a time
_WRITTEN = (schema.DESCRIPTION, schema.DATABASE, f"{schema.DATABASE}-wal")


def signature(path: Path) -> tuple[tuple[int, int], ...]:
    """Times and sizes of the files that every writer changes, also for presets and answers.

    `path` is the library's folder. A file that is not there counts as (0, 0).
    """
    result = []
    for name in _WRITTEN:
        try:
            status = (path / name).stat()
            result.append((status.st_mtime_ns, status.st_size))
        except OSError:
            result.append((0, 0))
    return tuple(result)


def fingerprint(path: Path) -> str:
    """The `hashed` content of the library in the folder `path`, as it is now.

    Raises:
      OSError, ValueError, sqlite3.Error: the library cannot be read.
    """
    with contextlib.closing(connecting.connect(path, write=False)) as connection:
        return hashed(lambda sql, *values: connection.execute(sql, values).fetchall())


def hashed(select: Callable[..., list[tuple]]) -> str:
    """A hash of what a snapshot shows of the tracks, but not of presets and answers.

    `select` answers a statement and its values with rows. It is asked for some tracks at a time, so
    that others who use the same connection can do so in between.
    """
    result = hashlib.blake2b()
    columns = ", ".join(("row", *schema.METADATA))
    matrix = select("SELECT file, rows FROM matrix")
    result.update(repr(matrix).encode())
    result.update(repr(select("SELECT * FROM spread ORDER BY dimension")).encode())
    ((_, count),) = matrix
    for start in range(0, count, ROWS):
        part = select(
            f"SELECT {columns} FROM tracks WHERE present AND row >= ? AND row < ? ORDER BY row",
            start,
            start + ROWS,
        )
        result.update(repr(part).encode())
    return result.hexdigest()
