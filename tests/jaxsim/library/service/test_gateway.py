"""Beside a real music server: what is passed to it, and what is answered in its ids."""

import contextlib
import dataclasses
import hashlib
import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mutagen.flac
import numpy as np
import pytest
import soundfile
import uvicorn

from jaxsim import embed
from jaxsim.library import store
from jaxsim.library.intake import matching, music_server
from jaxsim.library.intake.music_server import Login, MusicServer, Song
from jaxsim.library.search import query
from jaxsim.library.service.app import create_app
from jaxsim.library.service.subsonic.gateway import Gateway
from jaxsim.library.service.subsonic.routes import Player
from jaxsim.library.store import Store, subsonic_ids, writing
from jaxsim.network import subspaces
from tests.helpers import music_server as supysonic
from tests.helpers.libraries import DIMENSIONS, describe, entry, random_vectors

TRACKS = 12
SECRET = supysonic.USERS["anna"]
LOGIN = {"u": "anna", "p": SECRET, "v": "1.12.0", "c": "test"}
XML = "{http://subsonic.org/restapi}"


def tags(number: int) -> dict[str, str]:
    return {
        "title": f"Song {number}",
        "artist": f"Artist {number % 3}",
        "album": f"Album {number // 3 % 2}",
    }


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of twelve songs, the last of which is only in the library, not in the folder."""
    folder = tmp_path_factory.mktemp("music").resolve()
    for number in range(TRACKS):
        known = tags(number)
        place = folder / ("music" if number < TRACKS - 1 else "elsewhere")
        file = place / known["artist"] / known["album"] / f"{number}.flac"
        file.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).normal(0, 0.1, 8000 * (3 + number))
        soundfile.write(file, noise, 8000)
        tagged = mutagen.flac.FLAC(file)
        tagged.update({name: [value] for name, value in known.items()})
        tagged.save()
    return folder


@pytest.fixture(scope="module")
def library(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    vectors = subspaces.normalised(random_vectors(TRACKS), len(DIMENSIONS))
    files = sorted(music.rglob("*.flac"), key=lambda file: int(file.stem))
    entries = [
        dataclasses.replace(entry(i, vector, **tags(i)), path=str(file), seconds=3.0 + i)
        for i, (vector, file) in enumerate(zip(vectors, files, strict=True))
    ]
    folder = tmp_path_factory.mktemp("gateway") / "store"
    with writing.open(folder, describe(), b"model") as writer:
        writer.add(entries)
        writer.measure_cosines()
    with store.open(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def upstream(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with supysonic.serving(music / "music", tmp_path_factory.mktemp("supysonic")) as address:
        yield address


@contextlib.contextmanager
def serving(library: Store, player: Player) -> Iterator[str]:
    app = create_app(library, player=player)
    server = uvicorn.Server(uvicorn.Config(app, log_level="info"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def address(library: Store, upstream: str) -> Iterator[str]:
    """The gateway, without a login of its own."""
    with serving(library, Player(Gateway(upstream))) as address:
        yield address


def ask(address: str, method: str, *, post: bool = False, **more: Any) -> dict[str, Any]:
    """The content of the envelope."""
    given = urllib.parse.urlencode(LOGIN | {"f": "json"} | more, doseq=True)
    url = f"{address}/rest/{method}"
    request = urllib.request.Request(*((url, given.encode()) if post else (f"{url}?{given}",)))
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200
        return json.load(answer)["subsonic-response"]


@pytest.fixture(scope="module")
def ids(upstream: str) -> dict[str, str]:
    """The server's ids by title, as it lists them itself."""
    found = ask(upstream, "search3", query="", songCount=100)["searchResult3"]["song"]
    return {song["title"]: song["id"] for song in found}


# What is passed on


@pytest.mark.parametrize(
    "method", ["getArtists", "getMusicFolders.view", "search3", "getAlbumList2"]
)
@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize("post", [False, True])
def test_what_is_not_ours_is_the_servers_answer(
    address: str, upstream: str, method: str, form: str, post: bool
) -> None:
    given = LOGIN | {"f": form, "query": "song", "type": "alphabeticalByName"}
    encoded = urllib.parse.urlencode(given)
    answers = []
    for place in (upstream, address):
        url = f"{place}/rest/{method}"
        arguments = (url, encoded.encode()) if post else (f"{url}?{encoded}",)
        with urllib.request.urlopen(urllib.request.Request(*arguments), timeout=60) as answer:
            answers.append((answer.status, answer.headers["content-type"], answer.read()))
    assert answers[0] == answers[1]


def test_streams_come_whole_and_in_parts(address: str, music: Path, ids: dict[str, str]) -> None:
    content = next(music.rglob("7.flac")).read_bytes()
    given = urllib.parse.urlencode(LOGIN | {"id": ids["Song 7"]})
    url = f"{address}/rest/stream.view?{given}"
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert answer.read() == content
        assert answer.headers["content-type"] in ("audio/flac", "audio/x-flac")
        assert "content-security-policy" in answer.headers
    part = urllib.request.Request(url, headers={"range": "bytes=100-299"})
    with urllib.request.urlopen(part, timeout=60) as answer:
        assert answer.status == 206
        assert answer.read() == content[100:300]
        assert answer.headers["content-range"] == f"bytes 100-299/{len(content)}"
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=60) as answer:
        assert int(answer.headers["content-length"]) == len(content)


class Dripping:
    """A server that says what it received, and whose stream never ends."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.sent = 0
        self.ended = threading.Event()
        self.request = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self.listening.accept()
        with connection, contextlib.suppress(OSError):
            self.request = connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\n\r\n")
            while True:
                self.sent += connection.send(bytes(1 << 16))
        self.ended.set()


def test_a_stream_is_not_held_and_ends_with_its_listener(library: Store) -> None:
    """Memory holds what is on its way, not what a slow or absent listener has not taken."""
    drip = Dripping()
    with serving(library, Player(Gateway(drip.url))) as address:
        answer = urllib.request.urlopen(f"{address}/rest/stream?id=1", timeout=60)
        assert len(answer.read(1 << 16)) == 1 << 16
        time.sleep(1)  # the listener takes nothing
        held = drip.sent
        assert held < 64 << 20, "only what networks buffer"
        answer.close()
        assert drip.ended.wait(30), "nobody listens any longer"
    assert b"host: 127.0.0.1:" in drip.request.lower()
    assert b"accept-encoding: identity" in drip.request.lower()


def test_a_server_that_is_not_there_is_an_envelope(library: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with serving(library, Player(Gateway(url))) as address:
        for method in ("getArtists", "getSimilarSongs2", "stream"):
            found = ask(address, method, id="x")
            assert (found["status"], found["error"]["code"]) == ("failed", 0)
            assert found["error"]["message"].startswith(f"the music server at {url} cannot be used")


# What is answered


def expected(library: Store, seeds: list[int], count: int, **options: Any) -> list[str]:
    """Titles that a search finds among the songs that the server has."""
    where = f"title!='Song {TRACKS - 1}'"
    hits = query.search(library, seeds, options.get("weights"), top=count, where=where)
    return [track["title"] for track in library.metadata([hit.row for hit in hits])]


@pytest.mark.parametrize("method", ["getSimilarSongs", "getSimilarSongs2"])
@pytest.mark.parametrize("post", [False, True])
def test_similar_songs_in_the_servers_ids(
    address: str, library: Store, ids: dict[str, str], method: str, post: bool
) -> None:
    answer = ask(address, method, post=post, id=ids["Song 3"], count=5)
    songs = answer[f"s{method[4:]}"]["song"]
    assert [song["title"] for song in songs] == expected(library, [3], 5)
    for song in songs:
        assert song["id"] == ids[song["title"]]
        assert song["suffix"] == "flac" and song["albumId"], "all that the server says"


def test_albums_and_artists_are_seeds(address: str, library: Store, ids: dict[str, str]) -> None:
    song = ask(address, "getSong", id=ids["Song 4"])["song"]
    for name, rows in ((song["albumId"], [4, 10]), (song["artistId"], [1, 4, 7, 10])):
        songs = ask(address, "getSimilarSongs2", id=name, count=4)["similarSongs2"]["song"]
        assert [each["title"] for each in songs] == expected(library, rows, 4)


def test_sonic_similarity_in_the_servers_ids(
    address: str, library: Store, ids: dict[str, str]
) -> None:
    found = ask(address, "getSonicSimilarTracks", id=ids["Song 3"], weights="genre=1", count=4)
    titles = [match["entry"]["title"] for match in found["sonicMatch"]]
    assert titles == expected(library, [3], 4, weights={"genre": 1})
    similarities = [match["similarity"] for match in found["sonicMatch"]]
    assert similarities == sorted(similarities, reverse=True)
    ends = {"startSongId": ids["Song 3"], "endSongId": ids["Song 9"], "count": 5}
    way = ask(address, "findSonicPath", **ends)["sonicMatch"]
    assert [way[0]["entry"]["id"], way[-1]["entry"]["id"]] == [ids["Song 3"], ids["Song 9"]]


def test_the_extension_is_among_the_servers(address: str) -> None:
    listed = ask(address, "getOpenSubsonicExtensions")["openSubsonicExtensions"]
    assert {"name": "sonicSimilarity", "versions": [1]} in listed


def test_similar_artists(address: str, library: Store, ids: dict[str, str]) -> None:
    artist = ask(address, "getSong", id=ids["Song 1"])["song"]["artistId"]
    found = ask(address, "getArtistInfo2", id=artist)["artistInfo2"]["similarArtist"]
    best = query.search(library, [1, 4, 7, 10], top=TRACKS)
    names = [t["artist"] for t in library.metadata([hit.row for hit in best])]
    order = [name for name in dict.fromkeys(names) if name != "Artist 1"]
    assert [one["name"] for one in found] == order
    assert ask(address, "getArtist", id=found[0]["id"])["artist"]["name"] == order[0]
    assert (
        len(ask(address, "getArtistInfo2", id=artist, count=1)["artistInfo2"]["similarArtist"]) == 1
    )


def test_answers_are_xml_unless_they_are_to_be_json(address: str, ids: dict[str, str]) -> None:
    given = urllib.parse.urlencode(LOGIN | {"id": ids["Song 3"], "count": "2"})
    with urllib.request.urlopen(f"{address}/rest/getSimilarSongs2?{given}", timeout=60) as answer:
        root = ElementTree.fromstring(answer.read())
    songs = root.findall(f"{XML}similarSongs2/{XML}song")
    assert root.tag == f"{XML}subsonic-response" and root.get("status") == "ok"
    assert [song.get("isDir") for song in songs] == ["false", "false"]
    assert set(song.get("id") for song in songs) < set(ids.values())


@pytest.mark.parametrize("method", ["getSimilarSongs", "getSonicSimilarTracks", "getArtistInfo2"])
def test_only_the_servers_users_are_answered(
    address: str, ids: dict[str, str], method: str
) -> None:
    assert ask(address, method, id=ids["Song 3"])["status"] == "ok"
    wrong = ask(address, method, id=ids["Song 3"], p="wrong")
    assert (wrong["status"], wrong["error"]["code"]) == ("failed", 40)
    assert ask(address, method, id=ids["Song 3"], u="ben", p="other")["status"] == "ok"


@pytest.mark.parametrize("name", ["nonsense", "00000000-0000-0000-0000-000000000000"])
@pytest.mark.parametrize("post", [False, True])
def test_a_name_that_nobody_knows_is_an_envelope(address: str, name: str, post: bool) -> None:
    """This server does not know these methods, so that it has no answer of its own."""
    for method in ("getSimilarSongs2", "getArtistInfo2", "getSonicSimilarTracks"):
        answer = ask(address, method, post=post, id=name)
        assert (answer["status"], answer["error"]["code"]) == ("failed", 70)


def test_a_wrong_parameter_is_an_envelope(address: str, ids: dict[str, str]) -> None:
    for more in ({"count": "x"}, {"count": "-1"}, {"weights": "colour=1"}, {"weights": "genre=0"}):
        answer = ask(address, "getSonicSimilarTracks", **{"id": ids["Song 3"]} | more)
        assert (answer["status"], answer["error"]["code"]) == ("failed", 0), more
    assert ask(address, "getSimilarSongs2")["error"]["code"] == 10


def test_logins_are_not_logged(library: Store, upstream: str, caplog, capfd) -> None:
    with serving(library, Player(Gateway(upstream))) as address, caplog.at_level("INFO"):
        songs = ask(address, "getRandomSongs")["randomSongs"]["song"]
        ask(address, "getSimilarSongs2", id=songs[0]["id"])
    said = caplog.text + "".join(capfd.readouterr())
    assert "GET /rest/getSimilarSongs2 HTTP" in said, "there is an access log"
    for secret in (SECRET, urllib.parse.quote_plus(SECRET), urllib.parse.quote(SECRET)):
        assert secret not in said


# Playlists


def test_a_playlist_goes_to_the_server(library: Store, upstream: str, ids: dict[str, str]) -> None:
    with serving(library, Player(Gateway(upstream, Login("anna", SECRET)))) as address:
        with urllib.request.urlopen(f"{address}/api/player", timeout=60) as answer:
            assert json.load(answer) == {"server": upstream, "user": "anna"}

        def send(tracks: list[str]) -> Any:
            body = json.dumps({"name": "Evening ü", "tracks": tracks}).encode()
            headers = {"content-type": "application/json"}
            url = f"{address}/api/player/playlists"
            return urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60)

        assert send(["0007", "0003"]).status == 200
        listed = ask(upstream, "getPlaylists")["playlists"]["playlist"]
        (made,) = [each for each in listed if each["name"] == "Evening ü"]
        songs = ask(upstream, "getPlaylist", id=made["id"])["playlist"]["entry"]
        assert [song["id"] for song in songs] == [ids["Song 7"], ids["Song 3"]]
        with pytest.raises(urllib.error.HTTPError) as refused:
            send([f"00{TRACKS - 1}"])
        assert refused.value.code == 409
        assert "the music server does not have this track" in refused.value.read().decode()


def test_without_a_user_there_are_no_playlists(address: str) -> None:
    with urllib.request.urlopen(f"{address}/api/player", timeout=60) as answer:
        assert json.load(answer) == {"server": None, "user": None}


# Ids in the store


def test_the_servers_ids_are_stored(library: Store, upstream: str, ids: dict[str, str]) -> None:
    said = embed.take_ids(MusicServer(upstream, Login("anna", SECRET)), library)
    assert said == f"{TRACKS - 1} of them are among the {TRACKS - 1} songs of {upstream}"
    stored = subsonic_ids.load(library.path)[upstream]
    assert {Path(path).stem: name for path, name in stored.items()} == {
        title.removeprefix("Song "): name for title, name in ids.items()
    }
    with serving(library, Player()) as address:
        found = ask(address, "getSimilarSongs2", id=ids["Song 3"], count=20)["similarSongs2"]
    by_title = {song["title"]: song["id"] for song in found["song"]}
    last = f"Song {TRACKS - 1}"
    assert by_title.pop(last) == f"00{TRACKS - 1}", "in ours, where the server has none"
    assert by_title == {title: name for title, name in ids.items() if title != "Song 3"}


def test_a_server_is_asked_before_anything_is_embedded(
    upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*more: str) -> str:
        with pytest.raises(SystemExit) as error:
            embed.main([str(tmp_path), "--store", str(tmp_path / "s"), *more])
        assert not (tmp_path / "s").exists()
        return str(error.value.code)

    asked = [f"--subsonic={upstream}", "--subsonic_user=anna"]
    assert refused(asked[0]) == "error: --subsonic needs --subsonic_user, and its password"
    assert "expected a password in --subsonic_password_file or in" in refused(*asked)
    (tmp_path / "password").write_text("wrong\n")
    assert refused(*asked, f"--subsonic_password_file={tmp_path / 'password'}") != ""
    monkeypatch.setenv(music_server.PASSWORD, "x")
    unreachable = "error: http://127.0.0.1:9: cannot be used as a music server"
    assert refused("--subsonic=http://127.0.0.1:9", asked[1]).startswith(unreachable)


def song(name: str, path: str, **more: Any) -> Song:
    known = {"title": "", "artist": "", "album": "", "seconds": 100.0} | more
    return Song(id=name, path=path, album_id="", artist_id="", **known)


def track(path: str, **more: Any) -> dict[str, Any]:
    return {"title": None, "artist": None, "album": None, "seconds": 101.0, "path": path} | more


@pytest.mark.parametrize(
    ("songs", "tracks", "found"),
    [
        # Below another folder, below the music folder, and in it.
        ([song("a", "/music/A/B/1.mp3")], ["/home/x/A/B/1.mp3"], {"/home/x/A/B/1.mp3": "a"}),
        ([song("a", "A/B/1.mp3")], ["/m/A/B/1.mp3", "/m/A/C/1.mp3"], {"/m/A/B/1.mp3": "a"}),
        ([song("a", "1.mp3")], ["/m/1.mp3"], {"/m/1.mp3": "a"}),
        # Only the file's name, or two that are equally likely.
        ([song("a", "/music/A/1.mp3")], ["/m/B/1.mp3"], {}),
        ([song("a", "B/1.mp3")], ["/m/A/B/1.mp3", "/m/C/B/1.mp3"], {}),
        # Another length.
        ([song("a", "A/1.mp3", seconds=200.0)], ["/m/A/1.mp3"], {}),
        ([song("a", "A/1.mp3", seconds=None)], ["/m/A/1.mp3"], {"/m/A/1.mp3": "a"}),
        # Two songs of one path: the first.
        ([song("a", "A/1.mp3"), song("b", "A/1.mp3")], ["/m/A/1.mp3"], {"/m/A/1.mp3": "a"}),
    ],
)
def test_songs_are_matched_by_path(songs: list[Song], tracks: list[str], found: dict) -> None:
    assert matching.match(songs, [track(path) for path in tracks]) == found


def test_songs_are_matched_by_tags() -> None:
    """As with Navidrome, whose paths are made up from tags unless it is told otherwise."""
    known = {"title": "Jóga", "artist": "Björk", "album": "Homogenic"}
    live = known | {"album": "Live"}
    songs = [
        song("studio", "Björk/Homogenic/01 - Joga.flac", **known),
        song("live", "Björk/Live/01 - Joga.flac", **live),
        song("duet", "x", title="Duet", artist="A • B", album="C"),
        song("renamed", "y", title="Once", artist="A", album="Deluxe"),
        song("twin", "z", title="Twice", artist="A", album=""),
    ]
    tracks = [
        track("/m/1.flac", **known | {"title": "JOGA"}),
        track("/m/2.flac", **live),
        track("/m/3.flac", title="Duet", artist="A; B", album="C"),
        track("/m/4.flac", title="Once", artist="A", album="Standard"),
        track("/m/5.flac", title="Twice", artist="A", album="D"),
        track("/m/6.flac", title="Twice", artist="A", album="E"),
        track("/m/7.flac"),
    ]
    found = {f"/m/{i}.flac": n for i, n in enumerate(("studio", "live", "duet", "renamed"), 1)}
    assert matching.match(songs, tracks) == found


def test_a_login_does_not_show_its_password() -> None:
    login = Login("anna", SECRET)
    given = login.by_token()
    assert given["t"] == hashlib.md5((SECRET + given["s"]).encode()).hexdigest()
    assert SECRET not in repr(login) + str(given)
    with pytest.raises(ValueError, match="has a user or a password"):
        music_server.address("http://anna:secret@localhost")


def test_the_command_answers_beside_a_server(library: Store, upstream: str, ids) -> None:
    import sys

    command = [sys.executable, "-m", "jaxsim.serve", str(library.path), "--port=0"]
    process = subprocess.Popen(
        [*command, f"--subsonic={upstream}"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split(": ", 1)[1].strip().rstrip("/")
        assert ask(address, "getSimilarSongs2", id=ids["Song 3"], count=2)["status"] == "ok"
    finally:
        process.kill()
        process.wait()
