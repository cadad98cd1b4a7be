"""What a library is made of: folders, files and manifests, of which none ends the others."""

import functools
import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import strategies as st

from input_pipeline import manifest
from input_pipeline.hearing.features import FeatureConfig
from jaxsim.library.intake import sources
from jaxsim.library.intake.sources import Found, Source, new_id
from tests.helpers.fuzzing import damaged, few_or_many, fuzz, json_values


@pytest.fixture
def music(tmp_path: Path) -> Path:
    (tmp_path / "music" / "sub").mkdir(parents=True)
    for name in ("a.wav", "b.wav", "sub/c.wav", "elsewhere.dat"):
        (tmp_path / "music" / name).touch()
    return tmp_path / "music"


def find(*arguments: Path) -> Found:
    return sources.find(arguments, FeatureConfig())


def walked(*paths: Path) -> list[Source]:
    return [Source(str(path), "") for path in paths]


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.jsonl", "tracks.csv"])
def test_a_manifest_in_a_folder_adds_to_what_is_found_there(music: Path, name: str) -> None:
    rows = [
        {"path": "a.wav", "track_id": "one", "title": "One"},
        {"path": "elsewhere.dat", "title": ""},
        {"path": "b.wav", "track_id": "one"},
    ]
    lines = ["path,track_id,title", "a.wav,one,One", "elsewhere.dat,,", "b.wav,one,"]
    if name.endswith("jsonl"):
        lines = ['{"collection": {"name": "x"}}', *map(json.dumps, rows)]
    (music / name).write_text("\n".join(lines))
    found = find(music)
    assert found.sources == [
        Source(str(music / "a.wav"), "one", {"title": "One"}),
        *walked(music / "b.wav", music / "elsewhere.dat", music / "sub" / "c.wav"),
    ]
    reason = f"track_id 'one' is already used by {music / 'a.wav'}"
    assert (found.skipped, found.labels_left_out) == ({f"{name}, line 4": reason}, {})


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("tracks.csv", b"title\nx\n", "column 'path' is missing, found ['title']"),
        ("tracks.csv", b"path,colour\na.wav,red\n", "column 'colour' is unknown"),
        ("manifest.csv", b"path\na\xff\n", "cannot be read as UTF-8 text"),
        ("manifest.csv", b'path\na.wav\n"b\0' + b"x" * 200_000, "cannot be read as UTF-8 text"),
        (
            "manifest.jsonl",
            b"{}\n[1]\n",
            "no row can be used; the first is manifest.jsonl, line 1: ",
        ),
    ],
)
def test_another_file_of_that_name_is_reported(
    music: Path, name: str, content: bytes, reason: str
) -> None:
    (music / name).write_bytes(content)
    found = find(music)
    assert found.sources == walked(music / "a.wav", music / "b.wav", music / "sub" / "c.wav")
    ((place, told),) = found.skipped.items()
    assert place == str(music / name)
    assert told.startswith(f"not used as a manifest: {reason}")


def test_only_the_top_level_has_a_manifest(music: Path) -> None:
    (music / "sub" / "tracks.csv").write_text("path,track_id\nc.wav,three\n")
    assert find(music).sources[2].track_id == ""
    name = str(music / "sub" / "c.wav")
    first = new_id(name, ())
    assert first == hashlib.sha256(name.encode()).hexdigest()[:16]  # as older libraries have it
    assert new_id(name, {first}) not in ("", first)


def test_what_a_manifest_says_counts_wherever_it_stands(music: Path) -> None:
    listed = music.parent / "listed.csv"
    listed.write_text("path,track_id\nmusic/a.wav,one\n")
    for arguments in ((music, listed), (listed, music), (listed, music / "a.wav", music)):
        assert [source.track_id for source in find(*arguments).sources][:1] == ["one"]


def test_two_rows_of_one_file(music: Path) -> None:
    listed = music.parent / "listed.csv"
    listed.write_text("path,title\nmusic/a.wav,One\nmusic/../music/a.wav,Two\n")
    found = find(listed)
    assert [source.given for source in found.sources] == [{"title": "One"}]
    reason = "path 'music/../music/a.wav' is already used by listed.csv, line 2"
    assert found.skipped == {"listed.csv, line 3": reason}


def test_whatever_is_reported_can_be_printed(music: Path) -> None:
    odd = os.fsdecode(b"\xff.wav")
    row = {"path": odd, "track_id": "one"}
    (music / "tracks.jsonl").write_text(json.dumps(row) + '\n{"path": "b.wav", "track_id": "one"}')
    found = find(music / "tracks.jsonl")
    assert [source.path for source in found.sources] == [str(music / odd)]
    ((place, reason),) = found.skipped.items()
    assert f"{place}: {reason}".encode()
    assert "is already used by" in reason and "\\xff.wav" in reason


def test_values_of_a_row(music: Path) -> None:
    listed = music.parent / "listed.jsonl"
    row = {
        "path": "music/a.wav",
        "artist": "X;Y ; ",
        "genre": ["rock", "jazz"],
        "mood": "sad; slow",
        "era": [],
        "year": 1999,
        "tempo": "90.5",
        "key": "F#m",
        **{"split": "train", "group": "g", "source": "s", "album": "A"},
    }
    listed.write_text(json.dumps(row))
    (source,) = find(listed).sources
    assert source.given == {
        "artist": "X; Y",
        "album": "A",
        "genre": "rock; jazz",
        "mood": "sad; slow",
        "year": 1999,
        "tempo": 90.5,
        "key": "F# minor",
    }


@few_or_many
def test_no_manifest_in_a_folder_ends_it(examples: int, music: Path) -> None:
    table = b"path,track_id,title,year,tempo,key\na.wav,a,A,1999,90,Am\nb.wav,b,B,,,\n"
    rows = st.dictionaries(st.sampled_from(manifest.COLUMNS), json_values)
    right = {"path": "a.wav", "track_id": "a", "genre": ["x"], "year": 1999}
    lines = st.lists(rows.map(lambda row: right | row) | json_values, max_size=4)

    def check(file: Path, content: bytes) -> None:
        file.write_bytes(content)
        found = find(music)
        paths = {source.path for source in found.sources}
        assert paths >= {str(music / name) for name in ("a.wav", "b.wav", "sub/c.wav")}
        given = [source.track_id for source in found.sources if source.track_id]
        assert len(set(given)) == len(given)
        for source in found.sources:
            json.dumps(source.given).encode()

    for name, contents in (
        ("manifest.jsonl", lines.map(lambda each: "\n".join(map(json.dumps, each)).encode())),
        ("manifest.csv", damaged(table)),
    ):
        fuzz(examples, contents, functools.partial(check, music / name))
