"""A library follows its files: what is new, changed, moved, gone, back, or no music."""

import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import mutagen
import mutagen.flac
import mutagen.id3
import numpy as np
import pytest
import soundfile

from input_pipeline.tracks import KEYS
from jaxsim.library import store
from jaxsim.library.intake import comparison, examination
from jaxsim.library.intake.updating import update
from jaxsim.library.store import writing
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone
from tests.helpers.libraries import describe
from tests.helpers.updates import Embedder, run, write_tone


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    (folder / "sub").mkdir()
    for number in range(3):
        write_tone(folder / f"{number}.wav", number)
    write_tone(folder / "sub" / "3.FLAC", 3)
    (folder / "cover.jpg").touch()
    return folder


@pytest.fixture
def music(tones: Path, tmp_path: Path) -> Path:
    """A copy of the tones, to be changed."""
    return shutil.copytree(tones, tmp_path / "music")


def names(opened: store.Store) -> list[str]:
    return sorted(Path(track["path"]).name for track in opened.metadata(opened.rows.tolist()))


def test_only_what_changed_is_embedded_again(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report, embedded, opened = run(music)
    assert embedded == ["0.wav", "1.wav", "2.wav", "3.FLAC"] == names(opened)
    assert (report.embedded, report.unchanged, report.skipped) == (4, 0, {})
    assert report.seconds == pytest.approx(4 * 3.1, abs=0.01)
    vectors = {track["path"]: opened.vectors[row].copy() for row, track in _tracks(opened)}

    with monkeypatch.context() as patch:
        patch.setattr(examination, "examine_all", None)  # nothing is even read
        report, embedded, opened = run(music)
    assert (embedded, report.unchanged, report.embedded) == ([], 4, 0)

    os.utime(music / "0.wav", (1, 1))  # touched: the same content
    write_tone(music / "1.wav", 9)  # changed
    write_tone(music / "4.wav", 4)  # added
    (music / "2.wav").unlink()  # removed
    (music / "sub" / "3.FLAC").rename(music / "moved.flac")
    report, embedded, opened = run(music)
    assert embedded == ["1.wav", "4.wav"]
    counts = (report.unchanged, report.embedded, report.moved, report.gone)
    assert counts == (1, 2, 1, 1)
    assert names(opened) == ["0.wav", "1.wav", "4.wav", "moved.flac"]
    now = {track["path"]: opened.vectors[row] for row, track in _tracks(opened)}
    for before, after, same in (
        ("0.wav", "0.wav", True),
        ("1.wav", "1.wav", False),
        ("sub/3.FLAC", "moved.flac", True),
    ):
        equal = np.array_equal(vectors[str(music / before)], now[str(music / after)])
        assert equal == same, after

    report, embedded, opened = run(music)
    assert (embedded, report.unchanged) == ([], 4)


def test_what_is_gone_comes_back_with_its_vector(music: Path) -> None:
    run(music)
    away = music.parent / "away.wav"
    (music / "0.wav").rename(away)
    report, _, opened = run(music)
    assert (report.gone, len(opened)) == (1, 3)
    away.rename(music / "0.wav")
    report, embedded, opened = run(music)
    assert (embedded, report.unchanged, len(opened)) == ([], 4, 4)
    (music / "0.wav").unlink()
    report, _, opened = run(music, prune=True)
    assert (report.gone, report.forgotten, len(opened.vectors)) == (1, 1, 3)
    assert run(music)[0].gone == 0


def test_a_folder_that_became_empty_is_a_fault(music: Path) -> None:
    """As a disk that is not mounted."""
    run(music)
    away = music.parent / "away"
    music.rename(away)
    music.mkdir()
    report, _, opened = run(music, prune=True)
    assert (report.gone, report.forgotten, len(opened)) == (0, 0, 4)
    assert report.faults == [
        f"all 4 tracks lost their files, and are kept (is a disk not mounted?): {music}",
        f"4 of 4 tracks lost their files at once, and are kept; the first: {music}/0.wav",
    ]
    report, _, opened = run(music, confirm_gone=True)
    assert (report.gone, report.faults, len(opened)) == (4, [], 0)
    music.rmdir()
    away.rename(music)
    report, embedded, opened = run(music)
    assert (embedded, report.unchanged, len(opened)) == ([], 4, 4)


def test_more_than_a_fifth_at_once_is_a_fault(music: Path) -> None:
    for number in range(6):
        write_tone(music / "sub" / f"{number}.wav", 10 + number)
    _, _, opened = run(music)
    ids = sorted(opened.ids[opened.rows])
    for name in ("0.wav", "1.wav", "2.wav"):
        (music / name).unlink()
    report, _, opened = run(music, prune=True)
    assert (report.gone, report.forgotten, report.missing) == (0, 0, 3)
    assert "missing (kept)" in report.describe()
    assert sorted(opened.ids[opened.rows]) == ids
    (fault,) = report.faults
    assert fault.startswith("3 of 10 tracks lost their files at once")
    write_tone(music / "2.wav", 2)
    report, _, opened = run(music)  # two of ten are no more than a fifth
    assert (report.gone, report.faults, len(opened)) == (2, [], 8)


@pytest.mark.parametrize("is_link", [False, True])
def test_a_folder_where_a_disk_was_mounted_is_a_fault(music: Path, is_link: bool) -> None:
    """Whatever its share of the library, and behind a link as well."""
    for number in range(10):
        write_tone(music / f"more {number}.wav", 30 + number)
    place, away = music / "disk", music.parent / "away"
    away.mkdir()
    write_tone(away / "20.wav", 20)
    write_tone(away / "21.wav", 21)
    if is_link:
        place.symlink_to(away)
    else:
        shutil.copytree(away, place)
    _, _, opened = run(music)
    ids = sorted(opened.ids[opened.rows])
    if is_link:
        away.rename(music.parent / "elsewhere")
    else:
        for file in place.iterdir():
            file.unlink()
    report, _, opened = run(music, prune=True)
    what = "leads nowhere" if is_link else "is empty"
    assert report.faults == [f"{what}, and its 2 tracks are kept (is a disk not mounted?): {place}"]
    assert (report.missing, report.forgotten) == (2, 0)
    assert sorted(opened.ids[opened.rows]) == ids
    report, _, opened = run(music, prune=True, confirm_gone=True)
    assert (report.faults, report.forgotten, len(opened)) == ([], 2, len(ids) - 2)


def test_what_is_excluded_is_not_missing(music: Path) -> None:
    _, _, opened = run(music)
    ids = sorted(opened.ids[opened.rows])
    report, _, opened = run(music, exclude=["[0-2].wav"])
    assert (report.faults, report.gone, len(opened)) == ([], 3, 1)
    report, embedded, opened = run(music)
    assert (embedded, sorted(opened.ids[opened.rows])) == ([], ids)


def test_many_files_that_became_unusable_at_once_are_a_fault(music: Path) -> None:
    """As after a copy that failed, or on a disk that is dying."""
    _, _, opened = run(music)
    ids = sorted(opened.ids[opened.rows])
    for name in ("0.wav", "1.wav"):
        (music / name).write_bytes(b"")
    report, _, opened = run(music, prune=True)
    assert report.faults == [
        "2 of 4 tracks have files that became unusable at once, and are kept; the first: "
        f"{music / '0.wav'} (file is empty)"
    ]
    assert (report.forgotten, sorted(opened.ids[opened.rows])) == (0, ids)
    report, _, opened = run(music, prune=True, confirm_gone=True)
    assert (report.faults, len(opened)) == ([], 2)


def test_a_file_that_cannot_be_used_now_is_not_gone(music: Path) -> None:
    _, _, opened = run(music)
    ids = sorted(opened.ids[opened.rows])
    content = (music / "0.wav").read_bytes()
    (music / "0.wav").write_bytes(b"")
    report, _, opened = run(music, prune=True)
    assert (report.faults, report.forgotten, len(opened)) == ([], 0, 3)
    (music / "0.wav").write_bytes(content)
    report, embedded, opened = run(music, prune=True)
    assert (embedded, sorted(opened.ids[opened.rows])) == ([], ids)
    (music / "0.wav").write_bytes(b"")
    run(music)
    (music / "0.wav").unlink()
    assert run(music, prune=True)[0].forgotten == 1


def test_a_library_behind_a_link_is_the_same_library(music: Path) -> None:
    link = music.parent / "link"
    link.symlink_to(music)
    _, _, opened = run(music)
    ids = sorted(opened.ids[opened.rows])
    report, embedded, opened = run(music, library=[link])
    assert (embedded, report.moved, report.unchanged) == ([], 4, 0)
    assert sorted(opened.ids[opened.rows]) == ids
    assert {Path(track["path"]).relative_to(link).name for _, track in _tracks(opened)}
    report, embedded, opened = run(music, library=[music, link])
    assert (embedded, report.moved, report.unchanged) == ([], 4, 0)
    assert report.ignored["link to a file already found"] == 4
    assert sorted(opened.ids[opened.rows]) == ids
    assert len(run(music, library=[link, music / "sub", link / "sub" / "3.FLAC"])[2]) == 4


def test_a_folder_that_cannot_be_listed_hides_nothing(
    music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(music)
    listed = Path.iterdir

    def refusing(path: Path) -> Iterator[Path]:
        if path.name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refusing)
    for confirm_gone in (False, True):
        report, _, opened = run(music, prune=True, confirm_gone=confirm_gone)
        assert (report.gone, report.forgotten, len(opened)) == (0, 0, 4)
        kept = f"cannot be listed (Permission denied); its tracks are kept: {music}/sub"
        assert report.faults == [kept]
    (music / "0.wav").unlink()
    assert run(music)[0].gone == 0
    report, _, opened = run(music, confirm_gone=True)
    assert (report.gone, len(opened)) == (1, 3)


def test_a_library_that_cannot_be_entered_is_a_fault(
    music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(music)
    listed, asked = Path.iterdir, os.stat

    def no_list(path: Path) -> Iterator[Path]:
        if path == music:
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    def no_status(path, **options):
        if str(path).startswith(f"{music}/"):
            raise PermissionError(13, "Permission denied", str(path))
        return asked(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", no_list)
        patch.setattr(os, "stat", no_status)
        report, _, opened = run(music, prune=True)
    assert report.faults == [f"cannot be listed (Permission denied); its tracks are kept: {music}"]
    assert (report.gone, report.forgotten, len(opened)) == (0, 0, 4)


def identities(opened: store.Store) -> dict[str, tuple[str, bytes]]:
    """Ids and vectors by path."""
    return {
        track["path"]: (track["id"], opened.vectors[row].tobytes())
        for row, track in _tracks(opened)
    }


def retag(path: Path, title: str) -> None:
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    if isinstance(file, mutagen.flac.FLAC):
        file["title"] = title
    else:
        file.tags.add(mutagen.id3.TIT2(text=[title]))
    file.save()


def test_a_track_keeps_its_id_wherever_its_file_goes(music: Path) -> None:
    _, _, opened = run(music)
    before = identities(opened)
    (music / "new").mkdir()
    moves = {
        "0.wav": "1.wav",  # three change places
        "1.wav": "2.wav",
        "2.wav": "0.wav",
        "sub/3.FLAC": "new/three.flac",
    }
    for old in moves:
        (music / old).rename(music / f"{Path(old).name}.moving")
    for old, new in moves.items():
        (music / f"{Path(old).name}.moving").rename(music / new)
    retag(music / "new" / "three.flac", "Three")
    retag(music / "1.wav", "Once zero")
    report, embedded, opened = run(music)
    assert (embedded, report.moved, report.gone, report.embedded) == ([], 4, 0, 0)
    after = identities(opened)
    assert after == {str(music / new): before[str(music / old)] for old, new in moves.items()}
    titles = {track["path"]: track["title"] for _, track in _tracks(opened)}
    assert titles[str(music / "new" / "three.flac")] == "Three"
    assert titles[str(music / "1.wav")] == "Once zero"
    assert run(music)[0].unchanged == 4


def test_a_retagged_file_is_not_heard_again(music: Path) -> None:
    _, _, opened = run(music)
    before = identities(opened)
    retag(music / "0.wav", "Zero")
    retag(music / "sub" / "3.FLAC", "Three")
    os.utime(music / "1.wav", (1, 1))
    report, embedded, opened = run(music)
    assert (embedded, report.retagged, report.unchanged) == ([], 2, 2)
    assert identities(opened) == before
    assert {"Zero", "Three"} <= {track["title"] for _, track in _tracks(opened)}


def test_tags_are_read_again_on_request(music: Path) -> None:
    """Of files whose size and time tell nothing."""
    run(music)
    retag(music / "0.wav", "One")
    run(music)
    status = (music / "0.wav").stat()
    retag(music / "0.wav", "Two")
    os.utime(music / "0.wav", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (music / "0.wav").stat().st_size == status.st_size
    _, _, opened = run(music)
    assert opened.find("One") and not opened.find("Two")
    report, embedded, opened = run(music, read_tags=True)
    assert (embedded, report.retagged, report.unchanged) == ([], 1, 4)
    assert opened.find("Two") and not opened.find("One")


def test_other_music_at_the_place_of_a_track(music: Path) -> None:
    """A track that moved keeps its id; one that was replaced gives it to what replaced it."""
    _, _, opened = run(music)
    before = identities(opened)
    (music / "0.wav").rename(music / "moved.wav")
    write_tone(music / "0.wav", 7)
    write_tone(music / "1.wav", 8)
    report, embedded, opened = run(music)
    assert (embedded, report.moved) == (["0.wav", "1.wav"], 1)
    after = identities(opened)
    assert after[str(music / "moved.wav")] == before[str(music / "0.wav")]
    assert after[str(music / "1.wav")][0] == before[str(music / "1.wav")][0]
    assert after[str(music / "1.wav")][1] != before[str(music / "1.wav")][1]
    assert len({track_id for track_id, _ in after.values()}) == 5


def test_a_track_pushed_from_its_place_comes_back_with_its_id(music: Path) -> None:
    _, _, opened = run(music)
    before = identities(opened)
    (music / "0.wav").rename(music.parent / "kept.wav")
    (music / "1.wav").rename(music / "0.wav")
    report, _, opened = run(music)
    assert identities(opened)[str(music / "0.wav")] == before[str(music / "1.wav")]
    (music.parent / "kept.wav").rename(music / "back.wav")
    report, embedded, opened = run(music)
    assert (embedded, report.moved) == ([], 1)
    assert identities(opened)[str(music / "back.wav")] == before[str(music / "0.wav")]


def test_copies_are_tracks_of_their_own(music: Path) -> None:
    _, _, opened = run(music)
    before = identities(opened)
    shutil.copy(music / "0.wav", music / "copy.wav")
    report, embedded, opened = run(music)
    assert (embedded, report.copied, report.moved) == ([], 1, 0)
    after = identities(opened)
    assert after.items() >= before.items()
    assert after[str(music / "copy.wav")][1] == before[str(music / "0.wav")][1]
    (music / "0.wav").rename(music / "a.wav")
    (music / "copy.wav").rename(music / "b.wav")
    report, embedded, opened = run(music)
    assert (embedded, report.moved) == ([], 2)
    ids = {track_id for track_id, _ in identities(opened).values()}
    assert ids == {track_id for track_id, _ in after.values()}


def test_unusable_files_are_not_heard_again(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(music / "short.wav", pulsed_tone(0, seconds=1), SAMPLE_RATE)
    soundfile.write(music / "long.wav", pulsed_tone(0, seconds=20), SAMPLE_RATE)
    first, _, _ = run(music, max_seconds=10)
    with monkeypatch.context() as patch:
        patch.setattr(examination, "examine_all", None)  # nothing is even read
        second, _, _ = run(music, max_seconds=10)
    assert (second.skipped, second.remembered) == (first.skipped, 2)
    report, embedded, _ = run(music)  # another limit
    assert (embedded, list(report.skipped)) == (["long.wav"], [str(music / "short.wav")])
    soundfile.write(music / "short.wav", pulsed_tone(5, seconds=5), SAMPLE_RATE)
    report, embedded, _ = run(music)
    assert (embedded, report.skipped) == (["short.wav"], {})


def test_an_older_library_learns_to_recognise_its_tracks(music: Path) -> None:
    _, _, opened = run(music)
    before = identities(opened)
    connection = sqlite3.connect(opened.path / "library.sqlite")
    connection.execute("UPDATE tracks SET fingerprint = ''")
    connection.commit()
    connection.close()
    (music / "0.wav").rename(music / "moved.wav")  # its content is known
    report, embedded, opened = run(music)
    assert (embedded, report.moved, report.unchanged) == ([], 1, 3)
    (music / "1.wav").rename(music / "also.wav")
    retag(music / "also.wav", "Also")  # its audio is known now
    report, embedded, opened = run(music)
    assert (embedded, report.moved, report.unchanged) == ([], 1, 3)
    after = identities(opened)
    assert after[str(music / "moved.wav")] == before[str(music / "0.wav")]
    assert after[str(music / "also.wav")] == before[str(music / "1.wav")]


def test_links_to_folders_are_followed_and_lead_to_their_files(music: Path) -> None:
    linked = music.parent / "linked"
    linked.symlink_to(music)
    _, _, opened = run(music, library=[linked])
    assert len(opened) == 4
    with writing.open(opened.path) as writer:
        files = writer.known()
    assert {file.real_path for file in files.values()} == {
        *(str(music / f"{number}.wav") for number in range(3)),
        str(music / "sub" / "3.FLAC"),
    }


def test_everything_that_is_seen_is_in_the_sum(music: Path) -> None:
    (music / "text.mp3").write_text("no music\n" * 2000)
    (music / "@eaDir").mkdir()
    soundfile.write(music / "cut.wav", pulsed_tone(9, seconds=8), SAMPLE_RATE)
    os.truncate(music / "cut.wav", 44 + 2 * 4 * SAMPLE_RATE)
    report, _, _ = run(music, exclude=["/1.wav"])
    assert report.describe().splitlines() == [
        f"4 s heard (the header says 8 s): {music}/cut.wav",
        f"not audio in a known format: {music}/text.mp3",
        "refused: not audio in a known format 1",
        "ignored: excluded 1, system folder 1, unsupported type: .jpg 1",
        "4 embedded, 1 refused, 3 ignored",
    ]


def test_tracks_can_be_found_at_another_place(music: Path) -> None:
    _, _, opened = run(music)
    before = identities(opened)
    moved = music.rename(music.parent / "elsewhere")
    with writing.open(opened.path) as writer:
        assert writer.relocate(str(music), str(moved)) == 4
        assert writer.relocate(str(music), str(moved)) == 0
    after = identities(store.open(opened.path))
    assert after == {path.replace("/music/", "/elsewhere/"): one for path, one in before.items()}
    report, embedded, _ = run(music, library=[moved])
    assert (embedded, report.unchanged) == ([], 4)


def test_a_place_that_is_taken_is_refused(music: Path) -> None:
    shutil.copytree(music, music.parent / "other")
    _, _, opened = run(music, library=[music, music.parent / "other"])
    before = identities(opened)
    with (
        writing.open(opened.path) as writer,
        pytest.raises(ValueError, match=r"other/0\.wav: is already in this library"),
    ):
        writer.relocate(str(music), str(music.parent / "other"))
    assert identities(store.open(opened.path)) == before


def test_other_folders_stay(music: Path) -> None:
    run(music)
    report, embedded, opened = run(music, library=[music / "sub"])
    assert (embedded, report.unchanged, report.gone, len(opened)) == ([], 1, 0, 4)
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        run(music, library=[music / "nowhere"])
    assert len(store.open(music.parent / "store")) == 4


def test_what_is_no_music_is_listed_and_stops_nothing(music: Path) -> None:
    (music / "empty.mp3").touch()
    (music / "text.mp3").write_text("no music\n" * 2000)
    flac = (music / "sub" / "3.FLAC").read_bytes()
    (music / "cut.flac").write_bytes(flac[: len(flac) // 2])
    (music / "header.wav").write_bytes((music / "0.wav").read_bytes()[:44])
    soundfile.write(music / "short.wav", pulsed_tone(0, seconds=1), SAMPLE_RATE)
    soundfile.write(music / "silent.wav", np.zeros(5 * SAMPLE_RATE), SAMPLE_RATE)
    soundfile.write(music / "long.wav", pulsed_tone(0, seconds=20), SAMPLE_RATE)
    soundfile.write(music / "nan.wav", np.full(99999, np.nan), SAMPLE_RATE, subtype="FLOAT")
    (music / "dangling.wav").symlink_to("nowhere.wav")
    os.mkfifo(music / "pipe.wav")
    odd = os.fsencode(music) + b"/\xff.wav"
    shutil.copy(music / "0.wav", odd)
    report, embedded, opened = run(music, max_seconds=10)
    assert embedded == ["0.wav", "1.wav", "2.wav", "3.FLAC"] == names(opened)
    reasons = {name.rpartition("/")[2]: reason for name, reason in report.skipped.items()}
    expected = {
        "empty.mp3": "file is empty",
        "text.mp3": "not audio in a known format",
        "cut.flac": "too short",  # what is left of it
        "header.wav": "contains no sound",
        "short.wav": "too short: 1.00 s",
        "silent.wav": "silent",
        "long.wav": "too long: more than 10 s",
        "nan.wav": "not finite",
        "pipe.wav": "not a regular file",
        "\\xff.wav": "its name is not UTF-8",
    }
    assert set(reasons) == set(expected)
    for name, part in expected.items():
        assert part in reasons[name] and str(music) not in reasons[name], (name, reasons[name])
    with writing.open(opened.path, describe(), b"model") as writer:
        assert len(writer.skipped()) == len(expected) - 1  # but for the name

    assert report.ignored == {"unsupported type: .jpg": 1, "broken link": 1}
    write_tone(music / "empty.mp3", 5)  # now it is one (a WAV with a wrong name)
    write_tone(music / "0.wav", 6)
    (music / "1.wav").write_text("no music any more")
    report, embedded, opened = run(music, max_seconds=10)
    assert embedded == ["0.wav", "empty.mp3"]
    assert names(opened) == ["0.wav", "2.wav", "3.FLAC", "empty.mp3"]


def test_a_manifest_gives_ids_and_metadata(music: Path) -> None:
    manifest = music / "tracks.csv"
    manifest.write_text(
        "path,split,track_id,title,genre,year,tempo\n"
        "0.wav,train,first,The First,jazz;modal,1959,88.5\n"
        "sub/3.FLAC,test,,,,,\n"
        "gone.wav,test,gone,,,,\n"
    )
    report, embedded, opened = run(music, library=[manifest])
    assert embedded == ["0.wav", "3.FLAC"]
    assert list(report.skipped) == [str(music / "gone.wav")]
    (track,) = opened.metadata([opened.row_of("first")])
    found = [track[name] for name in ("title", "genre", "year", "tempo", "artist")]
    assert found == ["The First", "jazz; modal", 1959, 88.5, None]
    manifest.write_text("path,track_id,title\n0.wav,1,Another\nsub/3.FLAC,3,\n")
    report, embedded, opened = run(music, library=[manifest])
    assert (embedded, report.unchanged) == ([], 2)
    (track,) = opened.metadata([opened.row_of("1")])
    assert (track["title"], track["genre"]) == ("Another", None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tracks.csv", b"title\nx\n", "tracks.csv: column 'path' is missing, found"),
        ("tracks.csv", b"path,colour\n0.wav,red\n", "tracks.csv: column 'colour' is unknown"),
        ("tracks.csv", b"path\n\xff.wav\n", "tracks.csv: cannot be read as UTF-8"),
        ("tracks.jsonl", b'{"path": "\xff.wav"}', "tracks.jsonl: cannot be read as UTF-8"),
    ],
)
def test_a_named_file_that_is_no_manifest_is_an_error(
    music: Path, name: str, content: bytes, message: str
) -> None:
    (music / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        run(music, library=[music / name])
    assert not (music.parent / "store").exists()


def test_bad_rows_are_reported_and_end_nothing(music: Path) -> None:
    (music / "tracks.csv").write_text(
        "path,track_id,title,year,tempo,key\n"
        "0.wav,a,One,soon,fast,H\n"
        "1.wav,a,,,,\n"
        ",b,,,,\n"
        "2.wav,c\n"
        "sub/3.FLAC,d,Three,1959,90,8A\n"
    )
    report, embedded, opened = run(music, library=[music / "tracks.csv"])
    assert embedded == ["0.wav", "3.FLAC"]
    assert report.skipped == {
        "tracks.csv, line 3": f"track_id 'a' is already used by {music / '0.wav'}",
        "tracks.csv, line 4": "path is '', expected an audio file",
        "tracks.csv, line 5": "number of cells is 2, expected 6 as in the header",
    }
    assert report.labels_left_out == {
        "tracks.csv, line 2": "year is 'soon', expected a year from 1000 to 2099; "
        "tempo is 'fast', expected beats per minute in (0, 1000); "
        'key is \'H\', expected a tonic and a mode such as "A minor" or "Bb"'
    }
    fields = ("title", "year", "tempo", "key")
    found = opened.metadata([opened.row_of("a"), opened.row_of("d")])
    assert [[track[name] for name in fields] for track in found] == [
        ["One", None, None, None],
        ["Three", 1959, 90.0, "A minor"],
    ]


@pytest.mark.parametrize("at_once", [1, 64])
def test_ids_can_change_places(music: Path, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "COMMIT_TRACKS", at_once)
    listed = music / "tracks.csv"
    listed.write_text("path,track_id\n0.wav,a\n1.wav,b\n2.wav,c\n")
    _, _, before = run(music, library=[listed])
    listed.write_text("path,track_id\n0.wav,b\n1.wav,c\n2.wav,a\n")
    report, embedded, after = run(music, library=[listed])
    assert (embedded, report.skipped, report.gone) == ([], {}, 0)
    for name, new in (("0.wav", "b"), ("1.wav", "c"), ("2.wav", "a")):
        row = after.row_of(new)
        assert row is not None and after.path_of(row) == music / name
        old = before.vectors[before.row_of_path(music / name)]
        np.testing.assert_array_equal(after.vectors[row], old)


def test_an_interruption_keeps_what_was_embedded(music: Path) -> None:
    class Interrupted(Embedder):
        def stream(self, tracks: Iterable) -> Iterator:
            for number, result in enumerate(super().stream(tracks)):
                if number == 2:
                    raise KeyboardInterrupt
                yield result

    with pytest.raises(KeyboardInterrupt):
        update([music], music.parent / "store", embedder=Interrupted())
    assert names(store.open(music.parent / "store")) == ["0.wav", "1.wav"]
    report, embedded, _ = run(music)
    assert (embedded, report.unchanged) == (["2.wav", "3.FLAC"], 2)


def _tracks(opened: store.Store):
    return zip(opened.rows, opened.metadata(opened.rows.tolist()), strict=True)


def test_what_is_heard_follows_the_audio(music: Path) -> None:
    """Copied and moved files keep it; tracks of older versions have none until embedded again."""
    config = Embedder.feature_config
    found = examination.examine(str(music / "1.wav"), config)
    expected = found.evidence.reading()
    report, _, opened = run(music)
    before = {Path(t["path"]).name: opened.heard([row])[0] for row, t in _tracks(opened)}
    assert before["1.wav"]["tempo"] == pytest.approx(expected.tempo) and expected.tempo > 0
    assert before["1.wav"]["key"] == KEYS[expected.key]
    assert all(track["tempo"] is track["key"] is None for _, track in _tracks(opened))
    shutil.copy(music / "1.wav", music / "copy.wav")
    (music / "0.wav").rename(music / "moved.wav")
    report, embedded, opened = run(music)
    after = {Path(t["path"]).name: opened.heard([row])[0] for row, t in _tracks(opened)}
    assert (embedded, report.copied, report.moved, report.unheard) == ([], 1, 1, 0)
    assert after["copy.wav"] == before["1.wav"] and after["moved.wav"] == before["0.wav"]
    with sqlite3.connect(music.parent / "store" / "library.sqlite") as connection:
        connection.execute("UPDATE tracks SET heard_tempo = NULL, heard_tags = NULL")
    report, _, opened = run(music)
    assert report.unheard == 5 and "5 tracks of an older version have no" in report.describe()
    assert opened.heard(opened.rows) == [{}] * 5
