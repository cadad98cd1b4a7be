"""The service through HTTP: what it answers, what it refuses, and whom."""

import dataclasses
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient

from jaxsim import search
from jaxsim.library import store
from jaxsim.library.search import hits, paths, presets, projection, query, reasons
from jaxsim.library.service import guard, uploads
from jaxsim.library.service.app import create_app
from jaxsim.library.store import Store, writing
from jaxsim.network import subspaces
from tests.helpers.libraries import DIMENSIONS, SOUND, describe, embed_file, entry, random_vectors

TRACKS = 40
GENRES = ("rock", "jazz; blues", "folk", None)


def metadata(number: int) -> dict:
    return {
        "id": f"id {number}/é",
        "title": f"Song {number}",
        "artist": f"Artist {number % 5}",
        "album": "Album",
        "album_artist": f"Artist {number % 5}",
        "track_number": number + 1,
        "compilation": 0,
        "genre": GENRES[number % 4],
        "tempo": 60.0 + number,
    }


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """A folder of files for the first tracks."""
    folder = tmp_path.resolve() / "audio"
    folder.mkdir()
    for number in range(TRACKS):
        soundfile.write(folder / f"{number}.wav", np.full(500 + number, 0.1), 8000)
    return folder


@pytest.fixture
def library(tmp_path: Path, audio: Path) -> Iterator[Store]:
    unit = subspaces.normalised(random_vectors(TRACKS), len(DIMENSIONS))
    entries = [entry(i, vector, **metadata(i)) for i, vector in enumerate(unit)]
    located = [dataclasses.replace(e, path=str(audio / f"{i}.wav")) for i, e in enumerate(entries)]
    with writing.open(tmp_path / "store", describe(), b"model") as writer:
        writer.add(located)
        writer.measure_cosines()
    with store.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def client(library: Store) -> Iterator[TestClient]:
    with TestClient(
        create_app(library, embed_file=embed_file), base_url="http://127.0.0.1:8000"
    ) as opened:
        yield opened


def problem(answer) -> str:
    """The message of a refusal; there is nothing else in it."""
    content = answer.json()
    assert list(content) == ["error"]
    return content["error"]


def test_the_library_is_described(client: TestClient, library: Store) -> None:
    found = client.get("/api/library").json()
    assert found["tracks"] == TRACKS
    assert [d["name"] for d in found["dimensions"]] == list(DIMENSIONS)
    assert [d["mean"] for d in found["dimensions"]] == library.mean.tolist()
    text, number = "text", "number"
    fields = {"title": text, "artist": text, "album": text, "album_artist": text, "genre": text}
    fields |= {"tempo": number, "seconds": number, "track_number": number, "compilation": number}
    assert found["fields"] == fields


@pytest.mark.parametrize("weights", [None, {"genre": 1, "tempo": -2}, {"key": 0.5}])
def test_search_is_that_of_the_library(client: TestClient, library: Store, weights) -> None:
    like = [metadata(3)["id"], metadata(8)["id"]]
    body = {"like": like, "weights": weights, "top": 7, "max_per_artist": 3, "max_per_album": 2}
    found = client.post("/api/search", json=body).json()
    rows = [library.row_of(name) for name in like]
    expected = query.search(library, rows, weights, top=7, max_per_artist=3, max_per_album=2)
    assert [hit["track"]["row"] for hit in found["hits"]] == [hit.row for hit in expected]
    for hit in found["hits"]:
        assert hit["score"] == np.sum(list(hit["contributions"].values()))
        for name, likeness in hit["likeness"].items():
            weight = 1.0 if weights is None else weights.get(name, 0.0)
            assert hit["contributions"][name] == pytest.approx(weight * likeness)
        assert hit["track"]["id"] == library.ids[hit["track"]["row"]]
        assert "path" not in hit["track"]


def test_the_query_itself_has_the_contributions_that_are_said(
    client: TestClient, library: Store
) -> None:
    weights = {"genre": 1, "tempo": -2, "key": 0.3}
    body = {"like": [metadata(3)["id"]], "weights": weights}
    found = client.post("/api/search", json=body).json()["query"]
    (itself,) = query.search(library, [3], weights, top=1, where="title='Song 3'", include_seeds=1)
    for name, contribution in zip(DIMENSIONS, itself.contributions, strict=True):
        assert found[name] == pytest.approx(contribution, abs=2e-3)  # lengths are 1 to float16


def test_the_steps_of_a_playlist_are_hits(client: TestClient, library: Store) -> None:
    weights, length = {"genre": 1, "tempo": 0.5}, 5
    body = {"start": metadata(3)["id"], "end": metadata(30)["id"], "length": length}
    found = client.post("/api/path", json=body | {"weights": weights}).json()
    expected = paths.find(library, 3, 30, length=length, weights=weights)
    assert [step["share"] for step in found] == [0, 0.25, 0.5, 0.75, 1]
    for step, planned, hit in zip(found, expected, hits.as_json(library, expected), strict=True):
        assert step["track"]["row"] == planned.row and "path" not in step["track"]
        for name in ("score", "contributions", "likeness"):
            assert step[name] == hit[name]
        assert step["targets"] == dict.fromkeys(DIMENSIONS, step["share"])
        reached = [None if np.isnan(way) else way for way in planned.reached.tolist()]
        assert list(step["reached"].values()) == reached
        assert step["reached"]["key"] is None, "the first and the last are alike in it"


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"like": ["nobody"]}, 404, "'nobody': no such track"),
        ({"like": ["upload:gone"]}, 404, "no such upload (it may have been forgotten)"),
        ({"like": []}, 422, "like: "),
        ({"weights": {"colour": 1}}, 422, "'colour' is not a dimension of this library"),
        ({"weights": {"genre": "much"}}, 422, "weights.genre: "),
        ({"weights": dict.fromkeys(DIMENSIONS, 0)}, 422, "weights: all are 0, so that no track"),
        ({"weights": {}}, 422, "weights: all are 0, so that no track"),
        ({"top": 100_000}, 422, "top: "),
        ({"top": 0}, 422, "top: "),
        ({"max_per_artist": 0}, 422, "max_per_artist: "),
        ({"max_per_album": 0}, 422, "max_per_album: "),
        ({"where": "tempo >> 3"}, 422, "where: 'tempo >> 3' has '>', expected a number"),
        ({"where": "1;" * 2000}, 422, "where: "),
        ({"preset": "mine"}, 422, "preset 'mine': unknown"),
        ({"colour": 1}, 422, "colour: "),
    ],
    ids=str,
)
def test_a_wrong_search_is_refused(
    client: TestClient, change: dict, status: int, message: str
) -> None:
    body = {"like": [metadata(0)["id"]], **change}
    answer = client.post("/api/search", json=body)
    assert answer.status_code == status
    assert message in problem(answer)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400"])
def test_a_weight_that_is_not_finite_is_refused(client: TestClient, number: str) -> None:
    body = f'{{"like": ["{metadata(0)["id"]}"], "weights": {{"genre": {number}}}}}'
    headers = {"content-type": "application/json"}
    answer = client.post("/api/search", content=body.encode(), headers=headers)
    assert answer.status_code == 422
    assert "genre" in problem(answer)


def test_tracks_are_found_by_title(client: TestClient) -> None:
    found = client.get("/api/tracks", params={"text": "song 1", "limit": 3}).json()
    assert [track["title"] for track in found] == ["Song 1", "Song 10", "Song 11"]
    assert client.get("/api/tracks", params={"text": ""}).json() == []
    assert client.get("/api/track", params={"id": metadata(7)["id"]}).json()["title"] == "Song 7"
    assert client.get("/api/tracks/7").json()["title"] == "Song 7"
    assert len({t["row"] for t in client.get("/api/tracks/random?count=5").json()}) == 5


@pytest.mark.parametrize("row", ["40", "-1", "99999999999999999999"])
def test_a_row_of_no_track_is_not_found(client: TestClient, row: str) -> None:
    for path in (f"/api/tracks/{row}", f"/api/audio/{row}"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "does not belong to a track" in problem(answer)


# Playing


def test_a_file_is_played_whole_and_in_parts(client: TestClient, audio: Path) -> None:
    content = (audio / "5.wav").read_bytes()
    whole = client.get("/api/audio/5")
    assert whole.content == content
    assert whole.headers["content-type"] == "audio/wav"
    assert whole.headers["accept-ranges"] == "bytes"
    part = client.get("/api/audio/5", headers={"range": "bytes=100-199"})
    assert part.status_code == 206
    assert part.content == content[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(content)}"
    end = client.get("/api/audio/5", headers={"range": "bytes=-10"})
    assert end.content == content[-10:]
    beyond = client.get("/api/audio/5", headers={"range": f"bytes={len(content)}-"})
    assert beyond.status_code == 416


def test_an_address_plays_its_own_track_after_pruning(
    client: TestClient, library: Store, audio: Path
) -> None:
    """Rows are other tracks' then; an address from before, with or without an id, is of none."""
    found = {name: client.get("/api/track", params={"id": name}).json() for name in library.ids}
    gone = [metadata(number)["id"] for number in (0, 3, 4)]
    with writing.open(library.path, describe(), b"model") as writer:
        writer.hide([str(audio / f"{number}.wav") for number in (0, 3, 4)])
        assert writer.prune() == 3
    assert client.app.state.serving.refresh()
    for number, (name, track) in enumerate(found.items()):
        answer = client.get(track["audio"])
        assert answer.status_code == (404 if name in gone else 200)
        if name not in gone:
            assert answer.content == (audio / f"{number}.wav").read_bytes()
        assert client.get(f"/api/audio/{track['row']}").status_code == 410
    now = client.get("/api/track", params={"id": metadata(1)["id"]}).json()
    assert now["row"] == 0 and now["audio"] != found[metadata(1)["id"]]["audio"]


def _link(audio: Path, secret: Path) -> None:
    (audio / "0.wav").unlink()
    (audio / "0.wav").symlink_to(secret)


def _link_of_folder(audio: Path, secret: Path) -> None:
    audio.rename(audio.with_name("moved"))
    audio.symlink_to(audio.with_name("moved"), target_is_directory=True)


def _folder(audio: Path, secret: Path) -> None:
    (audio / "0.wav").unlink()
    (audio / "0.wav").mkdir()


def _pipe(audio: Path, secret: Path) -> None:
    (audio / "0.wav").unlink()
    os.mkfifo(audio / "0.wav")


def _gone(audio: Path, secret: Path) -> None:
    (audio / "0.wav").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_link, "its path leads elsewhere than when it was embedded"),
        (_link_of_folder, "its path leads elsewhere"),
        (_folder, "is not a regular file"),
        (_pipe, "is not a regular file"),
        (_gone, "cannot be read (No such file or directory)"),
    ],
)
def test_what_is_not_the_tracks_own_file_is_not_played(
    client: TestClient, audio: Path, tmp_path: Path, change: Callable, message: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    change(audio, secret)
    answer = client.get("/api/audio/0")
    assert answer.status_code == 403
    assert problem(answer).startswith("0.wav: ")
    assert message in problem(answer)
    assert str(audio) not in answer.text


def store_of_path(folder: Path, path: str, **fields: str) -> Store:
    vector = subspaces.normalised(random_vectors(1), len(DIMENSIONS))[0]
    with writing.open(folder, describe(), b"model") as writer:
        writer.add([dataclasses.replace(entry(0, vector), path=path, **fields)])
        writer.measure_cosines()
    return store.open(folder)


def test_a_library_behind_a_link_is_played_until_the_link_changes(
    audio: Path, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    linked.symlink_to(audio)
    path = f"{linked}/0.wav"
    with store_of_path(tmp_path / "links", path, real_path=str(audio / "0.wav")) as library:
        client = TestClient(create_app(library), base_url="http://localhost")
        assert client.get("/api/audio/0").content == (audio / "0.wav").read_bytes()
        linked.unlink()
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / "0.wav").write_text("secret")
        linked.symlink_to(tmp_path / "secrets")
        assert client.get("/api/audio/0").status_code == 403


def test_a_playlist_names_files_and_not_rows(client: TestClient, audio: Path) -> None:
    ids = [track["id"] for track in client.get("/api/tracks/random?count=3").json()]
    answer = client.post("/api/playlist/file", json={"tracks": ids})
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    assert len(lines) == 3
    assert sorted(lines) == sorted({Path(line).name for line in lines})  # from the folder of all
    assert all((audio / line).is_file() for line in lines)
    answer = client.post("/api/playlist/file", json={"tracks": ids[:1], "format": "xspf"})
    assert answer.headers["content-type"].startswith("application/xspf+xml")
    assert f"<location>{lines[0]}</location>" in answer.text
    assert client.post("/api/playlist/file", json={"tracks": ["none"]}).status_code == 404


def test_a_path_with_dots_is_not_played(audio: Path, tmp_path: Path) -> None:
    path = f"{audio}/../audio/0.wav"
    with store_of_path(tmp_path / "dots", path) as library:
        answer = TestClient(create_app(library), base_url="http://localhost").get("/api/audio/0")
    assert answer.status_code == 403
    assert "its path leads elsewhere" in problem(answer)


def test_a_file_of_another_kind_is_no_page(tmp_path: Path) -> None:
    path = tmp_path.resolve() / "song.html"
    path.write_text("<script>alert(1)</script>")
    with store_of_path(tmp_path / "html", str(path)) as library:
        answer = TestClient(create_app(library), base_url="http://localhost").get("/api/audio/0")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/api/audio/../../../etc/passwd",
        "/api/audio/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/../../../../etc/passwd",
        "/%2e%2e/service.py",
        "/..%2fservice.py",
        "//etc/passwd",
        "/app.js%00.html",
    ],
)
def test_no_path_leads_out(client: TestClient, path: str) -> None:
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = client.send(request)
    assert answer.status_code in (404, 422)
    assert "root:" not in answer.text and "create_app" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/search", "POST"),
        ("PATCH", "/api/search", "POST"),
        ("TRACE", "/api/library", "GET, HEAD"),
        ("GET", "/api/presets/mine", "DELETE, PUT"),
        ("PUT", "/api/judge/me", "GET, HEAD, POST"),
        ("OPTIONS", "/api/map/likeness", "POST"),
        ("OPTIONS", "/api/map/genre", "GET, HEAD"),
        ("GET", "/api/nothing", None),
        ("POST", "/api/nothing", None),
    ],
)
def test_another_method_is_refused_with_those_there_are(
    client: TestClient, method: str, path: str, allowed: str | None
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == (405 if allowed else 404)
    assert answer.headers.get("allow") == allowed
    assert problem(answer) == ("Method Not Allowed" if allowed else "Not Found")


def test_what_openapi_says_of_refusals_is_so(client: TestClient) -> None:
    """Found by a fuzzer (test_serve.py): each of these statuses was not declared."""
    described = client.get("/openapi.json").json()["paths"]
    kind = {"content-type": "application/json"}
    asked = {
        ("/api/map/likeness", 404): {"json": {"like": ["nobody"], "by": "genre"}},
        ("/api/search", 400): {"content": b"\x8e\xff", "headers": kind},
        ("/api/playlist/file", 404): {"json": {"tracks": ["nobody"]}},
    }
    for (path, status), body in asked.items():
        assert client.post(path, **body).status_code == status
        assert str(status) in described[path]["post"]["responses"]
    by = described["/api/map/values"]["get"]["parameters"][0]
    assert (by["name"], by["schema"]["enum"][0]) == ("by", "title")


# Presets and the judge


def test_presets_are_saved_used_and_deleted(client: TestClient, library: Store) -> None:
    weights = {"genre": 2.0, "tempo": 0.0, "key": -1.0}
    path = "/api/presets/late%20night%2Fmine"
    assert client.put(path, json={"weights": {"genre": 2, "key": -1}}).json()["weights"] == weights
    assert client.get("/api/presets").json()["late night/mine"]["weights"] == weights
    body = {"like": [metadata(0)["id"]], "preset": "late night/mine", "weights": {"genre": 0}}
    found = client.post("/api/search", json=body).json()["hits"]
    expected = query.search(library, [0], {"key": -1})
    assert [hit["track"]["row"] for hit in found] == [hit.row for hit in expected]
    assert client.delete(path).status_code == 204
    assert client.get("/api/presets").json() == {}
    assert client.delete(path).status_code == 404
    assert client.put("/api/presets/x", json={"weights": {"colour": 1}}).status_code == 422
    assert client.put("/api/presets/%20", json={"weights": {}}).status_code == 422


def test_the_judge_learns_a_taste(client: TestClient, library: Store) -> None:
    """A listener who hears nothing but tempo."""
    state = client.get("/api/judge/anna").json()
    assert (state["given"], state["fitted"], state["agreement"]) == (0, 0, None)
    for _ in range(15):
        asked = state["question"]
        rows = [asked[name]["row"] for name in ("a", "b")]
        a, b = query.likenesses(library, [asked["anchor"]["row"]], rows)[:, 1]
        body = {name: asked[name]["id"] for name in ("anchor", "a", "b")}
        state = client.post("/api/judge/anna", json=body | {"choice": "ab"[int(b > a)]}).json()
    assert (state["given"], state["fitted"]) == (15, 15)
    assert max(state["weights"], key=state["weights"].get) == "tempo"
    assert state["deviations"].keys() == state["weights"].keys()
    saved = client.post("/api/judge/anna/preset").json()
    assert saved["weights"] == state["weights"]
    assert client.get("/api/presets").json()["anna"] == saved
    assert client.get("/api/judge/ben").json()["given"] == 0


def test_a_question_is_answered_once(client: TestClient) -> None:
    asked = client.get("/api/judge/anna").json()["question"]
    body = {name: asked[name]["id"] for name in ("anchor", "a", "b")} | {"choice": "skip"}
    assert client.post("/api/judge/anna", json=body).json()["given"] == 1
    again = client.post("/api/judge/anna", json=body)
    assert again.status_code == 409
    assert "answered already" in problem(again)
    assert client.post("/api/judge/anna", json=body | {"choice": "c"}).status_code == 422
    assert client.post("/api/judge/ben/preset").status_code == 409


def test_a_library_that_cannot_be_written_to_says_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object, **__: object) -> None:
        with sqlite3.connect(":memory:") as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("CREATE TABLE presets (name)")

    monkeypatch.setattr(presets, "save", read_only)
    answer = client.put("/api/presets/mine", json={"weights": {"genre": 1}})
    assert answer.status_code == 503
    assert "cannot be written to (attempt to write a readonly database)" in problem(answer)


# Uploads


def test_an_upload_is_a_seed(client: TestClient, library: Store) -> None:
    vector = np.random.default_rng(1).normal(size=12).astype(np.float32)
    sent = client.post("/api/embed?name=../x.html", content=vector.tobytes()).json()
    assert (sent["name"], sent["seconds"]) == ("../x.html", 12.5)
    np.testing.assert_array_equal(np.float32(sent["embedding"]), vector)
    body = {"like": [sent["id"], metadata(2)["id"]]}
    found = client.post("/api/search", json=body).json()["hits"]
    expected = query.search(library, [vector, 2])
    assert [hit["track"]["row"] for hit in found] == [hit.row for hit in expected]
    alone = client.post("/api/search", json={"like": [sent["id"]], "top": 9}).json()["hits"]
    example = query.Example(vector, SOUND)
    expected = query.search(library, [example], top=9)
    said = [hit["reason"] for hit in alone]
    assert said == reasons.sentences(library, [example], expected)
    assert said != reasons.sentences(library, [vector], expected), "it says how the upload sounds"


def test_what_is_no_audio_is_refused_and_the_server_lives(client: TestClient) -> None:
    answer = client.post("/api/embed?name=song.mp3", content=b"text")
    assert answer.status_code == 422
    assert problem(answer) == "not audio in a known format"
    assert client.get("/api/library").status_code == 200


def test_uploads_are_bounded(library: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_BYTES", 1000)
    client = TestClient(create_app(library, embed_file=embed_file), base_url="http://localhost")
    said = client.post("/api/embed", content=bytes(1001))
    assert said.status_code == 413
    assert problem(said) == "the body is too large, expected at most 1,000 bytes"
    unsaid = client.post("/api/embed", content=(bytes(100) for _ in range(11)))
    assert unsaid.status_code == 413
    assert client.post("/api/embed", content=np.ones(12, "f4").tobytes()).status_code == 200
    large = {"like": ["x" * guard.MAX_BODY]}
    assert client.post("/api/search", json=large).status_code == 413
    places = client.app.state.serving.current.uploads
    with places.place(), places.place(), places.place(), places.place():
        full = client.post("/api/embed", content=bytes(48))
    assert full.status_code == 429
    assert full.headers["retry-after"] == "5"
    assert client.post("/api/embed", content=np.ones(12, "f4").tobytes()).status_code == 200


def test_old_uploads_are_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(uploads, "REMEMBERED", 2)
    remembered = uploads.Uploads(lambda path: (query.Example(np.zeros(3)), 1.0))
    names = [remembered.add(tmp_path)[0] for _ in range(3)]
    assert [remembered.get(name) is None for name in names] == [True, False, False]


def test_a_server_without_a_model_takes_no_uploads(library: Store) -> None:
    client = TestClient(create_app(library), base_url="http://localhost")
    assert client.post("/api/embed", content=b"x").status_code == 404


# Other sites


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1:8000", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("[::1]:8000", True),
        ("192.168.1.5:8000", True),
        ("music.local:8000", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example:8000", False),
        ("localhost.evil.example", False),
        ("evil.example:127.0.0.1", False),
        ("", False),
        ("[", False),
    ],
)
def test_only_our_names_are_served(library: Store, host: str, is_ours: bool) -> None:
    app = create_app(library, hosts=["music.local"])
    for path in ("/api/library", "/", "/openapi.json"):
        answer = TestClient(app, base_url="http://localhost").get(path, headers={"host": host})
        assert answer.status_code == (200 if is_ours else 421)
    if not is_ours:
        assert "Host is" in problem(answer)


OURS = "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("headers", "may_read", "may_change"),
    [
        ({}, True, True),
        ({"origin": OURS}, True, True),
        ({"origin": OURS, "sec-fetch-site": "same-origin"}, True, True),
        ({"sec-fetch-site": "none"}, True, True),
        ({"origin": "https://evil.example"}, True, False),
        ({"origin": "http://127.0.0.1:9000"}, True, False),
        ({"origin": "null"}, True, False),
        ({"origin": ""}, True, False),
        ({"sec-fetch-site": "cross-site"}, False, False),
        ({"sec-fetch-site": "same-site"}, False, False),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, True, False),
        ({"origin": OURS, "sec-fetch-site": "cross-site"}, False, False),
    ],
    ids=str,
)
def test_other_sites_change_nothing(
    client: TestClient, headers: dict, may_read: bool, may_change: bool
) -> None:
    assert (client.get("/api/library", headers=headers).status_code == 200) == may_read
    changes = [
        client.put("/api/presets/mine", json={"weights": {"genre": 1}}, headers=headers),
        client.post("/api/embed", content=np.ones(12, "f4").tobytes(), headers=headers),
        client.post("/api/search", json={"like": [metadata(0)["id"]]}, headers=headers),
        client.delete("/api/presets/mine", headers=headers),
    ]
    expected = [200, 200, 200, 204] if may_change else [403] * 4
    assert [answer.status_code for answer in changes] == expected
    assert client.get("/api/presets").json() == {}


@pytest.mark.parametrize("path", ["/", "/app.js", "/api/library", "/api/nothing", "/openapi.json"])
def test_every_answer_has_the_headers(client: TestClient, path: str) -> None:
    for answer in (client.get(path), client.get(path, headers={"host": "evil.example"})):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


def test_the_document_names_all_routes_and_how_they_refuse(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    expected = ["search", "path", "embed", "library", "tracks", "presets"]
    assert {f"/api/{name}" for name in expected} < set(document["paths"])
    refusal = document["paths"]["/api/search"]["post"]["responses"]["422"]
    assert refusal["content"]["application/json"]["schema"]["$ref"].endswith("/Problem")


# OpenSubsonic


def test_similar_tracks_in_the_form_of_opensubsonic(client: TestClient, library: Store) -> None:
    parameters = {"id": metadata(3)["id"], "count": 5, "weights": "genre=1,key=-2", "f": "json"}
    answer = client.get("/rest/getSonicSimilarTracks.view", params=parameters).json()
    found = answer["subsonic-response"]
    assert (found["status"], found["openSubsonic"], found["type"]) == ("ok", True, "jaxsim")
    expected = query.search(library, [3], {"genre": 1, "key": -2}, top=5)
    matches = found["sonicMatch"]
    assert [m["entry"]["id"] for m in matches] == [library.ids[hit.row] for hit in expected]
    for match in matches:
        assert match["score"] == np.sum(list(match["contributions"].values()))
    similarities = [m["similarity"] for m in matches]
    assert similarities == sorted(similarities, reverse=True)
    assert min(similarities) >= 0 and max(similarities) <= 1
    assert {"title", "isDir", "artist", "bpm", "duration"} < set(matches[0]["entry"])
    assert "path" not in matches[0]["entry"]


def test_a_path_in_the_form_of_opensubsonic(client: TestClient) -> None:
    first, last = metadata(3)["id"], metadata(30)["id"]
    parameters = {"startSongId": first, "endSongId": last, "count": 6, "f": "json"}
    answer = client.get("/rest/findSonicPath", params=parameters).json()["subsonic-response"]
    matches = answer["sonicMatch"]
    ids = [match["entry"]["id"] for match in matches]
    assert (ids[0], ids[-1], len(set(ids))) == (first, last, 6)
    assert matches[0]["similarity"] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [({}, 10), ({"id": "nobody"}, 70), ({"id": metadata(0)["id"], "weights": "colour=1"}, 0)],
)
def test_opensubsonic_is_refused_in_its_form(
    client: TestClient, parameters: dict, code: int
) -> None:
    answer = client.get("/rest/getSonicSimilarTracks", params=parameters | {"f": "json"})
    assert answer.status_code == 200
    found = answer.json()["subsonic-response"]
    assert (found["status"], found["error"]["code"]) == ("failed", code)


def test_similarity_orders_as_the_score_does(library: Store) -> None:
    from jaxsim.library.service.subsonic.methods import similarity

    weights = {"genre": 1, "tempo": -0.5}
    w = query.weight_vector(library, weights)
    for row in (5, 6):
        (hit,) = query.search(library, [5], weights, where=f"title='Song {row}'", include_seeds=1)
        parts = np.asarray(library.vectors[[5, row]], np.float64).reshape(2, 3, 4)
        cosines = np.sum(parts[0] * parts[1], axis=1)
        shares = np.abs(w / library.deviation)
        mean = np.sum(shares * np.sign(w) * cosines) / shares.sum()
        assert similarity(library, weights, hit.score) == pytest.approx((1 + mean) / 2)


def test_a_hit_has_one_form_everywhere(
    client: TestClient, library: Store, capsys: pytest.CaptureFixture
) -> None:
    """In the command, the service and OpenSubsonic, to the last bit."""
    like, weights = metadata(3)["id"], {"genre": 1, "key": -2}
    expected = hits.as_json(library, query.search(library, [3], weights, top=5), [3])
    names = ["track", "heard", "score", "contributions", "likeness", "closer_than", "closer_in"]
    names += ["versions", "reason"]
    assert [list(hit) for hit in expected] == 5 * [names]
    arguments = ["--like", like, "--weights", "genre=1,key=-2", "--top", "5", "--json"]
    search.main([str(library.path), *arguments])
    assert json.loads(capsys.readouterr().out) == expected
    served = client.post("/api/search", json={"like": [like], "weights": weights, "top": 5}).json()
    parameters = {"id": like, "count": 5, "weights": "genre=1,key=-2", "f": "json"}
    answer = client.get("/rest/getSonicSimilarTracks", params=parameters).json()
    matches = answer["subsonic-response"]["sonicMatch"]
    for hit, shown, match in zip(expected, served["hits"], matches, strict=True):
        track = hit.pop("track")
        row = library.row_of(track["id"])
        del track["path"]
        own = f"{row}?id={quote(track['id'], safe='')}"
        addresses = {"audio": f"/api/audio/{own}", "art": f"/api/art/{own}"}
        assert shown == hit | {"track": track | {"row": row} | addresses}
        entry, similarity = match.pop("entry"), match.pop("similarity")
        assert entry["id"] == track["id"] and 0 <= similarity <= 1
        assert match == hit


# The map


def points(answer) -> np.ndarray:
    return np.frombuffer(answer.content, [("row", "<i4"), ("x", "<u2"), ("y", "<u2")])


def test_the_map_comes_when_it_is_computed(client: TestClient, library: Store) -> None:
    deadline = time.monotonic() + 120
    while (answer := client.get("/api/map/tempo")).status_code == 202:
        assert answer.json() == {"state": "computing"}
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found = points(answer)
    assert found["row"].tolist() == library.rows.tolist()
    assert max(np.ptp(found["x"]), np.ptp(found["y"])) == 65535
    assert (library.path / "map-tempo.npz").is_file()
    wrong = client.get("/api/map/colour")
    assert wrong.status_code == 404
    assert problem(wrong).startswith("'colour': no such space, expected one of all, genre,")


def test_a_map_that_fails_says_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(projection, "compute", fail)
    while (answer := client.get("/api/map/key")).status_code == 202:
        time.sleep(0.02)
    assert answer.status_code == 500
    assert problem(answer) == "the map cannot be drawn (RuntimeError('no memory'))"
    monkeypatch.undo()
    while (answer := client.get("/api/map/key")).status_code == 202:
        time.sleep(0.02)
    assert len(points(answer)) == TRACKS


def test_values_colour_the_map(client: TestClient) -> None:
    genre = client.get("/api/map/values?by=genre").json()
    assert genre["kind"] == "text"
    assert genre["labels"] == ["folk", "jazz", "rock"]
    assert genre["values"][:4] == [2, 1, 0, None]
    title = client.get("/api/map/values?by=title").json()
    assert len(title["labels"]) == 10 and title["labels"][-1] == "others"
    assert sorted(set(title["values"])) == list(range(10))
    tempo = client.get("/api/map/values?by=tempo").json()
    assert (tempo["kind"], tempo["values"][5]) == ("number", 65.0)
    assert client.get("/api/map/values?by=path").status_code == 422


def test_likeness_colours_the_map(client: TestClient, library: Store) -> None:
    body = {"like": [metadata(3)["id"]], "by": "tempo", "weights": {"genre": 3}}
    found = client.post("/api/map/likeness", json=body).json()["values"]
    expected = query.likenesses(library, [3], library.rows)
    np.testing.assert_allclose(found, expected[:, 1], atol=1e-3)
    found = client.post("/api/map/likeness", json=body | {"by": "score"}).json()["values"]
    np.testing.assert_allclose(found, 3 * expected[:, 0], atol=1e-3)
    assert client.post("/api/map/likeness", json=body | {"by": "colour"}).status_code == 422
