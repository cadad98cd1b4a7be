"""The picture of a track's album: a file beside the track, or else one inside of it.

What is sent is a picture by its first bytes, and of a kind that every browser shows; it is sent as
it is. Links are not followed, so that a file beside a track is one of its folder.
"""

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from input_pipeline.hearing import pictures
from jaxsim.library.service import playing
from jaxsim.library.store import Store

NAMES = ("folder", "cover", "front")  # of files, in the order in which they count
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
MAX_BYTES = 10 * 2**20
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def of(library: Store, row: int) -> tuple[bytes, str] | None:
    """The picture of a track's album and its media type; None if there is none.

    Raises:
      KeyError: the row does not belong to a track.
      NotPlayable: the track's own file must not, or cannot, be read; see `playing.file_of`.
    """
    file, _ = playing.file_of(library, row)
    for content in itertools.chain(_beside(file), pictures.embedded(file)):
        kind = media_type(content)
        if kind and len(content) <= MAX_BYTES:
            return content, kind
    return None


def media_type(content: bytes) -> str | None:
    """What a picture is by its first bytes; None if it is nothing that is shown."""
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    return None


def _beside(file: Path) -> Iterator[bytes]:
    """The contents of the pictures in a file's folder."""
    try:
        names = os.listdir(file.parent)
    except OSError:
        return
    ranked = []
    for name in names:
        stem, suffix = os.path.splitext(name.casefold())
        if stem in NAMES and suffix in SUFFIXES:
            ranked.append((NAMES.index(stem), SUFFIXES.index(suffix), name))
    for *_, name in sorted(ranked):
        with contextlib.suppress(OSError):
            yield _content(file.parent / name)


def _content(path: Path) -> bytes:
    """A regular file's content; nothing if it is too large or of another kind."""
    with os.fdopen(os.open(path, _FLAGS), "rb") as stream:
        about = os.fstat(stream.fileno())
        is_fit = stat.S_ISREG(about.st_mode) and about.st_size <= MAX_BYTES
        return stream.read(MAX_BYTES + 1) if is_fit else b""
