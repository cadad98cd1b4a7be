import re

import pytest

from input_pipeline.tracks import KEYS, Track, parse_key, read_csv


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("C", 0),
        ("c", 0),
        ("C major", 0),
        ("C:maj", 0),
        ("CM", 0),
        ("Am", 21),
        ("A minor", 21),
        ("A:min", 21),
        ("a-minor", 21),
        ("A MINOR", 21),
        ("Bb major", 10),
        ("bb", 10),
        ("b-flat", 10),
        ("B flat", 10),
        ("B- major", 10),
        ("B♭", 10),
        ("F#m", 18),
        ("F♯ minor", 18),
        ("f sharp minor", 18),
        ("Cb major", 11),
        ("E# minor", 17),
        ("bm", 23),
        (" D minor ", 14),
    ],
)
def test_parse_key_reads_common_spellings(name, expected):
    assert parse_key(name) == expected


def test_keys_are_read_back_from_their_own_names():
    assert [parse_key(name) for name in KEYS] == list(range(24))


@pytest.mark.parametrize("name", ["", "H", "minor", "A dorian", "Am7", "C##", "A minor B"])
def test_parse_key_rejects_what_is_no_key(name):
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        parse_key(name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"track_id": ""}, "track_id is empty"),
        ({"split": "dev"}, "split is 'dev', expected one of train, validation, test"),
        ({"tags": {"colour": ("blue",)}}, r"tags has \['colour'\], expected only"),
        ({"tags": {"genre": "rock"}}, "genre is 'rock', expected a tuple of tags"),
        ({"tempo": 0.0}, "tempo is 0.0, expected"),
        ({"tempo": float("nan")}, "tempo is nan, expected"),
        ({"key": "X"}, "key is 'X', expected"),
    ],
)
def test_track_rejects_bad_fields(fields, message):
    with pytest.raises(ValueError, match=message):
        Track(**{"track_id": "a", "split": "train", "audio": "a.wav"} | fields)


def test_track_fills_in_group_and_canonical_key():
    track = Track(track_id="a", split="train", audio="a.wav", key="Bbm")
    assert (track.group, track.key) == ("a", "A# minor")


def _write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_read_csv_reads_all_columns(tmp_path):
    path = _write(
        tmp_path / "t.csv",
        "\ufeffpath,split,track_id,group,artist,title,source,genre,mood,instrument,era,tempo,key\n"
        'sub/a.wav,train,one,g,"X, Y",T,S,rock; pop ;,,guitar,60s,120.5,F#m\n'
        "b.wav,test,,,,,,,,,,,\n",
    )
    one, two = read_csv(path)
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,genre\na.wav,x\n", "t.csv: column split is missing, found ['genre', 'path']"),
        ("path,split,gener\na.wav,train,x\n", "t.csv: column 'gener' is unknown, expected only"),
        ("", "t.csv: column path, split is missing"),
        ("path,split\n", "t.csv: no rows below the header"),
        ("path,split\na.wav,dev\n", "t.csv, line 2: split is 'dev', expected one of train"),
        ("path,split\n,train\n", "t.csv, line 2: path is empty"),
        ("path,split,tempo\na.wav,train,fast\n", "line 2: tempo is 'fast', expected beats"),
        ("path,split,tempo\na.wav,train,-1\n", "line 2: tempo is -1.0, expected beats"),
        ("path,split,key\na.wav,train,C\nb.wav,train,Q\n", "line 3: key is 'Q', expected"),
        ("path,split\na.wav,train,x\n", "line 2: the number of cells differs"),
        ("path,split\na.wav\n", "line 2: the number of cells differs"),
        ("path,split\na.wav,train\na.wav,test\n", "line 3: track_id is 'a.wav' as in line 2"),
    ],
)
def test_read_csv_names_file_line_and_column(tmp_path, text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read_csv(_write(tmp_path / "t.csv", text))


def test_read_csv_without_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv: no such CSV file"):
        read_csv(tmp_path / "none.csv")
