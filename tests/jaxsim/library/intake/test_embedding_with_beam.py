"""A library that Beam's workers embed in parts is the one that this machine would have made."""

import pickle
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import soundfile

from input_pipeline.datasets import scale_out as pipelines
from jaxsim import embed
from jaxsim.library.intake import scale_out
from jaxsim.library.intake.embedding import Embedder
from jaxsim.library.intake.updating import update
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone
from tests.helpers.models import model_file

BEAM = ["--runner=DirectRunner"]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return Embedder(model_file(tmp_path_factory.mktemp("model") / "model.npz"))


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Five tracks, a file that is none, and one that is too short; seven files in four parts."""
    folder = tmp_path / "music"
    folder.mkdir()
    for number, seconds in enumerate((4.0, 7.0, 3.5, 10.0, 5.0)):
        soundfile.write(
            folder / f"{number}.flac", pulsed_tone(number, seconds=seconds), SAMPLE_RATE
        )
    (folder / "3a.mp3").write_text("no music")
    soundfile.write(folder / "5.wav", pulsed_tone(5, seconds=1.0), SAMPLE_RATE)
    return folder


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that workers examine; they run in this process, one after the other."""
    names: list[str] = []
    examine = scale_out.examine

    def noting(path: str, *arguments: Any, **options: Any) -> Any:
        names.append(Path(path).name)
        return examine(path, *arguments, **options)

    monkeypatch.setattr(scale_out, "examine", noting)
    monkeypatch.setattr(scale_out, "PART_FILES", 2)
    monkeypatch.setattr(pipelines, "for_each", in_turn())
    return names


def in_turn(*, most: int = 1000) -> Callable:
    """Stands in for the pipeline, which is interrupted after so many tasks."""

    def for_each(function: Callable, tasks: Sequence, options: Sequence[str]) -> None:
        assert options == BEAM
        for number, task in enumerate(tasks):
            if number == most:
                raise KeyboardInterrupt
            pickle.loads(pickle.dumps(function))(pickle.loads(pickle.dumps(task)))

    return for_each


def content(store: Path) -> dict[str, Any]:
    """Everything in a store: its tables and its matrix."""
    with sqlite3.connect(store / "library.sqlite") as connection:
        tables = {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()
            for name in ("tracks", "skipped", "matrix", "spread")
        }
    return tables | {"vectors": (store / "vectors-0.f16").read_bytes()}


def by_path(store: Path) -> dict[str, tuple]:
    """Tracks as the store has them, but for the order of their rows, and their vectors."""
    found = content(store)
    size = len(found["vectors"]) // found["matrix"][0][1]
    return {
        path: (track_id, rest, found["vectors"][size * row : size * (row + 1)])
        for path, track_id, row, *rest in found["tracks"]
    }


def test_it_is_the_same_library(embedder: Embedder, music: Path, heard: list[str]) -> None:
    here, elsewhere = music.parent / "here", music.parent / "elsewhere"
    expected = update([music], here, embedder=embedder)
    found = update([music], elsewhere, embedder=embedder, beam_options=BEAM)
    assert content(elsewhere) == content(here)
    assert found.describe() == expected.describe() and found.embedded == 5
    assert len(found.skipped) == 2 and found.seconds == expected.seconds
    assert heard == ["0.flac", "1.flac", "2.flac", "3.flac", "3a.mp3", "4.flac", "5.wav"]
    assert not scale_out.folder_of(elsewhere).exists()
    heard.clear()
    shutil.copy(music / "1.flac", music / "copy.flac")
    soundfile.write(music / "6.flac", pulsed_tone(6, seconds=4.0), SAMPLE_RATE)
    expected = update([music], here, embedder=embedder)
    found = update([music], elsewhere, embedder=embedder, beam_options=BEAM)
    assert (found.copied, found.embedded, found.remembered) == (1, 1, 2)
    assert found.describe() == expected.describe() and by_path(elsewhere) == by_path(here)


def test_excerpts_are_the_same_too(music: Path, embedder: Embedder, heard: list[str]) -> None:
    here, elsewhere = music.parent / "here", music.parent / "elsewhere"
    brief = Embedder(model_file(music.parent / "model.npz"), seconds=4)
    update([music], here, embedder=brief)
    update([music], elsewhere, embedder=brief, beam_options=BEAM)
    assert content(elsewhere) == content(here)
    update([music], music.parent / "whole", embedder=embedder)
    assert content(music.parent / "whole")["vectors"] != content(here)["vectors"]


def interrupt(
    store: Path, music: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch, *, after: int
) -> list[Path]:
    """Interrupts the first run after some parts, and gives these."""
    with monkeypatch.context() as patch:
        patch.setattr(pipelines, "for_each", in_turn(most=after))
        with pytest.raises(KeyboardInterrupt):
            update([music], store, embedder=embedder, beam_options=BEAM)
    return sorted(scale_out.folder_of(store).glob("part-*.npz"))


def test_whole_parts_are_not_made_again(
    embedder: Embedder, music: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = music.parent / "store"
    parts = interrupt(store, music, embedder, monkeypatch, after=2)
    assert len(parts) == 2 and heard == ["0.flac", "1.flac", "2.flac", "3.flac"]
    heard.clear()
    (music / "0.flac").unlink()  # so that other files would share parts
    soundfile.write(music / "2.flac", pulsed_tone(9, seconds=6.0), SAMPLE_RATE)
    update([music], store, embedder=embedder, beam_options=BEAM)
    assert heard == ["2.flac", "3a.mp3", "4.flac", "5.wav"]
    update([music], music.parent / "here", embedder=embedder)
    assert content(store)["skipped"] == content(music.parent / "here")["skipped"]
    assert len(by_path(store)) == 4
    assert by_path(store) == by_path(music.parent / "here")


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_damaged_parts_and_those_of_another_model_are_made_again(
    damage: str, embedder: Embedder, music: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = music.parent / "store"
    parts = interrupt(store, music, embedder, monkeypatch, after=2)
    heard.clear()
    for part in parts:
        if damage == "cut":
            part.write_bytes(part.read_bytes()[:-100])
    limit = {} if damage == "cut" else {"max_seconds": 600}
    update([music], store, embedder=embedder, beam_options=BEAM, **limit)
    assert len(heard) == 7


def test_an_interrupted_import_goes_on(
    embedder: Embedder, music: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = music.parent / "store"
    read, reads = scale_out._read, []

    def interrupted(part: Path, job: scale_out.Job) -> Any:
        reads.append(part)
        if len(reads) == 7:  # each of four parts was looked for once before it was made
            raise KeyboardInterrupt
        return read(part, job)

    with monkeypatch.context() as patch:
        patch.setattr(scale_out, "_read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            update([music], store, embedder=embedder, beam_options=BEAM)
    assert len(content(store)["tracks"]) == 4
    heard.clear()
    report = update([music], store, embedder=embedder, beam_options=BEAM)
    assert (heard, report.unchanged, report.embedded) == ([], 4, 1)
    update([music], music.parent / "here", embedder=embedder)
    assert content(store) == content(music.parent / "here")


def test_workers_must_see_the_folder(
    embedder: Embedder, music: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines, "for_each", lambda *_: None)
    with pytest.raises(ValueError, match=r"\.npz: missing; every worker must see .*\.store\.parts"):
        update([music], music.parent / "store", embedder=embedder, beam_options=BEAM)


@pytest.mark.slow
def test_beam_itself(embedder: Embedder, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_out, "PART_FILES", 2)
    options = [*BEAM, "--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    model = model_file(music.parent / "model.npz")
    for name, how in (("here", []), ("elsewhere", [f"--beam_options={','.join(options)}"])):
        embed.main([f"--store={music.parent / name}", f"--model={model}", *how, str(music)])
    assert content(music.parent / "elsewhere") == content(music.parent / "here")
