"""What the sections of a report are made of."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

Results = Mapping[str, Any]  # as `comparison.compare` returns them
ABSENT = "n/a"
VERDICTS = ("is better in", "does not differ in", "is worse in")
RAW = "raw distances"  # of a system whose vectors are not normalised


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of text under headings; all but the first column are right-aligned."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Section:
    """A titled part of the report. `figures` are (SVG, caption)."""

    title: str
    text: str = ""
    tables: Sequence[tuple[str, Table]] = ()
    figures: Sequence[tuple[str, str]] = ()
    folded: Sequence[tuple[str, str]] = ()


def with_remarks(name: str, system: Mapping[str, Any]) -> str:
    """A system's name, with what its row must not be read without."""
    remarks = [RAW] if system.get("raw") else []  # absent from older evaluations
    if system["coverage"] < 1:
        remarks.append(f"{system['coverage']:.0%} of the tracks")
    return f"{name} ({', '.join(remarks)})" if remarks else name


def verdicts(differences: Mapping[str, Mapping[str, float] | None]) -> list[str]:
    """What is better, does not differ and is worse by the intervals of differences, as text."""
    better, same, worse = [], [], []
    for name, difference in differences.items():
        if difference is None:
            continue
        if difference["low"] > 0:
            better.append(name)
        elif difference["high"] < 0:
            worse.append(name)
        else:
            same.append(name)
    return [", ".join(names) or "none" for names in (better, same, worse)]


def interval(score: Mapping[str, float] | None) -> str:
    """A score as text."""
    if not score:
        return ABSENT
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
