"""Which files of a folder are music, and that nothing is left out in silence."""

import os
from pathlib import Path

import pytest

from input_pipeline.folders import Seen, audio_files


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def walk(folder: Path, *exclude: str) -> tuple[set[str], Seen]:
    seen = Seen()
    files = list(audio_files(folder, seen, exclude=exclude))
    names = {file.relative_to(folder).as_posix() for file in files}
    assert len(names) == len(files)
    return names, seen


def test_names_that_begin_with_a_dot_are_music(tmp_path):
    names = {"...And Justice for All/01.flac", ".38 Special/01.mp3", ".one.ogg", "...two.FLAC"}
    make(tmp_path, *names)
    assert walk(tmp_path) == (names, Seen())


@pytest.mark.parametrize(
    "name",
    [
        *("$RECYCLE.BIN/S-1-5/a.mp3", "@eaDir/a.mp3/b.mp3", ".Trash-1000/files/a.mp3"),
        *("lost+found/a.mp3", "System Volume Information/a.mp3", ".Trashes/501/a.mp3"),
        *("#recycle/a.mp3", "__MACOSX/._a.mp3", ".stversions/a.mp3", ".git/a.mp3"),
        *(".recycle/a.mp3", "share/Trash/files/a.mp3", "Network Trash Folder/a.mp3"),
        *("found.000/a.mp3", ".com.apple.timemachine.supported/a.mp3", ".@__thumb/a.mp3"),
        *("~snapshot/daily/a.mp3", ".dropbox.cache/a.mp3", ".Recycle.Bin/a.mp3"),
    ],
)
def test_system_folders_are_not_music(tmp_path, name):
    make(tmp_path, f"deep/{name}", "deep/a.mp3")
    names, seen = walk(tmp_path)
    assert names == {"deep/a.mp3"}
    assert seen.ignored == {"system folder": 1}


def test_names_like_those_of_system_folders_are_music(tmp_path):
    names = {"Trash/a.mp3", "found.wav", "Found.Nation/a.mp3", "Recycle/a.mp3", "Snapshot/a.mp3"}
    make(tmp_path, *names)
    assert walk(tmp_path) == (names, Seen())


def test_every_file_that_is_seen_is_counted(tmp_path):
    make(tmp_path, "a.mp3", "b.mp4", "cover.jpg", "c.MOD", "Makefile", "._a.mp3", "x/b.jpg")
    names, seen = walk(tmp_path)
    assert names == {"a.mp3", "b.mp4"}
    assert seen.ignored == {
        "unsupported type: .jpg": 2,
        "unsupported type: .mod": 1,
        "unsupported type: no suffix": 1,
        "macOS resource fork": 1,
    }


def test_patterns_are_those_of_gitignore(tmp_path):
    make(tmp_path, "a.wav", "keep.wav", "demos/a.mp3", "x/demos/a.mp3", "x/a.mp3", "x/b.mp3")
    names, seen = walk(tmp_path, "*.wav", "!keep.wav", "/demos/", "x/b.*")
    assert names == {"keep.wav", "x/demos/a.mp3", "x/a.mp3"}
    assert seen.ignored == {"excluded": 3}


def test_ignore_files_hold_below_their_folder_and_the_nearest_decides(tmp_path):
    make(tmp_path, "a.mp3", "x/a.mp3", "x/live/a.mp3", "x/live/b.mp3", "y/live/a.mp3")
    (tmp_path / "x" / ".jaxsimignore").write_text("# not now\nlive/*\n/a.mp3\n")
    (tmp_path / "x" / "live" / ".jaxsimignore").write_text("!b.mp3\n")
    names, seen = walk(tmp_path)
    assert names == {"a.mp3", "x/live/b.mp3", "y/live/a.mp3"}
    assert seen.ignored["excluded"] == 3  # with the ignore file that a pattern matches


def test_a_folder_with_nomedia_is_left_out(tmp_path):
    make(tmp_path, "a.mp3", "x/.nomedia", "x/a.mp3", "x/y/a.mp3", "z/a.mp3")
    names, seen = walk(tmp_path)
    assert names == {"a.mp3", "z/a.mp3"}
    assert seen.ignored == {"in a folder with .nomedia": 3}


def test_links_are_followed_once(tmp_path):
    make(tmp_path / "elsewhere", "far.mp3", "x/far.mp3")
    make(tmp_path / "in", "a.mp3", "x/b.mp3")
    for link, target in {
        "in/0 loop": "in",
        "in/linked": "elsewhere",
        "in/linked again": "elsewhere",
        "in/link.mp3": "elsewhere/far.mp3",
        "in/0 same.mp3": "in/a.mp3",
        "in/gone.mp3": "nowhere",
    }.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    names, seen = walk(tmp_path / "in")
    assert names == {"a.mp3", "x/b.mp3", "linked/x/far.mp3", "linked/far.mp3"}
    assert seen.ignored == {
        "link to a folder already found": 2,
        "link to a file already found": 2,
        "broken link": 1,
    }


def test_a_folder_that_cannot_be_listed_is_unreadable(tmp_path, monkeypatch):
    make(tmp_path, "a.mp3", "x/b.mp3")
    listed = Path.iterdir

    def refusing(path):
        if path.name == "x":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refusing)
    names, seen = walk(tmp_path)
    assert names == {"a.mp3"}
    assert seen.unreadable == {tmp_path / "x": "Permission denied"}


def test_an_invalid_pattern_names_its_source(tmp_path):
    with pytest.raises(ValueError, match=r"--exclude: .*expected patterns as in \.gitignore"):
        walk(tmp_path, "!")
    assert os.listdir(tmp_path) == []
