"""Requests about rows, and in the order of rows, when pruning gives tracks other rows meanwhile."""

import shutil
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient

from jaxsim.library.service.app import create_app
from jaxsim.library.store import Store, writing
from tests.helpers.libraries import describe, random_vectors

TRACKS = 12
GONE = (0, 3, 4)


@pytest.fixture
def library(make_store: Callable[..., Store]) -> Iterator[Store]:
    about = [{"title": f"Song {i}", "tempo": 60.0 + i} for i in range(TRACKS)]
    with make_store(random_vectors(TRACKS), about) as opened:
        yield opened


def client_of(library: Store) -> TestClient:
    return TestClient(create_app(library), base_url="http://localhost")


@pytest.fixture
def client(library: Store) -> TestClient:
    return client_of(library)


def prune(library: Store) -> None:
    with writing.open(library.path, describe(), b"model") as writer:
        writer.hide([f"/music/{number}.wav" for number in GONE])
        assert writer.prune() == len(GONE)


def ids(client: TestClient) -> dict:
    return client.get("/api/tracks/ids").json()


def test_a_track_is_shown_by_its_id_or_not_at_all(client: TestClient, library: Store) -> None:
    for row in range(TRACKS):
        assert client.get(f"/api/tracks/{row}").json()["title"] == f"Song {row}"
    prune(library)
    assert client.app.state.serving.refresh()
    for row, name in enumerate(library.ids):
        answer = client.get(f"/api/tracks/{row}")
        assert answer.status_code == 410
        assert (
            answer.json()["error"] == f"row {row} may have been of another track; ask with its id"
        )
        answer = client.get(f"/api/tracks/{row}", params={"id": name})
        assert answer.status_code == (404 if row in GONE else 200)
        if row not in GONE:
            assert answer.json()["title"] == f"Song {row}"
            assert answer.json()["row"] == row - sum(gone < row for gone in GONE)


def map_of(client: TestClient, **options: str) -> np.ndarray | int:
    """The map's rows, or the status if there is none."""
    deadline = time.monotonic() + 120
    while (answer := client.get("/api/map/all", params=options)).status_code == 202:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if answer.status_code != 200:
        return answer.status_code
    return np.frombuffer(answer.content, [("row", "<i4"), ("x", "<u2"), ("y", "<u2")])["row"]


def test_the_map_is_of_the_tracks_that_were_listed(client: TestClient, library: Store) -> None:
    before = ids(client)
    assert before["ids"] == library.ids.tolist()
    edition = {"edition": before["edition"]}
    assert np.array_equal(map_of(client, **edition), np.arange(TRACKS))
    prune(library)
    assert client.app.state.serving.refresh()
    after = ids(client)
    assert after["ids"] == [name for i, name in enumerate(library.ids) if i not in GONE]
    assert map_of(client, **edition) == 409
    assert client.get("/api/map/values", params={"by": "tempo"} | edition).status_code == 409
    likeness = {"like": ["0001"], "by": "tempo"}
    answer = client.post("/api/map/likeness", params=edition, json=likeness)
    assert answer.status_code == 409
    assert answer.json()["error"] == "the tracks have changed since; list their ids again"
    for edition in ({}, {"edition": after["edition"]}):
        assert np.array_equal(map_of(client, **edition), np.arange(TRACKS - len(GONE)))
        found = client.get("/api/map/values", params={"by": "tempo"} | edition).json()["values"]
        assert found == [60.0 + i for i in range(TRACKS) if i not in GONE]
        found = client.post("/api/map/likeness", params=edition, json=likeness).json()["values"]
        assert len(found) == TRACKS - len(GONE)
        assert np.argmax(found) == after["ids"].index("0001")


def test_an_edition_outlives_the_server_and_not_its_tracks(
    client: TestClient, library: Store, make_store: Callable[..., Store]
) -> None:
    """Versions are counted from 0 by every server, so that they cannot tell."""
    before = ids(client)
    assert client.get("/api/library").json()["edition"] == before["edition"]
    with Store(library.path) as again:
        assert ids(client_of(again)) == before
    with writing.open(library.path, describe(), b"model") as writer:
        writer.confirm("/music/5.wav", "0005", {}, tags={"title": "Another title"})
    with Store(library.path) as retagged:
        assert ids(client_of(retagged)) == before
    prune(library)
    with Store(library.path) as pruned:
        other = client_of(pruned)
        assert other.get("/api/library").json()["version"] == 0
        assert ids(other)["edition"] != before["edition"]
        assert map_of(other, edition=before["edition"]) == 409


def test_an_edition_is_of_ids_too(make_store: Callable[..., Store]) -> None:
    """A library that is made anew has the same rows, but other tracks."""
    editions = set()
    for names in (["a", "b", "c"], ["a", "b", "d"], ["b", "a", "c"]):
        with make_store(random_vectors(3), [{"id": name} for name in names]) as library:
            editions.add(ids(client_of(library))["edition"])
            shutil.rmtree(library.path)
    assert len(editions) == 3
