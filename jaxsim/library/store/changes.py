"""Whether a library has changed since a snapshot was taken."""

import contextlib
import hashlib
from pathlib import Path

from jaxsim.library.store import connecting, schema

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
    """A hash of what a snapshot shows of the tracks, but not of presets and answers.

    `path` is the library's folder.

    Raises:
      OSError, ValueError, sqlite3.Error: the library cannot be read.
    """
    result = hashlib.blake2b()
    columns = ", ".join(("row", *schema.METADATA))
    with contextlib.closing(connecting.connect(path, write=False)) as connection:
        for query in (
            "SELECT * FROM matrix",
            "SELECT * FROM spread ORDER BY dimension",
            f"SELECT {columns} FROM tracks WHERE present ORDER BY row",
        ):
            for row in connection.execute(query):
                result.update(repr(row).encode())
    return result.hexdigest()
