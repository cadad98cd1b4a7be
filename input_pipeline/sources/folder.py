"""A folder of audio files, labelled by the tags inside them.

Genre and mood are those of the files; era is the decade of the original release if the tags give
it, else of the date; tempo and key are known if the tags have them. `file_tags` reads them, as it
does for libraries.
"""

import math
import os
from pathlib import Path

from input_pipeline import folders, manifest
from input_pipeline.collection import (
    HELD_OUT,
    Collection,
    Collector,
    era_of_year,
    split_of_group,
)
from input_pipeline.hearing import file_tags
from input_pipeline.hearing.file_tags import FileTags
from input_pipeline.spellings import main_artist

GROUPINGS = ("album", "artist", "track")
LABEL_DESCRIPTIONS = {
    "genre": "genre tags of the files, in lower case",
    "mood": "mood tags of the files, in lower case",
    "era": "decade of the original release if the tags give it, else of their date",
    "tempo": "beats per minute from the files' tags, else estimated",
    "key": "key from the files' tags, else estimated",
}


def read(
    path: str | Path,
    *,
    group: str = "album",
    held_out: str | float = HELD_OUT,
    exclude: str = "",
) -> Collection:
    """Reads a folder of audio files and its subfolders, or its manifest if it has one.

    Ids are paths relative to the folder. Splits are drawn by a hash of the group: album artist and
    album, else artist (the first one, without guests: `spellings.main_artist`), else the file's
    folder (for files in the top folder: the file). Which files are music is decided as
    `folders.audio_files` does for libraries too.

    Args:
      path: the folder; `manifest.csv`, `manifest.jsonl` or `tracks.csv` in it replaces the files'
        tags.
      held_out: share of the groups for validation and test combined; hold out more of a small
        folder, or its few held-out tracks may have no similar pair.
      group: what is never divided: "album"; "artist", so that no artist is in two splits; or
        "track", for collections with few artists (tests then include albums trained on).
      exclude: patterns as in .gitignore of files and folders to leave out, separated by ";".

    Raises:
      NotADirectoryError: no such folder.
      ValueError: an option is invalid, or there are no audio files.
    """
    path = Path(path)
    if not path.is_dir():
        raise NotADirectoryError(f"{path}: no such folder")
    if group not in GROUPINGS:
        raise ValueError(f"group is {group!r}, expected one of {', '.join(GROUPINGS)}")
    try:
        share = float(held_out)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise ValueError(f"held_out is {held_out!r}, expected a number between 0 and 1")
    if (listed := manifest.find(path)) is not None:
        return manifest.read(listed)
    collector = Collector()
    for file in _audio_files(path, collector, exclude):
        _add(collector, file, path, group, share)
    return collector.collection(
        path,
        name="folder",
        description=f"Audio files in {path.resolve().name}, labelled by their tags.",
        label_descriptions=LABEL_DESCRIPTIONS,
    )


def _audio_files(folder: Path, collector: Collector, exclude: str) -> list[Path]:
    seen = folders.Seen()
    files = list(folders.audio_files(folder, seen, exclude=exclude.split(";") if exclude else ()))
    for path, reason in seen.unreadable.items():
        collector.skip(_name(path, folder), f"folder cannot be read: {reason}")
    for path in seen.repeated:
        kind = "folder" if path.is_dir() else "file"
        collector.skip(_name(path, folder), f"{kind} is a link to one already read")
    collector.ignored += seen.ignored
    return files


def _name(file: Path, folder: Path) -> str:
    """The path below the folder, as text that UTF-8 can encode."""
    return os.fsencode(file.relative_to(folder).as_posix()).decode(errors="backslashreplace")


def _add(collector: Collector, file: Path, folder: Path, grouping: str, held_out: float) -> None:
    name = _name(file, folder)
    read = file_tags.read(file).own()
    for problem in read.problems:
        collector.leave_out(name, problem)
    tags = {"genre": _lower(read.genre), "mood": _lower(read.mood)}
    if read.year is not None:
        tags["era"] = (era_of_year(read.year),)
    group = _group(read, name, grouping)
    collector.add(
        name,
        track_id=name,
        split=split_of_group(group, held_out),
        audio=file.absolute(),
        group=group,
        artist=read.artist,
        title=read.title,
        tags={dimension: values for dimension, values in tags.items() if values},
        tempo=read.tempo,
        key=read.key,
    )


def _group(tags: FileTags, name: str, grouping: str) -> str:
    if grouping == "track":
        return name
    if grouping == "album" and tags.album:
        return f"album: {tags.album_artist or main_artist(tags.artist)} / {tags.album}"
    if artist := tags.artist or tags.album_artist:
        return f"artist: {main_artist(artist)}"
    parent, _, _ = name.rpartition("/")
    return f"folder: {parent}" if parent else name


def _lower(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Tags that differ only in case are merged."""
    return tuple(dict.fromkeys(tag.lower() for tag in tags))
