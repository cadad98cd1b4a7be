"""Tempo and key as other systems estimated them, from files: one CSV a system, one row a track.

The columns are track_id, tempo (beats per minute) and key, such as "A minor", both as a manifest
may spell them; an empty one was not estimated. Other columns are ignored.
"""

import csv
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from input_pipeline.datasets.dataset import DataSet
from input_pipeline.tracks import parse_key, parse_tempo

COLUMNS = ("track_id", "tempo", "key")
UNKNOWN = (0.0, -1)  # the tempo and the key of a track for which there are none


@dataclasses.dataclass(frozen=True)
class Estimates:
    """What one system estimated.

    Attributes:
      path: of the file, after which the system is called.
      values: tempo (0 = unknown) and key (index in `tracks.KEYS`, -1 = unknown) by track id.
    """

    path: Path
    values: Mapping[str, tuple[float, int]]

    @property
    def name(self) -> str:
        """What the system is called in the tables."""
        return self.path.stem

    def check(self, data: DataSet) -> None:
        """Raises ValueError if there is not one track of a data set among these."""
        if self.values.keys().isdisjoint(data.track_ids):
            raise ValueError(
                f"{self.path}: has none of the {len(data)} tracks of {data.directory}, split "
                f"{data.split!r}; its first track_id is {next(iter(self.values), '')!r}, theirs is "
                f"{data.track_ids[0]!r}"
            )


def read(path: str | Path) -> Estimates:
    """Reads a file of estimates.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not such a table, or a value is missing, invalid or of a track that a row
        before has; the message names the file, the line and the column.
    """
    path = Path(path)
    values: dict[str, tuple[float, int]] = {}
    for where, row in _rows(path):
        try:
            track_id, found = _parsed(row)
            if track_id in values:
                raise ValueError(f"track_id is {track_id!r} again, expected one row for each track")
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        values[track_id] = found
    return Estimates(path, values)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields "FILE, line n", and the cells by column, without the spaces around them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, cells) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a CSV file in UTF-8 ({error})") from None
    columns = [cell.strip() for cell in lines[0][1]] if lines else []
    if any(columns.count(name) != 1 for name in COLUMNS):
        found = ", ".join(map(repr, columns)) or "none"
        raise ValueError(f"{path}: has columns {found}; expected {', '.join(COLUMNS)}, each once")
    for number, cells in lines[1:]:
        where = f"{path}, line {number}"
        if len(cells) != len(columns):
            raise ValueError(
                f"{where}: number of cells is {len(cells)}, expected {len(columns)} as in the "
                "header"
            )
        yield where, {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}


def _parsed(row: Mapping[str, str]) -> tuple[str, tuple[float, int]]:
    """The track_id, tempo and key of a row."""
    if not row["track_id"]:
        raise ValueError("track_id is empty, expected that of a track")
    tempo, key = UNKNOWN
    if row["tempo"]:
        tempo = parse_tempo(row["tempo"])
    if row["key"]:
        key = parse_key(row["key"])
    return row["track_id"], (tempo, key)
