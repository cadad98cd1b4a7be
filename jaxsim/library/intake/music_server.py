"""A music server that speaks the Subsonic protocol, such as Navidrome: its songs and playlists.

https://opensubsonic.netlify.app/docs/: requests are forms, so that no server writes a password into
its log, and answers are JSON.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

VERSION = "1.16.1"  # of the protocol
CLIENT = "jaxsim"
PAGE = 500  # songs or albums at once; the most that servers give
PATIENCE = 60.0  # seconds for an answer
PASSWORD = "JAXSIM_SUBSONIC_PASSWORD"
# Errors that say that a server does not know logins by token: a missing parameter, LDAP, and
# a mechanism that it does not have.
NO_TOKENS = (10, 41, 42)


class MusicServerError(OSError):
    """What the server refused; `code` is the protocol's."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


@dataclasses.dataclass(frozen=True)
class Login:
    """A user of a music server."""

    user: str
    password: str = dataclasses.field(repr=False)

    def by_token(self) -> dict[str, str]:
        """The parameters of a login that does not contain the password."""
        salt = secrets.token_hex(8)
        return {"u": self.user, "s": salt, "t": token(self.password, salt)}

    def by_password(self) -> dict[str, str]:
        """The parameters of a login for servers that know no tokens."""
        return {"u": self.user, "p": f"enc:{self.password.encode().hex()}"}


def token(password: str, salt: str) -> str:
    """The protocol's proof that one knows a password."""
    return hashlib.md5(f"{password}{salt}".encode()).hexdigest()


def add_login_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options from which `read_login` makes a login."""
    add = parser.add_argument
    add("--subsonic_user", default="", metavar="USER", help="a user of the music server")
    add(
        "--subsonic_password_file",
        metavar="FILE",
        help=f"the file that holds the user's password; or set the environment variable {PASSWORD}",
    )


def read_login(user: str, password_file: str | None) -> Login | None:
    """The login of the options `--subsonic_user` and `--subsonic_password_file`; None without user.

    Without a file, the password is in the environment variable `PASSWORD`.

    Raises:
      OSError: the file cannot be read.
      ValueError: there is no password.
    """
    if not user:
        return None
    if password_file:
        password = Path(password_file).read_text(encoding="utf-8").rstrip("\r\n")
    else:
        password = os.environ.get(PASSWORD, "")
    if not password:
        raise ValueError(
            f"--subsonic_user is {user!r}, expected a password in --subsonic_password_file or in "
            f"the environment variable {PASSWORD}"
        )
    return Login(user, password)


def address(text: str) -> str:
    """A server's address without a slash at its end; raises ValueError if it is none."""
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ValueError(f"{text!r}, expected an address such as http://localhost:4533")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "has a user or a password, expected an address without; name the user in "
            "--subsonic_user"
        )
    return text.rstrip("/").removesuffix("/rest")


@dataclasses.dataclass(frozen=True, slots=True)
class Song:
    """What a server knows about a song; path is what it says, often below its music folder."""

    id: str
    path: str
    title: str
    artist: str
    album: str
    seconds: float | None
    album_id: str
    artist_id: str


class MusicServer:
    """A server and a login to it."""

    def __init__(self, url: str, login: Login | Mapping[str, str]):
        """`login`: a user, or the parameters by which a client has logged in."""
        self.url = address(url)
        self._login = login
        self._knows_tokens = True

    def call(self, method: str, *more: tuple[str, str], **parameters: object) -> dict[str, Any]:
        """The content of the answer to a method.

        Raises:
          MusicServerError: the server refuses.
          OSError: it cannot be reached, or does not speak the protocol.
        """
        given = [(name, str(value)) for name, value in parameters.items()]
        try:
            return self._call(method, [*given, *more])
        except MusicServerError as error:
            if error.code not in NO_TOKENS or not self._knows_tokens:
                raise
            if not isinstance(self._login, Login):
                raise
            self._knows_tokens = False
            return self._call(method, [*given, *more])

    def _call(self, method: str, parameters: Sequence[tuple[str, str]]) -> dict[str, Any]:
        login = self._login
        if isinstance(login, Login):
            login = login.by_token() if self._knows_tokens else login.by_password()
        about = {"v": VERSION, "c": CLIENT} | dict(login) | {"f": "json"}
        body = urllib.parse.urlencode([*about.items(), *parameters]).encode()
        try:
            return content_of(json.loads(_post(f"{self.url}/rest/{method}.view", body)))
        except MusicServerError:
            raise
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise OSError(f"{self.url}: cannot be used as a music server ({reason})") from None

    def songs(self) -> Iterator[Song]:
        """All songs that the user may hear.

        An empty search finds them all, unless the server is an old one; then by album.
        """
        found = False
        for offset in range(0, 1 << 40, PAGE):
            limits = {"songCount": PAGE, "songOffset": offset, "artistCount": 0, "albumCount": 0}
            result = self.call("search3", query="", **limits).get("searchResult3") or {}
            page = result.get("song") or []
            yield from map(_song, page)
            found |= bool(page)
            if len(page) < PAGE:
                break
        if not found:
            yield from self._songs_by_album()

    def _songs_by_album(self) -> Iterator[Song]:
        for offset in range(0, 1 << 40, PAGE):
            listed = self.call("getAlbumList2", type="alphabeticalByName", size=PAGE, offset=offset)
            albums = (listed.get("albumList2") or {}).get("album") or []
            for album in albums:
                answer = self.call("getAlbum", id=album["id"])
                yield from map(_song, answer["album"].get("song") or [])
            if len(albums) < PAGE:
                break

    def create_playlist(self, name: str, songs: Sequence[str]) -> None:
        """Makes a playlist of songs, by their ids at this server, in that order."""
        self.call("createPlaylist", *(("songId", song) for song in songs), name=name)


def _post(url: str, body: bytes) -> bytes:
    try:
        with urllib.request.urlopen(url, body, timeout=PATIENCE) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        content = error.read()
        if content.lstrip().startswith(b"{"):  # some answer 404 to a method they do not know
            return content
        raise


def content_of(answer: Any) -> dict[str, Any]:
    """What is in the protocol's envelope.

    Raises:
      MusicServerError: an error is.
      ValueError: it is no envelope.
    """
    content = answer.get("subsonic-response") if isinstance(answer, dict) else None
    if not isinstance(content, dict) or content.get("status") not in ("ok", "failed"):
        raise ValueError("its answer has no subsonic-response")
    if content["status"] == "failed":
        error = content.get("error") or {}
        raise MusicServerError(int(error.get("code", 0)), str(error.get("message", "")))
    return content


def _song(child: Mapping[str, Any]) -> Song:
    duration = child.get("duration")
    texts = ("path", "title", "artist", "album")
    path, title, artist, album = (str(child.get(name) or "") for name in texts)
    return Song(
        id=str(child["id"]),
        path=path,
        title=title,
        artist=artist,
        album=album,
        seconds=None if duration is None else float(duration),
        album_id=str(child.get("albumId") or ""),
        artist_id=str(child.get("artistId") or ""),
    )
