"""Answers in the ids of a music server, to which everything else is passed.

Who may hear what is for the server to say: every answer of ours begins with a question to it in the
client's name, and songs are described by it. Logins are passed on, never kept and never logged.
"""

import logging
from collections.abc import Mapping
from typing import Any

import anyio
import httpx2
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from jaxsim.library.intake.music_server import Login, MusicServer, MusicServerError, content_of
from jaxsim.library.search import query
from jaxsim.library.search.query import Hit
from jaxsim.library.service.shared import Shared
from jaxsim.library.service.subsonic import methods
from jaxsim.library.service.subsonic.answers import FAILED, Refused
from jaxsim.library.service.subsonic.names import Names
from jaxsim.library.service.subsonic.parameters import Parameters

Content = dict[str, Any] | None

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 300.0  # between two blocks; a server may be transcoding
AT_ONCE = 8  # questions to the server for one answer
SIMILAR_ARTISTS = 20
MAX_BODY = 4 << 20  # bytes; a playlist of a hundred thousand songs
UNKNOWN = (404, 410, 501)  # what servers answer to a method that they do not know
# About one connection only, so that they are not passed on (RFC 9110, 7.6.1).
HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
HOP_BY_HOP |= {"proxy-authenticate", "proxy-authorization", "host", "expect"}


class Gateway:
    """A music server, and the client that asks it."""

    def __init__(self, url: str, login: Login | None = None):
        """`login`: a user who may hear everything, to list the server's songs; else clients'."""
        self.url = url
        self.login = login
        self.names = Names(url, login)
        for name in ("httpx2", "httpcore2"):  # they would log addresses, with the logins in them
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=32),
            headers={"accept-encoding": "identity"},  # what a client does not ask for is not sent
            trust_env=False,
        )
        self.answers = {
            "getOpenSubsonicExtensions": self._extensions,
            "getSimilarSongs": self._similar_songs,
            "getSimilarSongs2": self._similar_songs2,
            "getSonicSimilarTracks": self._similar_tracks,
            "findSonicPath": self._sonic_path,
            "getArtistInfo": self._artist_info,
            "getArtistInfo2": self._artist_info2,
        }

    async def close(self) -> None:
        await self._client.aclose()

    def forward(
        self, request: Request, body: bytes | None = None, *, unknown: Refused | None = None
    ) -> Response:
        """Passes a request on.

        Args:
          request: of a client.
          body: its body, if that has been read.
          unknown: what to answer if the server does not know the method.
        """
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        headers = [
            (name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP
        ]
        content: Any = body
        if body is None and request.method == "POST":
            content = request.stream()
        asked = self._client.build_request(
            request.method,
            httpx2.URL(self.url + path, query=request.scope["query_string"]),
            headers=headers,
            content=content,
        )
        return _Forwarded(self, asked, unknown)

    async def ask(self, given: Parameters, request: Request, method: str, **more: str) -> dict:
        """What the server answers to the client's user.

        Raises:
          MusicServerError: it refuses.
          Refused: it cannot be reached.
        """
        headers = {n: v for n, v in request.headers.items() if n in ("authorization", "cookie")}
        form = given.login() | {"f": "json"} | more
        try:
            answer = await self._client.post(
                f"{self.url}/rest/{method}.view", data=form, headers=headers
            )
            return content_of(answer.json())
        except (httpx2.HTTPError, ValueError) as error:
            raise self.unreachable(error) from None

    def unreachable(self, error: Exception) -> Refused:
        reason = str(error) or type(error).__name__
        return Refused(FAILED, f"the music server at {self.url} cannot be used ({reason})")

    # Answers: None if the server should answer itself

    async def _similar_songs(self, here: Shared, given: Parameters, request: Request) -> Content:
        songs = await self._songs_like(here, given, request)
        return None if songs is None else {"similarSongs": {"song": [song for _, song in songs]}}

    async def _similar_songs2(self, here: Shared, given: Parameters, request: Request) -> Content:
        songs = await self._songs_like(here, given, request)
        return None if songs is None else {"similarSongs2": {"song": [song for _, song in songs]}}

    async def _similar_tracks(self, here: Shared, given: Parameters, request: Request) -> Content:
        songs = await self._songs_like(here, given, request, default=10)
        return None if songs is None else _matches(here, given, songs)

    async def _songs_like(
        self, here: Shared, given: Parameters, request: Request, default: int = 50
    ) -> list[tuple[Hit, dict]] | None:
        name = given.need("id")
        await self.ask(given, request, "ping")
        known = await self.names.get(here, given.login(), name)
        seeds = known.rows(name)
        if not seeds:
            return None
        found = await run_sync(
            lambda: methods.similar(
                here.library, [*seeds], given, default=default, hidden=known.unnamed
            )
        )
        return await self._described(given, request, found, known.song_of)

    async def _sonic_path(self, here: Shared, given: Parameters, request: Request) -> Content:
        ends = [given.need(name) for name in ("startSongId", "endSongId")]
        await self.ask(given, request, "ping")
        known = await self.names.get(here, given.login(), *ends)
        start, end = (known.row_of.get(name) for name in ends)
        if start is None or end is None:
            return None
        found = await run_sync(lambda: methods.way(here.library, start, end, given))
        songs = await self._described(given, request, found, known.song_of)
        return _matches(here, given, songs)

    async def _described(
        self, given: Parameters, request: Request, found: list[Hit], song_of: Mapping[int, str]
    ) -> list[tuple[Hit, dict]]:
        """Hits with what the server says about them, without those that it does not show."""
        limit = anyio.Semaphore(AT_ONCE)
        entries: dict[int, dict] = {}

        async def describe(hit: Hit) -> None:
            if song := song_of.get(hit.row):
                async with limit:
                    try:
                        answer = await self.ask(given, request, "getSong", id=song)
                        entries[hit.row] = answer["song"]
                    except (MusicServerError, Refused, KeyError):
                        return  # it is gone, or this user may not hear it

        async with anyio.create_task_group() as group:
            for hit in found:
                group.start_soon(describe, hit)
        return [(hit, entries[hit.row]) for hit in found if hit.row in entries]

    async def _artist_info(self, here: Shared, given: Parameters, request: Request) -> Content:
        return await self._info("artistInfo", here, given, request)

    async def _artist_info2(self, here: Shared, given: Parameters, request: Request) -> Content:
        return await self._info("artistInfo2", here, given, request)

    async def _info(self, kind: str, here: Shared, given: Parameters, request: Request) -> Content:
        """What the server knows about an artist, with similar artists from the library."""
        name = given.need("id")
        await self.ask(given, request, "ping")
        known = await self.names.get(here, given.login(), name)
        artist = known.artist(name)
        if artist is None:
            return None
        try:
            method = f"get{kind[0].upper()}{kind[1:]}"
            info = (await self.ask(given, request, method, id=name))[kind]
        except (MusicServerError, KeyError):
            info = {}  # many servers have nothing to say about artists
        count = given.whole("count", SIMILAR_ARTISTS, SIMILAR_ARTISTS)
        seeds = list[query.Seed](known.rows(artist))
        found = await run_sync(
            lambda: methods.similar_artists(here.library, seeds, known.artist_of, artist, count)
        )
        similar = [{"id": each, "name": known.artist_name[each]} for each in found]
        return {kind: info | {"similarArtist": similar}}

    async def _extensions(self, here: Shared, given: Parameters, request: Request) -> Content:
        """The server's extensions and the sonic similarity."""
        try:
            answer = await self.ask(given, request, "getOpenSubsonicExtensions")
            listed = answer.get("openSubsonicExtensions") or []
        except MusicServerError:
            listed = []  # an older one
        names = {each.get("name") for each in listed}
        if "sonicSimilarity" not in names:
            versions = methods.EXTENSIONS["sonicSimilarity"]
            listed = [*listed, {"name": "sonicSimilarity", "versions": versions}]
        return {"openSubsonicExtensions": listed}

    async def create_playlist(self, name: str, songs: list[str]) -> None:
        """Makes a playlist of the configured user.

        Raises:
          OSError: the server refuses, or cannot be reached.
        """
        assert self.login is not None
        await run_sync(MusicServer(self.url, self.login).create_playlist, name, songs)


def _matches(here: Shared, given: Parameters, songs: list[tuple[Hit, dict]]) -> dict[str, Any]:
    weights = methods.weights_of(here.library, given)
    return {
        "sonicMatch": [methods.match(here.library, weights, hit, entry) for hit, entry in songs]
    }


class _Forwarded(Response):
    """The server's answer, block by block as it comes."""

    def __init__(self, gateway: Gateway, asked: httpx2.Request, unknown: Refused | None):
        self.gateway = gateway
        self.asked = asked
        self.unknown = unknown
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self.gateway._client.send(self.asked, stream=True)
        except httpx2.HTTPError as error:
            raise self.gateway.unreachable(error) from None
        try:
            if self.unknown is not None and answer.status_code in UNKNOWN:
                raise self.unknown
            response = StreamingResponse(answer.aiter_raw(), answer.status_code)
            response.raw_headers = [
                (name.lower(), value)
                for name, value in answer.headers.raw
                if name.decode("latin1").lower() not in HOP_BY_HOP
            ]
            await response(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await answer.aclose()
