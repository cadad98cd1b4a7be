"""What an update adds to the store: tracks that are new or have changed, embedded."""

import dataclasses
import itertools
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from input_pipeline.progress import Bar
from jaxsim.library.intake import comparison, examination, scale_out, sources, vanishing
from jaxsim.library.intake.comparison import Comparison
from jaxsim.library.intake.embedding import Embedder, Features
from jaxsim.library.intake.examination import NO_FILE, Examined, size_and_time
from jaxsim.library.intake.scale_out import Embedded
from jaxsim.library.intake.sources import Source
from jaxsim.library.store import writing
from jaxsim.library.store.entries import Entry

COMMIT_SECONDS = 10.0


class Additions:
    """Embeds what a comparison has found to be new or changed, and adds it to the store."""

    def __init__(self, before: Comparison, embedder: Embedder, *, max_seconds: float):
        self.before = before
        self.writer = before.writer
        self.report = before.report
        self.embedder = embedder
        self.max_seconds = max_seconds
        self.pending: list[Entry] = []
        self.lost: list[Examined] = []  # files of tracks, of which nothing can be heard any more
        self.committed = time.monotonic()

    def embed(self, beam_options: Sequence[str] = ()) -> None:
        """Embeds what is new or has changed."""
        changed = {
            path: one for path, one in self.before.changed.items() if path in self.before.sources
        }
        if not changed:
            return
        records = [(path, source.record) for path, source in changed.items() if source.record]
        files = [path for path, source in changed.items() if source.record is None]
        examined = itertools.chain(
            (examination.recall(*record, self.embedder.seconds) for record in records),
            self._examined(files) if files and not beam_options else (),
        )
        embedded = self._embedded_elsewhere(files, beam_options) if beam_options else ()
        names = [path for path, _ in records] + files
        with Bar(total=len(changed), desc="embedding", unit="track", names=names) as bar:
            self.bar = bar
            try:
                for (source, one), vector in self.embedder.stream(self._new(examined, changed)):
                    self._take(source, one, vector, self.embedder.read(vector, one.evidence))
                for each in embedded:
                    self._take_embedded(changed[each.found.path], each)
            finally:
                self._commit()
        if beam_options:
            shutil.rmtree(scale_out.folder_of(self.writer.path), ignore_errors=True)

    def _embedded_elsewhere(
        self, paths: Sequence[str], beam_options: Sequence[str]
    ) -> Iterator[Embedded]:
        return scale_out.embed_all(
            self._with_known(paths),
            scale_out.folder_of(self.writer.path),
            self.embedder,
            beam_options,
            heard_by=self.before.heard_by,
            max_seconds=self.max_seconds,
        )

    def _examined(self, paths: Sequence[str]) -> Iterator[Examined]:
        return examination.examine_all(
            self._with_known(paths),
            self.embedder.feature_config,
            seconds=self.embedder.seconds,
            workers_count=self.before.workers,
            max_seconds=self.max_seconds,
        )

    def _with_known(self, paths: Sequence[str]) -> list[tuple[str, frozenset[str]]]:
        """Paths, and what the contents of files would be whose content is known."""
        # A file of a known size may be a copy of a known file.
        return [
            (path, frozenset(self.before.digests_of_size.get(_size(path), ()))) for path in paths
        ]

    def _new(
        self, examined: Iterable[Examined], changed: dict[str, Source]
    ) -> Iterator[tuple[tuple[Source, Examined], Features]]:
        """Yields what must go through the network; deals with everything else."""
        for found in examined:
            source = changed[found.path]
            if found.features is None:
                self._settle(source, found)
            else:
                self._note(found)
                yield (source, dataclasses.replace(found, features=None)), found.features
            self._show_progress()

    def _take_embedded(self, source: Source, one: Embedded) -> None:
        if one.vector is None:
            self._settle(source, one.found)
        else:
            self._note(one.found)
            self._take(source, one.found, one.vector, one.heard)
        self._show_progress()

    def _settle(self, source: Source, found: Examined) -> None:
        """Deals with a file that need not be embedded."""
        self._note(found)
        if found.reason:
            self._skip(found)
        else:
            self._take_known(source, found)

    def _note(self, found: Examined) -> None:
        if found.note:
            self.report.notes[found.path] = found.note

    def _skip(self, found: Examined) -> None:
        self.report.skipped[found.path] = found.reason
        file = self.before.known.get(found.path)
        if file is not None and file.present:
            self.lost.append(found)
        else:
            self._remember(found)

    def _remember(self, found: Examined) -> None:
        self.writer.skip(
            found.path,
            found.reason,
            size=found.size,
            modified=found.modified,
            heard_by=self.before.heard_by,
        )

    def settle_lost(self, confirmed: bool) -> None:
        """Hides the tracks whose files have become unusable, unless too many have at once."""
        tracks = sum(file.present for file in self.before.known.values())
        if vanishing.are_many(len(self.lost), tracks) and not confirmed:
            first = min(self.lost, key=lambda found: found.path)
            self.report.faults.append(
                f"{len(self.lost)} of {tracks} tracks have files that became unusable at once, and "
                f"are kept; the first: {first.path} ({first.reason})"
            )
            return
        with self.writer.together():
            for found in self.lost:
                self._remember(found)

    def _take_known(self, source: Source, found: Examined) -> None:
        kept = self.before.released.get(found.digest) or self.writer.vector_of(found.digest)
        found = dataclasses.replace(found, seconds=kept.seconds, fingerprint=kept.fingerprint)
        self._add(source, found, kept.vector, kept.heard)
        self.report.copied += 1

    def _take(
        self, source: Source, found: Examined, vector: np.ndarray, read: Mapping[str, Any]
    ) -> None:
        if not np.isfinite(vector).all():
            self._skip(dataclasses.replace(found, reason="its embedding is not finite"))
            return
        self._add(source, found, vector, read)
        self.report.embedded += 1
        self.report.seconds += found.seconds
        self._show_progress(files=0)

    def _add(
        self, source: Source, found: Examined, vector: np.ndarray, read: Mapping[str, Any]
    ) -> None:
        file = self.before.known.get(source.path)
        track_id = source.track_id or (
            file.id if file else sources.new_id(source.path, self.before.ids)
        )
        self.before.ids.add(track_id)
        entry = Entry(
            path=source.path,
            track_id=track_id,
            given=source.given,
            size=found.size,
            modified=found.modified,
            digest=found.digest,
            tags=found.tags,
            seconds=found.seconds,
            vector=vector,
            fingerprint=found.fingerprint,
            real_path=writing.real_path(source.path),
            heard=read,
        )
        self.pending.append(entry)
        waited = time.monotonic() - self.committed
        if len(self.pending) >= comparison.COMMIT_TRACKS or waited > COMMIT_SECONDS:
            self._commit()

    def _commit(self) -> None:
        self.writer.add(self.pending)
        self.pending = []
        self.committed = time.monotonic()

    def _show_progress(self, *, files: int = 1) -> None:
        speed = self.report.seconds / max(self.bar.format_dict["elapsed"], 1e-9)
        skipped = len(self.report.skipped)
        self.bar.step(files, note=f"{speed:.0f} x real time, {skipped} skipped")


def _size(path: str) -> int:
    return (size_and_time(path) or (NO_FILE, NO_FILE))[0]
