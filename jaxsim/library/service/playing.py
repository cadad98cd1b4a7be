"""Which file is played for a track: its own, and no other."""

import os
import stat
from pathlib import Path

from fastapi.responses import FileResponse, JSONResponse
from starlette.types import Message, Receive, Scope, Send

from jaxsim.library.store import Store

# What browsers are told, so that they need not guess: a file with another suffix is not shown.
MEDIA_TYPES = {
    ".aac": "audio/aac",
    ".aif": "audio/aiff",
    ".aifc": "audio/aiff",
    ".aiff": "audio/aiff",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".m4b": "audio/mp4",
    ".mp2": "audio/mpeg",
    ".mp3": "audio/mpeg",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
    ".wma": "audio/x-ms-wma",
}
OTHER = "application/octet-stream"


class NotPlayable(Exception):
    """A file that must not, or cannot, be played; the message says why, without its path."""


class Audio(FileResponse):
    """A file; if it vanishes before it has been read from, the answer is 403, as afterwards."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head: list[Message] = []  # is sent with what was read first
        has_begun = False

        async def send_once_read(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                head.append(message)
                return
            has_begun = True
            while head:
                await send(head.pop())
            await send(message)

        try:
            await super().__call__(scope, receive, send_once_read)
        except (FileNotFoundError, RuntimeError):  # the latter is Starlette's for the former
            if has_begun or os.path.exists(self.path):
                raise
            problem = {"error": f"{Path(self.path).name}: cannot be read (it has just gone)"}
            await JSONResponse(problem, 403)(scope, receive, send)


def file_of(library: Store, row: int) -> tuple[Path, str]:
    """The audio file of a track, and its media type.

    The path in the library must lead where it led when the file was embedded, since links can be
    redirected to other files later.

    Raises:
      KeyError: the row does not belong to a track.
      NotPlayable: the file is gone or not a regular file, or its path leads elsewhere now.
    """
    path = library.path_of(row)
    name = path.name
    real = library.real_path_of(row)
    try:
        if not path.is_absolute() or os.path.realpath(path, strict=True) != str(real):
            raise NotPlayable(
                f"{name}: its path leads elsewhere than when it was embedded; embed the library "
                "again"
            )
        if not stat.S_ISREG(real.lstat().st_mode):
            raise NotPlayable(f"{name}: is not a regular file")
    except OSError as error:
        raise NotPlayable(f"{name}: cannot be read ({error.strerror})") from None
    if not os.access(path, os.R_OK):
        raise NotPlayable(f"{name}: cannot be read (no permission)")
    return real, MEDIA_TYPES.get(path.suffix.lower(), OTHER)
