"""A track before its features are extracted."""

import dataclasses
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

DIMENSIONS = ("genre", "mood", "instrument", "era", "tempo", "key")
TAG_DIMENSIONS = DIMENSIONS[:4]
SPLITS = ("train", "validation", "test")
TONICS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
KEYS = tuple(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in TONICS)

TEMPO_OCTAVES = range(-4, 5)  # k of 2**k, for any two tempi between 20 and 320 BPM
KEY_RELATIONS = ("parallel", "relative")

_NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_KEY_PATTERN = re.compile(
    r"""(?P<tonic>[A-Ga-g])
        (?P<accidental>b|\s*[#♯♭]|-(?=\s|$)|[\s-]*(?i:sharp|flat))?  # music21 writes a flat as "-"
        [\s:_-]*
        (?P<mode>M|m|(?i:ma(?:j(?:or)?)?|mi(?:n(?:or)?)?)\.?)?""",
    re.VERBOSE,
)
# German names, known by their modes: H is B, and B is B flat.
_GERMAN_PATTERN = re.compile(
    r"(?P<tonic>[a-h])(?P<accidental>is|es|s|[#♯b♭])?[\s:_-]*(?P<mode>dur|moll)", re.IGNORECASE
)
# Italian, French, Spanish and Portuguese names, which need a mode: "mi" alone may mean minor.
_SYLLABLES = {"do": 0, "ut": 0, "re": 2, "mi": 4, "fa": 5, "sol": 7, "la": 9, "si": 11}
_SYLLABLE_PATTERN = re.compile(
    r"""(?P<tonic>do|ut|r[eé]|mi|f[aá]|sol|l[aá]|si)
        (?P<accidental>[\s-]*(?:[#♯♭]|diesis|di[eè]se|sostenido|sustenido|b[eé]moll?e?)|b(?=\s))?
        [\s:_-]*
        (?P<mode>ma(?:j(?:eur)?|ggiore|yor|ior)|m(?:in(?:eur|ore)?|enor)?)""",
    re.IGNORECASE | re.VERBOSE,
)
_SHARPS = ("#", "♯", "sharp", "is", "diesis", "diese", "dièse", "sostenido", "sustenido")
_FLATS = ("b", "♭", "flat", "-", "es", "s", "bemolle", "bemoll", "bemol", "bémol")
# Keys as positions in the circle of fifths: Camelot (8A = A minor, 8B = C major) and Open Key
# (1m = A minor, 1d = C major), which DJ software writes into files.
_WHEEL_PATTERN = re.compile(r"0?(?P<number>[1-9]|1[0-2])\s*(?P<ring>[ABDM])", re.IGNORECASE)
# One key in several notations, as in "8A (Am)", "F♯/G♭" and "8A - Am".
_BETWEEN_NOTATIONS = re.compile(r"\s*[/|()\[\]]\s*|\s-\s")


@dataclasses.dataclass(frozen=True)
class Track:
    """A recording with one set of labels.

    Attributes:
      track_id: unique in the data set.
      split: "train", "validation" or "test".
      audio: a file, or a picklable callable that returns float32 mono samples at 22,050 Hz.
      group: piece, artist or album; tracks in a group must share a split. Default: track_id.
      artist, title, source: free text.
      tags: tags per tag dimension; a missing or empty entry means unlabelled, not "no tag".
      tempo: beats per minute, if known.
      key: name of the key, if known, in any spelling that `parse_key` reads; stored as in `KEYS`.

    Raises:
      ValueError: a field's value is invalid; the message starts with the field's name.
    """

    track_id: str
    split: str
    audio: str | Path | Callable[[], np.ndarray]
    group: str = ""
    artist: str = ""
    title: str = ""
    source: str = ""
    tags: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    tempo: float | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if not self.track_id:
            raise ValueError("track_id is empty, expected a name that is unique in the data set")
        if self.split not in SPLITS:
            raise ValueError(f"split is {self.split!r}, expected one of {', '.join(SPLITS)}")
        if unknown := set(self.tags) - set(TAG_DIMENSIONS):
            raise ValueError(f"tags has {sorted(unknown)}, expected only {list(TAG_DIMENSIONS)}")
        for dimension, tags in self.tags.items():
            check_tags(dimension, tags)
        if self.tempo is not None:
            object.__setattr__(self, "tempo", parse_tempo(self.tempo))
        if self.key is not None:
            object.__setattr__(self, "key", KEYS[parse_key(self.key)])
        object.__setattr__(self, "group", self.group or self.track_id)
        for name in ("track_id", "group", "artist", "title", "source"):
            check_text(name, getattr(self, name))


def parse_key(name: str) -> int:
    """Returns the index in `KEYS` of a key such as "A minor", "Bb major", "F#m", "A:min", "b-flat".

    Without a mode the key is major, whatever the letter's case. Camelot ("8A") and Open Key ("1m")
    notation, German names ("fis-Moll") and those of Romance languages ("Fa diesis minore") are
    accepted too, and so are several notations of the same key ("8A (Am)", "F♯/G♭ minor").

    Raises:
      ValueError: not the name of a key, or of several.
    """
    text = unicodedata.normalize("NFKC", name).strip()
    key = _key(text)
    if key is None:
        parts = [part.strip() for part in _BETWEEN_NOTATIONS.split(text) if part]
        mode = "m" if parts and _key(f"{parts[0]}m") == _key(parts[-1]) else ""  # as in "F♯/G♭m"
        keys = {_key(part) for part in [f"{parts[0]}{mode}", *parts[1:]]} if parts else set()
        key = keys.pop() if len(keys) == 1 else None
    if key is None:
        raise ValueError(f'key is {name!r}, expected a tonic and a mode such as "A minor" or "Bb"')
    return key


def compatible_keys(key: int) -> frozenset[int]:
    """Keys between which DJs mix: the key itself, its relative, and those a fifth up and down.

    These are its neighbours on the Camelot wheel: 8A goes with 8B, 7A and 9A.
    """
    tonic, mode = key % 12, key - key % 12
    relative = (tonic + 3) % 12 if mode else (tonic + 9) % 12 + 12
    return frozenset((key, relative, mode + (tonic + 7) % 12, mode + (tonic + 5) % 12))


def key_group(key, relation: str):
    """Numbers keys so that related ones have the same number (NumPy and JAX arrays alike).

    Args:
      key: indices in `KEYS`.
      relation: "parallel" (same tonic), or "relative" (same signature: a minor key counts as the
        major key three semitones above it).
    """
    return key % 12 if relation == "parallel" else (key + 3 * (key >= 12)) % 12


def parse_tempo(value: str | float) -> float:
    """Parses beats per minute, given as a number or as text such as "128.5", "128,5" or "128 BPM".

    Raises:
      ValueError: not a number in (0, 1000).
    """
    number = re.sub(r"\s*bpm\s*$", "", value, flags=re.I) if isinstance(value, str) else value
    if isinstance(number, str) and "." not in number:
        number = number.replace(",", ".")
    try:
        tempo = math.nan if isinstance(number, bool) else float(number)
    except (OverflowError, TypeError, ValueError):
        tempo = math.nan
    if not 0 < tempo < 1000:  # nan fails too
        raise ValueError(f"tempo is {value!r}, expected beats per minute in (0, 1000)")
    return tempo


def check_tags(dimension: str, tags: tuple[str, ...]) -> None:
    """Raises ValueError unless all are non-empty texts that UTF-8 can encode."""
    # A string would otherwise pass as a sequence of one-letter tags.
    if isinstance(tags, str) or not all(isinstance(tag, str) and tag for tag in tags):
        raise ValueError(f"{dimension} is {tags!r}, expected a tuple of tags")
    for tag in tags:
        check_text(dimension, tag)


def check_text(name: str, text: str) -> None:
    """Raises ValueError unless UTF-8 can encode the text."""
    try:
        text.encode()
    except (AttributeError, UnicodeEncodeError):
        raise ValueError(f"{name} is {text!r}, expected text that UTF-8 can encode") from None


def _key(name: str) -> int | None:
    """The index in `KEYS` of a key in one notation."""
    if wheel := _WHEEL_PATTERN.fullmatch(name):
        return _key_on_wheel(int(wheel["number"]), wheel["ring"].upper())
    german = _GERMAN_PATTERN.fullmatch(name)
    match = german or _SYLLABLE_PATTERN.fullmatch(name) or _KEY_PATTERN.fullmatch(name)
    if match is None:
        return None
    accidental = (match["accidental"] or "").lower()
    accidental = accidental.lstrip(" \t-") or accidental
    tonic = match["tonic"].upper()
    if german and tonic in "BH":
        natural = 10 if tonic == "B" and not accidental else 11
    elif tonic in _NATURALS:
        natural = _NATURALS[tonic]
    else:
        natural = _SYLLABLES[tonic.lower().replace("é", "e").replace("á", "a")]
    pitch_class = (natural + (accidental in _SHARPS) - (accidental in _FLATS)) % 12
    mode = match["mode"] or "major"
    is_minor = mode == "m" or mode.lower().startswith(("mi", "mo", "me"))
    return pitch_class + 12 * is_minor


def _key_on_wheel(number: int, ring: str) -> int:
    """The index in `KEYS`; each step along a ring is a fifth up."""
    fifths = number - 8 if ring in "AB" else number - 1
    is_minor = ring in "AM"
    return (7 * fifths + 9 * is_minor) % 12 + 12 * is_minor
