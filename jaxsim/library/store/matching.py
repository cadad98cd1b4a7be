"""When texts are the same: what people can type, artists without their guests, keys as they sound.

What conditions ask of a text of the database is `name(values, wanted)`: values is that text, with
one or several values separated by ";", and the answer is None where it is unknown.
"""
# ruff: noqa: RUF001  the letters that look like others are what this is about

import functools
import json
import unicodedata

from input_pipeline.spellings import main_artist
from input_pipeline.tracks import KEYS, compatible_keys, parse_key

# What keyboards do not have and Unicode does not decompose, in lower case.
_TYPED = str.maketrans(
    {letter: "'" for letter in "‘’‚‛′‹›ʹʻʼʽ´`"}
    | {letter: '"' for letter in "“”„‟″«»"}
    | {letter: "-" for letter in "‐‑‒–—―−⁃"}
    | {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ß": "ss"}
    | {"ı": "i", "ħ": "h", "ŧ": "t", "ŋ": "n", "ɨ": "i", "ƀ": "b", "ǥ": "g", "ɫ": "l"}
    | {"ƶ": "z", "ⱥ": "a", "ȼ": "c", "ɇ": "e", "ə": "e", "ǝ": "e", "ɍ": "r", "ɏ": "y", "ʉ": "u"}
    | {"ɖ": "d", "ɗ": "d", "ɓ": "b", "ƙ": "k", "ƴ": "y", "ƈ": "c", "ɠ": "g", "ɔ": "o", "ɛ": "e"}
    | {"⁄": "/", "∕": "/", "×": "x"}
    | dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff", "")  # invisible
)
PROBABLE = 0.3  # from which on a tag counts as heard; few are more probable than one half
_VARIOUS = frozenset(  # as they are folded
    (
        *("various artists", "various", "various artist", "va", "v.a.", "v/a", "[various artists]"),
        *("[various]", "v.a", "v. a.", "aa.vv.", "aa. vv.", "aavv", "multiple artists"),
        *("verschiedene interpreten", "verschiedene", "diverse interpreten", "diverse"),
        *("artistes divers", "artistes varies", "multi-interpretes", "compilation"),
        *("artisti vari", "varios artistas", "varios interpretes", "varios", "diverse artiesten"),
        *("blandade artister", "diverse artister", "rozni wykonawcy", "ruzni interpreti"),
    )
)


def folded(text: str) -> str:
    """The text as it is typed, for comparisons: no case, accents, curly quotes or long dashes."""
    if text.isascii() and "`" not in text:  # most are, and this is faster
        return text.lower().strip()
    parts = unicodedata.normalize("NFKD", text.casefold().translate(_TYPED))
    letters = "".join(letter for letter in parts if not unicodedata.combining(letter))
    return letters.casefold().translate(_TYPED).strip()


def limited_artist(artist: str | None, album_artist: str | None, compilation: int | None) -> str:
    """Whom a limit per artist counts, folded: the album artist, else the artist.

    Album artists of compilations and "Various Artists" are not meant; guests do not count, and of
    several artists the first does (`spellings.main_artist`). Empty if unknown.
    """
    name = folded(album_artist or "")
    if compilation or name in _VARIOUS:
        name = ""
    return main_artist(name) or main_artist(folded(artist or ""))


def limited_album(
    album: str | None, artist: str | None, album_artist: str | None, compilation: int | None
) -> tuple[str, str] | None:
    """What a limit per album counts: its name and whose it is; None if it is unknown.

    It belongs to its album artist; without one, to everybody if it is a compilation, else to the
    artist.
    """
    if not (name := folded(album or "")):
        return None
    owner = folded(album_artist or "")
    if not owner and not compilation:
        owner = limited_artist(artist, None, None)
    return name, owner


def holds(values: str, wanted: str) -> bool:
    """Whether `wanted` is one of the values."""
    wanted, values = folded(wanted), folded(values)
    return wanted == values or (";" in values and wanted in map(str.strip, values.split(";")))


def contains(text: str, part: str) -> bool:
    """Whether `part` is somewhere in the text."""
    return folded(part) in folded(text)


@functools.lru_cache(maxsize=1024)
def _keys(values: str) -> frozenset[int]:
    """The keys among the values, in any spelling: older libraries hold what files say."""
    found = set()
    for value in values.split(";"):
        try:
            found.add(parse_key(value))
        except ValueError:
            continue
    return frozenset(found)


def in_key(values: str, wanted: str) -> bool | None:
    """Whether `wanted` is among the keys; unknown if none of the values is a key."""
    keys = _keys(values)
    return not keys.isdisjoint(_keys(wanted)) if keys else None


def goes_with(values: str, wanted: str) -> bool | None:
    """Whether DJs mix between a key and the wanted one; unknown as for `in_key`."""
    keys = _keys(values)
    compatible = frozenset[int]().union(*map(compatible_keys, _keys(wanted)))
    return not keys.isdisjoint(compatible) if keys else None


def key_named(values: str, part: str) -> bool:
    """Whether a key's name contains `part`, as it is written or as in `KEYS`."""
    return contains("; ".join([values, *(KEYS[key] for key in _keys(values))]), part)


@functools.lru_cache(maxsize=65536)
def heard_as(tags: str | None, dimension: str) -> str | None:
    """The tags of a dimension that are heard with a probability of at least `PROBABLE`.

    `tags` is a value of the column heard_tags.
    """
    found = json.loads(tags or "{}").get(dimension, {})
    likely = [tag for tag, probability in found.items() if probability >= PROBABLE]
    return "; ".join(likely) or None
