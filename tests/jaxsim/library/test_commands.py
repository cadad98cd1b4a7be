"""The commands, as a person uses them: search, presets, judge, export, embed."""

import io
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from input_pipeline import manifest
from input_pipeline.hearing.features import FeatureConfig
from jaxsim import embed, judge, search
from jaxsim.library import commands, store
from jaxsim.library.intake import sources
from jaxsim.library.intake.updating import Report
from jaxsim.library.search import preferences, presets, query
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone
from tests.helpers.libraries import random_vectors
from tests.helpers.models import model_file

TRACKS = [
    {"title": "Blue in Green", "artist": "Miles Davis", "tempo": 55.0},
    {"title": "Blue", "artist": "Joni Mitchell"},
    {"title": "[bold]Army[/bold] of Me", "artist": "Björk", "tempo": 88.0},
    *({"title": f"Song {i}", "artist": "Various", "tempo": 100.0 + i} for i in range(27)),
]


@pytest.fixture
def library(make_store: Callable[..., store.Store]) -> store.Store:
    return make_store(random_vectors(30), TRACKS)


def run(capsys: pytest.CaptureFixture, main: Callable, *arguments: object) -> str:
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture, main: Callable, *arguments: object) -> str:
    with pytest.raises(SystemExit) as error:
        main([str(argument) for argument in arguments])
    assert "Traceback" not in capsys.readouterr().err
    return str(error.value.code)


def test_search_as_json(library: store.Store, capsys: pytest.CaptureFixture) -> None:
    options = ["--weights", "genre=1,tempo=2,key=-0.5", "--top", 5, "--where", "tempo>=101"]
    found = json.loads(
        run(
            capsys,
            search.main,
            library.path,
            "--like",
            "army",
            "--like",
            "0001",
            *options,
            "--json",
        )
    )
    hits = query.search(library, [2, 1], (1, 2, -0.5), top=5, where="tempo>=101")
    assert [one["track"]["id"] for one in found] == [library.ids[hit.row] for hit in hits]
    for one, hit in zip(found, hits, strict=True):
        assert one["score"] == hit.score == np.sum(list(one["contributions"].values()))
        assert list(one["likeness"].values()) == hit.likeness.tolist()
        assert one["closer_than"] == hit.closer_than
        assert list(one["closer_in"].values()) == hit.closer_in.tolist()
        assert one["track"] == library.metadata([hit.row])[0]
        assert one["heard"] == {} and one["reason"].endswith(".")
        assert one["track"]["path"] == f"/music/{hit.row}.wav" and one["track"]["tempo"] >= 101


def test_a_track_is_named_by_its_file(
    make_store: Callable[..., store.Store], capsys: pytest.CaptureFixture
) -> None:
    """Also where the file cannot be reached; of several files of one name, by a folder, too."""
    paths = ["/music/one/01.wav", "/music/two/01.wav", "/music/two/101.wav", "/music/a_b%.wav"]
    library = make_store(random_vectors(4), [{"path": path} for path in paths])
    for like, row in (
        (paths[0], 0),
        ("two/01.wav", 1),
        ("101.wav", 2),
        ("a_b%.wav", 3),
    ):
        options = ["--like", like, "--all_versions", "--json", "--top", 1]
        (hit,) = json.loads(run(capsys, search.main, library.path, *options))
        (expected,) = query.search(library, [row], None, top=1)
        assert (hit["track"]["id"], hit["score"]) == (library.ids[expected.row], expected.score)
    message = refused(capsys, search.main, library.path, "--like", "01.wav")
    assert "matches several tracks; choose one by its id:\n  0000" in message and "0001" in message
    for like in ("wo/01.wav", "aXb%.wav", "%.wav", "/", ""):
        assert "neither a track" in refused(capsys, search.main, library.path, "--like", like)


def test_search_as_a_table(library: store.Store, capsys: pytest.CaptureFixture) -> None:
    out = run(capsys, search.main, library.path, "--like", "blue green", "--top", 29, "--explain")
    assert all(name in out for name in ("genre", "tempo", "key", "Song 26, Various"))
    assert "[bold]Army[/bold] of Me, Björk" in out, "titles are text, not markup"
    options = ["--weights", "tempo=1", "--explain"]
    out = run(capsys, search.main, library.path, "--like", "0000", *options)
    assert "tempo" in out and "genre" not in out, "only what has a weight is explained"
    first, *_ = query.search(library, [0], {"tempo": 1})
    assert 0.9 < first.closer_than == first.closer_in[1] < 1, "it is the best of 30"
    assert out.count(f"{int(100 * first.closer_than)} %") == 2
    options = ["--weights", "tempo=1"]
    assert "%" not in run(capsys, search.main, library.path, "--like", "0000", *options)


def test_describe(make_store: Callable[..., store.Store], capsys: pytest.CaptureFixture) -> None:
    heard = {
        "heard_tempo": 90.04,
        "heard_tempo_confidence": 0.9,
        "heard_tempo_level": 0.6,
        "heard_key": "A minor",
        "heard_key_confidence": 0.81,
        "heard_tags": '{"genre": {"rock": 0.6}, "mood": {}}',
    }
    tracks = [{"title": "One", "artist": "Us", "heard": heard, "key": "C major"}, {"title": "Two"}]
    library = make_store(random_vectors(2), tracks)
    assert run(capsys, search.main, "describe", library.path, "one").splitlines() == [
        "One, Us",
        "  tempo: 90.0 BPM (probability 0.90; this metrical level 0.60)",
        "  key: A minor, 8A (probability 0.81)",
        "  genre: rock 0.60",
        "  mood: no tag stands out",
        "  its tags say: key C major",
    ]
    assert "nothing was heard" in run(capsys, search.main, "describe", library.path, "two")
    found = json.loads(run(capsys, search.main, "describe", library.path, "one", "--json"))
    assert found == {"track": library.metadata([0])[0], "heard": library.heard([0])[0]}
    assert "neither a track" in refused(capsys, search.main, "describe", library.path, "three")


def test_presets(library: store.Store, capsys: pytest.CaptureFixture) -> None:
    saving = ["--save", "dance", "--weights", "tempo=2,key=1"]
    assert "dance" in run(capsys, search.main, "presets", library.path, *saving)
    options = ["--preset", "dance", "--weights", "key=-3", "--json", "--top", 3]
    found = json.loads(run(capsys, search.main, library.path, "--like", "0000", *options))
    expected = query.search(library, [0], (0, 2, -3), top=3)
    assert [hit["score"] for hit in found] == [hit.score for hit in expected]
    out = run(capsys, search.main, "presets", library.path, "--delete", "dance")
    assert "dance" not in out


def test_search_refuses(library: store.Store, capsys: pytest.CaptureFixture, tmp_path) -> None:
    like = [library.path, "--like"]
    (tmp_path / "text.mp3").write_text("no music")
    for arguments, message in (
        ([*like, "nobody"], "error: --like 'nobody': neither a track in"),
        (
            [*like, "blu"],
            "matches several tracks; choose one by its id:\n  0000  Blue in Green, Miles Davis\n",
        ),
        ([*like, "0000", "--weights", "tempo=0"], "error: weights: all are 0, so that no track"),
        ([*like, "0000", "--weights", "genre"], "error: weights: 'genre' found, expected"),
        ([*like, "0000", "--weights", "mood=1"], "error: weights: 'mood' is not a dimension"),
        ([*like, "0000", "--preset", "x"], "error: preset 'x': unknown"),
        ([*like, "0000", "--where", "1=1"], "error: where: '1=1' has '1', expected a field"),
        ([*like, "0000", "--approximate"], "has no index; build it with"),
        ([tmp_path / "nowhere", "--like", "x"], "nowhere: not a library"),
    ):
        assert message in refused(capsys, search.main, *arguments)


def test_an_exact_title_is_meant(make_store: Callable, capsys: pytest.CaptureFixture) -> None:
    titles = ["Help Me", "Hélp", "Help Yourself", "Yesterday", "yesterday"]
    library = make_store(random_vectors(5), [{"title": title} for title in titles])
    assert commands.resolve(library, " help ") == 1
    with pytest.raises(ValueError, match="matches several tracks"):
        commands.resolve(library, "Yesterday")
    with pytest.raises(ValueError, match="matches several tracks"):
        commands.resolve(library, "hel")


def test_a_preset_of_nothing_is_refused(library: store.Store, capsys) -> None:
    saving = ["--save", "nothing", "--weights", "tempo=0"]
    told = refused(capsys, search.main, "presets", library.path, *saving)
    assert told.startswith("error: weights: all are 0")


def test_a_server_that_is_not_there_is_one_line(
    library: store.Store, capsys: pytest.CaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    arguments = ["export", library.path, "--format", "qdrant", "--out", address]
    told = refused(capsys, search.main, *arguments)
    assert told.startswith(f"error: Qdrant: cannot write to {address}: ")
    assert "\n" not in told
    assert not len(recwarn)


def test_index_and_exports(library: store.Store, capsys: pytest.CaptureFixture, tmp_path) -> None:
    run(capsys, search.main, "index", library.path)
    assert "equal (chosen)" in run(capsys, search.main, "recall", library.path, "--queries", 3)
    options = ["--like", "0000", "--json"]
    assert run(capsys, search.main, library.path, *options) == run(
        capsys, search.main, library.path, *options, "--approximate"
    )
    for form, out in (("npz", "a.npz"), ("pgvector", "a.sql"), ("qdrant", "qdrant")):
        place = tmp_path / out
        told = run(capsys, search.main, "export", library.path, "--format", form, "--out", place)
        assert told == f"30 tracks: {place}\n" and place.exists()


def test_judge_goes_on_where_it_stopped(
    library: store.Store, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(text: str) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        return run(capsys, judge.main, library.path, "--count", 4, "--name", "me")

    out = answer("a\nwhat?\nB\n")  # and then the input ends
    assert "1 of 4" in out and "3 of 4" in out and "2 answers" in out
    assert "/music/" in out
    out = answer("s\nq\n")
    assert "3 of 4" in out and "4 of 4" in out and "2 answers" in out
    answer("a\n")
    assert "of 4:" not in answer("")
    answers = preferences.answers_of(library, "me")
    assert [found.choice for found in answers] == ["a", "b", "skip", "a"]
    weights = presets.load(library, "me")
    fitted = preferences.fit(library, answers).weights
    np.testing.assert_allclose(list(weights.values()), fitted / np.abs(fitted).mean())
    assert "personal" not in presets.load_all(library)


def test_judge_without_answers(library, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "± 1" not in run(capsys, judge.main, library.path)
    assert presets.load_all(library) == {}


def test_embed_then_search_by_a_file(
    track_rows, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rows = track_rows
    library, bad = tmp_path / "library", tmp_path / "text.mp3"
    model = model_file(tmp_path / "model.npz", ("mel",))
    bad.write_text("no music")
    monkeypatch.setenv("JAXSIM_DATA", str(tmp_path / "cache"))
    files = [bad, *(folder / row["path"] for row in rows[:3])]
    command = ["jaxsim.embed", "--model", model, "--store", library, "--workers", 1, *files]
    done = subprocess.run(  # a process of its own, whose workers are its own
        [sys.executable, "-m", *map(str, command)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "3 embedded, 1 refused\n" in done.stdout
    assert f"not audio in a known format: {bad}" in done.stdout
    found = run(capsys, search.main, library, "--like", folder / rows[5]["path"], "--json")
    assert {hit["track"]["title"] for hit in json.loads(found)} == {"0", "1", "2"}
    assert "not audio in" in refused(capsys, search.main, library, "--like", bad)


ALL_COLUMNS = {
    "path": "0.wav",
    "track_id": "one",
    "split": "test",
    "group": "g",
    "artist": "A",
    "title": "T",
    "album": "B",
    "source": "s",
    "genre": "rock",
    "mood": "sad",
    "instrument": "organ",
    "era": "",
    "year": "1994",
    "tempo": "90",
    "key": "A minor",
}


@pytest.mark.parametrize("name", ["all.csv", "all.jsonl"])
def test_prepare_and_embed_take_the_same_manifest(tmp_path: Path, name: str) -> None:
    assert set(ALL_COLUMNS) == set(manifest.COLUMNS)
    rows = [ALL_COLUMNS, ALL_COLUMNS | {"path": ""}, ALL_COLUMNS | {"path": "1.wav", "key": "H"}]
    rows[2]["track_id"] = "two"
    if name.endswith("csv"):
        lines = [",".join(row) for row in (ALL_COLUMNS, *(row.values() for row in rows))]
    else:
        header = {"collection": {"name": "all", "licence": "none"}}
        lines = [json.dumps(line) for line in (header, *rows)]
    (tmp_path / name).write_text("\n".join(lines))
    prepared = manifest.read(tmp_path / name)
    found = sources.find([tmp_path / name], FeatureConfig())
    for track, source in zip(prepared.tracks, found.sources, strict=True):
        assert (str(track.audio), track.track_id) == (source.path, source.track_id)
        assert (track.title, track.artist) == (source.given["title"], source.given["artist"])
        assert track.tempo == source.given["tempo"] and track.key == source.given.get("key")
        assert track.tags["era"] == ("90s",) and source.given["year"] == 1994
        assert source.given["album"] == "B" and not {"split", "group"} & set(source.given)
    skipped = {p.where: p.reason for p in prepared.problems if p.skipped}
    left_out = {p.where: p.reason for p in prepared.problems if not p.skipped}
    assert (list(skipped), list(left_out)) == ([f"{name}, line 3"], [f"{name}, line 4"])
    assert (found.skipped, found.labels_left_out) == (skipped, left_out)


def test_embed_says_what_was_left_out() -> None:
    report = Report(
        embedded=1, skipped={"t.csv, line 3": "no path"}, labels_left_out={"t.csv, line 2": "key"}
    )
    assert report.describe().splitlines() == [
        "no path: t.csv, line 3",
        "label left out: key: t.csv, line 2",
        "refused: no path 1",
        "1 embedded, 1 refused",
    ]


def test_missing_files_have_an_exit_code_of_their_own(tmp_path: Path, capsys) -> None:
    model = model_file(tmp_path / "model.npz")
    for number in range(2):
        soundfile.write(tmp_path / f"{number}.wav", pulsed_tone(number, seconds=4), SAMPLE_RATE)
    arguments = ["--store", tmp_path / "store", "--model", model, "--workers", "1", tmp_path]
    embed.main([str(one) for one in arguments])
    for number in range(2):
        (tmp_path / f"{number}.wav").unlink()
    with pytest.raises(SystemExit) as stopped:
        embed.main([*map(str, arguments), "--prune"])
    assert stopped.value.code == embed.FAULT == 3
    shown = capsys.readouterr()
    assert "is a disk not mounted?" in shown.out and "--confirm_gone" in shown.err
    assert len(store.open(tmp_path / "store")) == 2
    embed.main([*map(str, arguments), "--prune", "--confirm_gone"])
    assert len(store.open(tmp_path / "store")) == 0


def test_a_playlist_and_another_place_from_the_command_line(
    library: store.Store, tmp_path: Path, capsys
) -> None:
    first, second, *_ = library.ids[library.rows]
    for arguments in (
        [library.path, "--like", first, "--top", "3"],
        ["path", library.path, "--start", first, "--end", second, "--length", "3"],
    ):
        file = tmp_path / "list.m3u8"
        search.main([*map(str, arguments), "--playlist", str(file)])
        named = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        assert len(named) == 3
        assert set(named) <= {one["path"] for one in library.metadata(library.rows)}
    search.main(["relocate", str(library.path), "/music", "/mnt/music"])
    moved = store.open(library.path)
    assert {one["path"] for one in moved.metadata(moved.rows)} == {
        one["path"].replace("/music/", "/mnt/music/") for one in library.metadata(library.rows)
    }
    message = refused(capsys, search.main, "relocate", library.path, "/nowhere", "/mnt")
    assert "/nowhere: no track of this library is in this folder" in message


def test_embed_refuses(library: store.Store, capsys, tmp_path: Path) -> None:
    model = model_file(tmp_path / "model.npz")
    for arguments, message in (
        (["--store", library.path, "--model", model, tmp_path], "was embedded with model aaaa"),
        (["--store", library.path, "--model", tmp_path / "x", tmp_path], "No such file"),
        (["--store", tmp_path / "new", "--model", model, "nowhere"], "nowhere: no such file"),
    ):
        assert message in refused(capsys, embed.main, *arguments)
    assert not (tmp_path / "new").exists()
