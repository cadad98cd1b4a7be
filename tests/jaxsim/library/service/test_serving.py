"""A library that changes while it is served."""

import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from jaxsim.library import store
from jaxsim.library.search import presets
from jaxsim.library.service.app import create_app
from jaxsim.library.store import Store, writing
from jaxsim.network import subspaces
from tests.helpers.libraries import DIMENSIONS, describe, entry, random_vectors

VECTORS = subspaces.normalised(random_vectors(30), len(DIMENSIONS))


def write(folder: Path, first: int, last: int, **more: str) -> None:
    with writing.open(folder, describe(), b"model") as writer:
        numbers = range(first, last)
        writer.add([entry(i, VECTORS[i], title=f"Song {i}", **more) for i in numbers])
        writer.measure_cosines()


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Store]:
    write(tmp_path / "store", 0, 10)
    with store.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def client(library: Store) -> TestClient:
    return TestClient(create_app(library), base_url="http://localhost")


def hits(client: TestClient) -> set[str]:
    found = client.post("/api/search", json={"like": ["0003"], "top": 100}).json()["hits"]
    return {hit["track"]["id"] for hit in found}


def test_new_tracks_appear(client: TestClient, library: Store) -> None:
    serving = client.app.state.serving
    before = client.get("/api/library").json()
    assert not serving.refresh()
    write(library.path, 10, 15)
    assert len(hits(client)) == 9, "until it looks again"
    assert serving.refresh()
    after = client.get("/api/library").json()
    assert (before["tracks"], after["tracks"]) == (10, 15)
    assert after["version"] == before["version"] + 1
    assert hits(client) == {f"{i:04d}" for i in range(15) if i != 3}
    assert client.get("/api/tracks?text=song 14").json()[0]["id"] == "0014"
    assert not serving.refresh(), "nothing has happened since"


def test_tracks_written_while_it_starts_appear(library: Store) -> None:
    write(library.path, 10, 12)  # after the snapshot was taken
    client = TestClient(create_app(library), base_url="http://localhost")
    assert len(hits(client)) == 9
    assert client.app.state.serving.refresh()
    assert len(hits(client)) == 11


def test_new_tags_and_gone_tracks_appear(client: TestClient, library: Store) -> None:
    with writing.open(library.path, describe(), b"model") as writer:
        writer.confirm("/music/4.wav", "0004", {"title": "Tune 4"})  # as long as before
        writer.hide(["/music/5.wav"])
    assert client.app.state.serving.refresh()
    assert client.get("/api/track?id=0004").json()["title"] == "Tune 4"
    assert client.get("/api/track?id=0005").status_code == 404


def test_presets_are_no_reason_for_a_new_snapshot(client: TestClient, library: Store) -> None:
    current = client.app.state.serving.current
    presets.save(library, "mine", {"genre": 1})
    assert not client.app.state.serving.refresh()
    assert client.app.state.serving.current is current


def test_a_request_ends_on_its_snapshot(client: TestClient, library: Store) -> None:
    serving = client.app.state.serving
    with serving.lease() as old, serving.lease():
        write(library.path, 10, 12)
        assert serving.refresh()
        assert len(old.library.metadata(old.library.rows)) == 10
        with serving.lease() as new:
            assert new is not old and len(new.library) == 12
    with pytest.raises(Exception, match="closed"):
        old.library.metadata([0])
    assert len(hits(client)) == 11


def test_a_snapshot_that_is_closed_takes_no_memory(client: TestClient, library: Store) -> None:
    """At once, and not when the garbage collector finds it: its arrays may be large."""
    serving, snapshots = client.app.state.serving, []
    gc.disable()
    try:
        for number in range(10, 14):
            write(library.path, number, number + 1)
            assert serving.refresh()
            body = {"like": ["0003"], "where": "seconds>1"}
            assert client.post("/api/search", json=body).status_code == 200
            snapshots.append(weakref.ref(serving.current.library))
        assert [snapshot() is None for snapshot in snapshots] == [True, True, True, False]
    finally:
        gc.enable()


def test_uploads_outlive_a_snapshot(library: Store) -> None:
    from tests.helpers.libraries import embed_file

    app = create_app(library, embed_file=embed_file)
    client = TestClient(app, base_url="http://localhost")
    name = client.post("/api/embed", content=VECTORS[20].astype("f4").tobytes()).json()["id"]
    write(library.path, 10, 12)
    assert app.state.serving.refresh()
    assert client.post("/api/search", json={"like": [name]}).status_code == 200


def test_a_damaged_library_leaves_the_snapshot(client: TestClient, library: Store) -> None:
    write(library.path, 10, 12)
    (library.path / store.DESCRIPTION).write_text("{}")
    with pytest.raises(ValueError, match="not a jaxsim library"):
        client.app.state.serving.refresh()
    assert len(hits(client)) == 9


def test_many_requests_while_it_changes(client: TestClient, library: Store) -> None:
    failures: list[BaseException] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                assert len(hits(client)) >= 9
                assert client.get("/api/tracks?text=song").status_code == 200
            except BaseException as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(10, 20):
        write(library.path, number, number + 1)
        assert client.app.state.serving.refresh()
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(client.app.state.serving._users) == 1, "all others are closed"
