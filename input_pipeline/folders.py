"""Which files of a music folder are music, the same for training and for libraries.

Everything that is seen is either yielded or counted with a reason.
"""

import collections
import dataclasses
import fnmatch
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pathspec

from input_pipeline.hearing.file_tags import AUDIO_SUFFIXES
from input_pipeline.hearing.tag_writing import UNFINISHED

IGNORE_FILE = ".jaxsimignore"  # patterns as in .gitignore, for its folder and all below
NO_MEDIA = ".nomedia"  # its folder and all below hold no music
# Of operating systems, network storage and synchronisation; case does not count. One with a slash
# names the folder around it, too.
SYSTEM_FOLDERS = (
    *("$recycle.bin", "recycler", "recycled", "system volume information", "lost+found"),
    *(".trash", ".trash-*", ".trashes", ".trashcan", "#recycle", "@recycle", "@recently-snapshot"),
    *("@eadir", "@tmp", "@sharebin", "#snapshot", ".snapshot", ".snapshots", ".zfs", ".git"),
    *(".spotlight-v100", ".fseventsd", ".temporaryitems", ".documentrevisions-v100"),
    *(".appledouble", ".appledb", ".appledesktop", "__macosx", ".stfolder", ".stversions"),
    *(".sync", ".thumbnails", ".cache", ".recycle", ".recycle.bin", "trashbox", ".trashbox"),
    *("network trash folder", "temporary items", "share/trash", ".dtrash", "$extend"),
    *("found.[0-9][0-9][0-9]", ".com.apple.timemachine*", ".mobilebackups", ".tmp.drive*load"),
    *(".@__thumb", ".@upload_cache", "@snapshots", "~snapshot", ".snap", ".dropbox.cache"),
    *(".svn", ".hg", ".bzr", "_gsdata_"),
)
RESOURCE_FORK = "._"  # how macOS names what belongs to a file but is not its content


@dataclasses.dataclass
class Seen:
    """What a walk has seen besides music.

    Attributes:
      ignored: how many files were left out, by reason; a folder that is left out counts as one.
      unreadable: reasons by folder that could not be listed: what is in it is unknown.
      repeated: files and folders that are links to something already found.
    """

    ignored: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    unreadable: dict[Path, str] = dataclasses.field(default_factory=dict)
    repeated: list[Path] = dataclasses.field(default_factory=list)


def audio_files(folder: Path, seen: Seen, *, exclude: Sequence[str] = ()) -> Iterator[Path]:
    """Yields the audio files below a folder in a fixed order, each once.

    Names that begin with a dot are music like any other. Links are followed: real files and folders
    come first, then links to files elsewhere, each file once.

    Args:
      folder: where to look.
      seen: is told what is left out.
      exclude: patterns as in .gitignore, relative to the folder, besides those of `IGNORE_FILE`s.

    Raises:
      ValueError: a pattern is invalid.
    """
    found: set[str] = set()
    links = []
    for file in _files(folder, seen, _Rules(folder, exclude)):
        if file.is_symlink():
            links.append(file)
        else:
            found.add(os.path.realpath(file))
            yield file
    for link in links:
        if (real := os.path.realpath(link)) in found:
            seen.repeated.append(link)
            seen.ignored["link to a file already found"] += 1
        else:
            found.add(real)
            yield link


def _files(folder: Path, seen: Seen, rules: "_Rules") -> Iterator[Path]:
    """Yields audio files: of the folder itself, its real subfolders, then linked ones."""
    visited: set[str] = set()
    waiting, linked = [folder], collections.deque[Path]()
    while waiting or linked:
        current = waiting.pop() if waiting else linked.popleft()
        real = os.path.realpath(current)
        if real in visited:
            seen.repeated.append(current)
            seen.ignored["link to a folder already found"] += 1
            continue
        visited.add(real)
        try:
            entries = sorted(current.iterdir())
            rules.read(current, {entry.name for entry in entries})
            folders = {entry for entry in entries if entry.is_dir()}
        except OSError as error:
            seen.unreadable[current] = error.strerror or type(error).__name__
            continue
        reasons = {entry: rules.reason(entry, entry in folders) for entry in entries}
        seen.ignored.update(filter(None, reasons.values()))
        kept = [entry for entry in entries if not reasons[entry]]
        waiting += [one for one in reversed(kept) if one in folders and not one.is_symlink()]
        linked += [one for one in kept if one in folders and one.is_symlink()]
        yield from (entry for entry in kept if entry not in folders)


class _Rules:
    """What is not music, and why."""

    def __init__(self, folder: Path, exclude: Sequence[str]):
        self._specs: dict[Path, pathspec.GitIgnoreSpec] = {}
        self._quiet: set[Path] = set()  # folders with a NO_MEDIA
        if exclude:
            self._specs[folder] = _spec(exclude, "--exclude")

    def read(self, folder: Path, names: set[str]) -> None:
        """Takes note of the rules in a folder; raises OSError or ValueError if they are broken."""
        if NO_MEDIA in names:
            self._quiet.add(folder)
        if IGNORE_FILE in names:
            file = folder / IGNORE_FILE
            lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            spec = _spec(lines, str(file))
            self._specs[folder] = self._specs[folder] + spec if folder in self._specs else spec

    def reason(self, entry: Path, is_folder: bool) -> str:
        """Why an entry is left out; empty if it is not."""
        name = entry.name.lower()
        if entry.parent in self._quiet:
            return f"in a folder with {NO_MEDIA}"
        if is_folder and _is_of_the_system(entry):
            return "system folder"
        if self._is_excluded(entry, is_folder):
            return "excluded"
        if is_folder:
            return ""
        if entry.is_symlink() and not entry.exists():
            return "broken link"
        suffix = entry.suffix.lower()
        if suffix not in AUDIO_SUFFIXES:
            return f"unsupported type: {suffix or 'no suffix'}"
        if name.startswith(UNFINISHED):
            return "copy that jaxsim left when it was killed"
        return "macOS resource fork" if name.startswith(RESOURCE_FORK) else ""

    def _is_excluded(self, entry: Path, is_folder: bool) -> bool:
        """The decision of the nearest folder whose rules have one."""
        for parent in entry.parents:
            if (spec := self._specs.get(parent)) is not None:
                relative = entry.relative_to(parent).as_posix() + "/" * is_folder
                if (decision := spec.check_file(relative).include) is not None:
                    return decision
        return False


def _is_of_the_system(folder: Path) -> bool:
    names = (folder.name.lower(), f"{folder.parent.name}/{folder.name}".lower())
    return any(fnmatch.fnmatchcase(name, one) for one in SYSTEM_FOLDERS for name in names)


def _spec(lines: Sequence[str], source: str) -> pathspec.GitIgnoreSpec:
    try:
        return pathspec.GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise ValueError(f"{source}: {error}, expected patterns as in .gitignore") from None
