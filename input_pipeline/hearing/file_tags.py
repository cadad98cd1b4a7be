"""Which files are audio, and what their tags say, in every format that mutagen reads.

There is one reader for training and for libraries. A file may have several containers of tags;
they count in the order of `raw_tags.read`, field by field: ID3v2 before APEv2 in an MP3 (ID3v1 only
if it has neither), ID3 before RIFF INFO in a WAV file. Within a field, names are tried in the order
of `NAMES`, and for year, tempo, key and numbers every value, until one can be read:

  title, artist, album, album_artist: as written; several values are joined with "; ".
  genre, mood: every value, divided by `spellings.divided`; `named_genre` names ID3's numbers.
  year: of the original release if that is known, else of the date; see `spellings.year_in`.
  tempo: from 20 to 500 beats per minute; 0 is unknown.
  key: in the spelling of `tracks.KEYS`; "o", ID3's off-key, is unknown.
  track_number, disc_number: the number before a "/".
  compilation: whether the file says that its album is one.

What cannot be read is unknown, and never an error. `tag_writing` leaves a note in a file of what it
wrote; where the file still says that, it is not taken for its owner's word (`FileTags.own`).
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mutagen import id3

from input_pipeline.hearing import raw_tags
from input_pipeline.spellings import FIRST_YEAR, LAST_YEAR, divided, year_in
from input_pipeline.tracks import KEYS, parse_key, parse_tempo

AUDIO_SUFFIXES = frozenset(
    (
        *(".aac", ".ac3", ".aif", ".aifc", ".aiff", ".ape", ".au", ".caf", ".dff", ".dsf", ".dts"),
        *(".eac3", ".flac", ".m4a", ".m4b", ".mka", ".mp2", ".mp3", ".mp4", ".mpc", ".oga", ".ogg"),
        *(".opus", ".shn", ".snd", ".spx", ".tak", ".tta", ".w64", ".wav", ".weba", ".webm"),
        *(".wma", ".wv"),
    )
)
ITUNES = "----:com.apple.iTunes:"
NOTE = "JAXSIM"  # the tag that says what `tag_writing` wrote, as JSON
_ITUNES = ITUNES.lower()
# Where formats keep a field: ID3 (MP3, WAV, AIFF), Vorbis comments and APE, MP4, ASF, RIFF INFO.
NAMES = {
    "title": ("tit2", "title", "\xa9nam", "inam"),
    "artist": ("tpe1", "artist", "\xa9art", "author", "iart"),
    "album_artist": (
        *("tpe2", "albumartist", "album artist", "album_artist", "aart", "wm/albumartist"),
        *("txxx:albumartist", "txxx:album artist"),
    ),
    "album": ("talb", "album", "\xa9alb", "wm/albumtitle", "iprd"),
    "genre": ("tcon", "genre", "\xa9gen", "wm/genre", "ignr"),
    "mood": ("tmoo", "mood", "txxx:mood", f"{_ITUNES}mood", "wm/mood"),
    "original_date": (
        *("tdor", "tory", "originaldate", "originalyear", "txxx:originaldate", "txxx:originalyear"),
        *("original date", "original year", "original_date", "original_year"),
        *(f"{_ITUNES}originaldate", f"{_ITUNES}originalyear"),
        *("wm/originalreleasetime", "wm/originalreleaseyear"),
    ),
    "date": (
        *("tdrc", "tyer", "tdrl", "date", "year", "releasedate", "txxx:date", "txxx:year"),
        *("date_released", "date_recorded", "release date", "release_date"),
        *("\xa9day", "wm/year", "icrd"),
    ),
    # A whole number is all that `tmpo` can hold.
    "tempo": (
        *("tbpm", "bpm", "tempo", "txxx:bpm", f"{_ITUNES}bpm", "tmpo", "wm/beatsperminute"),
        "ibpm",
    ),
    "key": (
        *("tkey", "initialkey", "initial key", "initial_key", "key", "txxx:initialkey"),
        *("txxx:initial key", "txxx:initial_key", f"{_ITUNES}initial key"),
        *("txxx:key", f"{_ITUNES}initialkey", f"{_ITUNES}key", "wm/initialkey"),
    ),
    "track_number": (
        *("trck", "tracknumber", "track", "part_number", "trkn", "wm/tracknumber", "iprt", "itrk"),
    ),
    "disc_number": ("tpos", "discnumber", "disc", "disk", "wm/partofset"),
    "compilation": (
        "tcmp",
        "compilation",
        "itunescompilation",
        "cpil",
        "txxx:compilation",
        "wm/iscompilation",
    ),
    "note": (f"txxx:{NOTE.lower()}", NOTE.lower(), f"{_ITUNES}{NOTE.lower()}"),
}
WRITTEN = ("tempo", "key", "mood", "genre")  # what `tag_writing` may write
SLOWEST, FASTEST = 20, 500  # plausible beats per minute
_ALL_NAMES = frozenset(name for names in NAMES.values() for name in names)
_ANSWERS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_ID3_GENRES = tuple(id3.TCON.GENRES)
_GENRE_CODES = re.compile(r"(?:\((?:\d+|RX|CR)\))+")

Value = TypeVar("Value", int, float, str, bool)


@dataclasses.dataclass(frozen=True)
class FileTags:
    """What a file says of itself; what is unknown is None or empty.

    Attributes:
      problems: values that could not be read, and what was expected.
      heard: the fields that say what a model heard, as `tag_writing` wrote them.
    """

    title: str = ""
    artist: str = ""
    album: str = ""
    album_artist: str = ""
    genre: tuple[str, ...] = ()
    mood: tuple[str, ...] = ()
    year: int | None = None
    tempo: float | None = None
    key: str | None = None
    track_number: int | None = None
    disc_number: int | None = None
    compilation: bool | None = None
    problems: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()

    def own(self) -> "FileTags":
        """What the file says but for what was heard: that is nobody's word about it."""
        unknown: dict[str, Any] = {field: getattr(FileTags(), field) for field in self.heard}
        return dataclasses.replace(self, **unknown)


def read(file: str | Path) -> FileTags:
    """Reads a file's tags; those of a file that cannot be read are all unknown."""
    try:
        containers = raw_tags.read(file, _ALL_NAMES)
    except Exception as error:  # the audio may be fine even if the tags are not
        return FileTags(problems=(f"tags cannot be read ({error})",))
    written = {field: list(_written(containers, field)) for field in NAMES}
    texts: dict[str, Any] = {
        field: "; ".join(dict.fromkeys(written[field][0])) if written[field] else ""
        for field in ("title", "artist", "album", "album_artist")
    }
    problems: list[str] = []

    def first(name: str, parse: Callable[[str], Value | None], *fields: str) -> Value | None:
        values = [text for field in fields or (name,) for texts in written[field] for text in texts]
        return _first(name, parse, values, problems)

    found = FileTags(
        **texts,
        genre=_tags(written["genre"], named_genre),
        mood=_tags(written["mood"], lambda tag: [tag]),
        year=first("date", _year, "original_date", "date"),
        tempo=first("tempo", _tempo),
        key=first("key", _key),
        track_number=first("track_number", _number),
        disc_number=first("disc_number", _number),
        compilation=first("compilation", lambda text: _ANSWERS.get(text.lower())),
        problems=tuple(problems),
    )
    noted = noted_in(value for values in written["note"] for value in values)
    heard = (field for field, value in noted.items() if getattr(found, field) == value)
    return dataclasses.replace(found, heard=tuple(heard))


def stated(file: str | Path) -> frozenset[str]:
    """The fields of which a file says something, whether or not it can be read.

    A tempo of 0 and an off-key say nothing.

    Raises:
      mutagen.MutagenError: the file has no tags that can be read, and is damaged.
    """
    containers = raw_tags.read(file, _ALL_NAMES)
    nothing: dict[str, Callable[[str], bool]] = {"tempo": _is_no_tempo, "key": _is_no_key}
    return frozenset(
        field
        for field in NAMES
        for texts in _written(containers, field)
        if not all(map(nothing.get(field, lambda text: False), texts))
    )


def noted_in(texts: Iterable[str]) -> dict[str, Any]:
    """The fields and values of the first note that can be read; see `tag_writing`."""
    for text in texts:
        try:
            noted = json.loads(text)
            return {
                field: tuple(value) if isinstance(value, list) else value
                for field, value in noted.items()
                if field in WRITTEN
            }
        except (ValueError, AttributeError):
            continue
    return {}


def named_genre(tag: str) -> list[str]:
    """The genres that a tag stands for: "17", "(17)" and "(17)Rock" are ID3's number of Rock.

    "RX" and "CR" are Remix and Cover; "(4)Eurodisco" is Disco and Eurodisco; numbers that stand for
    no genre are left out; "((" is a bracket.
    """
    codes = _GENRE_CODES.match(tag)
    rest = tag[codes.end() :].strip() if codes else tag
    numbers = codes[0][1:-1].split(")(") if codes else []
    if rest.isdecimal() or rest in ("RX", "CR"):
        numbers, rest = [*numbers, rest], ""
    named = (_coded_genre(number) for number in numbers)
    return [genre for genre in (*named, rest.replace("((", "(", 1)) if genre]


def _coded_genre(code: str) -> str:
    if code in ("RX", "CR"):
        return {"RX": "Remix", "CR": "Cover"}[code]
    number = int(code) if len(code) < 4 else len(_ID3_GENRES)
    return _ID3_GENRES[number] if number < len(_ID3_GENRES) else ""


def _written(containers: Sequence[raw_tags.Tags], field: str) -> Iterator[list[str]]:
    """Yields the values of a field under each of its names, the ones that count most first."""
    for tags in containers:
        for name in NAMES[field]:
            if name in tags:
                yield tags[name]


def _tags(written: list[list[str]], meanings: Callable[[str], list[str]]) -> tuple[str, ...]:
    """Every tag of the values that count, once, in its first spelling."""
    values = written[0] if written else []
    tags = (tag for value in values for part in divided(value) for tag in meanings(part))
    found: dict[str, str] = {}
    for tag in tags:
        found.setdefault(tag.casefold(), tag)
    return tuple(found.values())


def _first(
    name: str, parse: Callable[[str], Value | None], values: list[str], problems: list[str]
) -> Value | None:
    """The first value that can be read; if there is none, the first one's problem is noted."""
    found: list[str] = []
    for text in values:
        try:
            value = parse(text)
        except ValueError as error:
            found.append(str(error))
            continue
        if value is not None:
            return value
    problems += found[:1]
    return None


def _year(text: str) -> int | None:
    """The year in a date; None if the date consists of zeros."""
    year = year_in(text)
    if year is None and text.strip("0 -/.:T"):
        expected = f"one with a year from {FIRST_YEAR} to {LAST_YEAR}"
        raise ValueError(f"date is {text!r}, expected {expected}")
    return year


def _is_no_tempo(text: str) -> bool:
    return not text.strip("0., ")


def _is_no_key(text: str) -> bool:
    return text.lower() == "o"


def _tempo(text: str) -> float | None:
    if _is_no_tempo(text):
        return None
    tempo = parse_tempo(text)
    if not SLOWEST <= tempo <= FASTEST:
        expected = f"{SLOWEST} to {FASTEST} beats per minute"
        raise ValueError(f"tempo is {text!r}, expected {expected}")
    return tempo


def _key(text: str) -> str | None:
    return None if _is_no_key(text) else KEYS[parse_key(text)]


def _number(text: str) -> int | None:
    match = re.match(r"0*(\d{1,4})\s*(?:$|/|of\b)", text)
    return int(match[1]) or None if match else None
