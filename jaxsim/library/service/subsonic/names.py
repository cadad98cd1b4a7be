"""Which of the library's tracks a music server's songs, albums and artists are.

The server's songs are listed with the login of a request, or with one that is configured, and
listed again when that was long ago or when a name is not known.
"""

import asyncio
import collections
import contextlib
import dataclasses
import time

import anyio
import numpy as np
from anyio.to_thread import run_sync

from jaxsim.library.intake.matching import match
from jaxsim.library.intake.music_server import Login, MusicServer, Song
from jaxsim.library.service.shared import Shared
from jaxsim.library.store import Store

STALE = 900.0  # seconds after which the songs are listed again
RECENT = 60.0  # seconds within which a name that is not known does not lead to a new list


@dataclasses.dataclass(frozen=True)
class Known:
    """The names for one snapshot of the library.

    Attributes:
      library: the snapshot.
      row_of: the row of each song.
      song_of: the song of each row.
      unnamed: rows of tracks that the server does not have.
      groups: the rows of each album and artist.
      artist_of: the artist of each row.
      artist_name: what the artists are called.
    """

    library: Store
    row_of: dict[str, int]
    song_of: dict[int, str]
    unnamed: np.ndarray
    groups: dict[str, list[int]]
    artist_of: dict[int, str]
    artist_name: dict[str, str]

    def rows(self, name: str) -> list[int]:
        """The rows of a song, an album or an artist; none if it is not known."""
        if name in self.row_of:
            return [self.row_of[name]]
        return self.groups.get(name, [])

    def artist(self, name: str) -> str | None:
        """The artist of a song, of an album, or with this name itself."""
        if name in self.artist_name:
            return name
        rows = self.rows(name)
        return self.artist_of.get(rows[0]) if rows else None


class Names:
    """The names of one server; all calls come from one event loop."""

    def __init__(self, url: str, login: Login | None):
        self._url = url
        self._login = login
        self._songs: dict[str, Song] = {}
        self._listed = -np.inf
        self._known: Known | None = None
        self._lock = anyio.Lock()
        self._refreshing: asyncio.Task | None = None

    async def get(self, here: Shared, login: dict[str, str], *wanted: str) -> Known:
        """What is known for the present library; `login` is used if none is configured.

        Raises:
          OSError: the server's songs cannot be listed.
        """
        async with self._lock:
            age = time.monotonic() - self._listed
            is_missing = self._known is None or not all(map(self._known.rows, wanted))
            if is_missing and age > RECENT:
                await self._list(login)
            elif age > STALE and (self._refreshing is None or self._refreshing.done()):
                self._refreshing = asyncio.create_task(self._refresh(login))
            if self._known is None or self._known.library is not here.library:
                songs = list(self._songs.values())
                self._known = await run_sync(understand, here.library, songs)
            return self._known

    async def _list(self, login: dict[str, str]) -> None:
        server = MusicServer(self._url, self._login or login)
        listed = await run_sync(lambda: {song.id: song for song in server.songs()})
        # Another user may hear other songs: those of all users are remembered.
        self._songs = (self._songs if self._login is None else {}) | listed
        self._listed, self._known = time.monotonic(), None

    async def _refresh(self, login: dict[str, str]) -> None:
        with contextlib.suppress(OSError):  # the next request tries again
            await self._list(login)


def understand(library: Store, songs: list[Song]) -> Known:
    """Matches a server's songs with a library's tracks."""
    tracks = library.metadata(library.rows)
    found = match(songs, tracks)
    rows = library.rows.tolist()
    paired = [(row, found.get(track["path"])) for row, track in zip(rows, tracks, strict=True)]
    song_of = {row: name for row, name in paired if name is not None}
    by_name = {song.id: song for song in songs}
    groups = collections.defaultdict[str, list[int]](list)
    artist_of, artist_name = {}, {}
    for row, name in song_of.items():
        song = by_name[name]
        for group in {song.album_id, song.artist_id} - {""}:
            groups[group].append(row)
        if song.artist_id:
            artist_of[row] = song.artist_id
            artist_name[song.artist_id] = song.artist
    return Known(
        library=library,
        row_of={name: row for row, name in song_of.items()},
        song_of=song_of,
        unnamed=np.array([row for row, name in paired if name is None], np.int64),
        groups=dict(groups),
        artist_of=artist_of,
        artist_name=artist_name,
    )
