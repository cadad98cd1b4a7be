"""Which files are audio, and what their tags say, in every format that mutagen reads."""

from pathlib import Path
from typing import Any

import mutagen

AUDIO_SUFFIXES = frozenset(
    (
        *(".aac", ".ac3", ".aif", ".aifc", ".aiff", ".ape", ".au", ".caf", ".dff", ".dsf", ".dts"),
        *(".eac3", ".flac", ".m4a", ".m4b", ".mka", ".mp2", ".mp3", ".mp4", ".mpc", ".oga", ".ogg"),
        *(".opus", ".shn", ".snd", ".spx", ".tak", ".tta", ".w64", ".wav", ".weba", ".webm"),
        *(".wma", ".wv"),
    )
)
# Where the formats keep a field: ID3 (MP3, WAV, AIFF), Vorbis comments and APE, MP4, ASF. The first
# one present counts.
NAMES = {
    "title": ("tit2", "title", "\xa9nam"),
    "artist": ("tpe1", "artist", "\xa9art", "author"),
    "album_artist": ("tpe2", "albumartist", "album artist", "aart", "wm/albumartist"),
    "album": ("talb", "album", "\xa9alb", "wm/albumtitle"),
    "genre": ("tcon", "genre", "\xa9gen", "wm/genre"),
    "mood": ("tmoo", "mood", "txxx:mood", "----:com.apple.itunes:mood", "wm/mood"),
    "date": (
        *("tdor", "originaldate", "originalyear", "txxx:originalyear", "wm/originalreleasetime"),
        *("wm/originalreleaseyear", "tdrc", "tdrl", "date", "year", "\xa9day", "wm/year"),
    ),
    "tempo": ("tbpm", "bpm", "tempo", "tmpo", "wm/beatsperminute"),
    "key": (
        *("tkey", "initialkey", "key", "txxx:initialkey", "txxx:key"),
        *("----:com.apple.itunes:initialkey", "----:com.apple.itunes:key", "wm/initialkey"),
    ),
}


def read(file: str | Path) -> dict[str, list[str]]:
    """The values of those fields of `NAMES` that a file's tags have.

    Raises:
      mutagen.MutagenError: the tags cannot be read.
    """
    audio = mutagen.File(file)
    if audio is None:
        raise mutagen.MutagenError("not in a format that mutagen knows")
    tags = {name.lower(): value for name, value in (audio.tags or {}).items()}
    fields = {}
    for field, names in NAMES.items():
        values = next((texts for name in names if (texts := _texts(tags.get(name)))), None)
        if values:
            fields[field] = values
    return fields


def _texts(value: Any) -> list[str]:
    """The texts in a tag's value, whatever form its format gives it."""
    value = getattr(value, "text", value)
    values = value if isinstance(value, list) else [] if value is None else [value]
    texts = (
        item.decode(errors="replace") if isinstance(item, bytes) else str(item) for item in values
    )
    return [part.strip() for text in texts for part in text.split("\0") if part.strip()]
