"""Checkpoint, export and NumPy give the same embedding; batches across files change nothing."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from input_pipeline.hearing import audio as audio_files
from input_pipeline.hearing import features
from jaxsim.exported import numpy_model
from jaxsim.library.intake.embedding import Embedder
from jaxsim.training.saving.exporting import export_checkpoint
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone
from tests.helpers.models import metadata_of, model_file, parts, write


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return Embedder(model_file(tmp_path_factory.mktemp("model") / "model.npz"), batch_size=4)


def oracle(model: numpy_model.Model, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Float64 [E] from NumPy's network, sub-spaces at length 1."""
    embedding = model.embed_track(arrays["mel"], arrays["cens"], arrays["onset"])
    parts = embedding.astype(np.float64).reshape(len(model.dimensions), -1)
    return (parts / np.sqrt((parts**2).sum(axis=1, keepdims=True))).reshape(-1)


def random_track(seed: int, frames: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "mel": random.random((frames, 128)).astype(np.float16),
        "cens": random.random((frames, 12)).astype(np.float16),
        "onset": random.gamma(0.5, 1.0, frames).astype(np.float32),
    }


def test_equals_numpy_whatever_shares_a_batch(embedder: Embedder) -> None:
    lengths = [129, 700, 130, 129 * 9, 258, 129]  # 1, 5, 1, 9, 2 and 1 segments in batches of 4
    tracks = [(f"track {i}", random_track(i, length)) for i, length in enumerate(lengths)]
    embedded = list(embedder.stream(tracks))
    assert [name for name, _ in embedded] == [name for name, _ in tracks]
    for (_, vector), (_, arrays) in zip(embedded, tracks, strict=True):
        assert vector.shape == (6,) and vector.dtype == np.float32
        np.testing.assert_allclose(vector, oracle(embedder.model, arrays), atol=1e-4)
    assert list(embedder.stream([])) == []


def test_tracks_come_as_soon_as_they_are_embedded(embedder: Embedder) -> None:
    taken = []

    def tracks():
        for number in range(9):
            taken.append(number)
            yield number, random_track(number, 129)

    stream = embedder.stream(tracks())
    assert next(stream)[0] == 0 and taken == [0, 1, 2, 3]


def test_a_file_and_its_samples(embedder: Embedder, track_rows) -> None:
    folder, rows = track_rows
    path = folder / rows[2]["path"]
    samples = audio_files.load_audio(path, SAMPLE_RATE)
    expected = oracle(embedder.model, features.extract(samples, features.FeatureConfig()))
    for audio in (path, str(path), samples):
        np.testing.assert_allclose(embedder(audio), expected, atol=1e-4)
    with pytest.raises(audio_files.UnusableTrack, match="too short"):
        embedder(pulsed_tone(0, seconds=1))
    with pytest.raises(audio_files.UnusableTrack, match="too long: more than 5 s"):
        embedder(path, max_seconds=5)
    with pytest.raises(audio_files.UnusableTrack, match="no such file"):
        embedder(folder / "nowhere.wav")


def test_a_checkpoint_is_its_export(finished: Path, tmp_path: Path) -> None:
    export_checkpoint(finished, tmp_path / "model.npz")
    of_run, of_file = Embedder(finished), Embedder(tmp_path / "model.npz")
    assert of_run.digest == of_file.digest
    assert of_run.description() == of_file.description()
    audio = pulsed_tone(1, seconds=7)
    arrays = features.extract(audio, of_run.feature_config)
    np.testing.assert_array_equal(of_run(audio), of_file(audio))
    np.testing.assert_allclose(of_run(audio), oracle(of_file.model, arrays), atol=1e-4)


def test_the_digest_is_of_what_decides_an_embedding(embedder: Embedder, tmp_path: Path) -> None:
    metadata, arrays = parts()
    config = dataclasses.asdict(features.FeatureConfig())
    same = metadata | {"feature_config": config, "jaxsim_version": "1", "tag_names": {}}
    assert Embedder(write(tmp_path / "same.npz", same, arrays)).digest == embedder.digest
    other = dict(arrays, **{"mel_stem/bias": arrays["mel_stem/bias"] + np.float32(1e-6)})
    wider = dict(same, standardise=metadata["standardise"] | {"mel": [0.2, 0.26]})
    for name, changed in (("a", (same, other)), ("b", (wider, arrays))):
        assert Embedder(write(tmp_path / f"{name}.npz", *changed)).digest != embedder.digest


def test_refuses(tmp_path: Path) -> None:
    metadata = metadata_of(["mel", "tempogram", "cens"])
    metadata["feature_version"] = features.FEATURE_VERSION + 1
    path = write(tmp_path / "new.npz", metadata, parts()[1])
    with pytest.raises(ValueError, match="feature_version is 2, expected 1"):
        Embedder(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="has no checkpoint"):
        Embedder(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        Embedder(tmp_path / "nowhere.npz")
