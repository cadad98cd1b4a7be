"""Manifests: lists of tracks as CSV or as JSON lines.

Both have the same fields. `path` is required: an audio file, relative to the manifest's folder.
Optional are `track_id` (default: the path), `group` (default: the track_id), `split` (default:
drawn by a hash of the group), `artist`, `title`, `source`, `genre`, `mood`, `instrument`, `era`,
`tempo` (beats per minute) and `key` ("A minor"). CSV separates tags by ";"; JSON lines have lists.

A row that cannot be used becomes a `Problem` and stops nothing; a bad tempo or key costs its row
only that label. A missing or unknown column is an error of the whole file.
"""

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from input_pipeline.collection import Collection, Collector, split_of_group
from input_pipeline.tracks import DIMENSIONS, TAG_DIMENSIONS, Track

NAME = "manifest.jsonl"  # of what `write` writes into a data set's folder
TEXT_FIELDS = ("group", "artist", "title", "source")
FIELDS = ("path", "track_id", "split", *TEXT_FIELDS, *DIMENSIONS)
# What the first line of JSON lines may say of the whole collection, as {"collection": {...}}.
HEADER_FIELDS = ("name", "description", "citation", "licence", "label_descriptions")


def read(path: str | Path) -> Collection:
    """Reads a manifest: CSV, or JSON lines if its name ends in .jsonl.

    Raises:
      FileNotFoundError: no such file.
      ValueError: a column is missing or unknown, it is not UTF-8, or no row can be used.
    """
    path = Path(path)
    is_csv = path.suffix.lower() != ".jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such {'CSV' if is_csv else 'JSON lines'} file")
    read_rows = _read_csv_rows if is_csv else _read_json_lines
    collector = Collector()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = read_rows(file, path, collector)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    details = {"name": "tracks", "description": f"Tracks of {path.name}."} | header
    return collector.collection(path, **details)


def write(collection: Collection, path: str | Path) -> None:
    """Writes JSON lines that `read` gives back as the same tracks, with absolute paths.

    Problems and unknown tags are not part of a manifest.

    Raises:
      ValueError: the audio of a track is no file.
    """
    path = Path(path)
    header = {name: getattr(collection, name) for name in HEADER_FIELDS}
    header["label_descriptions"] = dict(collection.label_descriptions)
    lines = [{"collection": header}, *map(_row_of_track, collection.tracks)]
    scratch = path.with_name(f".{path.name}.partial")
    try:
        with scratch.open("w", encoding="utf-8") as file:
            file.writelines(_json_line(line) for line in lines)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _read_csv_rows(file: TextIO, path: Path, collector: Collector) -> dict[str, Any]:
    reader = csv.reader(file)
    columns = next(reader, [])
    if duplicates := {column for column in columns if columns.count(column) > 1}:
        raise ValueError(f"{path}: column {_listed(duplicates)} occurs twice")
    _check_fields(path, columns)
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
        row: dict[str, Any] = {
            column: cell.strip() for column, cell in zip(columns, cells, strict=True)
        }
        if row.get("split") == "":
            collector.skip(where, "split is '', expected one of train, validation, test")
            continue
        _add(collector, where, {name: cell for name, cell in row.items() if cell}, path.parent)
    return {}


def _read_json_lines(file: TextIO, path: Path, collector: Collector) -> dict[str, Any]:
    header: dict[str, Any] = {}
    for number, line in enumerate(file, start=1):
        where = f"{path.name}, line {number}"
        if not line.strip():
            continue
        try:
            row = _json_object(line)
            if number == 1 and set(row) == {"collection"}:
                header = _checked_header(row["collection"], path)
            else:
                _check_fields(f"{path}, line {number}", row)
                _add(collector, where, {k: v for k, v in row.items() if v is not None}, path.parent)
        except _UnusableLine as error:
            collector.skip(where, str(error))
        except RecursionError:
            collector.skip(where, "line is nested too deeply")
    return header


class _UnusableLine(Exception):
    """A line is no object of fields; the message is the reason."""


def _json_object(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise _UnusableLine(f"line is no JSON ({error})") from None
    if not isinstance(row, dict):
        kind = type(row).__name__
        raise _UnusableLine(f"line is a JSON {kind}, expected an object of fields")
    return row


def _checked_header(header: Any, path: Path) -> dict[str, Any]:
    kinds = {name: dict if name == "label_descriptions" else str for name in HEADER_FIELDS}
    if not isinstance(header, dict) or not all(
        isinstance(value, kinds.get(name, ())) for name, value in header.items()
    ):
        expected = f"an object of texts {', '.join(HEADER_FIELDS)}"
        raise ValueError(f"{path}, line 1: collection is {header!r}, expected {expected}")
    return header


def _check_fields(where: str | Path, fields: Iterable[str]) -> None:
    if unknown := set(fields) - set(FIELDS):
        raise ValueError(
            f"{where}: column {_listed(unknown)} is unknown, expected only {sorted(FIELDS)}"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))


def _add(collector: Collector, where: str, row: dict[str, Any], folder: Path) -> None:
    """Adds the track of a row that has no empty fields."""
    path = row.get("path", "")
    if not path or not isinstance(path, str):
        collector.skip(where, f"path is {path!r}, expected an audio file")
        return
    track_id = row.get("track_id", path)
    group = row.get("group", track_id)
    try:
        tags = {name: _tags(name, row[name]) for name in TAG_DIMENSIONS if name in row}
    except ValueError as error:
        collector.skip(where, str(error))
        return
    collector.add(
        where,
        track_id=track_id,
        split=row["split"] if "split" in row else split_of_group(str(group)),
        audio=folder / path,
        tags=tags,
        tempo=row.get("tempo"),
        key=row.get("key"),
        **{name: row[name] for name in TEXT_FIELDS if name in row},
    )


def _tags(dimension: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(tag.strip() for tag in value.split(";") if tag.strip())
    if not isinstance(value, list):
        raise ValueError(f"{dimension} is {value!r}, expected a list of tags")
    return tuple(value)


def _row_of_track(track: Track) -> dict[str, Any]:
    if callable(track.audio):
        raise ValueError(f"track {track.track_id!r}: its audio is made by a program, not a file")
    row: dict[str, Any] = {"path": os.fspath(Path(track.audio).absolute())}
    row |= {name: getattr(track, name) for name in ("track_id", "split", *TEXT_FIELDS)}
    row |= {name: list(track.tags[name]) for name in TAG_DIMENSIONS if name in track.tags}
    row |= {"tempo": track.tempo, "key": track.key}
    return {name: value for name, value in row.items() if value not in ("", None)}


def _json_line(row: dict[str, Any]) -> str:
    line = json.dumps(row, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:  # a file name that is not UTF-8
        line = json.dumps(row)
    return line + "\n"
