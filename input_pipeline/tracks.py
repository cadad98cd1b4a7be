"""What a track is before its features are extracted, and how tracks are read from a CSV file."""

import csv
import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

DIMENSIONS = ("genre", "mood", "instrument", "era", "tempo", "key")
TAG_DIMENSIONS = DIMENSIONS[:4]
SPLITS = ("train", "validation", "test")
TONICS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
KEYS = tuple(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in TONICS)

_NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_KEY_PATTERN = re.compile(
    r"""(?P<tonic>[A-Ga-g])
        (?P<accidental>[#♯b♭]|-(?=\s|$)|[\s-]*(?i:sharp|flat))?  # music21 writes a flat as "-"
        [\s:_-]*
        (?P<mode>M|m|(?i:maj(?:or)?|min(?:or)?))?""",
    re.VERBOSE,
)


@dataclasses.dataclass(frozen=True)
class Track:
    """A recording with one set of labels.

    Attributes:
      track_id: unique in the data set.
      split: "train", "validation" or "test".
      audio: a file, or a picklable callable that gives float32 mono samples at 22,050 Hz.
      group: piece, artist or album; tracks of one group must share a split. Default: track_id.
      artist, title, source: free text.
      tags: tags per tag dimension; a missing or empty entry means unlabelled, not "no tag".
      tempo: beats per minute where known.
      key: key name where known, in any spelling that `parse_key` reads; stored as in `KEYS`.

    Raises:
      ValueError: a field's value is not allowed; the message starts with the field's name.
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
            # A string would pass as a sequence of one-letter tags.
            if isinstance(tags, str) or not all(isinstance(tag, str) and tag for tag in tags):
                raise ValueError(f"{dimension} is {tags!r}, expected a tuple of tags")
        if self.tempo is not None and not (math.isfinite(self.tempo) and 0 < self.tempo < 1000):
            raise ValueError(f"tempo is {self.tempo}, expected beats per minute in (0, 1000)")
        if self.key is not None:
            object.__setattr__(self, "key", KEYS[parse_key(self.key)])
        object.__setattr__(self, "group", self.group or self.track_id)


def parse_key(name: str) -> int:
    """Gives the index in `KEYS` of a key such as "A minor", "Bb major", "F#m", "A:min", "b-flat".

    Without a mode the key is major, whatever the letter's case.

    Raises:
      ValueError: not the name of a key.
    """
    match = _KEY_PATTERN.fullmatch(name.strip())
    if match is None:
        raise ValueError(f'key is {name!r}, expected a tonic and a mode such as "A minor" or "Bb"')
    accidental = (match["accidental"] or "").lstrip(" \t-") or match["accidental"]
    shift = 0
    if accidental:
        shift = 1 if accidental.lower() in ("#", "♯", "sharp") else -1
    pitch_class = (_NATURALS[match["tonic"].upper()] + shift) % 12
    mode = match["mode"] or "major"
    is_minor = mode == "m" or mode.lower().startswith("min")
    return pitch_class + 12 * is_minor


def read_csv(path: str | Path) -> list[Track]:
    """Reads tracks from a CSV file with a header row.

    Columns: path and split are required; track_id (default: the path), group, artist, title,
    source, genre, mood, instrument, era (tags separated by ";"), tempo (beats per minute) and key
    are optional. Paths are relative to the folder of the CSV file. Empty cells mean unknown.

    Raises:
      FileNotFoundError: no such CSV file.
      ValueError: a missing or unknown column, a bad value or a duplicate track_id.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such CSV file")
    tracks: list[Track] = []
    lines: dict[str, int] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        _check_columns(path, reader.fieldnames or ())
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            track = _track_from_row(row, path.parent, where)
            if track.track_id in lines:
                first = lines[track.track_id]
                raise ValueError(
                    f"{where}: track_id is {track.track_id!r} as in line {first}, expected unique"
                )
            lines[track.track_id] = reader.line_num
            tracks.append(track)
    if not tracks:
        raise ValueError(f"{path}: no rows below the header, expected one per track")
    return tracks


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    required = {"path", "split"}
    optional = {"track_id", "group", "artist", "title", "source", *DIMENSIONS}
    found = set(columns)
    if missing := required - found:
        raise ValueError(
            f"{path}: column {', '.join(sorted(missing))} is missing, found {sorted(found)}"
        )
    if unknown := found - required - optional:
        raise ValueError(
            f"{path}: column {', '.join(map(repr, sorted(unknown)))} is unknown, "
            f"expected only {sorted(required | optional)}"
        )


def _track_from_row(row: dict[str, str], folder: Path, where: str) -> Track:
    if None in row or None in row.values():
        raise ValueError(f"{where}: the number of cells differs from the header's")
    cells = {column: cell.strip() for column, cell in row.items()}
    if not cells["path"]:
        raise ValueError(f"{where}: path is empty, expected an audio file")
    tags = {
        dimension: tuple(tag.strip() for tag in cells[dimension].split(";") if tag.strip())
        for dimension in TAG_DIMENSIONS
        if cells.get(dimension)
    }
    try:
        return Track(
            track_id=cells.get("track_id") or cells["path"],
            split=cells["split"],
            audio=folder / cells["path"],
            group=cells.get("group", ""),
            artist=cells.get("artist", ""),
            title=cells.get("title", ""),
            source=cells.get("source", ""),
            tags=tags,
            tempo=_parse_tempo(cells.get("tempo", "")),
            key=cells.get("key") or None,
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _parse_tempo(cell: str) -> float | None:
    if not cell:
        return None
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"tempo is {cell!r}, expected beats per minute") from None
