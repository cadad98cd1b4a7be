"""What people save in a library: presets by name, and the judges' answers in order.

Contents are JSON values whose meaning is not known here. Every call sees what others have written
so far, not the snapshot of a `Store`; what a call writes is on disk when it returns.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxsim.library.store import connecting


def presets(path: Path) -> dict[str, Any]:
    """The presets' contents by name, sorted by name; `path` is the library's folder."""
    with connecting.reading(path) as connection:
        rows = connection.execute("SELECT name, content FROM presets ORDER BY name").fetchall()
    return {name: json.loads(content) for name, content in rows}


def save_preset(path: Path, name: str, content: Any) -> None:
    """Writes a preset, replacing any with the same name."""
    with _writing(path) as connection:
        connection.execute(
            "INSERT OR REPLACE INTO presets VALUES (?, ?)", (name, json.dumps(content))
        )


def delete_preset(path: Path, name: str) -> None:
    """Removes the preset with this name, if there is one."""
    with _writing(path) as connection:
        connection.execute("DELETE FROM presets WHERE name = ?", (name,))


def answers(path: Path, judge: str) -> list[Any]:
    """The contents of a judge's answers, in the order in which they were given."""
    with connecting.reading(path) as connection:
        rows = connection.execute(
            "SELECT content FROM answers WHERE judge = ? ORDER BY number", (judge,)
        ).fetchall()
    return [json.loads(content) for (content,) in rows]


def save_answer(path: Path, judge: str, content: Any) -> None:
    """Adds an answer to a judge's answers."""
    with _writing(path) as connection:
        connection.execute(
            "INSERT INTO answers (judge, content) VALUES (?, ?)", (judge, json.dumps(content))
        )


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    if not os.access(path, os.W_OK):
        raise sqlite3.OperationalError(f"{path} is read-only")
    with contextlib.closing(connecting.connect(path, write=True)) as connection:
        connection.execute("PRAGMA synchronous = FULL")  # on disk when the transaction ends
        with connecting.transaction(connection):
            yield connection
