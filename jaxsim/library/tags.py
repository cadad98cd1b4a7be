"""What an audio file says of itself: ID3, Vorbis comments, MP4, APE and ASF tags, by mutagen."""

import math
import re
from pathlib import Path
from typing import Any

import mutagen

# The names of a field in the formats: Vorbis and APE (any case), ID3, MP4, ASF.
NAMES = {
    "title": ("title", "tit2", "\xa9nam"),
    "artist": ("artist", "tpe1", "\xa9art", "author"),
    "album": ("album", "talb", "\xa9alb", "wm/albumtitle"),
    "genre": ("genre", "tcon", "\xa9gen", "wm/genre"),
    "mood": ("mood", "tmoo", "txxx:mood", "----:com.apple.itunes:mood", "wm/mood"),
    "year": ("date", "year", "tdrc", "tyer", "\xa9day", "wm/year"),
    "tempo": ("bpm", "tempo", "tbpm", "tmpo", "wm/beatsperminute"),
    "key": ("initialkey", "key", "tkey", "----:com.apple.itunes:initialkey", "wm/initialkey"),
}
_YEAR = re.compile(r"\b(\d{4})\b")


def read(path: str | Path) -> dict[str, Any]:
    """Reads the fields of `NAMES` that a file has; those that are absent or senseless are left out.

    Several values of a text are joined with "; ". year is int, tempo float (beats per minute). A
    file that mutagen does not know has no tags.
    """
    try:
        file = mutagen.File(path)
    except (mutagen.MutagenError, ValueError, KeyError, IndexError, AssertionError):
        return {}
    if file is None or not file.tags:
        return {}
    try:
        items = {str(name).lower(): value for name, value in file.tags.items()}
    except AttributeError:
        return {}
    result: dict[str, Any] = {}
    for field, names in NAMES.items():
        if text := next((t for name in names if (t := _text(items.get(name)))), ""):
            result[field] = text
    for field, number in (("year", _year), ("tempo", _tempo)):
        value = number(result.pop(field, ""))
        if value is not None:
            result[field] = value
    return result


def _text(value: Any) -> str:
    """One text of what mutagen gives: a frame with `text`, a list, or a value."""
    values = getattr(value, "text", value)
    if values is None:
        return ""
    values = values if isinstance(values, list | tuple) else [values]
    texts = (v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values)
    cleaned = (" ".join(text.replace("\0", " ").split()) for text in texts)
    return "; ".join(dict.fromkeys(filter(None, cleaned)))


def _year(text: str) -> int | None:
    match = _YEAR.search(text)
    return int(match[1]) if match and int(match[1]) else None


def _tempo(text: str) -> float | None:
    try:
        tempo = float(text.split(";")[0].replace(",", "."))
    except ValueError:
        return None
    return tempo if math.isfinite(tempo) and 0 < tempo < 1000 else None


def duration(path: str | Path) -> float:
    """Seconds of audio that a file says it has; 0 if mutagen does not know."""
    try:
        file = mutagen.File(path)
    except (mutagen.MutagenError, ValueError, KeyError, IndexError, AssertionError):
        return 0.0
    return float(getattr(getattr(file, "info", None), "length", 0.0) or 0.0)
