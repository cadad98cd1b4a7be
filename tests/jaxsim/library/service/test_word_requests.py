"""Words through HTTP: what is suggested is what a search understands."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from jaxsim.library.search import query, words
from jaxsim.library.service.app import create_app
from jaxsim.library.store import Store
from tests.helpers.libraries import write_reading


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Store]:
    with write_reading(tmp_path) as opened:
        yield opened


@pytest.fixture
def client(library: Store) -> TestClient:
    return TestClient(create_app(library), base_url="http://localhost")


def test_words_are_suggested(client: TestClient) -> None:
    found = client.get("/api/words", params={"text": "rock"}).json()
    word = {"dimension": "genre", "word": "hard rock", "like": 'genre:"hard rock"'}
    assert found == {"known": True, "words": [word]}
    found = client.get("/api/words", params={"text": "genre:jaz z"}).json()
    assert not found["known"] and found["words"][0]["word"] == "jazz"
    assert len(client.get("/api/words").json()["words"]) == 5
    assert len(client.get("/api/words?limit=2").json()["words"]) == 2
    assert client.get("/api/words?limit=0").status_code == 422
    assert client.head("/api/words").status_code == 200


def test_a_suggestion_is_a_seed(client: TestClient, library: Store) -> None:
    """Beside tracks, with weights, negative ones too, and conditions."""
    (word,) = client.get("/api/words", params={"text": "hard"}).json()["words"]
    rock = words.example(library, [("genre", "hard rock")])
    weights = {"genre": -1, "key": 0.5}
    body = {"like": [word["like"], "0007"], "weights": weights, "where": "title~'1'", "top": 5}
    found = client.post("/api/search", json=body).json()["hits"]
    expected = query.search(library, [rock, 7], weights, where="title~'1'", top=5, fold=True)
    assert [hit["track"]["row"] for hit in found] == [hit.row for hit in expected]
    refused = client.post("/api/search", json={"like": ["genre:yazz"]})
    assert refused.status_code == 422
    assert "not a known word, expected one such as jazz" in refused.json()["error"]
