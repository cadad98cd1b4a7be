"""Brings a library up to date: embeds tracks that are new or have changed, and nothing else."""

import collections
import contextlib
import dataclasses
import itertools
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tqdm

from input_pipeline.datasets.workers import digest
from input_pipeline.hearing.audio import LONGEST, UnusableTrack
from jaxsim.library.intake import examination, sources, tags
from jaxsim.library.intake.embedding import Embedder, Features
from jaxsim.library.intake.examination import Examined
from jaxsim.library.intake.sources import Found, Record, Source
from jaxsim.library.store import writing
from jaxsim.library.store.writing import Entry, Known, Writer

COMMIT_TRACKS = 64
COMMIT_SECONDS = 10.0
NO_FILE = -1  # as the size of tracks whose audio file the store has not seen


@dataclasses.dataclass
class Report:
    """What an update did.

    Attributes:
      unchanged: tracks that had not changed.
      embedded: tracks that went through the network.
      copied: files whose content was known under another name.
      gone: tracks that were hidden because their file is gone.
      forgotten: tracks that were pruned.
      seconds: duration of the audio that went through the network.
      skipped: reasons by path of the file, or by place in a manifest or data set.
      labels_left_out: reasons, by place in a manifest, for rows that only lost a label.
    """

    unchanged: int = 0
    embedded: int = 0
    copied: int = 0
    gone: int = 0
    forgotten: int = 0
    seconds: float = 0.0
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    labels_left_out: dict[str, str] = dataclasses.field(default_factory=dict)


def update(
    library: Sequence[str | Path],
    folder: str | Path,
    *,
    embedder: Embedder,
    workers: int = 1,
    max_seconds: float = LONGEST,
    prune: bool = False,
) -> Report:
    """Brings the store in `folder` up to date with the tracks of `library`.

    Tracks that are neither below the folders of `library` nor named by it stay as they are. Tracks
    whose file is gone are hidden, and come back with their vector when it returns. Tracks of a
    prepared data set are embedded from its features; their files need not exist.

    Args:
      library: folders, audio files, manifests and prepared data sets.
      folder: the store; created if it does not exist.
      embedder: must have the store's model.
      workers: number of processes that read audio.
      max_seconds: longer files are skipped.
      prune: whether to forget what is gone and to reclaim its space.

    Raises:
      FileNotFoundError: something in `library` does not exist.
      ValueError: a manifest, a data set or the store is invalid, or of another model.
    """
    found = sources.find(library, embedder.feature_config)
    with writing.open(folder, embedder.description(), embedder.file) as writer:
        job = _Update(writer, embedder, found)
        try:
            # First, so that a file that moved finds its id free.
            job.hide_gone(library)
            job.free_ids()
            job.embed(workers=workers, max_seconds=max_seconds)
        finally:
            writer.measure_cosines()
        if prune:
            job.report.forgotten = writer.prune()
    return job.report


class _Update:
    """One update: what the store knew before it, and what has been done so far."""

    def __init__(self, writer: Writer, embedder: Embedder, found: Found):
        self.writer = writer
        self.embedder = embedder
        self.sources = {source.path: source for source in found.sources}
        self.known = writer.known()
        self.digests_of_size = collections.defaultdict[int, set[str]](set)
        for file in self.known.values():
            self.digests_of_size[file.size].add(file.digest)
        # Vectors and seconds by digest, of tracks whose rows will vanish with their ids.
        self.released: dict[str, tuple[np.ndarray, float]] = {}
        self.report = Report(skipped=found.skipped, labels_left_out=found.labels_left_out)
        self.pending: list[Entry] = []
        self.committed = time.monotonic()

    def hide_gone(self, library: Sequence[str | Path]) -> None:
        """Hides tracks below the folders of `library` that no longer exist."""
        folders = [Path(os.path.abspath(path)) for path in library if os.path.isdir(path)]
        gone = [
            path
            for path in self.known | self.writer.skipped()
            if path not in self.sources and self._belongs_to(path, folders)
        ]
        self.writer.hide(gone)
        for file in [self.known[path] for path in gone if path in self.known]:
            self.report.gone += file.present
            self.known[file.path] = dataclasses.replace(file, present=False)

    def _belongs_to(self, path: str, folders: Sequence[Path]) -> bool:
        """Whether a path is below a folder; a track without a file belongs to its data set only."""
        known = self.known.get(path)
        for parent in Path(path).parents:
            if parent in folders:
                return True
            if known is not None and known.size == NO_FILE and sources.is_data_set(parent):
                return False
        return False

    def free_ids(self) -> None:
        """Takes ids from tracks that are gone or now have another; skips sources of taken ids."""
        owners = {file.id: file for file in self.known.values()}
        for source in list(self.sources.values()):
            owner = owners.get(source.track_id)
            if owner is None or owner.path == source.path:
                continue
            is_here = owner.size == NO_FILE or os.path.exists(owner.path)
            if owner.present and is_here and owner.path not in self.sources:
                self.report.skipped[sources.readable(source.path)] = (
                    f"track_id {source.track_id!r} is already used by {owner.path}"
                )
                del self.sources[source.path]
                continue
            self.released[owner.digest] = self.writer.vector_of(owner.digest)
            self.writer.hide([owner.path])  # the track that takes the id removes it
            self.report.gone += owner.present and owner.path not in self.sources
            del self.known[owner.path]

    def embed(self, *, workers: int, max_seconds: float) -> None:
        """Embeds what is new or has changed."""
        changed = {path: one for path, one in sorted(self.sources.items()) if self._is_changed(one)}
        if not changed:
            return
        # A file of a known size may be a known file that moved.
        files = [
            (path, frozenset(self.digests_of_size.get(_size(path), ())))
            for path, source in changed.items()
            if source.record is None
        ]
        examined = itertools.chain(
            (_recall(source.path, source.record) for source in changed.values() if source.record),
            examination.examine_all(
                files,
                self.embedder.feature_config,
                workers_count=workers,
                max_seconds=max_seconds,
            )
            if files
            else (),
        )
        with tqdm.tqdm(total=len(changed), desc="embedding", unit="track", file=sys.stderr) as bar:
            self.bar = bar
            try:
                for key, vector in self.embedder.stream(self._new(examined, changed)):
                    self._take(*key, vector)
            finally:
                self._commit()

    def _is_changed(self, source: Source) -> bool:
        try:
            source.path.encode("utf-8")
        except UnicodeEncodeError:
            self.report.skipped[sources.readable(source.path)] = "its name is not UTF-8"
            return False
        file = self.known.get(source.path)
        if file is None:
            return True
        if source.record is None:
            same = (file.size, file.modified) == _size_and_time(source.path)
        else:
            same = file.digest == source.record.content
        if not same:
            return True
        if (file.id, file.given, file.present) != (source.track_id, source.given, True):
            self.writer.confirm(source.path, source.track_id, source.given)
        self.report.unchanged += 1
        return False

    def _new(
        self, examined: Iterable[Examined], changed: dict[str, Source]
    ) -> Iterator[tuple[tuple[Source, Examined], Features]]:
        """Yields what must go through the network; deals with everything else."""
        for found in examined:
            source = changed[found.path]
            if found.reason:
                self._skip(found.path, found.reason)
            elif found.features is None:
                self._take_known(source, found)
            else:
                yield (source, dataclasses.replace(found, features=None)), found.features
            self._show_progress()

    def _skip(self, path: str, reason: str) -> None:
        self.writer.skip(path, reason)
        self.report.skipped[path] = reason

    def _take_known(self, source: Source, found: Examined) -> None:
        file: Known | None = self.known.get(source.path)
        if file is not None and file.digest == found.digest:
            self.writer.confirm(
                source.path,
                source.track_id,
                source.given,
                size=found.size,
                modified=found.modified,
                tags=found.tags,
            )
            self.report.unchanged += 1
            return
        kept = self.released.get(found.digest)
        vector, seconds = kept or self.writer.vector_of(found.digest)
        self._add(source, dataclasses.replace(found, seconds=seconds), vector)
        self.report.copied += 1

    def _take(self, source: Source, found: Examined, vector: np.ndarray) -> None:
        if not np.isfinite(vector).all():
            self._skip(source.path, "its embedding is not finite")
            return
        self._add(source, found, vector)
        self.report.embedded += 1
        self.report.seconds += found.seconds
        self._show_progress(files=0)

    def _add(self, source: Source, found: Examined, vector: np.ndarray) -> None:
        entry = Entry(
            path=source.path,
            track_id=source.track_id,
            given=source.given,
            size=found.size,
            modified=found.modified,
            digest=found.digest,
            tags=found.tags,
            seconds=found.seconds,
            vector=vector,
        )
        self.pending.append(entry)
        waited = time.monotonic() - self.committed
        if len(self.pending) >= COMMIT_TRACKS or waited > COMMIT_SECONDS:
            self._commit()

    def _commit(self) -> None:
        self.writer.add(self.pending)
        self.pending = []
        self.committed = time.monotonic()

    def _show_progress(self, *, files: int = 1) -> None:
        self.bar.update(files)
        speed = self.report.seconds / max(self.bar.format_dict["elapsed"], 1e-9)
        skipped = len(self.report.skipped)
        self.bar.set_postfix_str(f"{speed:.0f} x real time, {skipped} skipped")


def _recall(path: str, record: Record) -> Examined:
    """What a data set's record says about a track, in the form of an examination.

    The file is recorded as the embedding's only if it has the content that the features are from.
    """
    status, was_heard = _size_and_time(path), False
    with contextlib.suppress(UnusableTrack):
        was_heard = digest(path) == record.content
    size, modified = status if status and was_heard else (NO_FILE, NO_FILE)
    return Examined(
        path,
        size=size,
        modified=modified,
        digest=record.content,
        tags=tags.read(path),
        seconds=record.seconds,
        features=record.features(),
    )


def _size(path: str) -> int:
    return (_size_and_time(path) or (-1, -1))[0]


def _size_and_time(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a path that no file can have
        return None
    return status.st_size, status.st_mtime_ns
