"""What people mean by what they write into tags: years, several values in one text, artists."""
# ruff: noqa: RUF001  letters of full width and long dashes are among what people write

import re

FIRST_YEAR, LAST_YEAR = 1000, 2099  # some tags give the year of the composition
FIRST_RECORDING = 1860

# Letters that come before the names of guests. "feat" may also end a band's name: Little Feat.
_GUESTS = re.compile(
    r"""[\s,]*[(\[{（［]\s*(?:feat\b|ft\b|featuring\b|with\s|w/)
      | [\s,–-]+(?:(?:feat|ft)\.|featuring\s|(?<!little\s)(?:feat|ft)\s+(?=\w)|[fw]/\s*(?=\w))""",
    re.IGNORECASE | re.VERBOSE,
)
_BETWEEN_ARTISTS = re.compile(r"\s*;\s*|\s+/\s+")
_BETWEEN_TAGS = re.compile(r"[;/\\|,\0；／＼｜，、]|\s[·•]\s")
_NO_TAG = re.compile(r"\s*n/a\s*", re.IGNORECASE)
# Genres with a slash that are one genre.
_UNDIVIDED = re.compile(r"singer\s*/\s*songwriter", re.IGNORECASE)


def year_in(date: str) -> int | None:
    """The first year from 1000 to 2099 in a date, in whatever order its parts are.

    Four digits are a year ("01/02/1997", "Oct 3, 1995", "2001-00-00"), though not those of a decade
    ("1990s"); eight are a date with the year first ("19690926") or last, and may be followed by a
    time. None if there is no such year, as in "0000", "97" or "soon".
    """
    for match in re.finditer(r"(\d+)(?!\d|'?s\b)", date):
        year = _year_of_digits(match[1])
        if FIRST_YEAR <= year <= LAST_YEAR:
            return year
    return None


def _year_of_digits(digits: str) -> int:
    """The year in a run of digits; 0 if it is none."""
    if len(digits) == 4:
        return int(digits)
    if len(digits) not in (8, 10, 12, 14):
        return 0
    first, second, last = int(digits[:2]), int(digits[2:4]), int(digits[4:8])
    if int(digits[4:6]) <= 12 and int(digits[6:8]) <= 31:
        return int(digits[:4])
    is_date = min(first, second) <= 12 and max(first, second) <= 31 and last >= FIRST_RECORDING
    return last if is_date and len(digits) == 8 else 0


def divided(text: str) -> list[str]:
    r"""The tags in a text; ";", "/", "\", "|" and "," divide it, "&", "+", "-" and "and" do not.

    So "Rock; Pop", "Rock/Pop" and "Rock, Pop" are two genres, and so are "R&B/Soul" and
    "Hip-Hop/Rap"; "Drum & Bass" is one, and "Folk, World, & Country" is three. "Singer/Songwriter"
    stays whole, and "n/a" is no genre. The full-width forms of these signs divide, too, and so do
    dots between spaces.
    """
    if _NO_TAG.fullmatch(text):
        return []
    parts = _BETWEEN_TAGS.split(_UNDIVIDED.sub("Singer\N{DIVISION SLASH}Songwriter", text))
    tags = (re.sub(r"^(?:&|and\b)\s*", "", " ".join(part.split())) for part in parts)
    return [tag.replace("\N{DIVISION SLASH}", "/") for tag in tags if tag]


def main_artist(artist: str) -> str:
    """The first of the artists that a text names, without guests.

    Guests come after "feat.", "ft.", "featuring", "w/" or, in brackets, "with". Artists are divided
    by ";" and by a "/" between spaces. "&", "and", "x", "," and "AC/DC" are parts of names.
    """
    first = _BETWEEN_ARTISTS.split(artist.strip(" ;"))[0]
    guests = _GUESTS.search(first)
    return first[: guests.start()] if guests and guests.start() else first
