"""MagnaTagATune: 25,863 clips of 29 s with 188 tags, and human odd-one-out judgements.

annotations_final.csv, clip_info_final.csv and comparisons_final.csv (tab-separated, despite their
names), and folders 0 to f of audio. `jaxsim.evaluate --triplets` reads the comparisons.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from input_pipeline.collection import Collection, Collector, split_of_group
from input_pipeline.sources import tag_map as tag_maps

# The customary division by the folder, 0 to f, that a clip is in.
SPLIT_OF_FOLDER = dict.fromkeys("0123456789ab", "train") | {"c": "validation"}
SPLIT_OF_FOLDER |= dict.fromkeys("def", "test")
DIVISIONS = ("folders", "comparisons")
CITATION = (
    "Law, West, Mandel, Bay, Downie: Evaluation of algorithms using games: the case of music "
    "tagging. ISMIR 2009"
)
LICENCE = (
    "audio CC BY-NC-SA by Magnatune; tags and comparisons for research (City, Univ. of London)"
)
LABEL_DESCRIPTIONS = {
    "genre": "tags given by players of TagATune, synonyms merged",
    "mood": "tags given by players of TagATune, synonyms merged",
    "instrument": "tags given by players of TagATune, including voices, synonyms merged",
}


def read(
    path: str | Path,
    *,
    audio: str | Path = "",
    split: str = "folders",
    tag_map: str | Path = tag_maps.FOLDER / "magnatagatune.csv",
) -> Collection:
    """Reads the tagged clips; the clips of an artist's album are a group.

    Args:
      path: folder of the .csv files.
      audio: folder that contains the folders 0 to f; default: `path`.
      split: "folders" is the customary division (0 to b, c, d to f). "comparisons" tests on the
        artists of the clips that people compared, so that their judgements can test a model that
        never heard those artists; the other artists are divided by a hash.
      tag_map: CSV of tags and dimensions.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: an option is invalid, or a file has the wrong format.
    """
    path, collector = Path(path), Collector()
    if split not in DIVISIONS:
        raise ValueError(f"split is {split!r}, expected one of {', '.join(DIVISIONS)}")
    known, info = tag_maps.read(tag_map), dict(_clip_info(path))
    judged = _judged_artists(path, info) if split == "comparisons" else set()
    for where, row in _rows(path / "annotations_final.csv", ("clip_id", "mp3_path"), collector):
        clip_id, location = row.pop("clip_id"), row.pop("mp3_path")
        title, artist, album = info.get(clip_id, ("", "", ""))
        if split == "folders":
            part = SPLIT_OF_FOLDER.get(location[:1], "")
        else:
            part = _split_around(artist or clip_id, judged)
        collector.add(
            where,
            track_id=clip_id,
            split=part,
            audio=(Path(audio or path) / location).absolute(),
            group=f"{artist} / {album}" if artist else "",
            artist=artist,
            title=title,
            source="MagnaTagATune",
            tags=tag_maps.sort_tags(
                (tag for tag, cell in row.items() if cell == "1"), known, collector.unknown_tags
            ),
        )
    return collector.collection(
        path,
        name="magnatagatune",
        description=f"MagnaTagATune, divided by {split}.",
        citation=CITATION,
        licence=LICENCE,
        label_descriptions=LABEL_DESCRIPTIONS,
    )


def _split_around(artist: str, judged: set[str]) -> str:
    """Test for the judged artists; training or validation for the rest."""
    if artist in judged:
        return "test"
    return "validation" if split_of_group(artist) == "validation" else "train"


def _judged_artists(path: Path, info: dict[str, tuple[str, str, str]]) -> set[str]:
    columns = ("clip1_id", "clip2_id", "clip3_id")
    rows = _rows(path / "comparisons_final.csv", columns, Collector())
    clips = {row[column] for _, row in rows for column in columns}
    return {info[clip][1] if clip in info and info[clip][1] else clip for clip in clips}


def _clip_info(path: Path) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Yields (clip id, (title, artist, album))."""
    columns = ("clip_id", "title", "artist", "album")
    for _, row in _rows(path / "clip_info_final.csv", columns, Collector()):
        yield row["clip_id"], (row["title"], row["artist"], row["album"])


def _rows(
    file: Path, needed: tuple[str, ...], collector: Collector
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields (where, row) for each row of a tab-separated file."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.reader(lines, delimiter="\t")
        columns = next(reader, [])
        if missing := [column for column in needed if column not in columns]:
            raise ValueError(
                f"{file}: column {missing[0]!r} is missing, expected tab-separated text"
            )
        for cells in reader:
            where = f"{file.name}, line {reader.line_num}"
            if len(cells) == len(columns):
                yield where, dict(zip(columns, cells, strict=True))
            elif cells:
                collector.skip(where, f"number of cells is {len(cells)}, expected {len(columns)}")
