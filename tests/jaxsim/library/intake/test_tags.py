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
    "key": "G# major",
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


def test_what_a_store_keeps(tmp_path: Path) -> None:
    path = silence(tmp_path / "a.flac")
    file = mutagen.File(path)
    file.update(title="  a \n b\0 ", date="soon", bpm="fast", genre=["", "Rock/Pop", "rock"])
    file.update(albumartist="Band", tracknumber="03/12", discnumber="0", compilation="1")
    file.save()
    expected = {"title": "a b", "genre": "Rock; Pop", "album_artist": "Band", "track_number": 3}
    assert tags.read(path) == expected | {"compilation": 1}
    file["compilation"] = "0"
    file.save()
    assert tags.read(path) == expected | {"compilation": 0}


def test_files_without_tags(tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("no music")
    assert tags.read(tmp_path / "text.mp3") == tags.read(tmp_path / "nowhere.wav") == {}
