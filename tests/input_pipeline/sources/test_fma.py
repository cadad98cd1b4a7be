"""FMA's tables as pandas wrote them: several header rows, then a row that names the index."""

import csv

import pytest

from input_pipeline.collection import Problem
from input_pipeline.sources import fma

COLUMNS = [
    ("album", "date_released"),
    ("artist", "bio"),
    ("artist", "id"),
    ("artist", "name"),
    ("set", "split"),
    ("set", "subset"),
    ("track", "date_recorded"),
    ("track", "genre_top"),
    ("track", "genres_all"),
    ("track", "title"),
]
ROWS = {
    "2": [
        *("2009-01-05 00:00:00", "<p>two\nlines</p>" * 10000, "1", "AWOL", "training", "small"),
        *("2008-11-26 00:00:00", "Hip-Hop", "[21]", "Food"),
    ],
    "137": ["1996-01-01", "", "53", "Airway", "validation", "medium", "", "", "[1, 21]", "Side A"],
    "999": ["", "", "54", "Nobody", "test", "large", "now", "", "[7]", "Lost"],
    "155000": ["2011-05-04", "", "55", "Some", "test", "large", "", "Rock", "[]", "Unknown"],
    "7": ["", "", "1", "AWOL", "test", "large", "", "", "[21]", "In two splits"],
}


def _table(path, names, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([*names, *rows])


@pytest.fixture
def metadata(tmp_path):
    names = [["", *row] for row in zip(*COLUMNS, strict=True)]
    index_row = ["track_id"] + [""] * len(COLUMNS)
    rows = [index_row, *([number, *cells] for number, cells in ROWS.items()), ["8", "short"]]
    _table(tmp_path / "tracks.csv", names, rows)
    genres = [["1", "5", "0", "Avant-Garde", "38"], ["21", "9", "0", "Hip-Hop", "21"]]
    _table(
        tmp_path / "genres.csv", [["genre_id", "#tracks", "parent", "title", "top_level"]], genres
    )
    names = [["", "echonest"], ["", "audio_features"], ["", "tempo"]]
    _table(tmp_path / "echonest.csv", names, [["track_id", ""], ["2", "165.922"], ["137", "0.0"]])
    return tmp_path


def test_tracks(metadata, tmp_path):
    collection = fma.read(metadata, audio=tmp_path / "fma_large")
    found = {track.track_id: track for track in collection.tracks}
    assert {name: (t.split, t.group, t.tags) for name, t in found.items()} == {
        "2": ("train", "artist 1", {"genre": ("Hip-Hop",), "era": ("00s",)}),
        "137": ("validation", "artist 53", {"genre": ("Avant-Garde", "Hip-Hop"), "era": ("90s",)}),
        "999": ("test", "artist 54", {}),
        "155000": ("test", "artist 55", {"genre": (), "era": ("2010s",)}),
    }
    assert found["2"].audio == tmp_path / "fma_large/000/000002.mp3"
    assert found["155000"].audio == tmp_path / "fma_large/155/155000.mp3"
    assert (found["2"].artist, found["2"].title, found["2"].tempo) == ("AWOL", "Food", None)
    assert collection.problems == (
        Problem("track 999", "genres_all is '[7]', expected a list of known genres", False),
        Problem("track 999", "date is 'now', expected one that begins with a year", False),
        Problem("track 7", "split is 'test', expected 'train' like the rest of group 'artist 1'"),
        Problem("tracks.csv, line 10009", "number of cells is 2, expected 11"),
    )
    assert "CC BY 4.0" in collection.licence and "ISMIR 2017" in collection.citation


def test_long_biographies_leave_other_readers_as_they_were(metadata, tmp_path):
    before = csv.field_size_limit()
    fma.read(metadata, audio=tmp_path)
    assert csv.field_size_limit() == before


def test_subsets_hold_those_before_them(metadata):
    ids = {
        subset: [track.track_id for track in fma.read(metadata, audio="a", subset=subset).tracks]
        for subset in fma.SUBSETS
    }
    assert ids == {"small": ["2"], "medium": ["2", "137"], "large": ["2", "137", "999", "155000"]}


def test_top_genres_and_tempo(metadata):
    collection = fma.read(metadata, audio="a", subset="medium", genres="top", tempo="echonest")
    assert [(track.tags.get("genre"), track.tempo) for track in collection.tracks] == [
        (("Hip-Hop",), 165.922),
        (None, None),
    ]
    assert [problem.reason for problem in collection.problems if not problem.skipped] == [
        "tempo is '0.0', expected beats per minute in (0, 1000)"
    ]
    assert collection.label_descriptions["tempo"].startswith("Echo Nest's estimate")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset": "full"}, "subset is 'full', expected one of small, medium, large"),
        ({"genres": "some"}, "genres is 'some', expected one of all, top"),
        ({"tempo": "true"}, "tempo is 'true', expected one of echonest"),
    ],
)
def test_bad_options(metadata, options, message):
    with pytest.raises(ValueError, match=message):
        fma.read(metadata, audio="a", **options)


def test_missing_files_and_columns(metadata):
    (metadata / "tracks.csv").write_text(",set,set\n,split,subset\n")
    with pytest.raises(ValueError, match=r"tracks\.csv: column \('track', 'genre_top'\) is missi"):
        fma.read(metadata, audio="a")
    (metadata / "tracks.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"tracks\.csv: no such file, expected the data"):
        fma.read(metadata, audio="a")
