"""The tracks that dim-sim's triplets need."""

import json

import pytest

from input_pipeline.collection import Problem
from input_pipeline.sources import dimsim

ROWS = [
    {"triplet_id": "1", "anchor_id": "TRB", "song1_id": "TRA", "song2_id": "TRQ", "song1_vote": 1},
    {"triplet_id": "2", "anchor_id": "TRA", "song1_id": "TRE", "song2_id": "TRB", "song1_vote": 0},
]


@pytest.fixture(params=["csv", "records", "columns", "indexed columns"])
def triplets(request, tmp_path):
    if request.param == "csv":
        lines = [",".join(map(str, row)) for row in (ROWS[0], *(row.values() for row in ROWS))]
        path = tmp_path / "clean-dim-sim.csv"
        path.write_text("\r\n".join(lines) + "\r\n")
        return path
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    indexed = {name: dict(enumerate(values)) for name, values in columns.items()}
    content = {"records": ROWS, "columns": columns, "indexed columns": indexed}[request.param]
    path = tmp_path / "clean-dim-sim.json"
    path.write_text(json.dumps(content))
    return path


def test_audio_named_by_track(triplets, tmp_path):
    for name in ("A/TRA.clip.mp3", "TRB.mp3", "B/TRE.wav", "TRQ.txt"):
        (tmp_path / "audio" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "audio" / name).touch()
    collection = dimsim.read(triplets, audio=tmp_path / "audio")
    found = [(t.track_id, t.audio, t.split) for t in collection.tracks]
    assert found == [
        ("TRB", tmp_path / "audio/TRB.mp3", "test"),
        ("TRA", tmp_path / "audio/A/TRA.clip.mp3", "test"),
        ("TRE", tmp_path / "audio/B/TRE.wav", "test"),
    ]
    assert collection.problems == (Problem("TRQ", "no audio file is known for this track"),)
    assert "3889149" in collection.citation and "CC BY-NC 4.0" in collection.licence


def test_audio_named_by_a_division(triplets, tmp_path):
    for part, ids in {"train": ["TRA", "TRB"], "valid": ["TRZ"], "test": ["TRE"]}.items():
        (tmp_path / f"{part}_x_msd_id.txt").write_text("".join(f"{name}\n" for name in ids))
        files = "".join(f"6/0/{name}.npy\n" for name in ids)
        (tmp_path / f"{part}_x_filename.txt").write_text(files)
    collection = dimsim.read(triplets, audio=tmp_path / "audio", msd_split=tmp_path)
    paths = {track.track_id: track.audio for track in collection.tracks}
    audio = tmp_path / "audio/6/0"
    assert paths == {name: audio / f"{name}.clip.mp3" for name in ("TRB", "TRA", "TRE")}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "anchor_id,song1_id\na,b\n", "column 'song2_id' is missing, expected anchor_id"),
        ("t.json", '{"anchor_id": ["a"]}', "column 'song1_id' is missing"),
        ("t.json", "{", "not a table of triplets"),
        ("t.json", "[1]", "not a table of triplets"),
        ("t.csv", ",".join(dimsim.COLUMNS) + "\na,b,c\n", "no usable track"),
    ],
)
def test_bad_files(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        dimsim.read(tmp_path / name, audio=tmp_path)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv: no such file of triplets"):
        dimsim.read(tmp_path / "none.csv", audio=tmp_path)
    with pytest.raises(FileNotFoundError, match="none: no such folder of audio"):
        dimsim.read(tmp_path / "none.csv", audio=tmp_path / "none")
