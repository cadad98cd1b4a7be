"""Manifests: a bad row costs that row, a bad column the file; what is written is read back."""

import os
from pathlib import Path

import pytest

from input_pipeline import manifest
from input_pipeline.collection import Collection, Collector, Problem, split_of_group
from input_pipeline.tracks import Track

TEMPO = "expected beats per minute in (0, 1000)"
KEY = 'expected a tonic and a mode such as "A minor" or "Bb"'
SPLIT = "expected one of train, validation, test"


def _write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_all_columns(tmp_path):
    path = _write(
        tmp_path / "t.csv",
        "\ufeffpath,split,track_id,group,artist,title,source,genre,mood,instrument,era,tempo,key\n"
        'sub/a.wav,train,one,g,"X, Y",T,S,rock; pop ;,,guitar,60s,120.5,F#m\n'
        "b.wav,test,,,,,,,,,,,\n",
    )
    collection = manifest.read(path)
    one, two = collection.tracks
    assert one == Track(
        track_id="one",
        split="train",
        audio=tmp_path / "sub/a.wav",
        group="g",
        artist="X, Y",
        title="T",
        source="S",
        tags={"genre": ("rock", "pop"), "instrument": ("guitar",), "era": ("60s",)},
        tempo=120.5,
        key="F# minor",
    )
    assert two == Track(track_id="b.wav", split="test", audio=tmp_path / "b.wav", group="b.wav")
    assert collection.problems == ()
    assert (collection.name, collection.description) == ("tracks", "Tracks of t.csv.")


@pytest.mark.parametrize(
    ("header", "row", "reason", "skipped"),
    [
        ("path,split", ",train", "path is '', expected an audio file", True),
        ("path,split", "x.wav,dev", f"split is 'dev', {SPLIT}", True),
        ("path,split", "x.wav,", f"split is '', {SPLIT}", True),
        ("path,split", "x.wav", "number of cells is 1, expected 2 as in the header", True),
        ("path,split", "x.wav,test,1", "number of cells is 3, expected 2 as in the header", True),
        ("path,track_id", "x.wav,a", "track_id is 'a', taken by t.csv, line 2, expected", True),
        ("path,year", "x.wav,soon", "year is 'soon', expected a year from 1000 to 2099", False),
        ("path,year", "x.wav,1959.5", "year is '1959.5', expected a year from", False),
        ("path,year", "x.wav,59", "year is '59', expected a year from 1000 to 2099", False),
        ("path,tempo", "x.wav,0", f"tempo is '0', {TEMPO}", False),
        ("path,tempo", "x.wav,abc", f"tempo is 'abc', {TEMPO}", False),
        ("path,key", "x.wav,H minor", f"key is 'H minor', {KEY}", False),
    ],
)
def test_a_bad_row_becomes_a_problem(tmp_path, header, row, reason, skipped):
    good = {"path": "a.wav", "split": "train", "track_id": "a"}
    cells = ",".join(good.get(column, "") for column in header.split(","))
    collection = manifest.read(_write(tmp_path / "t.csv", f"{header}\n{cells}\n{row}\n"))
    ((found),) = collection.problems
    assert (found.where, found.skipped) == ("t.csv, line 3", skipped)
    assert found.reason.startswith(reason)
    paths = [track.audio.name for track in collection.tracks]
    assert paths == (["a.wav"] if skipped else ["a.wav", "x.wav"])
    assert all(track.tempo is None and track.key is None for track in collection.tracks)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "genre\nx\n", "t.csv: column 'path' is missing, found ['genre']"),
        ("t.csv", "path,gener\na.wav,x\n", "t.csv: column 'gener' is unknown, expected only ["),
        ("t.csv", "path,path\na,b\n", "t.csv: column 'path' occurs twice"),
        ("t.csv", "", "t.csv: column 'path' is missing, found []"),
        ("t.csv", "path\n\n", "t.csv: no usable track"),
        ("t.jsonl", "", "t.jsonl: no usable track"),
        (
            "t.csv",
            "path,split\na.wav,dev\n",
            f"no usable track; the first problem: t.csv, line 2: split is 'dev', {SPLIT}",
        ),
        ("t.jsonl", '{"path": "a", "gener": 1}', "line 1: column 'gener' is unknown, expected"),
        ("t.jsonl", '{"collection": {"name": 5}}', "line 1: collection is {'name': 5}, expected"),
    ],
)
def test_what_is_wrong_with_the_whole_file_is_one_error(tmp_path, name, text, message):
    with pytest.raises(ValueError) as error:
        manifest.read(_write(tmp_path / name, text))
    assert str(error.value).startswith(str(tmp_path / name))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_not_there_or_no_text(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv: no such CSV file"):
        manifest.read(tmp_path / "none.csv")
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl: no such JSON lines file"):
        manifest.read(tmp_path / "none.jsonl")
    (tmp_path / "t.csv").write_bytes(b"path\na\xff.wav\n")
    with pytest.raises(ValueError, match=r"t\.csv: cannot be read as UTF-8 text"):
        manifest.read(tmp_path / "t.csv")


def test_without_a_split_the_group_draws_it(tmp_path):
    rows = "".join(f"{number}.wav,{'aF'[number % 2]}\n" for number in range(6))
    tracks = manifest.read(_write(tmp_path / "t.csv", "path,group\n" + rows)).tracks
    assert {(track.group, track.split) for track in tracks} == {("a", "train"), ("F", "test")}
    (track,) = manifest.read(_write(tmp_path / "t.jsonl", '{"path": "b.wav"}')).tracks
    assert track.split == split_of_group("b.wav")


def test_bad_json_lines_become_problems(tmp_path):
    lines = [
        '{"path": "a.wav", "split": "train", "tempo": 90, "genre": ["x;y", " z"], "mood": "m; n"}',
        '{"path": "b.wav", ',
        "[1]",
        '{"split": "train"}',
        '{"path": 5, "split": "train"}',
        '{"path": "c.wav", "split": null, "title": 5}',
        "",
        '{"path": "d.wav", "split": "train", "tempo": true, "key": 3}',
        '{"path": "e.wav", "split": "train", "genre": 5}',
        '{"path": "f.wav", "split": "train", "genre": ["x", 1]}',
        '{"path": "g.wav", "group": "\\ud800"}',
        '{"path": "h.wav", "split": "train", "tempo": NaN}',
        '{"path": "i.wav", "split": "train", "gener": 1}',
        '{"path": "j\\u0000.wav", "split": "train"}',
        '{"path": "\\ud800.wav", "track_id": "k", "split": "train"}',
        '{"path": "l.wav", "split": "train", "album": 5}',
    ]
    collection = manifest.read(_write(tmp_path / "t.jsonl", "\n".join(lines)))
    assert [track.track_id for track in collection.tracks] == ["a.wav", "d.wav", "h.wav"]
    assert collection.tracks[0].tags == {"genre": ("x;y", " z"), "mood": ("m", "n")}
    found = {problem.where: problem.reason for problem in collection.problems if problem.skipped}
    assert found.pop("t.jsonl, line 2").startswith("line is not JSON (")
    assert found == {
        "t.jsonl, line 3": "line is a JSON list, expected an object of fields",
        "t.jsonl, line 4": "path is '', expected an audio file",
        "t.jsonl, line 5": "path is 5, expected an audio file",
        "t.jsonl, line 6": "title is 5, expected text that UTF-8 can encode",
        "t.jsonl, line 9": "genre is 5, expected a list of tags",
        "t.jsonl, line 10": "genre is ('x', 1), expected a tuple of tags",
        "t.jsonl, line 11": "group is '\\ud800', expected text that UTF-8 can encode",
        "t.jsonl, line 13": f"column 'gener' is unknown, expected only {sorted(manifest.COLUMNS)}",
        "t.jsonl, line 14": "path is 'j\\x00.wav', expected an audio file",
        "t.jsonl, line 15": "path is '\\ud800.wav', expected an audio file",
        "t.jsonl, line 16": "album is 5, expected text that UTF-8 can encode",
    }
    assert [problem for problem in collection.problems if not problem.skipped] == [
        Problem("t.jsonl, line 8", f"tempo is True, {TEMPO}", False),
        Problem("t.jsonl, line 8", "key is 3, expected a name such as 'A minor'", False),
        Problem("t.jsonl, line 12", f"tempo is nan, {TEMPO}", False),
    ]


def test_spellings_of_tags_are_accepted(tmp_path):
    text = 'path,year,tempo,key,genre\na.wav,"Oct 3, 1995","128,5",8A,Old-Time / Historic; 17\n'
    text += "b.wav,19690926,90 BPM,A♭m,\nc.wav,0000,,o,\n"
    (tmp_path / "t.csv").write_text(text)
    collector = Collector()
    rows = [row.fields for row in manifest.rows(tmp_path / "t.csv", collector)[1]]
    assert rows == [
        {"year": 1995, "tempo": 128.5, "key": "A minor", "genre": ("Old-Time / Historic", "17")},
        {"year": 1969, "tempo": 90.0, "key": "G# minor"},
        {},
    ]
    assert collector.problems == (
        Problem("t.csv, line 4", "year is '0000', expected a year from 1000 to 2099", False),
        Problem("t.csv, line 4", f"key is 'o', {KEY}", False),
    )


def test_the_year_gives_the_era_where_none_is_given(tmp_path):
    text = "path,year,era,album\na.wav,1994,,A\nb.wav,1994,60s,A\nc.wav,,,\nd.wav,2015,,\n"
    tracks = manifest.read(_write(tmp_path / "t.csv", text)).tracks
    eras = [track.tags.get("era") for track in tracks]
    assert eras == [("90s",), ("60s",), None, ("2010s",)]
    assert [track.group for track in tracks] == [track.track_id for track in tracks]


def test_a_folder_has_one_manifest(tmp_path):
    assert manifest.find(tmp_path) is None
    for name in reversed(manifest.NAMES):
        (tmp_path / name).touch()
        assert manifest.find(tmp_path) == tmp_path / name


HARD_NAMES = ["a\nb.wav", "\U0001f3b5 \u2028,\"'.wav", "x" * 250, " lead and trail ", "\r\n\t\\"]


def test_what_is_written_is_read_back_exactly(tmp_path):
    tracks = [
        Track(f"{number} {name}", "train", tmp_path / name, title=name, tags={"mood": (name,)})
        for number, name in enumerate(HARD_NAMES)
    ]
    tracks += [
        Track("not UTF-8", "test", tmp_path / os.fsdecode(b"\xff.wav")),
        Track(
            track_id="full",
            split="validation",
            audio=Path("/music/../a.wav"),
            group="g",
            artist="A",
            title="T",
            source="S",
            tags={"genre": ("b;c", "a"), "mood": (), "instrument": ("i",), "era": ("90s",)},
            tempo=0.1 + 0.2,
            key="Bbm",
        ),
    ]
    collection = Collection(
        "toy", tracks, "d\u00e9scription", "cit\nation", "licence", {"mood": "of the\nlistener"}
    )
    path = tmp_path / "manifest.jsonl"
    manifest.write(collection, path)
    assert manifest.read(path) == collection
    assert os.listdir(tmp_path) == ["manifest.jsonl"]


@pytest.mark.parametrize("name", HARD_NAMES[:3])
def test_hard_paths_survive_csv(tmp_path, name):
    quoted = name.replace('"', '""')
    (track,) = manifest.read(_write(tmp_path / "t.csv", f'path\n"{quoted}"\n')).tracks
    assert track.audio == tmp_path / name and track.track_id == name


def test_relative_paths_are_written_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "manifest.jsonl"
    manifest.write(Collection("toy", [Track("a", "train", "sub/a.wav")]), path)
    (track,) = manifest.read(path).tracks
    assert track.audio == tmp_path / "sub/a.wav"


def test_audio_that_is_no_file_cannot_be_written(tmp_path):
    (tmp_path / "m.jsonl").write_text("old")
    with pytest.raises(ValueError, match="track 'a': its audio is made by a program, not a file"):
        manifest.write(Collection("toy", [Track("a", "train", lambda: None)]), tmp_path / "m.jsonl")
    assert (tmp_path / "m.jsonl").read_text() == "old"
    assert os.listdir(tmp_path) == ["m.jsonl"]
