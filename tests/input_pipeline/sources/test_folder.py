"""A folder of music: what its files' tags say, whatever the files are like."""

import os
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen import id3, mp4

from input_pipeline.collection import Problem, split_of_group, summarise
from input_pipeline.sources import folder
from tests.helpers.audio import empty_m4a

SILENCE = np.zeros(2205, np.float32)
KEY = 'expected a tonic and a mode such as "A minor" or "Bb"'
ID3 = {
    "title": id3.TIT2,
    "artist": id3.TPE1,
    "albumartist": id3.TPE2,
    "album": id3.TALB,
    "genre": id3.TCON,
    "mood": id3.TMOO,
    "originaldate": id3.TDOR,
    "date": id3.TDRC,
    "bpm": id3.TBPM,
    "initialkey": id3.TKEY,
}
MP4 = {
    "title": "\xa9nam",
    "artist": "\xa9ART",
    "albumartist": "aART",
    "album": "\xa9alb",
    "genre": "\xa9gen",
    "mood": "----:com.apple.iTunes:MOOD",
    "date": "\xa9day",
    "bpm": "tmpo",
    "initialkey": "----:com.apple.iTunes:initialkey",
}


def music(path: Path, **tags) -> Path:
    """Writes a silent file with tags in the form of its format; several values are a list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".m4a":
        path.write_bytes(empty_m4a())
    else:
        soundfile.write(path, SILENCE, 22050)
    file = mutagen.File(path)
    if not tags:
        return path
    if file.tags is None:
        file.add_tags()
    for name, value in tags.items():
        values = value if isinstance(value, list) else [value]
        if isinstance(file.tags, id3.ID3):
            file.tags.add(ID3[name](encoding=3, text=values))
        elif not isinstance(file.tags, mp4.MP4Tags):
            file.tags[name] = values
        elif name == "bpm":
            file.tags["tmpo"] = [round(float(value))]
        else:
            freeform = MP4[name].startswith("----")
            file.tags[MP4[name]] = [text.encode() if freeform else text for text in values]
    file.save()
    return path


@pytest.mark.parametrize("suffix", ["mp3", "wav", "flac", "ogg", "m4a"])
def test_tags_of_each_format(tmp_path, suffix):
    music(
        tmp_path / "sub" / f"a.{suffix}",
        title="T\u00eftle",
        artist="Artist",
        albumartist="Band",
        album="Album",
        genre=["Hip-Hop; Jazz  Funk", "hip-hop"],
        mood="Happy",
        date="1994-05-01",
        bpm="128",
        initialkey="F#m",
    )
    ((track),) = folder.read(tmp_path).tracks
    assert (track.track_id, track.audio) == (f"sub/a.{suffix}", tmp_path / f"sub/a.{suffix}")
    assert (track.artist, track.title) == ("Artist", "T\u00eftle")
    assert track.group == "album: Band / Album"
    assert track.split == split_of_group("album: Band / Album")
    assert track.tags == {"genre": ("hip-hop", "jazz funk"), "mood": ("happy",), "era": ("90s",)}
    assert (track.tempo, track.key) == (128.0, "F# minor")


def test_what_other_programs_write(tmp_path):
    """Genres as numbers, user-defined frames, Camelot keys, the year of the original release."""
    file = mutagen.File(music(tmp_path / "a.mp3", originaldate="1967", date="2009", genre="(17)"))
    file.tags.add(id3.TXXX(encoding=3, desc="MOOD", text="Calm"))
    file.tags.add(id3.TXXX(encoding=3, desc="INITIALKEY", text="8A"))
    file.tags.add(id3.APIC(encoding=3, mime="image/png", type=3, data=b"\0" * 10000))
    file.save()
    ((track),) = folder.read(tmp_path).tracks
    assert track.tags == {"genre": ("rock",), "mood": ("calm",), "era": ("60s",)}
    assert track.key == "A minor"


def test_bad_tags_are_left_out(tmp_path):
    music(tmp_path / "a.flac", bpm="0", initialkey="H minor", date="May", genre="rock")
    music(tmp_path / "b.flac", bpm="fast", date="0000", initialkey="o")
    (tmp_path / "c.mp3").write_bytes(b"no music at all")
    (tmp_path / "d.wav").touch()
    music(tmp_path / "e.wav")
    collection = folder.read(tmp_path)
    assert [track.track_id for track in collection.tracks] == [
        *("a.flac", "b.flac", "c.mp3", "d.wav", "e.wav")
    ]
    assert [dict(track.tags) for track in collection.tracks] == [{"genre": ("rock",)}, *[{}] * 4]
    assert not any(problem.skipped for problem in collection.problems)
    reasons = [(problem.where, problem.reason) for problem in collection.problems]
    tempo = "expected beats per minute in (0, 1000)"
    assert reasons[:3] == [
        ("a.flac", "date is 'May', expected one with a year from 1000 to 2099"),
        ("a.flac", f"key is 'H minor', {KEY}"),
        ("b.flac", f"tempo is 'fast', {tempo}"),
    ]
    assert [where for where, _ in reasons[3:]] == ["c.mp3", "d.wav"]
    assert all(reason.startswith("tags cannot be read (") for _, reason in reasons[3:])


@pytest.mark.parametrize(
    ("name", "tags", "by_album", "by_artist"),
    [
        ("x/a.ogg", {"artist": "A", "album": "L"}, "album: A / L", "artist: A"),
        ("x/a.ogg", {"artist": "A", "albumartist": "V", "album": "L"}, "album: V / L", "artist: A"),
        ("x/a.ogg", {"albumartist": "V"}, "artist: V", "artist: V"),
        ("x/a.ogg", {"album": "L"}, "album:  / L", "folder: x"),
        ("x/a.ogg", {"artist": "A"}, "artist: A", "artist: A"),
        ("x/a.ogg", {"artist": ["A", "B"]}, "artist: A", "artist: A"),
        ("x/a.ogg", {"artist": "A feat. B", "album": "L"}, "album: A / L", "artist: A"),
        ("x/y/a.ogg", {}, "folder: x/y", "folder: x/y"),
        ("a.ogg", {}, "a.ogg", "a.ogg"),
    ],
)
def test_groups(tmp_path, name, tags, by_album, by_artist):
    music(tmp_path / name, **tags)
    assert folder.read(tmp_path).tracks[0].group == by_album
    assert folder.read(tmp_path, group="artist").tracks[0].group == by_artist
    assert folder.read(tmp_path, group="track").tracks[0].group == name
    (track,) = folder.read(tmp_path, held_out="0.999").tracks
    assert track.split == split_of_group(track.group, 0.999) != "train"


def test_a_new_file_changes_no_other_track(tmp_path):
    for number in range(20):
        music(tmp_path / f"{number}.ogg", artist=f"artist {number}", album="L")
    before = {track.track_id: track for track in folder.read(tmp_path).tracks}
    assert {track.split for track in before.values()} == {"train", "validation", "test"}
    music(tmp_path / "00.ogg", artist="artist 3", album="L")
    after = {track.track_id: track for track in folder.read(tmp_path).tracks}
    assert before == {name: after[name] for name in before}
    assert after["00.ogg"].split == before["3.ogg"].split


def test_order_and_links(tmp_path):
    for name in ("b.ogg", "c/a.ogg", "c/d/a.ogg", "z.OGG", ".a.ogg", ".38/a.ogg", "@eaDir/a.ogg"):
        music(tmp_path / "in" / name)
    music(tmp_path / "out" / "far.ogg")
    (tmp_path / "in" / "cover.jpg").touch()
    for link, target in [
        ("in/a loop", "in"),
        ("in/c/d/loop", "in/c"),
        ("in/a link.ogg", "in/z.OGG"),
        ("in/linked", "out"),
        ("in/self.ogg", "in/self.ogg"),
        ("in/dangling", "nowhere"),
    ]:
        (tmp_path / link).symlink_to(tmp_path / target)
    collection = folder.read(tmp_path / "in")
    assert [track.track_id for track in collection.tracks] == [
        *(".a.ogg", "b.ogg", "z.OGG", ".38/a.ogg", "c/a.ogg", "c/d/a.ogg", "linked/far.ogg")
    ]
    assert collection.ignored == {
        "unsupported type: .jpg": 1,
        "system folder": 1,
        "link to a folder already found": 2,
        "link to a file already found": 1,
        "broken link": 2,
    }
    summary = summarise(collection)
    assert "ignored: 7: broken link 2, link to a folder already found 2" in summary
    skipped = [problem for problem in collection.problems if problem.skipped]
    assert skipped == [
        Problem("a loop", "folder is a link to one already read"),
        Problem("c/d/loop", "folder is a link to one already read"),
        Problem("a link.ogg", "file is a link to one already read"),
    ]


def test_hard_names(tmp_path):
    names = ["a\nb.ogg", "\U0001f3b5.ogg", "x" * 246 + ".ogg", " lead.ogg", "back\\slash.ogg"]
    for name in names:
        music(tmp_path / "short.ogg").rename(tmp_path / name)
    music(tmp_path / "short.ogg").rename(tmp_path / os.fsdecode(b"\xff.ogg"))
    tracks = {track.track_id: track for track in folder.read(tmp_path).tracks}
    assert sorted(tracks) == sorted([*names, "\\xff.ogg"])
    assert all(track.audio.is_file() for track in tracks.values())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("manifest.csv", "path,genre\na.ogg,blues\n"),
        ("manifest.jsonl", '{"path": "a.ogg", "genre": ["blues"]}'),
        ("tracks.csv", "path,genre\na.ogg,blues\n"),
    ],
)
def test_a_manifest_takes_the_place_of_tags(tmp_path, name, text):
    music(tmp_path / "a.ogg", genre="rock")
    music(tmp_path / "b.ogg")
    (tmp_path / name).write_text(text)
    collection = folder.read(tmp_path)
    assert [(t.audio, t.tags) for t in collection.tracks] == [
        (tmp_path / "a.ogg", {"genre": ("blues",)})
    ]
    assert collection.description == f"Tracks of {name}."


def test_errors(tmp_path):
    with pytest.raises(NotADirectoryError, match="none: no such folder"):
        folder.read(tmp_path / "none")
    with pytest.raises(ValueError, match="group is 'song', expected one of album, artist, track"):
        folder.read(tmp_path, group="song")
    for held_out in ("1", "half"):
        with pytest.raises(ValueError, match=f"held_out is '{held_out}', expected a number betw"):
            folder.read(tmp_path, held_out=held_out)
    (tmp_path / "cover.jpg").touch()
    with pytest.raises(ValueError, match="no usable track"):
        folder.read(tmp_path)
