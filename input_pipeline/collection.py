"""What every source of music provides: tracks, their origin, and any problems with them."""

import dataclasses
import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from input_pipeline.spellings import FIRST_YEAR, LAST_YEAR, year_in
from input_pipeline.tracks import DIMENSIONS, KEYS, SPLITS, Track, parse_key, parse_tempo

HELD_OUT = 0.2  # share of groups for validation and test combined
UNKNOWN_TAGS_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something in a source that could not be used.

    Attributes:
      where: a track's id, or "file, line n".
      reason: what was found, and what was expected.
      skipped: whether the whole track was left out; if not, only a label was.
    """

    where: str
    reason: str
    skipped: bool = True


@dataclasses.dataclass(frozen=True)
class Collection:
    """What was read from a source.

    Attributes:
      name: of the data set: lower-case letters, digits and underscores.
      tracks: the usable ones in the order of the source; unique ids, and no group in two splits.
      description: for human readers.
      citation: how to cite the data.
      licence: of the data.
      label_descriptions: what the labels of a dimension mean.
      problems: what was left out, and why.
      unknown_tags: tags missing from the source's tag map, with their counts.
      ignored: how many files were not taken for music, by reason.
    """

    name: str
    tracks: list[Track]
    description: str = ""
    citation: str = ""
    licence: str = ""
    label_descriptions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    unknown_tags: Mapping[str, int] = dataclasses.field(default_factory=dict)
    ignored: Mapping[str, int] = dataclasses.field(default_factory=dict)


class Collector:
    """Gathers the tracks of a source; anything wrong is recorded as a problem and stops nothing."""

    def __init__(self) -> None:
        self.unknown_tags: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()  # files that are not music, by reason
        self._tracks: list[Track] = []
        self._problems: list[Problem] = []
        self._place_of_track: dict[str, str] = {}
        self._split_of_group: dict[str, str] = {}

    def add(self, where: str, *, tempo: Any = None, key: str | None = None, **fields: Any) -> None:
        """Adds a track.

        An invalid tempo or key is left out. A track is left out if any other field is invalid, if
        its id is taken, or if its group is in another split.

        Args:
          where: how problems refer to the track.
          tempo: beats per minute, as a number or text; None or empty = unknown.
          key: in any spelling that `parse_key` reads; None or empty = unknown.
          **fields: the other fields of `Track`.
        """
        labels: dict[str, Any] = {}
        for name, value, parse in (("tempo", tempo, parse_tempo), ("key", key, checked_key)):
            if value is not None and value != "":
                try:
                    labels[name] = parse(value)
                except ValueError as error:
                    self.leave_out(where, str(error))
        try:
            track = Track(**fields, **labels)
            self._check(track)
        except ValueError as error:
            self.skip(where, str(error))
            return
        self._place_of_track[track.track_id] = where
        self._split_of_group[track.group] = track.split
        self._tracks.append(track)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What has been left out so far."""
        return tuple(self._problems)

    def skip(self, where: str, reason: str) -> None:
        """Notes that a track was left out."""
        self._problems.append(Problem(where, reason, skipped=True))

    def leave_out(self, where: str, reason: str) -> None:
        """Notes that a label was left out, though its track was not."""
        self._problems.append(Problem(where, reason, skipped=False))

    def collection(self, path: str | Path, name: str, **details: Any) -> Collection:
        """Gives what was gathered; `details` are the other fields of `Collection`.

        Raises:
          ValueError: there are no tracks; the message begins with `path`.
        """
        if not self._tracks:
            first = self._problems[:1]
            why = "".join(f"; the first problem: {one.where}: {one.reason}" for one in first)
            raise ValueError(f"{path}: no usable track{why}")
        return Collection(
            name,
            self._tracks,
            problems=self.problems,
            unknown_tags=dict(self.unknown_tags.most_common()),
            ignored=dict(self.ignored.most_common()),
            **details,
        )

    def _check(self, track: Track) -> None:
        place = self._place_of_track.get(track.track_id)
        if place is not None:
            raise ValueError(
                f"track_id is {track.track_id!r}, taken by {place}, expected unique ids"
            )
        split = self._split_of_group.get(track.group, track.split)
        if split != track.split:
            raise ValueError(
                f"split is {track.split!r}, expected {split!r} like the rest of group "
                f"{track.group!r}"
            )


def checked_key(name: Any) -> str:
    """Returns the name of a key as in `KEYS`; raises ValueError if it is not one."""
    if not isinstance(name, str):
        raise ValueError(f"key is {name!r}, expected a name such as 'A minor'")
    return KEYS[parse_key(name)]


def split_of_group(group: str, held_out: float = HELD_OUT) -> str:
    """Draws a split from a hash of the group's name alone, so that no other track can change it.

    Half of the held-out share is for validation, half for test.
    """
    digest = hashlib.sha256(group.encode(errors="backslashreplace")).digest()
    position = int.from_bytes(digest[:8]) / 2**64
    if position < 1 - held_out:
        return "train"
    return "validation" if position < 1 - held_out / 2 else "test"


def parse_year(value: Any) -> int:
    """Parses a year, given as a number, as text, or as a date (`spellings.year_in`).

    Raises:
      ValueError: not a whole number from 1000 to 2099, nor a date with such a year.
    """
    try:
        year = math.nan if isinstance(value, bool) else float(value)
    except (OverflowError, TypeError, ValueError):
        year = math.nan
    if FIRST_YEAR <= year < LAST_YEAR + 1:
        if year.is_integer():
            return int(year)
    elif isinstance(value, str) and (found := year_in(value)) is not None:
        return found
    raise ValueError(f"year is {value!r}, expected a year from {FIRST_YEAR} to {LAST_YEAR}")


def era_of_year(year: int) -> str:
    """Names the decade: "30s" to "00s" for 1930 to 2009, in full ("1920s", "2010s") otherwise."""
    decade = year // 10 * 10
    return f"{decade % 100:02d}s" if 1930 <= decade < 2010 else f"{decade}s"


def era_of_date(date: str) -> str | None:
    """Names the decade of a date that begins with its year; None where the year is unknown.

    Raises:
      ValueError: the date does not begin with a four-digit year, or the year is implausible.
    """
    match = re.match(r"\s*(\d{4})(?!\d)", date)
    year = int(match[1]) if match else -1
    if not date.strip() or year == 0:
        return None
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"date is {date!r}, expected one that begins with a year")
    return era_of_year(year)


def summarise(collection: Collection) -> str:
    """Summarises what was read: tracks, labels, unknown tags, problems, licence and citation."""
    tracks = collection.tracks
    splits = Counter(track.split for track in tracks)
    sizes = ", ".join(f"{splits[split]} {split}" for split in SPLITS)
    groups = len({track.group for track in tracks})
    covered = {
        name: sum(bool(getattr(track, name, None) or track.tags.get(name)) for track in tracks)
        for name in DIMENSIONS
    }
    shares = (f"{name} {n} ({100 * n / len(tracks):.0f} %)" for name, n in covered.items())
    lines = [
        f"{collection.name}: {collection.description}".rstrip(": "),
        f"read: {len(tracks)} tracks ({sizes}) in {groups} groups",
        f"labelled: {', '.join(shares)}",
        *_empty_splits_lines(splits),
        *_unknown_tags_lines(collection.unknown_tags),
        *_problems_lines(collection.problems),
    ]
    if collection.ignored:
        counts = ", ".join(f"{reason} {count}" for reason, count in collection.ignored.items())
        lines.append(f"ignored: {sum(collection.ignored.values())}: {counts}")
    if collection.licence:
        lines.append(f"licence: {collection.licence}")
    if collection.citation:
        lines.append(f"please cite: {collection.citation}")
    return "\n".join(lines)


def _empty_splits_lines(splits: Mapping[str, int]) -> list[str]:
    empty = [split for split in SPLITS if not splits.get(split)]
    if not empty or splits.keys() == {"test"}:  # a collection to test on
        return []
    return [
        f"no tracks in: {', '.join(empty)}. Groups are never divided: use smaller groups where "
        "splits are drawn, or give the splits in a manifest"
    ]


def _unknown_tags_lines(unknown_tags: Mapping[str, int]) -> list[str]:
    if not unknown_tags:
        return []
    most = sorted(unknown_tags.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{tag!r} {count}" for tag, count in most[:UNKNOWN_TAGS_SHOWN])
    more = ", ..." if len(most) > UNKNOWN_TAGS_SHOWN else ""
    return [f"tags missing from the tag map: {len(most)}: {shown}{more}"]


def _problems_lines(problems: tuple[Problem, ...]) -> list[str]:
    """Counts problems by reason, ignoring the values found."""
    lines = []
    for skipped, what in ((True, "tracks skipped"), (False, "labels left out")):
        reasons = Counter(
            re.sub(r" (is|are) .*?, expected.*", r" \1 invalid", problem.reason, flags=re.DOTALL)
            for problem in problems
            if problem.skipped == skipped
        )
        if reasons:
            counts = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
            first = next(problem for problem in problems if problem.skipped == skipped)
            lines.append(f"{what}: {reasons.total()}: {counts}")
            lines.append(f"  the first: {first.where}: {first.reason}")
    return lines
