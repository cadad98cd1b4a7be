"""What is heard becomes the files' tags, if that is asked for, and the library stays as it is."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import mutagen
import numpy as np
import pytest

from input_pipeline.hearing import file_tags, tag_writing
from jaxsim import search
from jaxsim.library import store
from jaxsim.library.intake import examination, retagging
from jaxsim.library.intake.updating import Report, update
from jaxsim.library.store import writing
from jaxsim.library.store.entries import Entry
from tests.helpers import updates
from tests.helpers.audio import pulsed_tone
from tests.helpers.encoding import encode
from tests.helpers.libraries import describe, random_vectors

HEARD = {
    "heard_tempo": 123.6,
    "heard_tempo_confidence": 0.9,
    "heard_tempo_level": 0.8,
    "heard_key": "A minor",
    "heard_key_confidence": 0.7,
    "heard_tags": '{"genre": {"rock": 0.9}, "mood": {"sad": 0.6, "happy": 0.55, "odd": 0.4}}',
}
NAMES = {"a.mp3": "libmp3lame", "b.flac": "flac", "c.opus": "libopus", "d.wav": "pcm_s16le"}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with music and its store."""
    folder = tmp_path_factory.mktemp("embedded")
    (folder / "music").mkdir()
    with writing.open(folder / "store", describe(), updates.Embedder.file) as writer:
        for number, (name, codec) in enumerate(NAMES.items()):
            samples = pulsed_tone(number, seconds=1)[None]
            tags = {"title": name, "initialkey": "8A"} if name == "b.flac" else {"title": name}
            encode(folder / "music" / name, samples, 48000, codec, tags=tags)
            writer.add([entry(str(folder / "music" / name), number)])
        writer.measure_cosines()
    return folder


def entry(path: str, number: int) -> Entry:
    """What embedding the file would write."""
    seen = examination.identify(path)
    names = ("path", "size", "modified", "digest", "tags", "fingerprint")
    known = {name: getattr(seen, name) for name in names}
    vector = random_vectors(len(NAMES))[number]
    return Entry(**known, track_id=f"id{number}", given={}, seconds=1.0, vector=vector, heard=HEARD)


@pytest.fixture
def music(embedded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, relocated; the library is brought up to date without worker processes."""
    here = lambda function, items, **_: ((item, function(item)) for item in items)  # noqa: E731
    monkeypatch.setattr(examination.pool, "in_order", here)
    shutil.copytree(embedded, tmp_path, dirs_exist_ok=True)
    with writing.open(tmp_path / "store") as writer:
        writer.relocate(str(embedded / "music"), str(tmp_path / "music"))
    return tmp_path / "music"


def bring_up_to_date(music: Path, **options) -> tuple[Report, list[str]]:
    embedder = updates.Embedder()
    report = update([music], music.parent / "store", embedder=embedder, **options)
    return report, embedder.embedded


def retag(music: Path, *, dry: bool = False, **options) -> retagging.Report:
    report = retagging.Report(dry=dry)
    with store.open(music.parent / "store") as library:
        for _ in retagging.retag(library, report, **options):
            pass
    return report


def contents(music: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in music.iterdir()}


def of_files(music: Path) -> dict[str, file_tags.FileTags]:
    return {path.name: file_tags.read(path) for path in music.iterdir()}


def known(music: Path) -> list[tuple]:
    with store.open(music.parent / "store") as library:
        rows = library.rows.tolist()
        vectors = [library.vectors[row].tobytes() for row in rows]
        return list(zip(library.metadata(rows), library.heard(rows), vectors, strict=True))


def test_a_dry_run_writes_nothing_and_says_everything(music: Path) -> None:
    before, state = contents(music), known(music)
    (music.parent / "store").chmod(0o555)
    report = retag(music, dry=True)
    assert (report.files, report.unchanged, report.fields) == (
        *(3, 0),
        {"tempo": 3, "mood": 3, "key": 2},
    )
    assert report.left_out == {"already known": 1}
    assert report.refused == {str(music / "d.wav"): "tags of WAVE files are not written"}
    assert report.describe().splitlines() == [
        f"tags of WAVE files are not written: {music}/d.wav",
        "refused: tags of WAVE files are not written 1",
        "fields left out: already known 1",
        "fields to write: mood 3, tempo 3, key 2",
        "files: 3 to write, 1 refused",
        "nothing has been written: add --write to write it",
    ]
    assert (contents(music), known(music)) == (before, state)


def test_what_is_written_is_no_word_of_the_owner(music: Path) -> None:
    state = known(music)
    report = retag(music)
    assert (report.files, report.remaining, len(report.refused)) == (3, 0, 1)
    for name, tags in of_files(music).items():
        if name == "d.wav":
            assert (tags.tempo, tags.heard) == (None, ())
            continue
        assert (tags.tempo, tags.key, tags.title) == (124.0, "A minor", name)
        assert (tags.mood, tags.genre) == (("sad", "happy"), ())
        assert tags.own().key == ("A minor" if name == "b.flac" else None)
    assert known(music) == state, "to the library, it is heard and not said"
    with store.open(music.parent / "store") as library:
        assert library.select("tag.tempo>0").sum() == 0
        assert library.select("tempo>120").sum() == 4
    found, embedded = bring_up_to_date(music)
    assert (found.unchanged, found.retagged, found.embedded, embedded) == (4, 0, 0, [])
    found, _ = bring_up_to_date(music, read_tags=True)
    assert (found.unchanged, found.retagged) == (4, 0)
    assert known(music) == state


def test_again_there_is_nothing_to_write(music: Path) -> None:
    retag(music)
    before = contents(music)
    report = retag(music)
    assert (report.files, report.unchanged, report.left_out) == (0, 3, {"already known": 9})
    assert contents(music) == before


@pytest.mark.parametrize(
    ("options", "fields", "left_out"),
    [
        ({"only": ["key"]}, {"key": 2}, {"already known": 1}),
        ({"only": ["key"], "replace": True}, {"key": 3}, {}),
        ({"only": ["key"], "where": "title='a.mp3'"}, {"key": 1}, {}),
        # Probabilities: tempo 0.72, key 0.7 (one file has it), mood 0.6.
        ({"least": 0.71}, {"tempo": 3}, {"not sure enough": 5, "already known": 1}),
        ({"least": 0.73}, {}, {"not sure enough": 8, "already known": 1}),
        ({"only": ["genre"], "least": 0.9}, {"genre": 3}, {}),
    ],
)
def test_what_is_asked_for(music: Path, options, fields, left_out) -> None:
    options["where"] = options.get("where", "title!='d.wav'")
    report = retag(music, **options)
    assert (report.fields, report.left_out, report.refused) == (fields, left_out, {})


def test_tracks_of_older_libraries_have_nothing_to_write(music: Path) -> None:
    track = dict.fromkeys(store.METADATA) | {"path": str(music / "a.mp3")}
    nothing = retagging.proposal(track, {})
    assert nothing.left_out == dict.fromkeys(("tempo", "key", "mood"), "not heard")


def test_what_a_manifest_says_is_known(music: Path) -> None:
    with writing.open(music.parent / "store") as writer:
        writer.confirm(str(music / "a.mp3"), "id0", {"tempo": 61.0})
    report = retag(music, where="tag.tempo=61")
    assert (report.fields, report.left_out) == ({"key": 1, "mood": 1}, {"already known": 1})
    assert file_tags.read(music / "a.mp3").tempo is None
    assert retag(music, where="tag.tempo=61", only=["tempo"], replace=True).fields == {"tempo": 1}


def interrupt(*_, **__) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("place", [(writing.Writer, "confirm"), (os, "replace")])
def test_an_interrupted_run_goes_on(music: Path, place, monkeypatch) -> None:
    ids = [track["id"] for track, *_ in known(music)]
    with monkeypatch.context() as patch:
        patch.setattr(*place, interrupt)
        with pytest.raises(KeyboardInterrupt):
            retag(music)
    assert len(contents(music)) == 4
    written = [name for name, tags in of_files(music).items() if tags.heard]
    assert written == (["a.mp3"] if place[1] == "confirm" else [])
    if written:
        found, embedded = bring_up_to_date(music)
        assert (found.retagged, found.unchanged, embedded) == (1, 3, [])
    assert retag(music).files == 3 - len(written)
    assert [track["id"] for track, *_ in known(music)] == ids
    assert bring_up_to_date(music)[0].unchanged == 4


def test_one_bad_file_stops_nobody(music: Path, monkeypatch) -> None:
    (music / "a.mp3").chmod(0o444)
    (music / "d.wav").unlink()
    outside = music.parent / "outside.flac"
    (music / "b.flac").rename(outside)
    (music / "b.flac").symlink_to(outside)
    before = outside.read_bytes()
    report = retag(music)
    assert report.files == 1
    assert report.refused == {
        str(music / "a.mp3"): "is read-only",
        str(music / "b.flac"): f"its path leads out of the library, to {outside}",
        str(music / "d.wav"): "no such file",
    }
    assert outside.read_bytes() == before


def test_a_link_within_the_library_stays_one(music: Path) -> None:
    (music / "sub").mkdir()
    (music / "b.flac").rename(music / "sub" / "real.flac")
    (music / "b.flac").symlink_to("sub/real.flac")
    assert retag(music, where="title='b.flac'").files == 1
    assert (music / "b.flac").is_symlink()
    assert file_tags.read(music / "sub" / "real.flac").tempo == 124.0


def test_audio_that_was_not_heard(music: Path) -> None:
    encode(music / "c.opus", pulsed_tone(9, seconds=1)[None], 48000, "libopus")
    report = retag(music, where="title='c.opus'")
    expected = "its audio is not what was heard; run jaxsim.embed first"
    assert report.refused == {str(music / "c.opus"): expected}


def test_tracks_whose_audio_has_no_fingerprint(music: Path, monkeypatch) -> None:
    """As those of data sets, whose features belong to the file as it is."""
    with store.open(music.parent / "store") as library:
        monkeypatch.setattr(type(library), "audio_number", np.full(len(library.ids), -1))
        report = retagging.Report(dry=True)
        list(retagging.retag(library, report, where="title='a.mp3'"))
    assert list(report.refused.values()) == [
        "its audio is not known; run jaxsim.embed with its folder"
    ]


def test_while_another_process_writes(music: Path) -> None:
    with writing.open(music.parent / "store"):
        assert retag(music, dry=True).files == 3
        with pytest.raises(ValueError, match="another process is writing"):
            retag(music)


def test_the_command(music: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["write_tags", str(music.parent / "store"), "--where", "title='b.flac'"]
    search.main([*command, "--only", "tempo,mood"])
    out = capsys.readouterr().out
    for text in (f"{music}/b.flac", "tempo", "124", "0.72", "sad, happy", "0.55", "--write"):
        assert text in out
    assert file_tags.read(music / "b.flac").tempo is None
    search.main([*command, "--only", "tempo,mood", "--write"])
    assert "files: 1 written" in capsys.readouterr().out
    assert mutagen.File(music / "b.flac")["bpm"] == ["124"]


def test_the_command_when_interrupted(music: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(tag_writing, "write", interrupt)
    with pytest.raises(SystemExit) as stopped:
        search.main(["write_tags", str(music.parent / "store"), "--write"])
    assert stopped.value.code == 130
    shown = capsys.readouterr()
    assert "run the same command again" in shown.err
    assert "files: 4 not reached" in shown.out


@pytest.mark.parametrize("only", ["title", "", "key,year"])
def test_fields_that_are_never_written(only: str, capsys: Callable) -> None:
    with pytest.raises(SystemExit) as stopped:
        search.main(["write_tags", "store", "--only", only])
    assert stopped.value.code == 2
    assert "expected one or more of tempo, key, mood, genre" in capsys.readouterr().err
    assert search.TAG_FIELDS == file_tags.WRITTEN == retagging.FIELDS
