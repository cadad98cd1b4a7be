"""Under which ids a music server knows the library's files, in a table of its own."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from jaxsim.library.store import connecting

_TABLE = """
CREATE TABLE IF NOT EXISTS subsonic_ids (
  path TEXT NOT NULL, server TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (server, path))
"""


def save(path: Path, server: str, ids: Mapping[str, str]) -> None:
    """Writes a server's ids by the files' paths, replacing those known before.

    `path` is the library's folder.
    """
    with (
        contextlib.closing(connecting.connect(path, write=True)) as connection,
        connecting.transaction(connection),
    ):
        connection.execute(_TABLE)
        connection.execute("DELETE FROM subsonic_ids WHERE server = ?", (server,))
        connection.executemany(
            "INSERT INTO subsonic_ids VALUES (?, ?, ?)",
            [(file, server, song) for file, song in ids.items()],
        )


def load(path: Path) -> dict[str, dict[str, str]]:
    """Ids by path, by the address of their server; `path` is the library's folder."""
    found: dict[str, dict[str, str]] = {}
    with connecting.reading(path) as connection:
        exists = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'subsonic_ids'")
        if exists.fetchone():  # a library that was never matched with a server has no table
            listed = "SELECT path, server, id FROM subsonic_ids ORDER BY server, path"
            for file, server, song in connection.execute(listed):
                found.setdefault(server, {})[file] = song
    return found
