"""The protocol's form: XML, JSON and JSONP, forms, logins, and errors inside the envelope."""

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
from fastapi.testclient import TestClient

from jaxsim.library.intake import music_server
from jaxsim.library.intake.music_server import Login
from jaxsim.library.search import query
from jaxsim.library.service.app import create_app
from jaxsim.library.service.subsonic import answers
from jaxsim.library.service.subsonic.routes import Player
from jaxsim.library.store import Store
from tests.helpers.libraries import random_vectors

XML = "{http://subsonic.org/restapi}"
TITLES = ['A <b> & "c"', "Bad \x00\x08\ud800 text".encode("utf-8", "replace").decode(), "C"]
METHODS = ("getSimilarSongs", "getSimilarSongs2", "getSonicSimilarTracks")


@pytest.fixture
def library(make_store: Callable[..., Store]) -> Iterator[Store]:
    tracks = [{"title": TITLES[i % 3], "artist": "A", "tempo": 90.0} for i in range(12)]
    with make_store(random_vectors(12), tracks) as opened:
        yield opened


@pytest.fixture
def client(library: Store) -> TestClient:
    return TestClient(create_app(library), base_url="http://localhost")


def ask(client: TestClient, method: str, **given: Any) -> dict[str, Any]:
    answer = client.get(f"/rest/{method}", params={"f": "json"} | given)
    assert answer.status_code == 200
    assert list(answer.json()) == ["subsonic-response"]
    return answer.json()["subsonic-response"]


@pytest.mark.parametrize("method", ["getSimilarSongs", "getSimilarSongs2"])
def test_similar_songs(client: TestClient, library: Store, method: str) -> None:
    found = ask(client, method, id="0003", count=4)[f"s{method[4:]}"]["song"]
    expected = query.search(library, [3], top=4)
    assert [song["id"] for song in found] == [library.ids[hit.row] for hit in expected]
    assert found[0]["artist"] == "A" and found[0]["bpm"] == 90 and found[0]["isDir"] is False
    assert len(ask(client, method, id="0003")[f"s{method[4:]}"]["song"]) == 11
    assert ask(client, method, id="0003", count=0)[f"s{method[4:]}"]["song"] == []
    assert len(ask(client, method, id="0003", count=10**30)[f"s{method[4:]}"]["song"]) == 11


def test_what_players_ask_first(client: TestClient) -> None:
    assert ask(client, "ping")["status"] == "ok"
    assert ask(client, "getLicense")["license"] == {"valid": True}
    listed = ask(client, "getOpenSubsonicExtensions")["openSubsonicExtensions"]
    assert {"name": "sonicSimilarity", "versions": [1]} in listed
    assert {"name": "formPost", "versions": [1]} in listed


@pytest.mark.parametrize("suffix", ["", ".view"])
@pytest.mark.parametrize("method", ["ping", *METHODS])
def test_a_form_is_as_good_as_an_address(client: TestClient, method: str, suffix: str) -> None:
    given = {"id": "0003", "count": "3", "f": "json"}
    form = client.post(f"/rest/{method}{suffix}", data=given)
    assert form.json() == client.get(f"/rest/{method}{suffix}", params=given).json()
    both = client.post(f"/rest/{method}{suffix}?f=json", data={"id": "0003", "count": "3"})
    assert both.json() == form.json()


def tree(element: ElementTree.Element) -> dict[str, Any]:
    """XML as the protocol maps it to JSON: attributes, and lists of elements."""
    content: dict[str, Any] = dict(element.attrib)
    for child in element:
        content.setdefault(child.tag.removeprefix(XML), []).append(tree(child) or child.text)
    return content


def test_xml_is_the_default_and_says_the_same(client: TestClient) -> None:
    given = {"id": "0003", "count": 5}
    answer = client.get("/rest/getSonicSimilarTracks", params=given)
    assert answer.headers["content-type"].startswith("application/xml")
    found = tree(ElementTree.fromstring(answer.content))
    assert (found["status"], found["openSubsonic"], found["version"]) == ("ok", "true", "1.16.1")
    expected = ask(client, "getSonicSimilarTracks", **given)["sonicMatch"]
    for match, other in zip(found["sonicMatch"], expected, strict=True):
        assert float(match["similarity"]) == other["similarity"]
        (entry,) = match["entry"]
        clean = {name: answers._text(value) for name, value in other["entry"].items()}
        assert entry == clean
        assert "contributions" not in match, "XML has a schema"
    extensions = client.get("/rest/getOpenSubsonicExtensions").content
    listed = tree(ElementTree.fromstring(extensions))["openSubsonicExtensions"]
    assert {"name": "sonicSimilarity", "versions": ["1"]} in listed


def test_an_artists_scalars_are_elements() -> None:
    answer = answers.render(answers.envelope({"artistInfo2": {"biography": "B\x00"}}), "xml")
    root = ElementTree.fromstring(answer.body)
    assert root.findtext(f"{XML}artistInfo2/{XML}biography") == "B\ufffd"


def test_jsonp(client: TestClient) -> None:
    given = {"f": "jsonp", "callback": "on.answer"}
    answer = client.get("/rest/ping", params=given)
    assert answer.headers["content-type"].startswith("application/javascript")
    inside = answer.text.removeprefix("on.answer(").removesuffix(");")
    assert json.loads(inside)["subsonic-response"]["status"] == "ok"
    for wrong in ("", "alert(1)//", "a b", "</script>"):
        refused = client.get("/rest/ping", params=given | {"callback": wrong})
        assert refused.json()["subsonic-response"]["error"]["code"] == 10


@pytest.mark.parametrize(
    ("method", "given", "code", "message"),
    [
        ("noSuchMethod", {}, 0, "'noSuchMethod' is not a method"),
        ("a/b/../c", {}, 0, "is not a method"),
        ("", {}, 0, "is not a method"),
        *((m, {}, 10, "the parameter id is missing") for m in METHODS),
        *((m, {"id": "nobody"}, 70, "'nobody': no such song") for m in METHODS),
        *((m, {"id": "0003", "count": "x"}, 0, "count is 'x', expected") for m in METHODS),
        *((m, {"id": "0003", "count": "-1"}, 0, "count is '-1', expected") for m in METHODS),
        *((m, {"id": "0003", "count": "٣"}, 0, "expected a whole number") for m in METHODS),
        ("getSimilarSongs", {"id": "0003", "weights": "colour=1"}, 0, "is not a dimension"),
        ("getSimilarSongs", {"id": "0003", "weights": "genre=0"}, 0, "weights: all are 0"),
        ("getSimilarSongs", {"id": "0003", "where": "tempo >> 1"}, 0, "where: "),
        ("getSimilarSongs", {"id": "0003", "preset": "x"}, 0, "preset 'x': unknown"),
        ("findSonicPath", {"startSongId": "0003"}, 10, "endSongId is missing"),
        ("findSonicPath", {"startSongId": "0003", "endSongId": "0003"}, 0, "are the same"),
        ("findSonicPath", {"startSongId": "0", "endSongId": "0003", "count": "1"}, 70, "no such"),
        ("findSonicPath", {"startSongId": "0001", "endSongId": "0003", "count": "1"}, 0, "length"),
    ],
)
@pytest.mark.parametrize("post", [False, True])
def test_errors_are_in_the_envelope(
    client: TestClient, method: str, given: dict, code: int, message: str, post: bool
) -> None:
    options = {"data": {"f": "json"} | given} if post else {"params": {"f": "json"} | given}
    answer = client.request("POST" if post else "GET", f"/rest/{method}", **options)
    assert answer.status_code == 200
    found = answer.json()["subsonic-response"]
    assert (found["status"], found["error"]["code"]) == ("failed", code)
    assert message in found["error"]["message"]


def test_a_form_that_cannot_be_read_is_an_envelope(client: TestClient) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = client.post("/rest/ping", content=b"\xff\xfe=1", headers=headers)
    assert answer.status_code == 200
    assert ElementTree.fromstring(answer.content).get("status") == "failed"


# Logins

SECRET = "sesame ü"


@pytest.fixture
def guarded(library: Store) -> TestClient:
    app = create_app(library, player=Player(login=Login("anna", SECRET)))
    return TestClient(app, base_url="http://localhost")


def token(password: str, salt: str) -> str:
    return hashlib.md5(f"{password}{salt}".encode()).hexdigest()


@pytest.mark.parametrize(
    "login",
    [
        {"u": "anna", "t": token(SECRET, "salt"), "s": "salt"},
        {"u": "anna", "t": token(SECRET, "salt").upper(), "s": "salt"},
        {"u": "anna", "p": SECRET},
        {"u": "anna", "p": f"enc:{SECRET.encode().hex()}"},
    ],
)
def test_the_user_is_answered(guarded: TestClient, login: dict) -> None:
    assert ask(guarded, "ping", **login)["status"] == "ok"
    answer = guarded.post("/rest/getSimilarSongs2", data=login | {"id": "0003", "f": "json"})
    assert answer.json()["subsonic-response"]["status"] == "ok"


@pytest.mark.parametrize(
    ("login", "code"),
    [
        ({}, 10),
        ({"u": "anna"}, 10),
        ({"u": "anna", "t": token(SECRET, "salt")}, 10),
        ({"u": "anna", "t": token(SECRET, "salt"), "s": "sal"}, 40),
        ({"u": "anna", "t": token("", "salt"), "s": "salt"}, 40),
        ({"u": "ann", "p": SECRET}, 40),
        ({"u": "anna", "p": "sesame"}, 40),
        ({"u": "anna", "p": "enc:zz"}, 40),
        ({"u": "anna", "p": "enc:"}, 40),
        ({"apiKey": "x"}, 42),
        ({"apiKey": "x", "u": "anna", "p": SECRET}, 43),
    ],
)
@pytest.mark.parametrize("method", ["ping", "getSimilarSongs", "noSuchMethod"])
def test_others_are_not(guarded: TestClient, login: dict, code: int, method: str) -> None:
    answer = ask(guarded, method, id="0003", **login)
    assert (answer["status"], answer["error"]["code"]) == ("failed", code)


def test_where_a_password_comes_from(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(music_server.PASSWORD, raising=False)
    assert music_server.read_login("", None) is None
    with pytest.raises(ValueError, match="expected a password in --subsonic_password_file or in"):
        music_server.read_login("anna", None)
    monkeypatch.setenv(music_server.PASSWORD, "x")
    assert music_server.read_login("anna", None) == Login("anna", "x")
    (tmp_path / "password").write_text("y z\n")
    assert music_server.read_login("anna", str(tmp_path / "password")) == Login("anna", "y z")
