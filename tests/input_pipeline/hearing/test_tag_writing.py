"""What is written into music files: read back the same, beside everything that was there."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pytest
from mutagen import apev2, flac, id3

from input_pipeline import folders
from input_pipeline.hearing import audio, file_tags, tag_writing
from input_pipeline.hearing.tag_writing import NotWritten, write
from tests.helpers.audio import pulsed_tone
from tests.helpers.encoding import encode
from tests.input_pipeline.hearing.test_file_tags import id3_bytes

CODECS = {"mp3": "libmp3lame", "flac": "flac", "opus": "libopus", "m4a": "aac"}
VALUES = {
    "tempo": 124.0,
    "key": "D# minor",
    "mood": ("happy", "très doux"),
    "genre": ("Drum & Bass",),
}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tone in every format that can be written."""
    folder = tmp_path_factory.mktemp("encoded")
    tags = {"title": "Title", "artist": "Artist", "date": "2001", "comment": "mine"}
    for suffix, codec in CODECS.items():
        samples, rate = pulsed_tone(3, seconds=1)[None], 48000 if suffix == "opus" else 44100
        encode(folder / f"a.{suffix}", samples, rate, codec, tags=tags)
    return {suffix: folder / f"a.{suffix}" for suffix in CODECS}


@pytest.fixture
def file(encoded: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda suffix: Path(shutil.copy2(encoded[suffix], tmp_path / f"song.{suffix}"))


def put(path: Path, **values: Any) -> file_tags.FileTags:
    write(path, values or VALUES, fingerprint=audio.fingerprint(path))
    return file_tags.read(path)


@pytest.mark.parametrize("suffix", CODECS)
def test_what_is_written_is_read_and_nothing_else_changes(file, suffix) -> None:
    path = file(suffix)
    path.chmod(0o640)
    os.utime(path, ns=(10**18, 10**18))
    before, sound = file_tags.read(path), audio.fingerprint(path)
    samples = audio.decode(path).samples
    comments = {name: str(value) for name, value in mutagen.File(path).tags.items()}
    found = put(path)
    assert {field: getattr(found, field) for field in VALUES} == VALUES
    assert set(found.heard) == set(VALUES)
    assert found.own() == file_tags.FileTags(
        title="Title", artist="Artist", year=2001, heard=found.heard
    )
    assert found.own().title == before.title == "Title"
    assert audio.fingerprint(path) == sound
    np.testing.assert_array_equal(audio.decode(path).samples, samples)
    after = {name: str(value) for name, value in mutagen.File(path).tags.items()}
    assert after.items() >= comments.items(), "what is not ours stays, to the letter"
    status = path.stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, 10**18 + 2 * 10**9)
    assert os.listdir(path.parent) == [path.name], "no copy stays"


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        ("mp3", {"TBPM": ["124"], "TKEY": ["D#m"], "TMOO": ["happy", "très doux"]}),
        ("flac", {"bpm": ["124"], "initialkey": ["D#m"], "mood": ["happy", "très doux"]}),
        ("opus", {"bpm": ["124"], "initialkey": ["D#m"], "genre": ["Drum & Bass"]}),
        ("m4a", {"tmpo": [124], "\xa9gen": ["Drum & Bass"]}),
        ("m4a", {"----:com.apple.iTunes:initialkey": [b"D#m"]}),
        ("m4a", {"----:com.apple.iTunes:MOOD": [b"happy", "très doux".encode()]}),
    ],
)
def test_names_are_those_that_other_programs_read(file, suffix, expected) -> None:
    path = file(suffix)
    put(path)
    tags = mutagen.File(path).tags
    for name, value in expected.items():
        assert list(tags[name]) == value


def with_id3(path: Path, frames: dict[str, str], version: int, end: bytes = b"") -> Path:
    sound = path.read_bytes()
    size = id3.ID3(path).size
    path.write_bytes((id3_bytes(frames, version) if frames else b"") + sound[size:] + end)
    return path


ID3V1 = (
    b"TAG" + b"Old title".ljust(30, b"\0") + b"Old artist".ljust(30, b"\0") + b"\0" * 64 + b"\x11"
)


@pytest.mark.parametrize("version", [3, 4])
def test_the_version_of_id3_and_what_cannot_be_read_stay(file, version) -> None:
    date = {3: {"TYER": "Oct 3, 1995"}, 4: {"TDRC": "Oct 3, 1995"}}[version]
    path = with_id3(file("mp3"), {"TIT2": "One", "XYZW": "?"} | date, version, ID3V1)
    found = put(path)
    tags = id3.ID3(path, translate=False, load_v1=False, known_frames={"TYER": id3.TextFrame})
    assert tags.version[:2] == (2, version)
    assert any(frame.startswith(b"XYZW") for frame in tags.unknown_frames)
    assert (found.title, found.year, found.tempo) == ("One", 1995, 124.0)
    assert found.mood == VALUES["mood"]
    assert path.read_bytes()[-128:] == ID3V1
    if version == 3:  # which has no frame for moods
        assert id3.ID3(path, translate=False)["TXXX:MOOD"].text == ["happy; très doux"]


def test_older_kinds_of_id3_are_brought_up_to_date(file) -> None:
    path = with_id3(file("mp3"), {"TT2": "Two", "TYE": "1999"}, 2)
    found = put(path)
    assert (found.title, found.year, found.key) == ("Two", 1999, "D# minor")
    path = with_id3(file("mp3"), {}, 4, ID3V1)
    assert file_tags.read(path).title == "Old title"
    found = put(path, tempo=90.0)
    assert (found.title, found.artist, found.genre, found.tempo) == (
        *("Old title", "Old artist"),
        *(("Rock",), 90.0),
    )
    assert path.read_bytes()[-128:] == ID3V1


def test_other_tags_in_an_mp3_keep_their_rank(file) -> None:
    path = with_id3(file("mp3"), {}, 4, ID3V1)
    other = apev2.APEv2()
    other["title"], other["bpm"] = "By APE", "77"
    other.save(path)
    before = file_tags.read(path)
    assert (before.title, before.tempo) == ("By APE", 77.0)
    found = put(path, key="C major")
    assert (found.title, found.tempo, found.key) == ("By APE", 77.0, "C major")
    assert put(path, tempo=120.0).tempo == 120.0


def test_a_file_without_tags(file) -> None:
    for suffix in ("mp3", "flac", "m4a"):
        path = file(suffix)
        mutagen.File(path).delete()
        assert put(path).tempo == 124.0


def test_a_picture_stays(file) -> None:
    path = file("flac")
    opened = flac.FLAC(path)
    picture = flac.Picture()
    picture.data, picture.mime = b"picture" * 999, "image/png"
    opened.add_picture(picture)
    opened.save()
    put(path)
    assert flac.FLAC(path).pictures == [picture]


def test_every_name_of_a_field_is_replaced(file) -> None:
    path = file("flac")
    opened = flac.FLAC(path)
    opened.update({"bpm": "0", "tempo": "61", "key": "o", "initialkey": "o"})
    opened.save()
    assert file_tags.stated(path) == {"title", "artist", "date", "tempo"}
    found = put(path, tempo=120.0, key="A minor")
    assert (found.tempo, found.key) == (120.0, "A minor")
    assert not {"tempo", "key"} & set(flac.FLAC(path).keys())


def test_the_owner_may_change_what_was_written(file) -> None:
    path = file("opus")
    put(path, tempo=124.0, mood=("sad",))
    found = put(path, key="A minor")  # what was noted before stays noted
    assert set(found.heard) == {"tempo", "mood", "key"}
    opened = mutagen.File(path)
    opened["bpm"], opened["mood"] = "62", ["sad", "slow"]
    opened.save()
    found = file_tags.read(path)
    assert found.heard == ("key",)
    assert (found.own().tempo, found.own().mood, found.own().key) == (62.0, ("sad", "slow"), None)


@pytest.mark.parametrize("note", ["", "[]", "3", '{"tempo": "fast", "title": 3}', "{"])
def test_strange_notes_are_no_notes(file, note) -> None:
    path = file("flac")
    opened = flac.FLAC(path)
    opened.update({"jaxsim": note, "bpm": "62"})
    opened.save()
    found = file_tags.read(path)
    assert (found.heard, found.own().tempo, found.title) == ((), 62.0, "Title")


def test_a_tag_that_would_be_read_as_another_is_not_written(file) -> None:
    path = file("flac")
    before = path.read_bytes()
    with pytest.raises(NotWritten, match=r"its mood would be read as \('a', 'b'\), expected"):
        put(path, mood=("a, b",))
    assert path.read_bytes() == before


def read_only(path: Path) -> None:
    path.chmod(0o444)


def linked(path: Path) -> None:
    os.link(path, path.with_name("other.flac"))


def symbolic(path: Path) -> None:
    path.rename(path.with_name("real.flac"))
    path.symlink_to("real.flac")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (read_only, "is read-only"),
        (linked, "has several names"),
        (symbolic, "is not a regular file"),
        (Path.unlink, r"cannot be written \(No such file"),
        (lambda path: path.write_bytes(b"fLaC" + b"\xff" * 100), "its tags cannot be read"),
    ],
)
def test_files_that_are_left_alone(file, change, reason) -> None:
    path = file("flac")
    sound = audio.fingerprint(path)
    change(path)
    files = {one: one.read_bytes() for one in path.parent.iterdir()}
    with pytest.raises(NotWritten, match=reason):
        write(path, VALUES, fingerprint=sound)
    assert {one: one.read_bytes() for one in path.parent.iterdir()} == files


def test_other_formats_are_refused_by_name(tmp_path) -> None:
    for suffix, codec, name in (("wav", "pcm_s16le", "WAVE"), ("wv", "wavpack", "WavPack")):
        path = tmp_path / f"a.{suffix}"
        encode(path, pulsed_tone(0, seconds=1)[None], 44100, codec)
        with pytest.raises(NotWritten, match=f"^tags of {name} files are not written$"):
            put(path)


def test_other_audio_is_not_what_was_heard(file, tmp_path) -> None:
    path = file("flac")
    with pytest.raises(NotWritten, match="its audio is not what was heard"):
        write(path, VALUES, fingerprint=audio.fingerprint(file("mp3")))


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("step", ["copyfile", "save", "copystat", "fsync", "replace"])
def test_a_full_disk_loses_nothing(file, suffix, step, monkeypatch) -> None:
    path = file(suffix)
    before, full = path.read_bytes(), OSError(errno.ENOSPC, "No space left on device")

    def half(one: Path, other: Path, *_: Any, **__: Any) -> None:
        Path(other).write_bytes(Path(one).read_bytes()[:500])
        raise full

    def fail(*_: Any, **__: Any) -> None:
        raise full

    if step == "save":
        kind = id3.ID3 if suffix == "mp3" else type(mutagen.File(path))
        monkeypatch.setattr(kind, "save", fail)
    else:
        owner = shutil if step.startswith("copy") else os
        monkeypatch.setattr(owner, step, half if step == "copyfile" else fail)
    with pytest.raises(NotWritten, match=r"cannot be written \(No space left on device\)"):
        put(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_damage_to_the_copy_is_noticed(file, monkeypatch) -> None:
    path = file("mp3")
    before, edit = path.read_bytes(), tag_writing._edit_id3

    def damage(copy: Path, *rest: Any) -> None:
        edit(copy, *rest)
        with copy.open("r+b") as opened:
            opened.seek(-3000, os.SEEK_END)
            opened.write(b"\0" * 50)

    monkeypatch.setattr(tag_writing, "_edit_id3", damage)
    with pytest.raises(NotWritten, match="its audio would not stay the same"):
        put(path)
    assert path.read_bytes() == before


def test_what_another_program_writes_meanwhile_stays(file, monkeypatch) -> None:
    path = file("flac")

    def change(*_: Any) -> None:
        opened = flac.FLAC(path)
        opened["title"] = "New"
        opened.save()

    monkeypatch.setattr(tag_writing, "_keep", change)
    with pytest.raises(NotWritten, match="another program has changed it"):
        put(path)
    assert file_tags.read(path).title == "New"


def test_what_a_killed_process_left_is_no_music_and_goes(file, monkeypatch) -> None:
    path = file("flac")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        patch.setattr(tag_writing, "_edit", lambda *_: 1 / 0)
        with pytest.raises(NotWritten, match="division by zero"):
            put(path)
    assert len(os.listdir(path.parent)) == 2
    seen = folders.Seen()
    assert list(folders.audio_files(path.parent, seen)) == [path]
    assert seen.ignored == {"copy that jaxsim left when it was killed": 1}
    put(path)
    assert os.listdir(path.parent) == [path.name]
    assert json.loads(flac.FLAC(path)["jaxsim"][0])["tempo"] == 124.0
