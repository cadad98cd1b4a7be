"""What the requests of one server share."""

import dataclasses
import functools
import gc
import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import APIRouter, Depends, HTTPException, Request

from jaxsim.library.search import groups, projection, words
from jaxsim.library.search.query import Seed
from jaxsim.library.service.uploads import Uploads
from jaxsim.library.store import NUMBERS, TEXTS, Store, subsonic_ids

SHARED = "jaxsim.shared"  # where a request's scope has its snapshot
Handler = TypeVar("Handler", bound=Callable[..., Any])


class Router(APIRouter):
    """A router that answers HEAD wherever it answers GET."""

    def get(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        head = self.head(path, **options | {"include_in_schema": False})
        get = super().get(path, **options)
        return lambda endpoint: get(head(endpoint))


class MapFailed(Exception):
    """A map could not be computed."""


class Maps:
    """Maps of a library, computed in the background when first requested."""

    def __init__(self, library: Store):
        self._library = library
        self._lock = threading.Lock()
        self._turn = threading.Lock()  # one is computed at a time
        self._points: dict[str, np.ndarray] = {}
        self._running: dict[str, threading.Thread] = {}
        self._failures: dict[str, Exception] = {}

    def get(self, space: str) -> np.ndarray | None:
        """Points as `projection.load` returns them, or None while they are being computed.

        Raises:
          ValueError: there is no such space.
          MapFailed: it could not be computed; the next call tries again.
        """
        with self._lock:
            if failure := self._failures.pop(space, None):
                raise MapFailed(f"the map cannot be drawn ({failure!r})") from failure
            running = self._running.get(space)
            if space not in self._points and running is None:
                if projection.is_there(self._library, space):
                    self._points[space] = projection.load(self._library, space)
                else:
                    thread = threading.Thread(target=self._compute, args=(space,), daemon=True)
                    self._running[space] = thread
                    thread.start()
            return self._points.get(space)

    @property
    def is_busy(self) -> bool:
        """Whether a map is being computed."""
        with self._lock:
            return bool(self._running)

    def _compute(self, space: str) -> None:
        try:
            with self._turn:
                points = projection.load(self._library, space)
            with self._lock:
                self._points[space] = points
        except Exception as error:
            with self._lock:
                self._failures[space] = error
        finally:
            with self._lock:
                del self._running[space]


@dataclasses.dataclass(frozen=True)
class Shared:
    """The state of a server.

    Attributes:
      library: the library served.
      uploads: embeddings of files that users dropped; None if uploads are not accepted.
      maps: the library's maps.
      judging: a lock, held from reading answers to writing one.
      version: how many snapshots there have been before this one.
    """

    library: Store
    uploads: Uploads | None
    maps: Maps
    judging: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    version: int = 0

    @functools.cached_property
    def fields(self) -> list[str]:
        """Names of the metadata fields that at least one track has."""
        return self.library.known_fields((*TEXTS, *NUMBERS))

    @functools.cached_property
    def server_ids(self) -> dict[str, str]:
        """A music server's ids by the tracks' paths, as far as they are known."""
        known = subsonic_ids.load(self.library.path)
        return next(iter(known.values())) if len(known) == 1 else {}

    @functools.cached_property
    def paths_of_server_ids(self) -> dict[str, str]:
        """Paths by a music server's ids."""
        return {name: path for path, name in self.server_ids.items()}

    @functools.cached_property
    def edition(self) -> str:
        """Another text as soon as a row is of another track, even if the server was restarted."""
        rows = self.library.rows
        named = repr(self.library.ids[rows].tolist()).encode()
        return hashlib.blake2b(rows.tobytes() + named, digest_size=16).hexdigest()

    def warm(self) -> None:
        """Reads what the first requests would otherwise wait for."""
        _ = self.fields
        _ = self.library.sample
        self.library.warm()
        # A collection looks at every object, and no request is answered meanwhile: all that is
        # there now, a library's ids among it, is left out of those to come.
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def seeds(self, names: Sequence[str]) -> list[Seed]:
        """Rows of tracks, artists, albums; embeddings of uploads and words; 404 if unknown."""
        return [seed for name in names for seed in self._seeds(name)]

    def known_seeds(self, names: Sequence[str]) -> list[Seed] | None:
        """The same without looking for names; None if one is neither a track nor an upload."""
        known = [self._known_seed(name) for name in names]
        return [seed for seed in known if seed is not None] if None not in known else None

    def _known_seed(self, name: str) -> Seed | None:
        if self.uploads and (upload := self.uploads.get(name)) is not None:
            return upload
        return self.library.row_of(name)

    def _seeds(self, name: str) -> Sequence[Seed]:
        if (known := self._known_seed(name)) is not None:
            return [known]
        try:
            if (rows := groups.members(self.library, name)) is not None:
                return rows
        except ValueError as error:
            raise HTTPException(404, str(error)) from None
        if asked := words.terms(name, self.library.dimensions):
            return [words.example(self.library, asked)]
        return [self.row(name)]

    def row(self, name: str) -> int:
        """The row of the track with an id; 404 if there is none."""
        row = self.library.row_of(name)
        if row is None:
            kind = "upload (it may have been forgotten)" if name.startswith("upload:") else "track"
            raise HTTPException(404, f"{name!r}: no such {kind}")
        return row

    def row_of_address(self, row: int, id: str | None) -> int:
        """The row of the track that an address is about: of the id, wherever it is by now.

        Without an id, in older addresses, it is the row itself, as long as rows have never been
        renumbered; then 410.
        """
        if id is not None:
            return self.row(id)
        if self.library.is_renumbered:
            raise HTTPException(410, f"row {row} may have been of another track; ask with its id")
        return row


async def _of(request: Request) -> Shared:  # async: not worth a thread
    return request.scope[SHARED]


Here = Annotated[Shared, Depends(_of)]
