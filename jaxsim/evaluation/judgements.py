"""Triplets that people judged, from files: which of two tracks is more like a third (B §4.3.4).

Three forms are told apart by their columns:

  anchor, positive, negative: track ids, one triplet a row; the form for any other collection.
  dim-sim (raw or clean; CSV, or JSON of records or columns): anchor_id, song1_id, song2_id,
    song1_vote, song2_vote. The song with more votes is the positive; equal votes are left out.
  MagnaTagATune's comparisons_final.csv (tab-separated): clip1_id .. clip3_id, clip1_numvotes ..:
    votes for the odd one out. v votes for k of (i, j, k) say v times that i is closer to j than to
    k, and that j is closer to i than to k; opposing votes are subtracted.
"""

import csv
import dataclasses
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jaxsim.evaluation.metrics import Triplets

AGREEMENT = 0.9  # at least; such triplets are also reported separately (A §4.1)
MAX_VOTES = 1e9  # for or against a track
Table = list[list[str]]
Parsed = tuple[list[tuple[str, str, str]], list[float]]
GENERIC = ("anchor", "positive", "negative")
DIM_SIM = "dim-sim"
DIM_SIM_COLUMNS = ("anchor_id", "song1_id", "song2_id", "song1_vote", "song2_vote")
ODD_ONE_OUT = tuple(f"clip{i}_{what}" for what in ("id", "numvotes") for i in (1, 2, 3))


@dataclasses.dataclass(frozen=True)
class Judgements:
    """Judged triplets of track ids.

    Attributes:
      name: of the file.
      form: of the file: "triplets", "dim-sim" or "odd one out".
      ids: (anchor, positive, negative) of every triplet.
      agreement: share of the votes that agree with it; 1 where no votes are known.
      threshold: the agreement below which triplets were left out; 0 if none were.
    """

    name: str
    form: str
    ids: list[tuple[str, str, str]]
    agreement: np.ndarray
    threshold: float = 0.0

    @property
    def title(self) -> str:
        """The name, and the threshold if there is one."""
        return f"{self.name}, agreement >= {self.threshold:g}" if self.threshold else self.name

    def __len__(self) -> int:
        return len(self.ids)

    def at_least(self, agreement: float) -> "Judgements":
        """Those on which at least this share of the votes agree."""
        kept = np.flatnonzero(self.agreement >= agreement)
        return dataclasses.replace(
            self,
            ids=[self.ids[i] for i in kept],
            agreement=self.agreement[kept],
            threshold=agreement,
        )

    def rows(self, track_ids: list[str]) -> Triplets:
        """As rows of a data set; triplets with a track that it lacks are left out."""
        row = {name: number for number, name in enumerate(track_ids)}
        known = [[row[name] for name in ids] for ids in self.ids if all(i in row for i in ids)]
        return Triplets(*np.array(known, np.int64).reshape(-1, 3).T)


def read(path: str | Path) -> Judgements:
    """Reads a file of judgements.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it has none of the three forms, or a value is missing or not a number; the message
        names the file, the row and the column.
    """
    path = Path(path)
    rows = _rows(path)
    columns = set(rows[0]) if rows else set()
    for form, (needed, parse) in FORMS.items():
        if set(needed) <= columns:
            table = [
                [_value(row, column, number, path) for column in needed]
                for number, row in enumerate(rows, start=1)
            ]
            ids, agreement = parse(table)
            if not ids:
                raise ValueError(f"{path}: has no triplet on which the votes differ")
            return Judgements(path.stem, form, ids, np.array(agreement))
    raise ValueError(
        f"{path}: has columns {', '.join(_shown(columns)) or 'none'}; expected "
        + ", or ".join(", ".join(needed) for needed, _ in FORMS.values())
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV, TSV or JSON file (records, or columns of values)."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".json":
                content = json.load(file)
                if isinstance(content, dict):
                    columns = [
                        values.values() if isinstance(values, dict) else values
                        for values in content.values()
                    ]
                    content = [
                        dict(zip(content, row, strict=True)) for row in zip(*columns, strict=True)
                    ]
                return [dict(record) for record in content]
            delimiter = "\t" if "\t" in file.readline() else ","
            file.seek(0)
            return list(csv.DictReader(file, delimiter=delimiter))
    except (ValueError, TypeError, RecursionError, csv.Error) as error:
        raise ValueError(f"{path}: not a table of triplets ({error})") from None


def _value(row: dict[str, Any], column: str, number: int, path: Path) -> str:
    value = row.get(column)
    text = str(value) if isinstance(value, str | int | float) else ""
    votes = column.endswith(("_vote", "_numvotes"))
    if not text or (votes and not _is_count(text)):
        expected = "a number of votes" if votes else "a track id"
        raise ValueError(f"{path}: row {number}: {column} is {text!r}, expected {expected}")
    return text


def _is_count(value: str) -> bool:
    try:
        return 0 <= float(value) < MAX_VOTES
    except ValueError:
        return False


def _generic(table: Table) -> Parsed:
    return [(anchor, positive, negative) for anchor, positive, negative in table], [1.0] * len(
        table
    )


def _dim_sim(table: Table) -> Parsed:
    ids, agreement = [], []
    for anchor, first, second, *votes in table:
        one, other = map(float, votes)
        if one != other:
            ids.append((anchor, first, second) if one > other else (anchor, second, first))
            agreement.append(max(one, other) / (one + other))
    return ids, agreement


def _odd_one_out(table: Table) -> Parsed:
    closer: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    for *clips, first, second, third in table:
        for odd, votes in enumerate(map(float, (first, second, third))):
            i, j = (clip for number, clip in enumerate(clips) if number != odd)
            closer[i, j, clips[odd]] += votes
            closer[j, i, clips[odd]] += votes
    ids, agreement = [], []
    for (anchor, positive, negative), votes in closer.items():
        against = closer.get((anchor, negative, positive), 0)
        if votes > against:
            ids.append((anchor, positive, negative))
            agreement.append(votes / (votes + against))
    return ids, agreement


FORMS: dict[str, tuple[tuple[str, ...], Callable[[Table], Parsed]]] = {
    "triplets": (GENERIC, _generic),
    DIM_SIM: (DIM_SIM_COLUMNS, _dim_sim),
    "odd one out": (ODD_ONE_OUT, _odd_one_out),
}


def _shown(names: Iterable[Any]) -> list[str]:
    """Names in order, on one line whatever they contain."""
    return [name if name.isprintable() else repr(name) for name in sorted(map(str, names))]
