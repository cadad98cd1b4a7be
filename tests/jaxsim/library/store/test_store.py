"""Stores: what they know, what a kill leaves, what another process sees, what is refused."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from jaxsim.library import store
from jaxsim.library.search import query
from jaxsim.library.store import writing
from jaxsim.network import subspaces
from jaxsim.network.likeness import cosine_statistics
from tests.helpers import programs
from tests.helpers.libraries import describe, entry, random_vectors

MakeStore = Callable[..., store.Store]


def test_knows_its_tracks(make_store: MakeStore) -> None:
    vectors = random_vectors(3)
    given = {"title": "A", "artist": "B", "year": 1999, "tempo": 90.5, "genre": "x; y"}
    with make_store(vectors, [{}, given, {}]) as opened:
        assert (len(opened), opened.dimensions) == (3, ("genre", "tempo", "key"))
        assert opened.subspaces == {"genre": slice(0, 4), "tempo": slice(4, 8), "key": slice(8, 12)}
        assert opened.rows.tolist() == [0, 1, 2] and opened.ids.tolist() == ["0000", "0001", "0002"]
        parts = vectors.reshape(3, 3, 4)
        unit = parts / np.sqrt((parts**2).sum(axis=2))[:, :, None]
        np.testing.assert_allclose(opened.vectors, unit.reshape(3, 12), atol=2e-3)
        second, first = opened.metadata([1, 0])
        assert second | given == second and second["seconds"] == 10
        assert first["title"] == "0" and first["artist"] is None, "the file's name is its title"
        both = opened.metadata([1, 0]), opened.heard([1, 0])
        assert opened.known([1, 0]) == list(zip(*both, strict=True))
        assert opened.path_of(1) == Path("/music/1.wav")
        assert (opened.row_of("0002"), opened.row_of("nobody")) == (2, None)
        assert opened.row_of_path("/music/../music/2.wav") == 2
        with pytest.raises(KeyError, match="row 3 does not belong to a track"):
            opened.metadata([3])


def test_cosine_statistics_are_those_of_all_pairs_or_close_to_them() -> None:
    vectors = subspaces.normalised(random_vectors(300), 3).astype(np.float16)
    parts = vectors.astype(np.float64).reshape(300, 3, 4)
    pairs = [(i, j) for i in range(300) for j in range(i)]
    cosines = np.array([(parts[i] * parts[j]).sum(axis=1) for i, j in pairs])
    for rows, tolerance in ((np.arange(300), 0.02), (np.arange(150), 1e-9)):
        inside = [k for k, (i, _) in enumerate(pairs) if i < len(rows)]
        mean, deviation = cosine_statistics(vectors, rows, 3)
        np.testing.assert_allclose(mean, cosines[inside].mean(axis=0), atol=tolerance)
        np.testing.assert_allclose(deviation, cosines[inside].std(axis=0), atol=tolerance)


def test_find(make_store: MakeStore) -> None:
    tracks = [
        {"title": "Blue in Green", "artist": "Miles Davis"},
        {"title": "Blue", "artist": "Joni Mitchell", "album": "Blue"},
        {"title": "Army of Me", "artist": "Björk"},
        {"title": "Kind of", "artist": "Miles Davis", "album": "Blue"},
    ]
    opened = make_store(random_vectors(4), tracks)
    assert opened.find("blue") == [1, 0, 3]
    assert opened.find("BLUE miles") == [0, 3]
    assert opened.find("blue", 1) == [1]
    assert opened.find("bjork army") == [2]
    assert opened.find("%") == opened.find("  ") == []


def test_a_snapshot_does_not_change(make_store: MakeStore) -> None:
    opened = make_store(random_vectors(5), [{"title": "old"}] * 5)
    more = subspaces.normalised(random_vectors(9, seed=1), 3)
    with writing.open(opened.path, describe(), b"model") as writer:
        writer.add([entry(i, more[i], title="new") for i in range(3, 9)])
        writer.hide(["/music/0.wav"])
        writer.prune()
        writer.measure_cosines()
        assert len(opened) == 5 and opened.metadata([0, 4])[1]["title"] == "old"
        np.testing.assert_array_equal(
            opened.vectors, subspaces.normalised(random_vectors(5), 3).astype(np.float16)
        )
        newest = store.open(opened.path)
    assert newest.ids.tolist() == [f"{i:04d}" for i in range(1, 9)]
    assert [t["title"] for t in newest.metadata(newest.rows)] == ["old"] * 2 + ["new"] * 6
    np.testing.assert_array_equal(newest.vectors[2:], more[3:].astype(np.float16))


def test_rows_of_no_track_are_never_found(make_store: MakeStore) -> None:
    path = make_store(random_vectors(6)).path
    replaced = subspaces.normalised(random_vectors(6), 3)[2]
    with writing.open(path, describe(), b"model") as writer:
        writer.add([entry(2, replaced)])
        writer.hide(["/music/4.wav"])
    opened = store.open(path)
    assert opened.rows.tolist() == [0, 1, 3, 5, 6]
    assert opened.ids.tolist() == ["0000", "0001", None, "0003", None, "0005", "0002"]
    for where in (None, "seconds=10"):
        hits = query.search(opened, [0], top=9, where=where)
        assert sorted(hit.row for hit in hits) == [1, 3, 5, 6]
    with writing.open(path, describe(), b"model") as writer:
        assert writer.prune() == 1
        assert [p.name for p in path.glob("vectors-*")] == ["vectors-1.f16"]
    pruned = store.open(path)
    assert pruned.ids.tolist() == ["0000", "0001", "0003", "0005", "0002"]
    np.testing.assert_array_equal(pruned.vectors, opened.vectors[opened.rows])


def test_many_threads_may_ask(make_store: MakeStore) -> None:
    opened = make_store(random_vectors(200), [{"title": f"t {i}", "tempo": i} for i in range(200)])

    def ask(number: int) -> bool:
        row = number % 200
        (track,) = opened.metadata([row])
        hits = query.search(opened, [row], top=3, where=f"tempo<{100 + number % 50}")
        return track["title"] == f"t {row}" and len(hits) == 3 and opened.find(f"t {row}") != []

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(300)))


def test_a_killed_writer_leaves_a_store_that_goes_on(tmp_path: Path) -> None:
    expected = subspaces.normalised(random_vectors(100_000), 3).astype(np.float16)
    path, before = tmp_path / "store", 0
    for lines in (2, 5, 11):
        process = subprocess.Popen(
            programs.command("write_for_ever", path),
            env=programs.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(lines):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        opened = store.open(path)
        assert len(opened) % 7 == 0 and len(opened) >= before + 7 * lines
        np.testing.assert_array_equal(opened.vectors, expected[: len(opened)])
        assert opened.deviation.shape == (3,) and len(query.search(opened, [0])) > 0
        before = len(opened)
        opened.close()


def test_half_a_row_is_written_over(make_store: MakeStore) -> None:
    path = make_store(random_vectors(4)).path
    with (path / "vectors-0.f16").open("ab") as file:
        file.write(b"\xff" * 35)
    more = subspaces.normalised(random_vectors(1, seed=1), 3)
    assert len(store.open(path)) == 4
    with writing.open(path, describe(), b"model") as writer:
        writer.add([entry(4, more[0])])
    assert (path / "vectors-0.f16").stat().st_size == 5 * 12 * 2
    np.testing.assert_array_equal(store.open(path).vectors[4], more[0].astype(np.float16))


def test_a_creation_that_was_killed_is_begun_again(make_store: MakeStore) -> None:
    path = make_store(random_vectors(4)).path
    for name in ("library.json", "vectors-0.f16"):  # which come last
        (path / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"not a library \(it has no library.json\)"):
        store.open(path)
    with writing.open(path, describe(), b"model"):
        pass
    assert len(store.open(path)) == 0


def test_an_interrupted_addition_is_none(make_store: MakeStore) -> None:
    path = make_store(random_vectors(4)).path
    vectors = subspaces.normalised(random_vectors(3), 3)
    with writing.open(path, describe(), b"model") as writer:
        taken = [entry(7, vectors[0]), entry(8, vectors[1], id="0002")]
        with pytest.raises(ValueError, match=r"track_id '0002' is already used by /music/2\.wav"):
            writer.add(taken)
        writer.add([entry(9, vectors[2])])
    opened = store.open(path)
    assert opened.ids.tolist() == ["0000", "0001", "0002", "0003", "0009"]
    np.testing.assert_array_equal(opened.vectors[4], vectors[2].astype(np.float16))


def test_refuses_another_model(make_store: MakeStore) -> None:
    path = make_store(random_vectors(4)).path
    with (
        pytest.raises(ValueError, match="embedded with model aaaaaaaaaaaa, found bbbbbbbbbbbb"),
        writing.open(path, describe(model="b" * 64), b"other"),
    ):
        pass
    assert (path / "model.npz").read_bytes() == b"model"


def test_one_writer_at_a_time(make_store: MakeStore) -> None:
    path = make_store(random_vectors(4)).path
    found = []

    def second() -> None:
        try:
            with writing.open(path, describe(), b"model"):
                pass
        except ValueError as error:
            found.append(str(error))

    with writing.open(path, describe(), b"model"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert found == [f"{path}: another process is writing to this library"]


def test_refuses_what_is_no_store(tmp_path: Path, make_store: MakeStore) -> None:
    music = tmp_path / "music"
    music.mkdir()
    (music / "song.mp3").touch()
    with (
        pytest.raises(ValueError, match=r"music: has song\.mp3, expected an empty folder"),
        writing.open(music, describe(), b"model"),
    ):
        pass
    assert os.listdir(music) == ["song.mp3"]
    path = make_store(random_vectors(4)).path
    whole = (path / "library.json").read_text()
    for text, message in (
        ("{", "not JSON"),
        ("[]", "format is not"),
        (json.dumps(json.loads(whole) | {"format_version": 0}), "format_version is 0, expected 1"),
    ):
        (path / "library.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            store.open(path)
    (path / "library.json").write_text(whole)
    os.truncate(path / "vectors-0.f16", 4 * 12 * 2 - 1)
    with pytest.raises(ValueError, match=r"vectors-0.f16: has 95 bytes, expected at least 96"):
        store.open(path)
    (path / "library.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(ValueError, match=r"library\.sqlite: cannot be read"):
        store.open(path)
    (path / "library.sqlite").unlink()
    with pytest.raises(ValueError, match=r"library\.sqlite: missing"):
        store.open(path)
