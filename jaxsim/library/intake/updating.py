"""Brings a library up to date: embeds tracks that are new or have changed, and nothing else."""

import collections
import dataclasses
import itertools
import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from input_pipeline import progress
from input_pipeline.hearing import audio
from input_pipeline.hearing.audio import LONGEST
from input_pipeline.progress import Bar
from jaxsim.library.intake import examination, identity, scale_out, sources, vanishing
from jaxsim.library.intake.embedding import Embedder, Features
from jaxsim.library.intake.examination import NO_FILE, Examined, size_and_time
from jaxsim.library.intake.reports import Report
from jaxsim.library.intake.scale_out import Embedded
from jaxsim.library.intake.sources import Found, Source
from jaxsim.library.store import writing
from jaxsim.library.store.entries import Entry, Known, Skipped, Vector
from jaxsim.library.store.writing import Writer

Item = TypeVar("Item")

COMMIT_TRACKS = 64
COMMIT_SECONDS = 10.0


def update(
    library: Sequence[str | Path],
    folder: str | Path,
    *,
    embedder: Embedder,
    workers: int = 1,
    max_seconds: float = LONGEST,
    exclude: Sequence[str] = (),
    read_tags: bool = False,
    prune: bool = False,
    confirm_gone: bool = False,
    beam_options: Sequence[str] = (),
) -> Report:
    """Brings the store in `folder` up to date with the tracks of `library`.

    Tracks that are neither below the folders of `library` nor named by it stay as they are. A track
    is recognised by its audio: it keeps its id and its vector when its file is moved, renamed or
    retagged. Tracks whose file is gone are hidden, and come back with their vector when it returns;
    but if so many are missing that a disk may be, nothing is hidden, and the report has `faults`.
    Tracks of a prepared data set are embedded from its features; their files need not exist.

    Args:
      library: folders, audio files, manifests and prepared data sets.
      folder: the store; created if it does not exist.
      embedder: must have the store's model.
      workers: number of processes that read audio.
      max_seconds: longer files are skipped.
      exclude: patterns as in .gitignore of what is left out of folders.
      read_tags: whether to read the tags of files that seem unchanged, too.
      prune: whether to forget what is gone and to reclaim its space, unless there are faults.
      confirm_gone: whether missing files are gone however many they are.
      beam_options: if given, Apache Beam embeds the files, with these pipeline options, and not
        processes on this machine; all of its workers must see the files and the store's folder.

    Raises:
      FileNotFoundError: something in `library` does not exist.
      ValueError: a manifest, a data set or the store is invalid, or of another model.
      ImportError: Apache Beam is to embed, but is not installed.
    """
    found = sources.find(library, embedder.feature_config, exclude=exclude)
    with writing.open(folder, embedder.description(), embedder.file) as writer:
        job = _Update(writer, embedder, found, workers, max_seconds)
        try:
            job.free_ids()
            job.sort()
            job.recognise()
            if read_tags:
                job.read_tags()
            job.hide_gone(library, confirm_gone)
            job.embed(beam_options)
        finally:
            writer.measure_cosines()
        if prune and not job.report.faults:
            job.report.forgotten = writer.prune()
        job.report.unheard = writer.unheard()
    return job.report


class _Update:
    """One update: what the store knew before it, and what has been done so far."""

    def __init__(
        self, writer: Writer, embedder: Embedder, found: Found, workers: int, max_seconds: float
    ):
        self.writer = writer
        self.embedder = embedder
        self.workers = workers
        self.max_seconds = max_seconds
        self.heard_by = f"{audio.DECODER}, {max_seconds:.0f} s"
        self.unreadable = found.unreadable
        self.sources = {source.path: source for source in found.sources}
        self.known = writer.known()
        self.ids = {file.id for file in self.known.values()}
        self.changed: dict[str, Source] = {}
        self.in_place: list[str] = []
        self.digests_of_size = collections.defaultdict[int, set[str]](set)
        for file in self.known.values():
            self.digests_of_size[file.size].add(file.digest)
        # Vectors and more by digest, of tracks whose rows will vanish with their ids.
        self.released: dict[str, Vector] = {}
        self.report = Report(
            skipped=found.skipped, labels_left_out=found.labels_left_out, ignored=found.ignored
        )
        self.pending: list[Entry] = []
        self.committed = time.monotonic()

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

    def sort(self) -> None:
        """Finds the files that are new or have changed, or may have; the others are confirmed."""
        skipped = self.writer.skipped()
        with self.writer.together():
            for path, source in sorted(self.sources.items()):
                if self._is_unchanged(source):
                    self.in_place.append(path)
                elif self._is_remembered(path, skipped.get(path)):
                    self.report.skipped[path] = skipped[path].reason
                    self.report.remembered += 1
                elif self._has_name(path):
                    self.changed[path] = source
        self.report.unchanged = len(self.in_place)

    def _has_name(self, path: str) -> bool:
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            self.report.skipped[sources.readable(path)] = "its name is not UTF-8"
            return False
        return True

    def _is_remembered(self, path: str, skipped: Skipped | None) -> bool:
        if skipped is None or skipped.heard_by != self.heard_by:
            return False
        return (skipped.size, skipped.modified) == size_and_time(path)

    def _is_unchanged(self, source: Source) -> bool:
        file = self.known.get(source.path)
        if file is None:
            return False
        if source.record is None:
            same = (file.size, file.modified) == size_and_time(source.path)
        else:
            same = file.digest == source.record.content
        if same:
            self._confirm(source, file)
        return same

    def _confirm(self, source: Source, file: Known, **changes: Any) -> None:
        """Writes what the source says of a track, if it differs."""
        said: dict[str, Any] = {
            "id": source.track_id or file.id,
            "given": source.given,
            "present": True,
            "real_path": writing.real_path(source.path),
        }
        if changes or any(getattr(file, name) != value for name, value in said.items()):
            changes["real_path"] = said["real_path"]
            self.writer.confirm(source.path, said["id"], source.given, **changes)
            self.ids.add(said["id"])
            self.known[source.path] = dataclasses.replace(file, **said)

    def recognise(self) -> None:
        """Finds tracks by their audio whose files have moved or have other tags."""
        self._note_fingerprints()
        loose = {path: file for path, file in self.known.items() if self._is_loose(file)}
        paths = [path for path, source in self.changed.items() if source.record is None]
        if not loose or not paths:
            return
        found = {one.path: one for one in self._identified(paths, "looking for moved files")}
        places = identity.places(loose, found)
        self.writer.move({old: new for old, new in places.items() if old != new})
        moved = {new: dataclasses.replace(loose[old], path=new) for old, new in places.items()}
        self.known = {path: file for path, file in self.known.items() if path not in places}
        self.known |= moved
        with self.writer.together():
            for old, new in places.items():
                self._take_recognised(self.changed.pop(new), moved[new], found[new], old != new)

    def _is_loose(self, file: Known) -> bool:
        """Whether a track's file is missing or may have changed."""
        if file.size == NO_FILE or self._is_out_of_sight(file.path):
            return False
        return file.path in self.changed or not os.path.lexists(file.path)

    def _is_out_of_sight(self, path: str) -> bool:
        """Whether a file is below a folder that cannot be listed."""
        return bool(self.unreadable) and _is_below(path, self.unreadable)

    def _take_recognised(
        self, source: Source, file: Known, found: Examined, has_moved: bool
    ) -> None:
        changes = {name: getattr(found, name) for name in ("size", "modified", "digest")}
        changes |= {"fingerprint": found.fingerprint, "tags": found.tags}
        self._confirm(source, file, **changes)
        if has_moved:
            self.report.moved += 1
        elif file.digest != found.digest:
            self.report.retagged += 1
        else:
            self.report.unchanged += 1

    def _note_fingerprints(self) -> None:
        """Notes the audio of tracks that an older version embedded, once."""
        lacking = [
            path
            for path in self.in_place
            if not self.known[path].fingerprint
            and self.known[path].size != NO_FILE
            and self.sources[path].record is None
        ]
        for some in _batches(self._identified(lacking, "fingerprinting tracks, once")):
            with self.writer.together():
                for one in some:
                    if one.fingerprint:
                        file = self.known[one.path]
                        self.writer.confirm(
                            one.path,
                            file.id,
                            file.given,
                            fingerprint=one.fingerprint,
                            tags=one.tags,
                        )

    def _identified(self, paths: Sequence[str], description: str) -> Iterator[Examined]:
        if paths:
            found = examination.identify_all(paths, workers_count=self.workers)
            yield from _progress(found, paths, description)

    def read_tags(self) -> None:
        """Reads the tags of tracks whose files seem unchanged."""
        paths = [path for path in self.in_place if self.known[path].size != NO_FILE]
        read = examination.tags_of_all(paths, workers_count=self.workers)
        for some in _batches(_progress(read, paths, "reading tags")):
            with self.writer.together():
                for path, found in some:
                    file = self.known[path]
                    self.report.retagged += self.writer.confirm(
                        path, file.id, file.given, tags=found
                    )

    def hide_gone(self, library: Sequence[str | Path], confirmed: bool) -> None:
        """Hides tracks below the folders of `library` that no longer exist, unless too many."""
        folders = [os.path.abspath(path) for path in library if os.path.isdir(path)]
        below = [
            path
            for path in self.known | self.writer.skipped()
            if self._belongs_to(path, folders) and not self._is_out_of_sight(path)
        ]
        present = [path for path in below if path in self.known and self.known[path].present]
        self.report.faults = vanishing.faults(
            present, self.sources, folders, self.unreadable, confirmed=confirmed
        )
        if self.report.faults and not confirmed:
            self.report.missing = sum(path not in self.sources for path in present)
            return
        gone = [path for path in below if path not in self.sources]
        self.writer.hide(gone)
        for file in [self.known[path] for path in gone if path in self.known]:
            self.report.gone += file.present
            self.known[file.path] = dataclasses.replace(file, present=False)

    def _belongs_to(self, path: str, folders: Collection[str]) -> bool:
        """Whether a path is below a folder; a track without a file belongs to its data set only."""
        known = self.known.get(path)
        if known is None or known.size != NO_FILE:
            return _is_below(path, folders)
        parents = itertools.takewhile(lambda one: str(one) not in folders, Path(path).parents)
        return _is_below(path, folders) and not any(map(sources.is_data_set, parents))

    def embed(self, beam_options: Sequence[str] = ()) -> None:
        """Embeds what is new or has changed."""
        changed = {path: one for path, one in self.changed.items() if path in self.sources}
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
            heard_by=self.heard_by,
            max_seconds=self.max_seconds,
        )

    def _examined(self, paths: Sequence[str]) -> Iterator[Examined]:
        return examination.examine_all(
            self._with_known(paths),
            self.embedder.feature_config,
            seconds=self.embedder.seconds,
            workers_count=self.workers,
            max_seconds=self.max_seconds,
        )

    def _with_known(self, paths: Sequence[str]) -> list[tuple[str, frozenset[str]]]:
        """Paths, and what the contents of files would be whose content is known."""
        # A file of a known size may be a copy of a known file.
        return [(path, frozenset(self.digests_of_size.get(_size(path), ()))) for path in paths]

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
        self.writer.skip(
            found.path,
            found.reason,
            size=found.size,
            modified=found.modified,
            heard_by=self.heard_by,
        )
        self.report.skipped[found.path] = found.reason

    def _take_known(self, source: Source, found: Examined) -> None:
        kept = self.released.get(found.digest) or self.writer.vector_of(found.digest)
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
        file = self.known.get(source.path)
        track_id = source.track_id or (file.id if file else sources.new_id(source.path, self.ids))
        self.ids.add(track_id)
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
        if len(self.pending) >= COMMIT_TRACKS or waited > COMMIT_SECONDS:
            self._commit()

    def _commit(self) -> None:
        self.writer.add(self.pending)
        self.pending = []
        self.committed = time.monotonic()

    def _show_progress(self, *, files: int = 1) -> None:
        speed = self.report.seconds / max(self.bar.format_dict["elapsed"], 1e-9)
        skipped = len(self.report.skipped)
        self.bar.step(files, note=f"{speed:.0f} x real time, {skipped} skipped")


def _progress(items: Iterable[Item], paths: Sequence[str], description: str) -> Iterator[Item]:
    return progress.over(items, names=paths, desc=description, unit="file")


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while some := list(itertools.islice(iterator, COMMIT_TRACKS)):
        yield some


def _is_below(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(folder.rstrip(os.sep) + os.sep) for folder in folders)


def _size(path: str) -> int:
    return (size_and_time(path) or (NO_FILE, NO_FILE))[0]
