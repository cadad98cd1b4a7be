"""Pictures of albums through HTTP: which one, what of it is sent, and what is never sent."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from mutagen import flac

from jaxsim.library import store
from jaxsim.library.intake.music_server import Login
from jaxsim.library.service import art
from jaxsim.library.service.app import create_app
from jaxsim.library.service.subsonic.routes import Player
from jaxsim.library.store import Store, writing
from jaxsim.network import subspaces
from tests.helpers.libraries import DIMENSIONS, describe, entry, random_vectors

JPEG, PNG = b"\xff\xd8\xff\xe0 a photograph", b"\x89PNG\r\n\x1a\n a drawing"
GIF, WEBP = b"GIF89a moves", b"RIFF\x10\0\0\0WEBPVP8 small"
KINDS = {JPEG: "image/jpeg", PNG: "image/png", GIF: "image/gif", WEBP: "image/webp"}


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "album"
    folder.mkdir()
    soundfile.write(folder / "0.flac", np.zeros(800), 8000)
    return folder


@pytest.fixture
def library(tmp_path: Path, album: Path) -> Iterator[Store]:
    vector = subspaces.normalised(random_vectors(1), len(DIMENSIONS))[0]
    track = dataclasses.replace(entry(0, vector, title="Song"), path=str(album / "0.flac"))
    with writing.open(tmp_path / "store", describe(), b"model") as writer:
        writer.add([track])
        writer.measure_cosines()
    with store.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def client(library: Store) -> TestClient:
    return TestClient(create_app(library), base_url="http://localhost")


def embed(album: Path, content: bytes) -> None:
    file = flac.FLAC(album / "0.flac")
    picture = flac.Picture()
    picture.type, picture.data, picture.mime = 3, content, "text/html"
    file.add_picture(picture)
    file.save()


@pytest.mark.parametrize("name", ["folder.jpg", "Cover.PNG", "FRONT.webp", "front.gif"])
@pytest.mark.parametrize("content", KINDS, ids=KINDS.get)
def test_a_picture_beside_the_track(
    client: TestClient, album: Path, name: str, content: bytes
) -> None:
    """Its first bytes say what it is, not its name."""
    (album / name).write_bytes(content)
    answer = client.get("/api/art/0")
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["content-type"] == KINDS[content]
    assert answer.headers["x-content-type-options"] == "nosniff"
    address = client.get("/api/tracks/0").json()["art"]
    assert address.startswith("/api/art/0?id=") and client.get(address).content == answer.content
    assert client.get("/api/art/1" + address[len("/api/art/0") :]).content == answer.content


def test_which_picture_counts(client: TestClient, album: Path) -> None:
    assert client.get("/api/art/0").status_code == 404
    embed(album, WEBP)
    assert client.get("/api/art/0").content == WEBP
    for name, content in (("front.jpg", GIF), ("cover.png", PNG), ("cover.jpg", JPEG)):
        (album / name).write_bytes(content)
        assert client.get("/api/art/0").content == content
    (album / "folder.jpg").write_bytes(b"<svg onload='alert(1)'>")
    assert client.get("/api/art/0").content == JPEG, "what is no picture does not count"
    (album / "back.jpg").write_bytes(PNG)
    assert client.get("/api/art/0").content == JPEG


def test_it_is_sent_once(client: TestClient, album: Path) -> None:
    (album / "cover.png").write_bytes(PNG)
    first = client.get("/api/art/0")
    assert first.headers["cache-control"] == "private, no-cache"
    tag = first.headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        again = client.get("/api/art/0", headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    (album / "cover.png").write_bytes(PNG + b"!")
    new = client.get("/api/art/0", headers={"if-none-match": tag})
    assert new.status_code == 200 and new.headers["etag"] != tag
    head = client.head("/api/art/0")
    assert head.status_code == 200 and head.headers["content-length"] == str(len(PNG) + 1)


def test_what_is_not_an_albums_own_picture_is_not_sent(
    client: TestClient, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    (album / "cover.jpg").symlink_to(tmp_path / "secret.jpg")
    (album / "front.png").mkdir()
    os.mkfifo(album / "folder.gif")
    assert client.get("/api/art/0").status_code == 404
    (album / "folder.png").write_bytes(PNG)
    monkeypatch.setattr(art, "MAX_BYTES", len(PNG))
    assert client.get("/api/art/0").content == PNG
    monkeypatch.setattr(art, "MAX_BYTES", len(PNG) - 1)
    assert client.get("/api/art/0").status_code == 404
    embed(album, PNG)
    assert client.get("/api/art/0").status_code == 404, "nor if it is in the track"


def test_it_is_guarded_as_the_audio_is(client: TestClient, album: Path, tmp_path: Path) -> None:
    (album / "cover.jpg").write_bytes(JPEG)
    for row in ("1", "-1", "99999999999999999999"):
        assert client.get(f"/api/art/{row}").status_code == 404
    assert client.get("/api/art/../../etc/passwd").status_code in (404, 422)
    assert client.get("/api/art/0", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "cover.jpg").write_bytes(PNG)
    (album / "0.flac").rename(tmp_path / "elsewhere" / "0.flac")
    (album / "0.flac").symlink_to(tmp_path / "elsewhere" / "0.flac")
    answer = client.get("/api/art/0")
    assert answer.status_code == 403
    assert "its path leads elsewhere" in answer.json()["error"]
    assert str(tmp_path) not in answer.text


def test_a_damaged_file_has_no_picture(client: TestClient, album: Path) -> None:
    embed(album, JPEG)
    content = (album / "0.flac").read_bytes()
    (album / "0.flac").write_bytes(content[:60])
    assert client.get("/api/art/0").status_code == 404


def test_players_ask_for_it(client: TestClient, library: Store, album: Path) -> None:
    (album / "cover.jpg").write_bytes(JPEG)
    answer = client.get("/rest/getCoverArt", params={"id": "0000", "size": 100})
    assert (answer.content, answer.headers["content-type"]) == (JPEG, "image/jpeg")
    assert client.post("/rest/getCoverArt.view", data={"id": "0000"}).content == JPEG
    for name, code in (("nobody", 70), (None, 10)):
        parameters = {"f": "json"} | ({"id": name} if name else {})
        found = client.get("/rest/getCoverArt", params=parameters).json()["subsonic-response"]
        assert (found["status"], found["error"]["code"]) == ("failed", code)
    (album / "cover.jpg").unlink()
    assert "has no picture" in client.get("/rest/getCoverArt", params={"id": "0000"}).text
    app = create_app(library, player=Player(login=Login("anna", "secret")))
    refused = TestClient(app, base_url="http://localhost").get("/rest/getCoverArt?id=0000&f=json")
    assert refused.json()["subsonic-response"]["status"] == "failed"
