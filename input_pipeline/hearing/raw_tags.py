"""The tags of a file as they are written, in every container that it has."""

import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mutagen
from mutagen import aiff, apev2, id3

from input_pipeline.hearing import audio as audio_files
from input_pipeline.hearing import riff

# Frames that hold dates are read as plain texts: mutagen's own classes lose "Oct 3, 1995". Frames
# that are not needed, such as pictures, are not parsed at all.
_DATE_FRAMES = {name: type(name, (id3.TextFrame,), {}) for name in ("TDOR", "TDRC", "TDRL")}
_FRAMES = {
    name: frame
    for name, frame in ((id3.Frames_2_2 | id3.Frames) | _DATE_FRAMES).items()
    if name.startswith("T")
}
_AS_WRITTEN: dict[str, Any] = {"known_frames": _FRAMES, "translate": False, "load_v1": False}
_ABSENT = (id3.ID3NoHeaderError, apev2.APENoHeaderError)
_LONGEST_INFO = 2**20  # bytes of a RIFF file's texts

Tags = dict[str, list[str]]


def read(file: str | Path, names: Collection[str]) -> list[Tags]:
    """The values of those tags that are among `names`, in lower case.

    Returns:
      One dictionary for each container, in the order in which they count: what the format itself
      has (ID3v2 in MP3, WAV, AIFF; Vorbis comments; MP4 atoms; ASF; APEv2), an ID3v2 tag in front
      of any other format, an APEv2 tag at the end, RIFF INFO, and ID3v1 if there is nothing else.

    Raises:
      mutagen.MutagenError: there are none, and the file is damaged or in an unknown format.
    """
    found: list[Tags] = []
    problem: Exception | None = None
    readers: tuple[Callable[[Path], Any], ...] = (_of_the_format, _id3v2, _ape, _riff_info, _id3v1)
    for reader in readers:
        if reader is _id3v1 and found:
            continue
        try:
            tags = _selected(reader(Path(file)) or {}, names)
        except _ABSENT:
            continue
        except Exception as error:  # one damaged container does not hide the others
            problem = problem or error
            continue
        if tags:
            found.append(tags)
    if problem is not None and not found:
        raise mutagen.MutagenError(f"{type(problem).__name__}: {problem}") from problem
    return found


def _of_the_format(file: Path) -> Any:
    audio = mutagen.File(file)
    has_texts = isinstance(audio, aiff.AIFF) and audio.tags is None  # perhaps, in chunks of its own
    if audio is None or has_texts:  # Matroska, CAF and others
        return {name: [value] for name, value in audio_files.metadata(file).items()}
    if isinstance(audio.tags, id3.ID3):
        audio = type(audio)(file, **_AS_WRITTEN)
    return audio.tags


def _id3v2(file: Path) -> Any:
    return id3.ID3(file, **_AS_WRITTEN)


def _ape(file: Path) -> Any:
    return apev2.APEv2(file)


def _id3v1(file: Path) -> Any:
    with file.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, 2) - 128))
        return id3.ParseID3v1(stream.read(), 3)


def _selected(tags: Any, names: Collection[str]) -> Tags:
    result: Tags = {}
    for name, value in tags.items():
        if name.lower() in names and (texts := list(_texts(value))):
            result.setdefault(name.lower(), []).extend(texts)
    return result


def _texts(value: Any) -> Iterator[str]:
    """The texts in a tag's value, whatever form its format gives it; spaces are single."""
    value = getattr(value, "text", value)
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, tuple):  # a number and how many there are
            item = item[0] if item else ""
        text = item.decode(errors="replace") if isinstance(item, bytes) else str(item)
        for part in text.encode(errors="replace").decode().split("\0"):
            if cleaned := " ".join(part.split()):
                yield cleaned


def _riff_info(file: Path) -> Mapping[str, Iterable[str]]:
    """The INFO list of a WAV file, which mutagen does not read."""
    with file.open("rb") as stream:
        if not riff.is_wave(stream):
            return {}
        for name, size in riff.chunks(stream):
            if name == b"LIST" and stream.read(4) == b"INFO":
                return _info(stream.read(min(size - 4, _LONGEST_INFO)))
    return {}


def _info(content: bytes) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    place = 0
    while place + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, place)
        value = content[place + 8 : place + 8 + size]
        result.setdefault(name.decode("latin-1"), []).append(_decoded(value))
        place += 8 + size
        while content[place : place + 1] == b"\0":  # padding, or none
            place += 1
    return result


def _decoded(value: bytes) -> str:
    """A text of RIFF INFO, which does not say its encoding."""
    if value.startswith((b"\xff\xfe", b"\xfe\xff")):
        return value.decode("utf-16", errors="replace").partition("\0")[0]
    value = value.partition(b"\0")[0]
    try:
        return value.decode("utf-8-sig")
    except UnicodeDecodeError:
        return value.decode("cp1252", errors="replace")
