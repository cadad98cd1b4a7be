"""Artists and albums as queries and as answers, against the list of all hits."""

from collections.abc import Callable

import numpy as np
import pytest

from jaxsim import search as command
from jaxsim.library.search import groups, query
from jaxsim.library.store import Store
from tests.helpers.libraries import random_vectors

ARTISTS = ["Björk", "Miles Davis; John Coltrane", "O'Neill", None, "John Coltrane"]
ALBUMS = ["Blue", "Live", None, "Blue"]


@pytest.fixture
def library(make_store: Callable[..., Store]) -> Store:
    given = [
        {"title": f"Song {i}", "artist": ARTISTS[i % 5], "album": ALBUMS[i % 4]} for i in range(60)
    ]
    return make_store(random_vectors(60), [{k: v for k, v in g.items() if v} for g in given])


@pytest.mark.parametrize(
    ("text", "remainder", "of"),
    [
        ("artist:bjork", [0], 5),
        ("artist: O'NEILL ", [2], 5),
        ("artist:John Coltrane", [1, 4], 5),
        ("artist:miles davis; john coltrane", [1], 5),
        ("album:Blue", [0, 3], 4),
    ],
)
def test_members(library: Store, text: str, remainder: list[int], of: int) -> None:
    assert groups.members(library, text) == [i for i in range(60) if i % of in remainder]


def test_what_is_no_group(library: Store) -> None:
    assert groups.members(library, "Song 1") is None
    assert groups.members(library, "genre:Jazz") is None
    for text in ("artist:nobody", "artist:", "album:' or '1'='1"):
        with pytest.raises(ValueError, match="no such a"):
            groups.members(library, text)


@pytest.mark.parametrize("by", groups.KINDS)
@pytest.mark.parametrize("top", [1, 2, 50])
def test_groups_have_the_scores_of_their_best_tracks(library: Store, by: str, top: int) -> None:
    weights = {"genre": 1.0, "tempo": -0.5}
    find = lambda count: query.search(library, [7], weights, top=count)  # noqa: E731
    found = groups.search(library, find, by=by, top=top)
    everything = query.search(library, [7], weights, top=60)
    names = [track[by] for track in library.metadata([hit.row for hit in everything])]
    best: dict[str, float] = {}
    for name, hit in zip(names, everything, strict=True):
        if name is not None:
            best[name] = max(best.get(name, -np.inf), hit.score)
    expected = sorted(best.items(), key=lambda item: -item[1])[:top]
    assert [(group.name, group.best.score) for group in found] == expected
    of_all = [track[by] for track in library.metadata(library.rows)]
    assert [group.tracks for group in found] == [of_all.count(name) for name, _ in expected]


def test_a_group_is_the_query_of_all_its_tracks(library: Store, capsys) -> None:
    import json

    command.main([str(library.path), "--like", "artist:Björk", "--json", "--top", "5"])
    found = json.loads(capsys.readouterr().out)
    expected = query.search(library, list(range(0, 60, 5)), top=5)
    assert [hit["score"] for hit in found] == [hit.score for hit in expected]
    command.main([str(library.path), "--like", "album:live", "--by", "artist", "--json"])
    listed = json.loads(capsys.readouterr().out)
    assert {one["artist"] for one in listed} == set(filter(None, ARTISTS))
    command.main([str(library.path), "--like", "album:live", "--by", "album"])
    assert "its best track" in capsys.readouterr().out
    with pytest.raises(SystemExit) as refused:
        command.main([str(library.path), "--like", "artist:nobody"])
    assert str(refused.value.code).startswith("error: --like 'artist:nobody': 'nobody': no such")


def test_groups_in_the_service(library: Store) -> None:
    from fastapi.testclient import TestClient

    from jaxsim.library.service.app import create_app

    client = TestClient(create_app(library), base_url="http://localhost")
    body = {"like": ["artist:Björk"], "by": "album", "weights": {"key": 1}}
    found = client.post("/api/groups", json=body).json()["groups"]
    rows = list(range(0, 60, 5))
    hits = query.search(library, rows, {"key": 1}, top=60)
    albums = [t["album"] for t in library.metadata([hit.row for hit in hits]) if t["album"]]
    assert [group["name"] for group in found] == list(dict.fromkeys(albums))
    assert found[0]["best"]["score"] == max(group["best"]["score"] for group in found)
    answer = client.post("/api/search", json={"like": ["album:nothing"]})
    assert answer.status_code == 404
    assert "no such album" in answer.json()["error"]
    assert client.post("/api/groups", json=body | {"by": "genre"}).status_code == 422
    similar = {"id": "artist:Björk", "count": 3, "f": "json"}
    songs = client.get("/rest/getSimilarSongs", params=similar).json()["subsonic-response"]
    expected = query.search(library, rows, top=3)
    ids = [song["id"] for song in songs["similarSongs"]["song"]]
    assert ids == [library.ids[hit.row] for hit in expected]
