"""Which files a library is made of: folders, single files, and manifests (CSV)."""

import csv
import dataclasses
import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from input_pipeline.file_tags import AUDIO_SUFFIXES
from jaxsim.library.store import NUMBERS, TEXTS

# Columns of the training data's CSV that say nothing of a library's track.
IGNORED_COLUMNS = ("split", "group", "source")


@dataclasses.dataclass(frozen=True)
class Source:
    """An audio file of the library.

    Attributes:
      path: absolute.
      track_id: of the manifest, or made from the path.
      given: metadata of the manifest, which the file's own tags do not override.
    """

    path: str
    track_id: str
    given: dict[str, Any] = dataclasses.field(default_factory=dict)


def find(arguments: Sequence[str | Path]) -> list[Source]:
    """All audio files below folders (links to folders are not followed), files, and manifests.

    Returns:
      Sources by path, every file once; what a manifest says of it counts.

    Raises:
      FileNotFoundError: an argument is neither a file nor a folder.
      ValueError: a manifest cannot be read, or two files have one id.
    """
    sources: dict[str, Source] = {}
    for argument in map(Path, arguments):
        if argument.is_dir():
            found: Iterator[Source] = _walk(argument)
        elif argument.suffix.lower() == ".csv" and argument.is_file():
            found = _read_manifest(argument)
        elif argument.is_file():
            found = iter([_source(argument)])
        else:
            raise FileNotFoundError(f"{argument}: no such file or folder")
        for source in found:
            if source.given or source.path not in sources:
                sources[source.path] = source
    owners: dict[str, str] = {}
    for path, source in sources.items():
        if (other := owners.setdefault(source.track_id, path)) != path:
            raise ValueError(f"{path}: track_id is {source.track_id!r} as of {other}")
    return sorted(sources.values(), key=lambda source: source.path)


def default_id(path: str) -> str:
    """The id of a file without one: 16 hexadecimal digits of its path's hash."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _source(path: Path) -> Source:
    absolute = os.path.abspath(path)
    return Source(absolute, default_id(absolute))


def _walk(folder: Path) -> Iterator[Source]:
    for directory, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if Path(name).suffix.lower() in AUDIO_SUFFIXES and not name.startswith("."):
                yield _source(Path(directory, name))


def _read_manifest(path: Path) -> Iterator[Source]:
    """Rows of a CSV with the column path; track_id and metadata are optional."""
    known = {"path", "track_id", *TEXTS, *NUMBERS} - {"seconds"}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = set(reader.fieldnames or ())
        if "path" not in columns:
            raise ValueError(f"{path}: column path is missing, found {sorted(columns)}")
        if unknown := columns - known - set(IGNORED_COLUMNS):
            raise ValueError(
                f"{path}: column {min(unknown)!r} is unknown, expected some of {sorted(known)}"
            )
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                raise ValueError(f"{where}: the number of cells differs from the header's")
            cells = {name: row[name].strip() for name in columns & known if row[name].strip()}
            if "path" not in cells:
                raise ValueError(f"{where}: path is empty, expected an audio file")
            audio = os.path.abspath(path.parent / cells.pop("path"))
            track_id = cells.pop("track_id", default_id(audio))
            yield Source(audio, track_id, {k: _value(k, v, where) for k, v in cells.items()})


def _value(field: str, cell: str, where: str) -> Any:
    if field not in NUMBERS:
        return "; ".join(filter(None, (part.strip() for part in cell.split(";"))))
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where}: {field} is {cell!r}, expected a number")
    return int(number) if field == "year" else number
