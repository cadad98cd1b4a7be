"""Brings a library up to date with its files: what is new or changed is embedded, nothing else."""

import collections
import dataclasses
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tqdm

from input_pipeline.audio import LONGEST
from jaxsim.library import examination, sources, writing
from jaxsim.library.embedding import Embedder, Features
from jaxsim.library.examination import Examined
from jaxsim.library.sources import Source
from jaxsim.library.writing import Entry, Known, Writer

COMMIT_TRACKS = 64
COMMIT_SECONDS = 10.0


@dataclasses.dataclass
class Report:
    """What an update did.

    Attributes:
      unchanged: files that had not changed.
      embedded: files that went through the network.
      copied: files whose content was known under another name.
      gone: tracks that were hidden since their file is gone.
      forgotten: tracks that were pruned.
      seconds: of the audio that went through the network.
      skipped: reasons by path.
    """

    unchanged: int = 0
    embedded: int = 0
    copied: int = 0
    gone: int = 0
    forgotten: int = 0
    seconds: float = 0.0
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)


def update(
    library: Sequence[str | Path],
    folder: str | Path,
    *,
    embedder: Embedder,
    workers: int = 1,
    max_seconds: float = LONGEST,
    prune: bool = False,
) -> Report:
    """Brings the store in `folder` up to date with the files of `library`.

    Tracks that are neither below the folders of `library` nor named by it stay as they are. Tracks
    whose file is gone are hidden, and come back with their vector when it returns.

    Args:
      library: folders, audio files and manifests.
      folder: the store; made if there is none.
      embedder: must be the model of the store.
      workers: processes that read audio.
      max_seconds: longer files are skipped.
      prune: whether to forget what is gone and to reclaim its space.

    Raises:
      FileNotFoundError: something in `library` is not there.
      ValueError: a manifest or the store is wrong, or the store is of another model.
    """
    found = sources.find(library)
    with writing.open(folder, embedder.description(), embedder.file) as writer:
        job = _Update(writer, embedder)
        try:
            job.embed(found, workers=workers, max_seconds=max_seconds)
            job.hide_gone(found, library)
        finally:
            writer.measure_spread()
        if prune:
            job.report.forgotten = writer.prune()
    return job.report


class _Update:
    """One update: what the store knew before it, and what is done so far."""

    def __init__(self, writer: Writer, embedder: Embedder):
        self.writer = writer
        self.embedder = embedder
        self.known = writer.known()
        self.digests_of_size = collections.defaultdict[int, set[str]](set)
        for file in self.known.values():
            self.digests_of_size[file.size].add(file.digest)
        self.report = Report()
        self.pending: list[Entry] = []
        self.committed = time.monotonic()

    def embed(self, found: Sequence[Source], *, workers: int, max_seconds: float) -> None:
        changed = {source.path: source for source in found if self._is_changed(source)}
        if not changed:
            return
        # A file of a size that is known may be a known one that moved.
        files = [
            (path, frozenset(self.digests_of_size.get(_size(path), ()))) for path in sorted(changed)
        ]
        examined = examination.examine_all(
            files,
            self.embedder.feature_config,
            workers_count=workers,
            max_seconds=max_seconds,
        )
        with tqdm.tqdm(total=len(files), desc="embedding", unit="file", file=sys.stderr) as bar:
            self.bar = bar
            try:
                for key, vector in self.embedder.stream(self._new(examined, changed)):
                    self._take(*key, vector)
            finally:
                self._commit()

    def hide_gone(self, found: Sequence[Source], library: Sequence[str | Path]) -> None:
        """Hides tracks below the folders of `library` that are not there any more."""
        here = {source.path for source in found}
        folders = [os.path.join(os.path.abspath(p), "") for p in library if os.path.isdir(p)]
        gone = [
            path
            for path in self.known | self.writer.skipped()
            if path not in here and path.startswith(tuple(folders))
        ]
        self.writer.hide(gone)
        self.report.gone += sum(self.known[path].present for path in gone if path in self.known)

    def _is_changed(self, source: Source) -> bool:
        try:
            source.path.encode("utf-8")
        except UnicodeEncodeError:
            readable = os.fsencode(source.path).decode(errors="backslashreplace")
            self.report.skipped[readable] = "its name is not UTF-8"
            return False
        file = self.known.get(source.path)
        if file is None or (file.size, file.modified) != _size_and_time(source.path):
            return True
        if (file.id, file.given, file.present) != (source.track_id, source.given, True):
            self.writer.confirm(source.path, source.track_id, source.given)
        self.report.unchanged += 1
        return False

    def _new(
        self, examined: Iterable[Examined], changed: dict[str, Source]
    ) -> Iterator[tuple[tuple[Source, Examined], Features]]:
        """What must go through the network; deals with everything else."""
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
        vector, seconds = self.writer.vector_of(found.digest)
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


def _size(path: str) -> int:
    return (_size_and_time(path) or (-1, -1))[0]


def _size_and_time(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
