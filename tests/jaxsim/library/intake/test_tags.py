"""Tags of real files in the formats that people have."""

from pathlib import Path

import mutagen
import mutagen.id3
import mutagen.wave
import numpy as np
import pytest
import soundfile

from jaxsim.library.intake import tags

VORBIS = {
    "title": "Naima",
    "artist": ["John Coltrane", "McCoy Tyner"],
    "album": "Giant Steps",
    "genre": ["Jazz", "Bop"],
    "date": "1960-01-27",
    "bpm": "54,5",
    "initialkey": "Ab",
    "mood": "calm",
}
EXPECTED = {
    "title": "Naima",
    "artist": "John Coltrane; McCoy Tyner",
    "album": "Giant Steps",
    "genre": "Jazz; Bop",
    "year": 1960,
    "tempo": 54.5,
    "key": "Ab",
    "mood": "calm",
}


def silence(path: Path) -> Path:
    soundfile.write(path, np.zeros(22050), 22050)
    return path


@pytest.mark.parametrize("name", ["a.flac", "a.ogg"])
def test_vorbis_comments(tmp_path: Path, name: str) -> None:
    path = silence(tmp_path / name)
    assert tags.read(path) == {}
    file = mutagen.File(path)
    file.update(VORBIS)
    file.save()
    assert tags.read(path) == EXPECTED


@pytest.mark.parametrize("name", ["a.mp3", "a.wav"])
def test_id3(tmp_path: Path, name: str) -> None:
    path = silence(tmp_path / name)
    file = mutagen.File(path)
    file.add_tags()
    for frame, text in (
        ("TIT2", "Naima"),
        ("TPE1", ["John Coltrane", "McCoy Tyner"]),
        ("TALB", "Giant Steps"),
        ("TCON", ["(8)", "Bop"]),  # ID3's number of Jazz
        ("TDRC", "1960-01-27"),
        ("TBPM", "54.5"),
        ("TKEY", "Ab"),
        ("TMOO", "calm"),
    ):
        file.tags.add(getattr(mutagen.id3, frame)(encoding=3, text=text))
    file.save()
    assert tags.read(path) == EXPECTED


def test_senseless_values_are_left_out(tmp_path: Path) -> None:
    path = silence(tmp_path / "a.flac")
    file = mutagen.File(path)
    file.update(title="  a \n b\0 ", date="soon", bpm="fast", genre=["", "Rock", "Rock"])
    file.save()
    assert tags.read(path) == {"title": "a b", "genre": "Rock"}
    for bpm in ("0", "-3", "nan", "1e9"):
        file["bpm"] = bpm
        file.save()
        assert "tempo" not in tags.read(path)


def test_files_without_tags(tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("no music")
    (tmp_path / "empty.flac").touch()
    for name in ("text.mp3", "empty.flac", "nowhere.wav"):
        assert tags.read(tmp_path / name) == {}
