"""Playlists name files, as players read them."""

import os
import urllib.parse
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from jaxsim.library.search import playlists


def track(path: str, **known: object) -> dict:
    return {"path": path, "title": None, "artist": None, "album": None, "seconds": None} | known


TRACKS = [
    track("/music/a/1 é.flac", title="One", artist="A;\nB", seconds=61.6),
    track("/music/#2.mp3", title="Two"),
]


def test_m3u(tmp_path: Path) -> None:
    playlists.write(tmp_path / "a.m3u8", TRACKS)
    assert (tmp_path / "a.m3u8").read_text(encoding="utf-8").splitlines() == [
        *("#EXTM3U", "#EXTINF:62,A; B - One", "/music/a/1 é.flac"),
        *("#EXTINF:-1,Two", "/music/#2.mp3"),
    ]


def test_relative_names_move_with_the_playlist(tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    names = ("#b.mp3", " c.mp3")
    tracks = [track(str(tmp_path / "a.mp3")), *(track(str(folder / name)) for name in names)]
    playlists.write(folder / "x.M3U", tracks, relative=True)
    lines = (folder / "x.M3U").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#EXT")] == [
        *("../a.mp3", "./#b.mp3", "./ c.mp3"),
    ]


def test_relative_names_lead_to_the_files_from_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er" / "lists").mkdir(parents=True)
    (tmp_path / "lists").symlink_to(tmp_path / "deep" / "er" / "lists")
    (tmp_path / "a.mp3").touch()
    playlists.write(tmp_path / "lists" / "x.m3u", [track(str(tmp_path / "a.mp3"))], relative=True)
    name = (tmp_path / "lists" / "x.m3u").read_text().splitlines()[-1]
    assert (tmp_path / "lists" / name).is_file()


def test_xspf(tmp_path: Path) -> None:
    tracks = [*TRACKS, track("/music/<&>\n.mp3", title="a\x00<&>", album="C")]
    playlists.write(tmp_path / "a.xspf", tracks)
    found = ElementTree.parse(tmp_path / "a.xspf").getroot()
    space = {"x": playlists.NAMESPACE}
    places = [one.text or "" for one in found.findall("x:trackList/x:track/x:location", space)]
    assert [urllib.parse.unquote(place) for place in places] == [
        f"file://{one['path']}" for one in tracks
    ]
    titles = [one.text for one in found.findall("x:trackList/x:track/x:title", space)]
    assert titles == ["One", "Two", "a<&>"]
    (duration,) = found.findall("x:trackList/x:track/x:duration", space)
    assert duration.text == "61600"


def test_what_cannot_be_written_leaves_the_old_playlist(tmp_path: Path) -> None:
    file = tmp_path / "a.m3u"
    file.write_text("old")
    with pytest.raises(ValueError, match="has a line break, which M3U cannot express"):
        playlists.write(file, [track("/music/a\nb.mp3")])
    with pytest.raises(ValueError, match=r"ends with '\.pls', expected \.m3u, \.m3u8, \.xspf"):
        playlists.write(tmp_path / "a.pls", TRACKS)
    assert os.listdir(tmp_path) == ["a.m3u"]
    assert file.read_text() == "old"
