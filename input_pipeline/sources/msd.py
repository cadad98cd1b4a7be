"""The Million Song Dataset with Last.fm's tags: the data of both papers, for those who have it.

Two divisions can be read. Choi's (https://github.com/keunwoochoi/MSD_split_for_tagging) consists of
text files and NumPy arrays; Lee's (https://github.com/jongpillee/music_dataset_split, folder
MSD_split), which B uses, of pickles. The audio is 30-second previews from 7digital, with names like
8/9/8947470.clip.mp3.
"""

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.collection import Collection, Collector
from input_pipeline.sources import tag_map as tag_maps
from input_pipeline.sources import unpickling

# In the order of the tag vectors.
TAGS = (
    *("rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s"),
    *("alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists"),
    *("classic rock", "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s", "chill"),
    *("instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic"),
    *("experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country"),
    *("easy listening", "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock"),
    *("60s", "rnb", "indie pop", "sad", "House", "happy"),
)
LEE_TRAIN_TRACKS = 201_680  # at the start of Lee's training list; the rest is for validation
MINIMUM_VALUE = 50  # a Last.fm tag counts if its value, from 0 to 100, is above this
LONGEST_VALUE = 1_000_000  # bytes in a row of lastfm_tags.db
CITATION = (
    "Bertin-Mahieux, Ellis, Whitman, Lamere: The Million Song Dataset. ISMIR 2011. Division: "
)
CHOI = (
    "Choi, Fazekas, Sandler: Automatic tagging using deep convolutional neural networks, ISMIR 2016"
)
LEE = (
    "Lee, Nam: Multi-level and multi-scale feature aggregation using pre-trained convolutional "
    "neural networks for music auto-tagging, IEEE Signal Processing Letters 2017"
)
LICENCE = (
    "Last.fm's tags are for non-commercial research; the previews belong to 7digital and cannot be "
    "redistributed"
)
LABEL_DESCRIPTIONS = {
    "genre": "Last.fm tags given by listeners",
    "mood": "Last.fm tags given by listeners",
    "instrument": "Last.fm tags given by listeners: voices, guitar, instrumental",
    "era": "Last.fm tags given by listeners: 60s to 00s",
}


def read(
    path: str | Path,
    *,
    audio: str | Path,
    lastfm: str | Path = "",
    tag_map: str | Path = tag_maps.FOLDER / "msd.csv",
) -> Collection:
    """Reads Choi's or Lee's division, whichever the folder contains; every track is its own group.

    Args:
      path: folder of the division.
      audio: folder of the previews.
      lastfm: lastfm_tags.db (SQLite), whose tags then replace the division's 50.
      tag_map: CSV of tags and dimensions.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file has the wrong format, or a pickle asks for more than data.
    """
    path, audio, collector = Path(path), Path(audio).absolute(), Collector()
    known, locations, lists = tag_maps.read(tag_map), audio_files(path), _lists(path)
    wanted = {track_id for ids in lists.values() for track_id in ids}
    tags = _lastfm_tags(Path(lastfm), wanted) if lastfm else dict(_division_tags(path, collector))
    for split, ids in lists.items():
        for track_id in ids:
            if track_id not in locations:
                collector.skip(track_id, "the division names no audio file for this track")
                continue
            collector.add(
                track_id,
                track_id=track_id,
                split=split,
                audio=audio / locations[track_id],
                source="Million Song Dataset",
                tags=tag_maps.sort_tags(tags.get(track_id, ()), known, collector.unknown_tags),
            )
    division = "Choi's" if _is_choi(path) else "Lee's"
    return collector.collection(
        path,
        name="msd",
        description=f"Million Song Dataset, {division} division"
        + (f", tags of {Path(lastfm).name}." if lastfm else ", 50 tags."),
        citation=CITATION + (CHOI if _is_choi(path) else LEE),
        licence=LICENCE,
        label_descriptions=LABEL_DESCRIPTIONS,
    )


def audio_files(path: Path) -> Mapping[str, str]:
    """Returns the preview of each track in a division, relative to the folder of the previews."""
    if _is_choi(path):
        pairs: Iterable[tuple[str, str]] = (
            pair
            for part in ("train", "valid", "test")
            for pair in zip(
                _lines(path / f"{part}_x_msd_id.txt"),
                _lines(path / f"{part}_x_filename.txt", like=path / f"{part}_x_msd_id.txt"),
                strict=True,
            )
        )
        return {track_id: name.removesuffix(".npy") + ".clip.mp3" for track_id, name in pairs}
    locations = _pickled_dict(path / "7D_id_to_path.pkl")
    previews = _pickled_dict(path / "MSD_id_to_7D_id.pkl")
    return {
        track_id: location
        for track_id, preview in previews.items()
        if isinstance(location := locations.get(_name(preview)), str)
    }


def _is_choi(path: Path) -> bool:
    if (path / "train_x_msd_id.txt").is_file():
        return True
    if (path / "filtered_list_train.cP").is_file():
        return False
    raise FileNotFoundError(
        f"{path}: has neither train_x_msd_id.txt (Choi's division) nor filtered_list_train.cP "
        "(Lee's)"
    )


def _lists(path: Path) -> dict[str, list[str]]:
    """The track ids of each split."""
    if _is_choi(path):
        parts = {"train": "train", "validation": "valid", "test": "test"}
        return {split: _lines(path / f"{part}_x_msd_id.txt") for split, part in parts.items()}
    train, test = (
        [_name(track_id) for track_id in _pickled(path / f"filtered_list_{part}.cP", list)]
        for part in ("train", "test")
    )
    return {
        "train": train[:LEE_TRAIN_TRACKS],
        "validation": train[LEE_TRAIN_TRACKS:],
        "test": test,
    }


def _division_tags(path: Path, collector: Collector) -> Iterator[tuple[str, list[str]]]:
    """Yields (track id, tags) from the division's vectors of 50 tags."""
    if _is_choi(path):
        for part in ("train", "valid", "test"):
            ids, file = _lines(path / f"{part}_x_msd_id.txt"), path / f"{part}_y.npy"
            vectors = _array(file)
            if vectors.shape != (len(ids), len(TAGS)):
                raise ValueError(
                    f"{file}: has shape {vectors.shape}, expected ({len(ids)}, {len(TAGS)})"
                )
            for track_id, vector in zip(ids, vectors, strict=True):
                yield track_id, [TAGS[number] for number in np.flatnonzero(vector)]
        return
    file = path / "50tagList.txt"
    names = _lines(file) if file.is_file() else list(TAGS)
    for track_id, vector in _pickled_dict(path / "msd_id_to_tag_vector.cP").items():
        values = _numbers(vector)
        if len(values) == len(names):
            yield track_id, [name for name, value in zip(names, values, strict=True) if value]
        else:
            reason = f"tag vector has {len(values)} numbers, expected {len(names)}"
            collector.leave_out(track_id, reason)


def _lastfm_tags(file: Path, wanted: set[str]) -> dict[str, list[str]]:
    """The tags of the wanted tracks that are above the minimum value, strongest first."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such SQLite file of Last.fm's tags")
    query = (
        "SELECT tids.tid, tags.tag FROM tid_tag JOIN tids ON tid_tag.tid = tids.ROWID "
        "JOIN tags ON tid_tag.tag = tags.ROWID WHERE tid_tag.val > ? "
        "AND typeof(tids.tid) = 'text' AND typeof(tags.tag) = 'text' "
        "ORDER BY tid_tag.tid, tid_tag.val DESC, tags.tag"
    )
    found: dict[str, list[str]] = {}
    try:
        address = f"{file.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            _check_tables(database)
            for track_id, tag in database.execute(query, (MINIMUM_VALUE,)):
                if track_id in wanted:
                    found.setdefault(track_id, []).append(tag)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # damaged table names are not text
        raise ValueError(
            f"{file}: not an SQLite file with the tables tids, tags and tid_tag ({error})"
        ) from None
    return found


def _check_tables(database: sqlite3.Connection) -> None:
    """Raises sqlite3.Error for views and computed columns, which could run for ever."""
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
    found = dict(database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    for name in ("tids", "tags", "tid_tag"):
        if re.search(r"\b(AS|VIRTUAL)\b", str(found.get(name, "virtual")), re.IGNORECASE):
            raise sqlite3.DatabaseError(f"{name} is not a plain table")


def _lines(file: Path, *, like: Path | None = None) -> list[str]:
    """The lines of a text file; ValueError unless it has as many as `like`."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: cannot be read as UTF-8 text ({error})") from None
    if like is not None and len(lines) != len(_lines(like)):
        expected = f"{len(_lines(like))} as in {like.name}"
        raise ValueError(f"{file}: has {len(lines)} lines, expected {expected}")
    return lines


def _array(file: Path) -> np.ndarray:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        return np.load(file, allow_pickle=False)
    except Exception as error:  # a broken array can raise anything
        raise ValueError(f"{file}: not a NumPy array ({error})") from None


def _pickled(file: Path, kind: type) -> Any:
    content = unpickling.load(file)
    if not isinstance(content, kind):
        raise ValueError(f"{file}: is a {type(content).__name__}, expected a {kind.__name__}")
    return content


def _pickled_dict(file: Path) -> dict[str, Any]:
    return {_name(name): value for name, value in _pickled(file, dict).items()}


def _name(value: Any) -> str:
    """An id as text; if it is neither text nor a number, empty, which no id is."""
    return str(value) if isinstance(value, str | int | np.integer) else ""


def _numbers(vector: Any) -> list[float]:
    """The numbers in an array or list; empty if it holds anything else."""
    values = vector.tolist() if isinstance(vector, np.ndarray) and vector.ndim == 1 else vector
    kinds = (int, float, np.bool_, np.number)
    if not isinstance(values, list) or not all(isinstance(value, kinds) for value in values):
        return []
    return values
