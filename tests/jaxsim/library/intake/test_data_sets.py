"""A prepared data set is embedded from its features, without listening again."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from input_pipeline import manifest
from input_pipeline.collection import Collection
from input_pipeline.datasets import builder, tag_labels
from input_pipeline.hearing import audio, estimates
from input_pipeline.hearing.estimates import Estimate
from input_pipeline.tracks import Track
from jaxsim.library import store
from jaxsim.library.intake import embedding, examination
from jaxsim.library.intake.updating import Report, update
from tests.helpers.audio import pulsed_tone
from tests.helpers.models import model_file
from tests.helpers.updates import Embedder, run, write_tone


def prepare(folder: Path, tracks: list[Track], *, estimate: tuple[str, ...] = ()) -> Path:
    """Does what `input_pipeline.prepare` does."""
    data = folder / "data"
    builder.prepare(tracks, data, name="toy", description="d", estimate=estimate, workers=1)
    if not any(callable(track.audio) for track in tracks):
        manifest.write(Collection("toy", tracks), data / manifest.NAME)
    return data


@pytest.fixture
def music(tmp_path: Path) -> Path:
    (tmp_path / "music").mkdir()
    for number in range(3):
        write_tone(tmp_path / "music" / f"{number}.wav", number)
    return tmp_path / "music"


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be decoded, here or in a worker process."""
    monkeypatch.setattr(audio, "decode", None)
    monkeypatch.setattr(examination, "examine_all", None)


def tracks_of(music: Path) -> list[Track]:
    labels = [
        {"title": "One", "tags": {"genre": ("rock", "jazz")}, "tempo": 90.5, "key": "Am"},
        {"artist": "Two", "tags": {"mood": ("sad",), "era": ("60s",)}},
        {},
    ]
    return [
        Track(f"id {number}", "train", music / f"{number}.wav", **given)
        for number, given in enumerate(labels)
    ]


def run_on(data: Path, *, library: list[Path] | None = None) -> tuple[Report, list, store.Store]:
    return run(data, library=library or [data])


def metadata(opened: store.Store) -> dict[str, dict]:
    return {track["id"]: track for track in opened.metadata(opened.rows.tolist())}


def sizes(opened: store.Store) -> dict[str, int]:
    return dict(opened._select("SELECT id, size FROM tracks WHERE present"))


def test_vectors_are_those_of_listening(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = embedding.Embedder(model_file(music.parent / "model.npz"), batch_size=4)
    data = prepare(music.parent, tracks_of(music))
    update([music], music.parent / "heard", embedder=embedder)
    monkeypatch.setattr(audio, "decode", None)
    monkeypatch.setattr(examination, "examine_all", None)
    report = update([data], music.parent / "taken", embedder=embedder)
    assert (report.embedded, report.skipped) == (3, {})
    with store.open(music.parent / "heard") as heard, store.open(music.parent / "taken") as taken:
        for number in range(3):
            path = music / f"{number}.wav"
            rows = heard.row_of_path(path), taken.row_of_path(path)
            assert None not in rows
            np.testing.assert_array_equal(heard.vectors[rows[0]], taken.vectors[rows[1]])
            (one,), (other,) = heard.metadata(rows[:1]), taken.metadata(rows[1:])
            assert one["seconds"] == pytest.approx(other["seconds"])


def test_metadata_are_the_data_sets(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        estimates, "estimate_tempo_and_key", lambda *_, **__: Estimate(100.0, 0.5, 3, 0.5)
    )
    estimated = {"id 1": {"genre": tag_labels.EstimatedTags(("pop",), 0.5)}}
    monkeypatch.setattr(tag_labels, "decide", lambda *_: estimated)
    data = prepare(music.parent, tracks_of(music), estimate=("tempo", "key"))
    _, embedded, opened = run_on(data)
    assert embedded == ["0.wav", "1.wav", "2.wav"]
    found = metadata(opened)
    assert set(found) == {"id 0", "id 1", "id 2"}
    names = ("path", "title", "artist", "genre", "mood", "era", "tempo", "key")
    assert [[found[f"id {number}"][name] for name in names] for number in range(3)] == [
        [str(music / "0.wav"), "One", None, "jazz; rock", None, None, 90.5, "A minor"],
        [str(music / "1.wav"), "1", "Two", None, "sad", "60s", None, None],
        [str(music / "2.wav"), "2", None, None, None, None, None, None],
    ]


def test_only_changed_records_are_embedded_again(music: Path) -> None:
    tracks = tracks_of(music)
    data = prepare(music.parent, tracks)
    run_on(data)
    report, embedded, _ = run_on(data)
    assert (embedded, report.unchanged, report.gone) == ([], 3, 0)
    os.utime(music / "0.wav", (1, 1))  # touched
    write_tone(music / "1.wav", 7)  # changed, which the data set does not know yet
    report, embedded, _ = run_on(data)
    assert (embedded, report.unchanged) == ([], 3)
    prepare(music.parent, tracks[:2])
    report, embedded, opened = run_on(data)
    assert (embedded, report.unchanged) == (["1.wav"], 1)
    assert len(opened) == 3  # the third's file is not below the data set


def test_the_same_files_are_unchanged_for_their_folder(
    music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepare(music.parent, tracks_of(music))
    write_tone(music / "1.wav", 7)  # the record is of other audio
    _, _, opened = run_on(data)
    assert sizes(opened)["id 1"] == -1
    assert sizes(opened)["id 0"] == (music / "0.wav").stat().st_size
    report, embedded, _ = run(music)
    assert (embedded, report.unchanged) == (["1.wav"], 2)
    report, embedded, opened = run_on(data, library=[music, data])
    assert (embedded, report.unchanged) == (["1.wav"], 2)  # as the data set has it
    assert set(sizes(opened)) == {"id 0", "id 1", "id 2"}


def tone() -> np.ndarray:
    return pulsed_tone(0, seconds=3.1)


def other_tone() -> np.ndarray:
    return pulsed_tone(1, seconds=3.1)


def test_tracks_without_a_file_are_found_by_their_data_set(tmp_path: Path, deaf: None) -> None:
    tracks = [Track("a/x", "train", tone), Track("b", "train", other_tone)]
    data = prepare(tmp_path, tracks)
    report, embedded, opened = run_on(data)
    assert (report.embedded, report.seconds) == (2, pytest.approx(6.2, abs=0.01))
    assert metadata(opened)["a/x"]["path"] == str(data / "a" / "x")
    report, embedded, opened = run_on(data)
    assert (embedded, report.unchanged) == ([], 2)
    report, _, opened = run_on(data, library=[tmp_path])  # the folder around the data set
    assert (report.gone, len(opened)) == (0, 2)
    prepare(tmp_path, tracks[:1])
    report, embedded, opened = run_on(data)
    assert (embedded, report.gone, set(metadata(opened))) == ([], 1, {"a/x"})
    prepare(tmp_path, tracks)
    report, embedded, opened = run_on(data)
    assert (embedded, report.unchanged, len(opened)) == ([], 2, 2)


def test_files_that_moved_keep_their_ids(music: Path) -> None:
    run_on(prepare(music.parent, tracks_of(music)))
    moved = music.rename(music.parent / "moved")
    data = prepare(music.parent, tracks_of(moved))
    report, _, opened = run_on(data)
    assert (report.skipped, report.gone) == ({}, 3)
    assert metadata(opened)["id 0"]["path"] == str(moved / "0.wav")
    assert len(opened) == 3


def test_an_id_of_another_track_is_left_out(music: Path) -> None:
    run_on(prepare(music.parent, tracks_of(music)))
    (music.parent / "other").mkdir()
    write_tone(music.parent / "other" / "9.wav", 9)
    listed = music.parent / "listed.csv"
    listed.write_text("path,track_id\nother/9.wav,id 0\n")
    report, embedded, opened = run_on(music.parent / "data", library=[listed])
    path = str(music / "0.wav")
    (reason,) = report.skipped.values()
    assert reason == f"track_id 'id 0' is already used by {path}"
    assert (embedded, len(opened)) == ([], 3)


def test_two_tracks_of_one_file_are_one(music: Path) -> None:
    tracks = tracks_of(music)
    tracks.append(dataclasses.replace(tracks[0], track_id="again", group="id 0"))
    data = prepare(music.parent, tracks)
    report, _, opened = run_on(data)
    (place,) = report.skipped
    assert place == f"{data}, track id 0"  # the data set has them by id
    assert report.skipped[place] == "its audio is already that of track again"
    assert len(opened) == 3


def test_features_of_another_kind_are_refused(music: Path) -> None:
    data = prepare(music.parent, tracks_of(music))
    description = json.loads((data / "metadata.json").read_text())
    description["feature_version"] += 1
    description["feature_config"]["n_mels"] = 64
    (data / "metadata.json").write_text(json.dumps(description))
    with pytest.raises(ValueError) as refused:
        update([data], music.parent / "store", embedder=Embedder())
    for part in ("metadata.json: ", "feature_version is 2, the model's 1", "n_mels is 64, the mod"):
        assert part in str(refused.value)
    assert not (music.parent / "store").exists()
