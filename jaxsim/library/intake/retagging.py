"""Writes what is heard in a library's tracks into the tags of their files.

A file's own tags stay, unless they are to be replaced, and what is not sure enough is not written.
The store is told of each file as soon as it is written, so that a run can be interrupted and begun
again; and a file that was written just before that is recognised by its audio.
"""

import collections
import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mutagen
import numpy as np

from input_pipeline.hearing import audio, file_tags, tag_writing
from input_pipeline.hearing.audio import UnusableTrack
from input_pipeline.hearing.tag_writing import NotWritten
from jaxsim.library.intake import tags
from jaxsim.library.intake.examination import NO_FILE, size_and_time
from jaxsim.library.intake.reports import counted, kind_of
from jaxsim.library.store import Store, writing
from jaxsim.library.store.entries import Known
from jaxsim.library.store.writing import Writer

FIELDS = file_tags.WRITTEN
USUAL = ("tempo", "key", "mood")  # a genre is its owner's choice of words
LEAST = 0.5  # probability: more probably right than not
KNOWN, UNSURE, UNHEARD = "already known", "not sure enough", "not heard"


@dataclasses.dataclass(frozen=True)
class Reading:
    """What is heard in one field of a track.

    Attributes:
      value: as it is written and read, see `file_tags.FileTags`.
      probability: that it is right; of several tags, that of the least probable.
    """

    value: float | str | tuple[str, ...]
    probability: float

    def __str__(self) -> str:
        if isinstance(self.value, tuple):
            return ", ".join(self.value)
        return f"{self.value:.0f}" if isinstance(self.value, float) else self.value


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What would be written into a file.

    Attributes:
      path: of the track.
      readings: what is to be written, by field.
      left_out: why other fields are not, by field.
      reason: why the file cannot be written; empty if it can.
    """

    path: str
    readings: Mapping[str, Reading] = dataclasses.field(default_factory=dict)
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reason: str = ""


@dataclasses.dataclass
class Report:
    """What was written, or would be.

    Attributes:
      dry: whether nothing was to be written.
      fields: how many fields, by name.
      files: how many files.
      unchanged: files in which there is nothing to write.
      left_out: how many fields were left out, by reason.
      refused: reasons by path.
      remaining: files that an interrupted run did not come to.
    """

    dry: bool
    fields: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    files: int = 0
    unchanged: int = 0
    left_out: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    refused: dict[str, str] = dataclasses.field(default_factory=dict)
    remaining: int = 0

    def note(self, proposal: Proposal) -> None:
        self.remaining -= 1
        self.left_out.update(proposal.left_out.values())
        if proposal.reason:
            self.refused[proposal.path] = proposal.reason
        elif proposal.readings:
            self.files += 1
            self.fields.update(list(proposal.readings))
        else:
            self.unchanged += 1

    def describe(self) -> str:
        """What was refused and why, and then everything in numbers."""
        lines = [f"{reason}: {path}" for path, reason in sorted(self.refused.items())]
        lines.append(counted("refused", collections.Counter(map(kind_of, self.refused.values()))))
        lines.append(counted("fields left out", self.left_out))
        done = "to write" if self.dry else "written"
        lines.append(counted(f"fields {done}", self.fields))
        counts = {
            done: self.files,
            "nothing to write": self.unchanged,
            "refused": len(self.refused),
            "not reached": self.remaining,
        }
        shown = [f"{number} {name}" for name, number in counts.items() if number]
        lines.append(f"files: {', '.join(shown) or 'none'}")
        if self.dry and self.files:
            lines.append("nothing has been written: add --write to write it")
        return "\n".join(filter(None, lines))


def readings_of(heard: Mapping[str, Any]) -> dict[str, list[Reading]]:
    """What is heard in a track (`Store.heard`), by field of `FIELDS`, each value by itself.

    The probability of a tempo is that of this very level, not of its double or half.
    """
    found: dict[str, list[Reading]] = {field: [] for field in FIELDS}
    if heard.get("tempo"):
        sure = heard["tempo_confidence"] * heard["tempo_level"]
        found["tempo"] = [Reading(float(round(heard["tempo"])), sure)]
    if heard.get("key"):
        found["key"] = [Reading(heard["key"], heard["key_confidence"])]
    for field in ("mood", "genre"):
        every = heard.get("tags", {}).get(field, {})
        found[field] = [Reading((tag,), probability) for tag, probability in every.items()]
    return found


def proposal(
    track: Mapping[str, Any],
    heard: Mapping[str, Any],
    *,
    only: Collection[str] = USUAL,
    least: float = LEAST,
    replace: bool = False,
) -> Proposal:
    """What would be written into a track's file, which is read for what it says already.

    Args:
      track: what `Store.metadata` says of it; it may know more than the file, from a manifest.
      heard: what `Store.heard` says of it.
      only: the fields to write.
      least: the probability from which on a value is written.
      replace: whether what is already known is replaced, too.
    """
    path, stated = track["path"], set[str]()
    try:
        audio.check_file(path)
        if not replace:
            stated = {*file_tags.stated(path), *(field for field in FIELDS if track[field])}
    except UnusableTrack as error:
        return Proposal(path, reason=error.reason)
    except mutagen.MutagenError as error:
        return Proposal(path, reason=f"its tags cannot be read ({error})")
    found, left_out = {}, {}
    for field, every in readings_of(heard).items():
        if field not in only:
            continue
        sure = [one for one in every if one.probability >= least]
        if field in stated:
            left_out[field] = KNOWN
        elif sure:
            found[field] = _joined(sure)
        else:
            left_out[field] = UNSURE if every else UNHEARD
    return Proposal(path, found, left_out)


def _joined(readings: list[Reading]) -> Reading:
    """Several tags as one value."""
    first = readings[0]
    if not isinstance(first.value, tuple):
        return first
    every = tuple(tag for one in readings if isinstance(one.value, tuple) for tag in one.value)
    return Reading(every, min(one.probability for one in readings))


def retag(
    library: Store, report: Report, *, where: str | None = None, **options: Any
) -> Iterator[Proposal]:
    """Yields what would be written into each file, or, unless the report is dry, has been.

    Args:
      library: whose tracks they are.
      report: is told of every file.
      where: a condition on the tracks, see `jaxsim.library.store.conditions`.
      options: as for `proposal`.

    Raises:
      ValueError: the condition is invalid, or another process is writing to the library.
    """
    rows = np.flatnonzero(library.select(where)).tolist()
    report.remaining = len(rows)
    with contextlib.ExitStack() as stack:
        # A dry run needs no permission to write, and keeps nobody from writing.
        writer = None if report.dry else stack.enter_context(writing.open(library.path))
        known = writer.known() if writer else {}
        for found in _proposals(library, rows, **options):
            if writer and found.readings and not found.reason:
                found = _written(writer, found, known, library.root)
            report.note(found)
            yield found


def _proposals(library: Store, rows: Sequence[int], **options: Any) -> Iterator[Proposal]:
    """Refuses files if that can be told without reading their audio."""
    root = os.path.realpath(library.root)
    tracks, heard = library.metadata(rows), library.heard(rows)
    for row, track, own in zip(rows, tracks, heard, strict=True):
        found = proposal(track, own, **options)
        if found.readings:
            try:
                if library.audio_number[row] < 0:
                    raise NotWritten("its audio is not known; run jaxsim.embed with its folder")
                tag_writing.check(_target(track["path"], root))
            except NotWritten as error:
                found = Proposal(track["path"], reason=str(error))
        yield found


def _written(writer: Writer, found: Proposal, known: Mapping[str, Known], root: Path) -> Proposal:
    """Writes into a file, and tells the store; gives the reason if nothing was written."""
    try:
        if found.path not in known:
            raise NotWritten("is no longer in this library")
        track = known[found.path]
        values = {field: one.value for field, one in found.readings.items()}
        target = _target(found.path, os.path.realpath(root))
        tag_writing.write(target, values, fingerprint=track.fingerprint)
    except NotWritten as error:
        return Proposal(found.path, left_out=found.left_out, reason=str(error))
    with contextlib.suppress(OSError):  # else the next jaxsim.embed finds out
        size, modified = size_and_time(found.path) or (NO_FILE, NO_FILE)
        with open(found.path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        changes = {"size": size, "modified": modified, "digest": digest}
        read = tags.read(found.path)
        writer.confirm(found.path, track.id, track.given, tags=read, **changes)
    return found


def _target(path: str, root: str) -> Path:
    """The file that a track's path leads to; raises NotWritten if it is outside of the library."""
    try:
        real = os.path.realpath(path, strict=True)
    except OSError as error:
        raise NotWritten(f"cannot be read ({error.strerror})") from None
    if real != path and os.path.commonpath([real, root]) != root:
        raise NotWritten(f"its path leads out of the library, to {real}")
    return Path(real)
