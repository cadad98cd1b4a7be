"""MagnaTagATune's tab-separated tables, quoted as they are published."""

import pytest

from input_pipeline.collection import Problem, split_of_group
from input_pipeline.sources import magnatagatune

TAGS = ["woman singing", "female vocals", "clasical", "no piano", "sad", "jew harp"]
CLIPS = {  # tags, path
    "2": ([1, 1, 1, 0, 0, 0], "f/abs-bach-01-aria-30-59.mp3"),
    "6": ([0, 0, 0, 1, 0, 0], "b/abs-bach-01-aria-146-175.mp3"),
    "10": ([0, 0, 0, 0, 1, 1], "c/other-first-01-song-0-29.mp3"),
    "11": ([0, 0, 0, 0, 0, 0], "0/third-first-01-song-0-29.mp3"),
    "12": ([0, 0, 0, 0, 0, 1], "x/nowhere.mp3"),
}
INFO = {"2": ("Aria", "ABS", "Bach"), "6": ("Aria", "ABS", "Bach"), "10": ("Song", "O", "First")}


def _table(path, columns, rows):
    lines = ["\t".join(f'"{cell}"' for cell in row) for row in [columns, *rows]]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    rows = [[clip, *tags, path] for clip, (tags, path) in CLIPS.items()]
    _table(tmp_path / "annotations_final.csv", ["clip_id", *TAGS, "mp3_path"], [*rows, ["13", "1"]])
    columns = ["clip_id", "track_number", "title", "artist", "album", "url", "mp3_path"]
    rows = [[clip, "1", *names, "http://x", ""] for clip, names in INFO.items()]
    _table(tmp_path / "clip_info_final.csv", columns, rows)
    names = [f"clip{i}_{what}" for what in ("id", "numvotes", "mp3_path") for i in (1, 2, 3)]
    rows = [["2", "11", "99999", "1", "0", "4", "x", "y", "z"]]
    _table(tmp_path / "comparisons_final.csv", names, rows)
    return tmp_path


def test_clips_by_folder(folder):
    (folder / "f").mkdir()
    collection = magnatagatune.read(folder)
    assert [(t.track_id, t.split, t.group, t.tags) for t in collection.tracks] == [
        (
            "2",
            "test",
            "ABS / Bach",
            {"instrument": ("female voice",), "genre": ("classical",)},
        ),
        ("10", "validation", "O / First", {"mood": ("sad",)}),
        ("11", "train", "11", {}),
    ]
    first = collection.tracks[0]
    assert first.audio == folder / "f/abs-bach-01-aria-30-59.mp3"
    assert (first.artist, first.title) == ("ABS", "Aria")
    assert collection.unknown_tags == {"jew harp": 2}
    where = "annotations_final.csv, line"
    assert collection.problems == (
        Problem(
            f"{where} 3", "split is 'train', expected 'test' like the rest of group 'ABS / Bach'"
        ),
        Problem(f"{where} 6", "split is '', expected one of train, validation, test"),
        Problem(f"{where} 7", "number of cells is 2, expected 8"),
    )
    assert "Magnatune" in collection.licence and "ISMIR 2009" in collection.citation


def test_clips_around_the_comparisons(folder, tmp_path):
    """The artists of compared clips are for testing, their other clips too; nobody else is."""
    collection = magnatagatune.read(folder, audio=tmp_path / "mp3", split="comparisons")
    splits = {track.track_id: track.split for track in collection.tracks}
    drawn = "validation" if split_of_group("12") == "validation" else "train"
    assert splits == {"2": "test", "6": "test", "10": "train", "11": "test", "12": drawn}
    assert collection.tracks[0].audio == tmp_path / "mp3/f/abs-bach-01-aria-30-59.mp3"


def test_errors(folder):
    with pytest.raises(ValueError, match="split is 'x', expected one of folders, comparisons"):
        magnatagatune.read(folder, split="x")
    (folder / "clip_info_final.csv").write_text("clip_id,title\n")
    with pytest.raises(ValueError, match=r"info_final\.csv: column 'clip_id' is missing"):
        magnatagatune.read(folder)
    (folder / "clip_info_final.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"clip_info_final\.csv: no such file"):
        magnatagatune.read(folder)
