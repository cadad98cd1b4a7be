"""Readers see one moment of a library, whatever is written to it and whatever they may write."""

import os
import shutil
import sqlite3
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from jaxsim.library import store
from jaxsim.library.search import presets
from jaxsim.library.store import connecting, snapshot, writing
from tests.helpers.libraries import describe, entry, random_vectors


@pytest.fixture
def library(tmp_path: Path) -> Path:
    with writing.open(tmp_path / "store", describe(), b"model") as writer:
        writer.add([entry(n, vector) for n, vector in enumerate(random_vectors(50))])
        writer.measure_cosines()
    return tmp_path / "store"


@pytest.fixture
def no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be written; the superuser, whom nothing stops, must keep to it too."""
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)


def check(opened: store.Store) -> int:
    """Tracks, rows and metadata of one moment; returns the number of tracks."""
    tracks = opened.metadata(opened.rows)
    for row, track in zip(opened.rows, tracks, strict=True):
        vector = np.asarray(opened.vectors[row], np.float64)
        expected = random_vectors(50)[int(track["id"]) % 50].astype(np.float16)
        np.testing.assert_array_equal(vector, expected)
    assert [track["id"] for track in tracks] == opened.ids[opened.rows].tolist()
    return len(tracks)


def test_without_permission_to_write_a_reader_sees_what_is_in_the_log(
    library: Path, tmp_path: Path, no_permission: None
) -> None:
    """As it is left when a writer is killed."""
    connection = sqlite3.connect(library / "library.sqlite")
    connection.execute("DELETE FROM tracks WHERE row >= 40")
    connection.commit()
    shutil.copytree(library, tmp_path / "killed")
    connection.close()
    killed = tmp_path / "killed"
    assert (killed / "library.sqlite-wal").stat().st_size > 0
    (killed / "library.sqlite-shm").unlink()
    before = {file.name: file.read_bytes() for file in killed.iterdir()}
    with store.open(killed) as opened:
        assert check(opened) == 40
        assert presets.load_all(opened) == {}
    assert {file.name: file.read_bytes() for file in killed.iterdir()} == before


@pytest.mark.parametrize("may_write", [True, False])
def test_readers_while_a_library_is_written_and_pruned(
    library: Path, monkeypatch: pytest.MonkeyPatch, may_write: bool
) -> None:
    access = os.access
    if not may_write:
        monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    done = threading.Event()
    problems: list[BaseException] = []

    def write() -> None:
        try:
            with writing.open(library) as writer:
                for number in range(30):
                    numbers = range(50 * (number + 1), 50 * (number + 2))
                    vectors = random_vectors(50)
                    writer.add([entry(n, vectors[n % 50]) for n in numbers])
                    writer.hide([f"/music/{n}.wav" for n in numbers[::2]])
                    writer.prune()
        except BaseException as error:
            problems.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = set()
    while not done.is_set():
        with store.open(library) as opened:
            seen.add(check(opened))
    thread.join()
    assert not problems
    assert len(seen) > 3
    monkeypatch.setattr(os, "access", access)
    with store.open(library) as opened:
        assert check(opened) == 50 + 30 * 25


def test_a_matrix_that_is_pruned_while_it_is_opened(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = snapshot.open_matrix

    def prune_and_open(*arguments):
        monkeypatch.setattr(snapshot, "open_matrix", opening)
        with writing.open(library) as writer:
            writer.prune()
        return opening(*arguments)

    monkeypatch.setattr(snapshot, "open_matrix", prune_and_open)
    with store.open(library) as opened:
        check(opened)
        assert opened.is_renumbered


def test_a_log_does_not_grow_because_of_a_reader(library: Path) -> None:
    with store.open(library) as opened:
        with writing.open(library) as writer:
            for number in range(3000):
                writer.skip(f"/music/{number}.mp3", "x" * 3000)
            assert (library / "library.sqlite-wal").stat().st_size < 8 << 20
        assert check(opened) == 50
    assert (library / "library.sqlite").stat().st_size > 8 << 20


def test_no_temporary_folder(
    library: Path, monkeypatch: pytest.MonkeyPatch, no_permission: None
) -> None:
    def fail(*_: object, dir: str | None, **__: object) -> str:
        if dir is None:
            raise FileNotFoundError("no usable temporary directory found")
        return made(dir=dir)

    made = tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", fail)
    with store.open(library) as opened:
        assert check(opened) == 50

    def fail_everywhere(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(tempfile, "mkdtemp", fail_everywhere)
    with pytest.raises(ValueError, match="no temporary folder can be written to"):
        store.open(library)


def test_a_file_that_changes_all_the_time(
    library: Path, monkeypatch: pytest.MonkeyPatch, no_permission: None
) -> None:
    monkeypatch.setattr(connecting, "PAUSE", 0)
    copied = shutil.copyfile

    def copy_and_change(source: Path, target: Path) -> None:
        copied(source, target)
        if Path(source).suffix == ".sqlite":
            os.utime(source, ns=(1, os.stat(source).st_mtime_ns + 1))

    monkeypatch.setattr(shutil, "copyfile", copy_and_change)
    with pytest.raises(ValueError, match="keeps changing"):
        store.open(library)


def test_what_is_no_database(library: Path) -> None:
    (library / "library.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(ValueError, match=r"library\.sqlite: cannot be read"):
        store.open(library)
