"""Which tags of a data set belong to which similarity dimension: data files, one per source.

A tag map is a CSV with the columns tag, dimension and label. A tag may have several rows, one for
each label it stands for. An empty dimension says that the tag is known and belongs to none; an
empty label, that the tag is its own label. A tag ending in "*" stands for every tag with that
beginning that has no row of its own; the rest of the tag is the label. Case does not matter.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TextIO

from input_pipeline.tracks import TAG_DIMENSIONS

FOLDER = Path(__file__).parent / "tag_maps"
COLUMNS = ["tag", "dimension", "label"]

# For each tag, in lower case: its pairs of (dimension, label).
TagMap = Mapping[str, tuple[tuple[str, str], ...]]


def read(path: str | Path) -> TagMap:
    """Reads a tag map.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is not UTF-8 text, or a column or dimension is not one of those expected.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such tag map")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read(file, path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 text ({error})") from None


def _read(file: TextIO, path: Path) -> TagMap:
    entries: dict[str, tuple[tuple[str, str], ...]] = {}
    reader = csv.DictReader(file)
    if reader.fieldnames != COLUMNS:
        found = ",".join(reader.fieldnames or ())
        raise ValueError(f"{path}: columns are {found!r}, expected {','.join(COLUMNS)!r}")
    for row in reader:
        tag, dimension, label = (row[column] or "" for column in COLUMNS)
        if dimension not in ("", *TAG_DIMENSIONS):
            raise ValueError(
                f"{path}, line {reader.line_num}: dimension is {dimension!r}, expected one of "
                f"{', '.join(TAG_DIMENSIONS)} or nothing"
            )
        known = entries.get(tag.lower(), ())
        entries[tag.lower()] = (*known, (dimension, label or tag)) if dimension else known
    return entries


def sort_tags(
    tags: Iterable[str], tag_map: TagMap, unknown: Counter[str]
) -> dict[str, tuple[str, ...]]:
    """Sorts a track's tags into labels per dimension.

    Args:
      tags: of one track.
      tag_map: as `read` gives it.
      unknown: counts of tags missing from the map; updated in place.
    """
    labels: dict[str, dict[str, None]] = {}
    for tag in tags:
        entries = _look_up(tag, tag_map)
        if entries is None:
            unknown[tag] += 1
        for dimension, label in entries or ():
            labels.setdefault(dimension, {})[label] = None
    return {dimension: tuple(found) for dimension, found in labels.items()}


def _look_up(tag: str, tag_map: TagMap) -> tuple[tuple[str, str], ...] | None:
    exact = tag_map.get(tag.lower())
    if exact is not None:
        return exact
    for pattern, entries in tag_map.items():
        if pattern.endswith("*") and tag.lower().startswith(pattern[:-1]):
            rest = tag[len(pattern) - 1 :]
            return tuple((dimension, rest) for dimension, _ in entries) if rest else None
    return None
