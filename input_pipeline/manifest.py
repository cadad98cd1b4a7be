"""Manifests: lists of tracks as CSV or JSON lines, for `prepare` and for `jaxsim.embed`.

Both forms have the same columns, of which only `path` is required:

  path: an audio file, relative to the manifest's folder.
  track_id: default: the path.
  split: train, validation or test; default: drawn by a hash of the group.
  group: tracks that must share a split; default: the track_id.
  artist, title, album, source: free text.
  genre, mood, instrument, era: tags. CSV separates them by ";"; JSON lines have lists.
  year: of release, or a date; its decade is the era if no era is given.
  tempo: beats per minute.
  key: such as "A minor".

Years, tempi and keys may be spelt as in files' tags. Tags are taken as they are written: only ";"
divides them, so that "Old-Time / Historic" is one genre, and "17" is no number of ID3's.

A data set ignores the album; a library ignores split, group and source, and its default track_id is
a hash of the whole path.

A row that cannot be used becomes a `Problem` and stops nothing; an invalid year, tempo or key costs
its row only that label. A file without a path column or with an unknown column is not a manifest.
"""

import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from input_pipeline.collection import (
    Collection,
    Collector,
    checked_key,
    era_of_year,
    parse_year,
    split_of_group,
)
from input_pipeline.files import replacing
from input_pipeline.tracks import TAG_DIMENSIONS, Track, check_tags, check_text, parse_tempo

NAME = "manifest.jsonl"  # of the manifest that `write` puts into a data set's folder
NAMES = ("manifest.csv", NAME, "tracks.csv")  # of manifests that describe their own folder
TRACK_TEXTS = ("group", "artist", "title", "source")
TEXTS = ("track_id", "split", *TRACK_TEXTS, "album")
LABELS = {"year": parse_year, "tempo": parse_tempo, "key": checked_key}
COLUMNS = ("path", *TEXTS, *TAG_DIMENSIONS, *LABELS)
# What the first of the JSON lines may say about the whole collection, as {"collection": {...}}.
HEADER_FIELDS = ("name", "description", "citation", "licence", "label_descriptions")


@dataclasses.dataclass(frozen=True)
class Row:
    """A row that can be used.

    Attributes:
      where: "file, line n".
      path: of the audio file, as the manifest gives it.
      fields: the other columns by name: texts; tags as tuples; year as int; tempo as float; key as
        in `tracks.KEYS`. An empty split is kept, so that it can be rejected.
    """

    where: str
    path: str
    fields: dict[str, Any]


def find(folder: Path) -> Path | None:
    """The manifest in a folder, if there is one."""
    return next((folder / name for name in NAMES if os.path.isfile(folder / name)), None)


def read(path: str | Path) -> Collection:
    """Reads a manifest: CSV, or JSON lines if its name ends in .jsonl.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is not a manifest, or no row can be used.
    """
    path = Path(path)
    collector = Collector()
    header, found = rows(path, collector)
    for row in found:
        _add(collector, row, path.parent)
    details = {"name": "tracks", "description": f"Tracks of {path.name}."} | header
    return collector.collection(path, **details)


def rows(path: Path, collector: Collector) -> tuple[dict[str, Any], Iterator[Row]]:
    """Reads the rows of a manifest; their problems go to `collector`.

    Returns:
      What the first line says about the whole collection, see `HEADER_FIELDS`; and the rows, which
      are read one by one as they are consumed.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is not a manifest; for a CSV this is raised as rows are consumed.
    """
    is_csv = path.suffix.lower() != ".jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such {'CSV' if is_csv else 'JSON lines'} file")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(path, error) from None
    if is_csv:
        return {}, _csv_rows(text, path, collector)
    lines = list(io.StringIO(text, newline=""))
    header = _header(lines[0], path) if lines else None
    return header or {}, _json_rows(lines, path, collector, skip_first=header is not None)


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: cannot be read as UTF-8 text ({error})")


def write(collection: Collection, path: str | Path) -> None:
    """Writes JSON lines that `read` turns back into the same tracks, with absolute paths.

    Problems and unknown tags are not part of a manifest.

    Raises:
      ValueError: the audio of a track is not a file.
    """
    path = Path(path)
    header = {name: getattr(collection, name) for name in HEADER_FIELDS}
    header["label_descriptions"] = dict(collection.label_descriptions)
    lines = [{"collection": header}, *map(_row_of_track, collection.tracks)]
    with replacing(path) as file:
        file.writelines(_json_line(line) for line in lines)


def _csv_rows(text: str, path: Path, collector: Collector) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        columns = next(reader, [])
        if duplicates := {column for column in columns if columns.count(column) > 1}:
            raise ValueError(f"{path}: column {_listed(duplicates)} occurs twice")
        if problem := _unknown(columns):
            raise ValueError(f"{path}: {problem}")
        if "path" not in columns:
            raise ValueError(f"{path}: column 'path' is missing, found {sorted(columns)}")
        for cells in reader:
            where = f"{path.name}, line {reader.line_num}"
            if not cells:
                continue  # an empty line
            if len(cells) != len(columns):
                expected = f"{len(columns)} as in the header"
                collector.skip(where, f"number of cells is {len(cells)}, expected {expected}")
                continue
            given = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
            filled = {name: cell for name, cell in given.items() if cell or name == "split"}
            yield from _checked(where, filled, collector)
    except csv.Error as error:
        raise _unreadable(path, error) from None


def _json_rows(
    lines: list[str], path: Path, collector: Collector, *, skip_first: bool
) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == 1 and skip_first):
            continue
        where = f"{path.name}, line {number}"
        try:
            given = _json_object(line)
            if problem := _unknown(given):
                raise ValueError(problem)
            found = list(_checked(where, given, collector))
        except ValueError as error:
            collector.skip(where, str(error))
        except RecursionError:
            collector.skip(where, "line is nested too deeply")
        else:
            yield from found


def _json_object(line: str) -> dict[str, Any]:
    """The fields of a line that are not null; ValueError if it is not an object."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"line is not JSON ({error})") from None
    if not isinstance(row, dict):
        kind = type(row).__name__
        raise ValueError(f"line is a JSON {kind}, expected an object of fields")
    return {name: value for name, value in row.items() if value is not None}


def _header(line: str, path: Path) -> dict[str, Any] | None:
    """What the first line says about the collection; None if it is an ordinary row."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or set(row) != {"collection"}:
        return None
    return _checked_header(row["collection"], path)


def _checked_header(header: Any, path: Path) -> dict[str, Any]:
    kinds = {name: dict if name == "label_descriptions" else str for name in HEADER_FIELDS}
    if not isinstance(header, dict) or not all(
        isinstance(value, kinds.get(name, ())) for name, value in header.items()
    ):
        expected = f"an object with the texts {', '.join(HEADER_FIELDS)}"
        raise ValueError(f"{path}, line 1: collection is {header!r}, expected {expected}")
    return header


def _unknown(columns: Iterable[str]) -> str:
    """What is wrong with columns that are not allowed; empty if there are none."""
    unknown = set(columns) - set(COLUMNS)
    return (
        f"column {_listed(unknown)} is unknown, expected only {sorted(COLUMNS)}" if unknown else ""
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))


def _checked(where: str, given: dict[str, Any], collector: Collector) -> Iterator[Row]:
    """Yields the row with the given fields, unless it cannot be used."""
    path = given.get("path", "")
    if not _is_path(path):
        collector.skip(where, f"path is {path!r}, expected an audio file")
        return
    try:
        fields = {name: given[name] for name in TEXTS if name in given}
        for name, value in fields.items():
            check_text(name, value)
        for name in TAG_DIMENSIONS:
            if name in given:
                fields[name] = _tags(name, given[name])
    except ValueError as error:
        collector.skip(where, str(error))
        return
    for name, parse in LABELS.items():
        if given.get(name, "") != "":
            try:
                fields[name] = parse(given[name])
            except ValueError as error:
                collector.leave_out(where, str(error))
    yield Row(where, path, fields)


def _is_path(path: Any) -> bool:
    try:
        return isinstance(path, str) and path != "" and b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _tags(dimension: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(tag.strip() for tag in value.split(";") if tag.strip())
    if not isinstance(value, list):
        raise ValueError(f"{dimension} is {value!r}, expected a list of tags")
    check_tags(dimension, tuple(value))
    return tuple(value)


def _add(collector: Collector, row: Row, folder: Path) -> None:
    """Adds the track of a row, with the fields that training uses."""
    fields = row.fields
    track_id = fields.get("track_id", row.path)
    tags = {name: fields[name] for name in TAG_DIMENSIONS if name in fields}
    if "year" in fields and not tags.get("era"):
        tags["era"] = (era_of_year(fields["year"]),)
    split = fields.get("split")
    collector.add(
        row.where,
        track_id=track_id,
        split=split_of_group(fields.get("group", track_id)) if split is None else split,
        audio=folder / row.path,
        tags=tags,
        tempo=fields.get("tempo"),
        key=fields.get("key"),
        **{name: fields[name] for name in TRACK_TEXTS if name in fields},
    )


def _row_of_track(track: Track) -> dict[str, Any]:
    if callable(track.audio):
        raise ValueError(f"track {track.track_id!r}: its audio is made by a program, not a file")
    row: dict[str, Any] = {"path": os.fspath(Path(track.audio).absolute())}
    row |= {name: getattr(track, name) for name in ("track_id", "split", *TRACK_TEXTS)}
    row |= {name: list(track.tags[name]) for name in TAG_DIMENSIONS if name in track.tags}
    row |= {"tempo": track.tempo, "key": track.key}
    return {name: value for name, value in row.items() if value not in ("", None)}


def _json_line(row: dict[str, Any]) -> bytes:
    try:
        return f"{json.dumps(row, ensure_ascii=False)}\n".encode()
    except UnicodeEncodeError:  # a file name that is not UTF-8
        return f"{json.dumps(row)}\n".encode()
