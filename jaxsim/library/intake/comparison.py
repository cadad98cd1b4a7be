"""What the store knows against what is there: what is unchanged, has moved, is gone or is new."""

import collections
import dataclasses
import itertools
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from input_pipeline import progress
from jaxsim.library.intake import examination, identity, sources, vanishing
from jaxsim.library.intake.examination import NO_FILE, Examined, size_and_time
from jaxsim.library.intake.reports import Report
from jaxsim.library.intake.sources import Found, Source
from jaxsim.library.store import writing
from jaxsim.library.store.entries import Known, Skipped, Vector
from jaxsim.library.store.writing import Writer

Item = TypeVar("Item")

COMMIT_TRACKS = 64


class Comparison:
    """What the store knew before an update and, after each step, what has become of it.

    Attributes:
      writer: the store's.
      report: what has been done so far.
      workers: number of processes that read audio.
      heard_by: what decodes the audio, and how much of it; files that were skipped by the same are
        not heard again.
      sources: what is there, by path.
      known: the tracks of the store by path; those that have moved are at their new one.
      ids: of all tracks.
      digests_of_size: digests of the known files of a size, of which another file may be a copy.
      released: vectors and more by digest, of tracks whose rows will vanish with their ids.
      followed: paths of tracks that were known by another path of the same file.
      changed: what must be embedded, by path.
    """

    def __init__(self, writer: Writer, found: Found, *, workers: int, heard_by: str):
        self.writer = writer
        self.workers = workers
        self.heard_by = heard_by
        self.unreadable = found.unreadable
        self.sources = {source.path: source for source in found.sources}
        self.known = writer.known()
        self.ids = {file.id for file in self.known.values()}
        self.changed: dict[str, Source] = {}
        self.in_place: list[str] = []
        self.followed: set[str] = set()
        self.digests_of_size = collections.defaultdict[int, set[str]](set)
        for file in self.known.values():
            self.digests_of_size[file.size].add(file.digest)
        self.released: dict[str, Vector] = {}
        self.report = Report(
            skipped=found.skipped, labels_left_out=found.labels_left_out, ignored=found.ignored
        )

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
        self.report.unchanged = len(set(self.in_place) - self.followed)

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

    def follow_links(self) -> None:
        """Finds tracks whose files were found by another path: through a link, or without it."""
        new = {path for path in self.sources if path not in self.known}
        known = {
            os.path.realpath(path): path
            for path, file in self.known.items()
            if new and path not in self.sources and file.size != NO_FILE
        }
        places = {
            known[real]: path
            for path in new
            if not self.sources[path].track_id and (real := os.path.realpath(path)) in known
        }
        self.writer.move(places)
        self.known |= {
            new: dataclasses.replace(self.known.pop(old), path=new) for old, new in places.items()
        }
        self.report.moved += len(places)
        self.followed = set(places.values())

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
        # What is there but was not found is left out by the user's patterns.
        there = {path for path in present if path in self.sources or os.path.exists(path)}
        self.report.faults = vanishing.faults(
            present, there, folders, self.unreadable, confirmed=confirmed
        )
        if self.report.faults and not confirmed:
            self.report.missing = len(present) - len(there)
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


def _progress(items: Iterable[Item], paths: Sequence[str], description: str) -> Iterator[Item]:
    return progress.over(items, names=paths, desc=description, unit="file")


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while some := list(itertools.islice(iterator, COMMIT_TRACKS)):
        yield some


def _is_below(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(folder.rstrip(os.sep) + os.sep) for folder in folders)
