"""MTG-Jamendo: 55,000 full tracks under Creative Commons, with genre, instrument and mood tags.

https://github.com/MTG/mtg-jamendo-dataset holds the splits; the audio is downloaded separately.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from input_pipeline.collection import Collection, Collector
from input_pipeline.sources import tag_map as tag_maps
from input_pipeline.tracks import SPLITS

SUBSETS = ("", "genre", "instrument", "moodtheme", "top50tags")
COLUMNS = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]
CITATION = (
    "Bogdanov, Won, Tovstogan, Porter, Serra: The MTG-Jamendo Dataset for Automatic Music Tagging. "
    "Machine Learning for Music Discovery Workshop, ICML 2019"
)
LICENCE = (
    "metadata CC BY-NC-SA 4.0; each audio file under the Creative Commons licence named in the "
    "data set's audio_licenses.txt"
)
LABEL_DESCRIPTIONS = {
    "genre": "genre tags given by the uploaders",
    "mood": "mood and theme tags given by the uploaders",
    "instrument": "instrument tags given by the uploaders",
    "era": "decade of the style, as tagged (60s to 90s); not of the recording",
}


def read(
    path: str | Path,
    *,
    audio: str | Path,
    split: str = "0",
    subset: str = "",
    tag_map: str | Path = tag_maps.FOLDER / "jamendo.csv",
) -> Collection:
    """Reads one of the data set's five divisions into training, validation and test.

    Args:
      path: the repository, or a folder in it down to `split-0`.
      audio: folder of the audio, in full (14/214.mp3) or low quality (14/214.low.mp3).
      split: number of the division, "0" to "4"; each artist is in one part only.
      subset: "genre", "instrument", "moodtheme" or "top50tags"; empty = all tags.
      tag_map: CSV of tags and dimensions.

    Raises:
      FileNotFoundError: the files of the division are missing.
      ValueError: an option is invalid, or a file has the wrong format.
    """
    path, audio = Path(path), Path(audio)
    if subset not in SUBSETS:
        raise ValueError(f"subset is {subset!r}, expected {', '.join(SUBSETS[1:])} or nothing")
    folder = _split_folder(path, split)
    known, names, collector = tag_maps.read(tag_map), _names(folder), Collector()
    for part in SPLITS:
        file = folder / f"autotagging{subset and '_' + subset}-{part}.tsv"
        for where, cells in _rows(file, collector):
            track_id, artist_id, _, location, _, *tags = cells
            artist, title = names.get(track_id, ("", ""))
            collector.add(
                where,
                track_id=track_id,
                split=part,
                audio=_audio_file(audio, location),
                group=artist_id,
                artist=artist,
                title=title,
                source="MTG-Jamendo",
                tags=tag_maps.sort_tags(filter(None, tags), known, collector.unknown_tags),
            )
    return collector.collection(
        folder,
        name="jamendo",
        description=f"MTG-Jamendo, split {split}{subset and ', tags: ' + subset}.",
        citation=CITATION,
        licence=LICENCE,
        label_descriptions=LABEL_DESCRIPTIONS,
    )


def _split_folder(path: Path, split: str) -> Path:
    if split not in ("0", "1", "2", "3", "4"):
        raise ValueError(f"split is {split!r}, expected a number from 0 to 4")
    name = f"split-{split}"
    for folder in (path / "data" / "splits" / name, path / "splits" / name, path / name, path):
        if folder.name == name and folder.is_dir():
            return folder
    raise FileNotFoundError(f"{path}: has no data/splits/{name}, expected MTG-Jamendo's repository")


def _rows(file: Path, collector: Collector) -> Iterator[tuple[str, list[str]]]:
    """Yields (where, cells); each tag of a row has its own cell."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        header = next(reader, [])
        if header != COLUMNS:
            raise ValueError(f"{file}: columns are {header}, expected {COLUMNS}")
        for cells in reader:
            where = f"{file.name}, line {reader.line_num}"
            if len(cells) >= len(COLUMNS):
                yield where, cells
            elif cells:
                collector.skip(where, f"number of cells is {len(cells)}, expected at least 6")


def _names(folder: Path) -> dict[str, tuple[str, str]]:
    """(artist, title) of the tracks, from raw.meta.tsv if the repository has it."""
    file = folder.parent.parent / "raw.meta.tsv"
    if not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {
            row.get("TRACK_ID", ""): (row.get("ARTIST_NAME") or "", row.get("TRACK_NAME") or "")
            for row in reader
        }


def _audio_file(audio: Path, location: str) -> Path:
    full = audio.absolute() / location
    low = full.with_suffix(".low.mp3")
    return low if low.is_file() and not full.is_file() else full
