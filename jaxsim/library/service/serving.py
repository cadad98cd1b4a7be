"""The snapshot that requests are answered from, and its successor when the library has changed.

A request ends on the snapshot on which it began; a snapshot is closed after the last of its
requests.
"""

import contextlib
import dataclasses
import sqlite3
import sys
import threading
import time
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from jaxsim.library import store
from jaxsim.library.service.shared import SHARED, Maps, Shared
from jaxsim.library.store import changes

WATCH_SECONDS = 2.0  # between two looks at the library's files


class Serving:
    """The present snapshot, and how many requests use it and those before; for any thread."""

    def __init__(self, shared: Shared):
        self.current = shared
        self._users = {id(shared): 0}
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._seen = shared.library.signature

    @contextlib.contextmanager
    def lease(self) -> Any:
        """The present snapshot, which stays open inside."""
        with self._lock:
            shared = self.current
            self._users[id(shared)] += 1
        try:
            yield shared
        finally:
            with self._lock:
                self._users[id(shared)] -= 1
                self._close_if_unused(shared)

    def _close_if_unused(self, shared: Shared) -> None:
        """Closes a snapshot that has a successor and no user; the lock must be held."""
        if shared is not self.current and not self._users.get(id(shared), 1):
            del self._users[id(shared)]
            if not shared.maps.is_busy:
                shared.library.close()

    def refresh(self) -> bool:
        """Takes a new snapshot if the library's tracks have changed, and says whether they have.

        Raises:
          OSError, ValueError, sqlite3.Error: the library cannot be read; the snapshot stays.
        """
        with self._refreshing:
            path = self.current.library.path
            seen = changes.signature(path)
            if seen == self._seen:
                return False
            found = changes.fingerprint(path)
            if found == self.current.library.fingerprint:
                self._seen = seen
                return False
            library = store.open(path)
            if library.signature == seen:  # it has been hashed already
                library.fingerprint = found
            successor = dataclasses.replace(
                self.current, library=library, maps=Maps(library), version=self.current.version + 1
            )
            successor.warm()
            self._seen = library.signature
            with self._lock:
                old, self.current = self.current, successor
                self._users[id(successor)] = 0
                self._close_if_unused(old)
            return True

    def watch(self) -> None:
        """Refreshes for as long as the process lives, in a thread of its own."""
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        said = ""
        while True:
            time.sleep(WATCH_SECONDS)
            try:
                self.refresh()
                said = ""
            except (OSError, ValueError, sqlite3.Error) as error:
                if str(error) != said:
                    print(f"the library cannot be read again: {error}", file=sys.stderr)
                said = str(error)


class Leasing:
    """Gives every request a lease of the present snapshot. Pure ASGI."""

    def __init__(self, app: ASGIApp, *, serving: Serving):
        self.app = app
        self.serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with self.serving.lease() as shared:
            await self.app({**scope, SHARED: shared}, receive, send)
