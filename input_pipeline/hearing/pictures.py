"""Pictures inside of audio files, in every format in which mutagen reads them."""

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mutagen
from mutagen import apev2, asf, flac, id3, mp4

FRONT = 3  # of the types of pictures that ID3, FLAC and ASF share: the front cover


def embedded(file: str | Path) -> list[bytes]:
    """The pictures in a file, front covers first; none if it cannot be read."""
    found: list[tuple[int, bytes]] = []
    # Whatever is wrong with the file: pictures are not worth an error.
    with contextlib.suppress(Exception):
        if (audio := mutagen.File(file)) is not None:
            for kind, content in _all(audio):
                found.append((kind, content))
    return [content for kind, content in sorted(found, key=lambda pair: pair[0] != FRONT)]


def _all(audio: Any) -> Iterator[tuple[int, bytes]]:
    """Type and content of every picture."""
    tags = audio.tags
    if isinstance(audio, flac.FLAC):
        yield from ((picture.type, picture.data) for picture in audio.pictures)
    if isinstance(tags, id3.ID3):
        yield from ((picture.type, picture.data) for picture in tags.getall("APIC"))
    elif isinstance(tags, mp4.MP4Tags):
        yield from ((FRONT, bytes(cover)) for cover in tags.get("covr", []))
    elif isinstance(tags, asf.ASFTags):
        yield from (_of_asf(picture.value) for picture in tags.get("WM/Picture", []))
    elif isinstance(tags, apev2.APEv2):
        if cover := tags.get("Cover Art (Front)"):
            yield FRONT, cover.value.partition(b"\0")[2]  # after its file's name
    elif tags is not None:  # Vorbis comments
        for text in tags.get("metadata_block_picture", []):
            picture = flac.Picture(base64.b64decode(text))
            yield picture.type, picture.data


def _of_asf(value: bytes) -> tuple[int, bytes]:
    """Read from a type of one byte, a length of four, two texts that end with 0, the picture."""
    length = int.from_bytes(value[1:5], "little")
    return value[0], value[len(value) - length :]
