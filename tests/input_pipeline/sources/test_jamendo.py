"""MTG-Jamendo, in the form of its own repository: CRLF, a tag a column."""

import pytest

from input_pipeline.collection import Problem
from input_pipeline.sources import jamendo

HEADER = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"
ROWS = {
    "train": [
        "track_0000214\tartist_000014\talbum_000031\t14/214.mp3\t124.6\tgenre---punkrock",
        "track_0000382\tartist_000020\talbum_000046\t82/382.mp3\t211.1\tgenre---80s\tgenre---pop\t"
        "instrument---guitar\tmood/theme---film\tvibe---cosy",
    ],
    "validation": ["track_1\tartist_2\talbum_3\t01/1.mp3\t30.1\tmood/theme---happy"],
    "test": [
        "track_2\tartist_000014\talbum_000031\t02/2.mp3\t30.1\tgenre---rock",
        "track_3\tartist_9\talbum_9\t03/3.mp3",
        "track_4\tartist_4\talbum_4\t04/4.mp3\t30.1\tinstrument---guitar\t",
    ],
}


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "data" / "splits" / "split-2"
    folder.mkdir(parents=True)
    for part, rows in ROWS.items():
        text = "".join(f"{row}\r\n" for row in [HEADER, *rows])
        (folder / f"autotagging-{part}.tsv").write_bytes(text.encode())
        text = "".join(f"{row}\r\n" for row in [HEADER, rows[0]])
        (folder / f"autotagging_genre-{part}.tsv").write_bytes(text.encode())
    return tmp_path


def test_tracks(repository, tmp_path):
    audio = tmp_path / "audio"
    (audio / "82").mkdir(parents=True)
    (audio / "82" / "382.low.mp3").touch()
    collection = jamendo.read(repository, audio=audio, split="2")
    assert [(t.track_id, t.split, t.group, t.tags) for t in collection.tracks] == [
        ("track_0000214", "train", "artist_000014", {"genre": ("punkrock",)}),
        (
            "track_0000382",
            "train",
            "artist_000020",
            {"era": ("80s",), "genre": ("pop",), "instrument": ("guitar",), "mood": ("film",)},
        ),
        ("track_1", "validation", "artist_2", {"mood": ("happy",)}),
        ("track_4", "test", "artist_4", {"instrument": ("guitar",)}),
    ]
    paths = [track.audio.relative_to(audio).as_posix() for track in collection.tracks]
    assert paths == ["14/214.mp3", "82/382.low.mp3", "01/1.mp3", "04/4.mp3"]
    assert collection.unknown_tags == {"vibe---cosy": 1}
    assert collection.problems == (
        Problem(
            "autotagging-test.tsv, line 2",
            "split is 'test', expected 'train' like the rest of group 'artist_000014'",
        ),
        Problem("autotagging-test.tsv, line 3", "number of cells is 4, expected at least 6"),
    )
    assert "CC BY-NC-SA 4.0" in collection.licence and "ICML 2019" in collection.citation


def test_subset_names_and_place(repository):
    meta = "TRACK_ID\tTRACK_NAME\tARTIST_NAME\r\ntrack_1\tSong\tSinger\r\n"
    (repository / "data" / "raw.meta.tsv").write_bytes(meta.encode())
    for place in ("", "data", "data/splits", "data/splits/split-2"):
        collection = jamendo.read(
            repository / place, audio="audio", split="2", subset="genre", tag_map=_map(repository)
        )
        names = {track.track_id: (track.artist, track.title) for track in collection.tracks}
        assert names == {"track_0000214": ("", ""), "track_1": ("Singer", "Song")}
        assert collection.unknown_tags == {"genre---punkrock": 1, "genre---rock": 1}


def _map(folder):
    path = folder / "map.csv"
    path.write_text("tag,dimension,label\nmood/theme---*,mood,\n")
    return path


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "5"}, ValueError, "split is '5', expected a number from 0 to 4"),
        ({"subset": "mood"}, ValueError, "subset is 'mood', expected genre, instrument"),
        ({"split": "0"}, FileNotFoundError, "has no data/splits/split-0, expected MTG-Jamendo's"),
        ({"subset": "top50tags"}, FileNotFoundError, "autotagging_top50tags-train.tsv: no such"),
    ],
)
def test_errors(repository, options, error, message):
    with pytest.raises(error, match=message):
        jamendo.read(repository, **{"audio": "audio", "split": "2"} | options)


def test_another_table_is_refused(repository):
    file = repository / "data" / "splits" / "split-2" / "autotagging-train.tsv"
    file.write_text("track\tpath\n")
    with pytest.raises(ValueError, match=r"train\.tsv: columns are \['track', 'path'\], expected"):
        jamendo.read(repository, audio="audio", split="2")
