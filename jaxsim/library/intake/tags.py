"""The part of a file's tags that a library keeps."""

import re
from pathlib import Path
from typing import Any

from input_pipeline.hearing import file_tags
from input_pipeline.tracks import parse_tempo

FIELDS = ("title", "artist", "album", "genre", "mood", "year", "tempo", "key")
_YEAR = re.compile(r"\b(\d{4})\b")


def read(path: str | Path) -> dict[str, Any]:
    """Reads the `FIELDS` that a file has; absent or implausible ones are left out.

    Several values of a text are joined with "; ". year is an int, of the original release where
    known; tempo is a float, in beats per minute. A file whose tags cannot be read has none.
    """
    try:
        found = file_tags.read(path)
    except Exception:  # even if its tags are broken, the audio may be fine
        return {}
    texts = {
        field: "; ".join(dict.fromkeys(" ".join(value.split()) for value in values))
        for field, values in found.items()
    }
    result: dict[str, Any] = {field: texts[field] for field in FIELDS if field in texts}
    for field, number, source in (("year", _year, "date"), ("tempo", _tempo, "tempo")):
        result.pop(field, None)
        value = number(texts.get(source, ""))
        if value is not None:
            result[field] = value
    return result


def _year(text: str) -> int | None:
    match = _YEAR.search(text)
    return int(match[1]) if match and int(match[1]) else None


def _tempo(text: str) -> float | None:
    try:
        return parse_tempo(text.split(";")[0].replace(",", "."))
    except ValueError:
        return None
