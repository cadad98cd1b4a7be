"""A library whose longer tracks are heard in excerpts: the store says so and stays so."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import soundfile

from input_pipeline.hearing import excerpts
from input_pipeline.hearing.segments import ARRAYS, segments
from jaxsim import embed, search
from jaxsim.exported import numpy_model
from jaxsim.library import commands, store
from jaxsim.library.intake.embedding import Embedder
from jaxsim.library.service.uploads import UploadEmbedder
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone
from tests.helpers.models import model_file

SECONDS = 9


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_file(tmp_path_factory.mktemp("model") / "model.npz")


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    long = np.concatenate([pulsed_tone(i, seconds=8) for i in (1, 5, 8, 11)])
    soundfile.write(folder / "short.wav", pulsed_tone(0, seconds=8), SAMPLE_RATE)
    soundfile.write(folder / "long.wav", long, SAMPLE_RATE)
    return folder


@pytest.fixture(scope="module")
def library(model: Path, music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("library") / "store"
    embed.main([f"--store={path}", f"--model={model}", f"--seconds={SECONDS}", str(music)])
    return path


def vectors(path: Path) -> dict[str, np.ndarray]:
    with store.open(path) as library:
        return {library.path_of(row).stem: np.array(library.vectors[row]) for row in library.rows}


def test_long_tracks_are_heard_in_excerpts_and_short_ones_whole(
    model: Path, music: Path, library: Path, tmp_path: Path
) -> None:
    embed.main([f"--store={tmp_path / 'whole'}", f"--model={model}", str(music)])
    whole, found = vectors(tmp_path / "whole"), vectors(library)
    np.testing.assert_array_equal(found["short"], whole["short"])
    assert np.abs(found["long"] - whole["long"]).max() > 0.001
    assert "seconds" not in store.read_description(tmp_path / "whole")
    assert store.read_description(library)["seconds"] == SECONDS
    # The oracle: NumPy's network, segment by segment.
    of_model, embedder = numpy_model.load(model), Embedder(model)
    samples, _ = soundfile.read(music / "long.wav", dtype="float32")
    arrays = excerpts.extract(samples, embedder.feature_config, SECONDS)
    each = [of_model.embed(*(arrays[name][[i]] for name in ARRAYS)) for i in range(3)]
    mean = np.mean(each, axis=0).reshape(3, -1).astype(np.float64)
    expected = (mean / np.linalg.norm(mean, axis=1, keepdims=True)).ravel()
    np.testing.assert_allclose(found["long"], expected, atol=1e-3)


def test_later_tracks_and_queries_are_heard_in_the_same_way(
    music: Path, library: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.wav"
    other.write_bytes((music / "long.wav").read_bytes())
    with store.open(library) as opened:
        as_query = commands.resolve(opened, str(other))
        uploads = UploadEmbedder(opened)
        try:
            uploaded, seconds = uploads(other)
        finally:
            uploads.close()
    expected = vectors(library)["long"]
    assert seconds == 32
    for vector in (as_query.vector, uploaded.vector):
        np.testing.assert_allclose(vector, expected, atol=1e-3)
    before = soundfile.read(other, dtype="float32")[0]
    soundfile.write(tmp_path / "softer.wav", before / 2, SAMPLE_RATE)  # the model does not mind
    embed.main([f"--store={library}", str(tmp_path / "softer.wav")])
    assert np.abs(vectors(library)["softer"] - Embedder(library / store.MODEL)(other)).max() > 0.001


def test_another_setting_is_refused(library: Path, music: Path, tmp_path: Path) -> None:
    embed.main([f"--store={library}", "--seconds=9", str(music)])
    expected = (
        rf"^error: {library}: was embedded from 9 s of a track, found --seconds for "
        r"(whole tracks|12 s of a track): leave it out"
    )
    for seconds in (0, 12):
        with pytest.raises(SystemExit, match=expected):
            embed.main([f"--store={library}", f"--seconds={seconds}", str(music)])
    with pytest.raises(SystemExit, match=r"--seconds is 2, expected at least 3 s \(a segment\)"):
        embed.main([f"--store={tmp_path / 'new'}", "--seconds=2", str(music)])


def test_it_is_said_what_was_heard(library: Path, capsys: pytest.CaptureFixture) -> None:
    search.main(["describe", str(library), "long"])
    assert "  heard in excerpts: 9 of 32 s" in capsys.readouterr().out.splitlines()
    search.main(["describe", str(library), "short"])
    assert "excerpts" not in capsys.readouterr().out


def test_the_default_is_what_the_store_has(library: Path, tmp_path: Path) -> None:
    for given, folder, expected in [
        (None, library, SECONDS),
        (None, tmp_path, None),
        (0.0, library, None),
        (5.0, tmp_path, 5),
    ]:
        options = argparse.Namespace(store=str(folder), seconds=given)
        assert embed._seconds(options) == expected


def test_segments_and_whole_tracks_in_one_stream(model: Path) -> None:
    embedder = Embedder(model, batch_size=4)
    arrays = excerpts.extract(pulsed_tone(2, seconds=16), embedder.feature_config, None)
    cut = segments(arrays, embedder.feature_config)
    (_, whole), (_, found) = embedder.stream([(0, arrays), (1, cut)])
    np.testing.assert_allclose(found, whole, atol=1e-6)
