"""FMA, the Free Music Archive: up to 106,574 tracks under Creative Commons, with 161 genres.

https://github.com/mdeff/fma: `fma_metadata.zip`, and audio in `fma_small`, `_medium`, `_large` or
`_full`.
"""

import ast
import contextlib
import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from input_pipeline.collection import Collection, Collector, era_of_date

SUBSETS = ("small", "medium", "large")  # each includes the ones before it
OPTIONS = {"subset": SUBSETS, "genres": ("all", "top"), "tempo": ("", "echonest")}
SPLITS = {"training": "train", "validation": "validation", "test": "test"}
CITATION = (
    "Defferrard, Benzi, Vandergheynst, Bresson: FMA: A Dataset For Music Analysis. ISMIR 2017"
)
LICENCE = "metadata CC BY 4.0; each audio file under the licence chosen by its artist"
NEEDED = (
    *(("set", "split"), ("set", "subset"), ("track", "genre_top"), ("track", "genres_all")),
    *(("track", "date_recorded"), ("album", "date_released"), ("track", "title")),
    *(("artist", "id"), ("artist", "name")),
)

Column = tuple[str, ...]


def read(
    path: str | Path,
    *,
    audio: str | Path,
    subset: str = "large",
    genres: str = "all",
    tempo: str = "",
) -> Collection:
    """Reads the tracks of a subset with the data set's own splits; each artist is a group.

    Args:
      path: folder of the metadata: tracks.csv, genres.csv, echonest.csv.
      audio: folder of the audio, such as `fma_large` (000/000002.mp3).
      subset: "small", "medium" or "large" (every track; also for `fma_full`).
      genres: "all" genres of a track and their parents, or only its "top"-level genre.
      tempo: "echonest" takes Echo Nest's estimates (13,129 tracks) as known.

    Raises:
      FileNotFoundError: a metadata file is missing.
      ValueError: an option is invalid, or a file has the wrong format.
    """
    path, audio = Path(path), Path(audio).absolute()
    _check_options(subset=subset, genres=genres, tempo=tempo)
    wanted, collector = SUBSETS[: SUBSETS.index(subset) + 1], Collector()
    titles = _genre_titles(path / "genres.csv", collector) if genres == "all" else {}
    tempi = _tempi(path / "echonest.csv", collector) if tempo else {}
    for track_id, row in _rows(path / "tracks.csv", NEEDED, collector.skip):
        if row["set", "subset"] in wanted:
            where = f"track {track_id}"
            tags = _tags(where, row, titles, collector)
            number = f"{int(track_id):06d}"
            collector.add(
                where,
                track_id=track_id,
                split=SPLITS.get(row["set", "split"], row["set", "split"]),
                audio=audio / number[:3] / f"{number}.mp3",
                group=f"artist {row['artist', 'id']}",
                artist=row["artist", "name"],
                title=row["track", "title"],
                source="FMA",
                tags=tags,
                tempo=tempi.get(track_id),
            )
    return collector.collection(
        path / "tracks.csv",
        name="fma",
        description=f"FMA, subset {subset}.",
        citation=CITATION,
        licence=LICENCE,
        label_descriptions=_label_descriptions(genres, tempo),
    )


def _check_options(**options: str) -> None:
    for name, value in options.items():
        if value not in OPTIONS[name]:
            expected = ", ".join(filter(None, OPTIONS[name]))
            raise ValueError(f"{name} is {value!r}, expected one of {expected}")


def _label_descriptions(genres: str, tempo: str) -> dict[str, str]:
    which = "genres set by the artists, and their parents" if genres == "all" else "top-level genre"
    descriptions = {
        "genre": which,
        "era": "decade in which the track was recorded or, if unknown, the album released",
    }
    return descriptions | ({"tempo": "Echo Nest's estimate, else madmom's"} if tempo else {})


def _tags(
    where: str, row: dict[Column, str], titles: dict[int, str], collector: Collector
) -> dict[str, tuple[str, ...]]:
    tags = {}
    found = row["track", "genre_top"]
    if titles:
        try:
            numbers = ast.literal_eval(row["track", "genres_all"] or "[]")
            tags["genre"] = tuple(titles[number] for number in numbers)
        except (ValueError, SyntaxError, TypeError, KeyError):
            cell = row["track", "genres_all"]
            collector.leave_out(where, f"genres_all is {cell!r}, expected a list of known genres")
    elif found:
        tags["genre"] = (found,)
    try:
        date = row["track", "date_recorded"] or row["album", "date_released"]
        if era := era_of_date(date):
            tags["era"] = (era,)
    except ValueError as error:
        collector.leave_out(where, str(error))
    return tags


def _genre_titles(file: Path, collector: Collector) -> dict[int, str]:
    rows = _rows(file, [("title",)], collector.leave_out)
    return {int(number): row["title",] for number, row in rows}


def _tempi(file: Path, collector: Collector) -> dict[str, str]:
    column = ("echonest", "audio_features", "tempo")
    return {number: row[column] for number, row in _rows(file, [column], collector.leave_out)}


@contextlib.contextmanager
def _long_cells() -> Iterator[None]:
    """Lets every reader of CSV take cells as long as biographies are, while it lasts."""
    before = csv.field_size_limit(2**24)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _rows(
    file: Path, needed: Sequence[Column], note: Callable[[str, str], None]
) -> Iterator[tuple[str, dict[Column, str]]]:
    """Yields (id, cells by column); a column has one name per header row."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file, expected the data set's metadata")
    with _long_cells(), file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.reader(lines)
        columns = list(zip(*[next(reader, []) for _ in needed[0]], strict=False))
        if missing := [column for column in needed if column not in columns]:
            raise ValueError(f"{file}: column {missing[0]} is missing, found {len(columns)} others")
        for cells in reader:
            where = f"{file.name}, line {reader.line_num}"
            if cells[:1] == ["track_id"]:
                pass  # below several header rows pandas writes one that names only the index
            elif len(cells) != len(columns):
                note(where, f"number of cells is {len(cells)}, expected {len(columns)}")
            elif not cells[0].isdigit():
                note(where, f"id is {cells[0]!r}, expected a number")
            else:
                yield cells[0], dict(zip(columns, cells, strict=True))
