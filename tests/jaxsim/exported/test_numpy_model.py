"""The exported network in NumPy: its file's checks, its parts, and life without JAX.

That it equals the trained network is in test_export.py; here nothing needs JAX.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import scipy.signal

from input_pipeline.hearing.features import FEATURE_VERSION
from input_pipeline.tracks import DIMENSIONS
from jaxsim.exported import numpy_model
from tests.helpers import programs
from tests.helpers.models import Parts, parts, write


def features(segments: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {
        "mel": random.random((segments, 129, 128)),
        "cens": random.random((segments, 129, 12)),
        "onset_padded": random.gamma(0.5, 1.0, (segments, 129 + 383)),
    }


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("model") / "model.npz", *parts())


@pytest.fixture(scope="module")
def model(path: Path) -> numpy_model.Model:
    return numpy_model.load(path)


def test_says_what_it_is(model: numpy_model.Model) -> None:
    assert model.dimensions == ("genre", "tempo", "key")
    assert model.subspaces == {"genre": slice(0, 2), "tempo": slice(2, 4), "key": slice(4, 6)}
    assert model.tag_names == {"genre": ("jazz", "rock")}
    assert model.config["inputs"] == ["mel", "tempogram", "cens"]
    assert (model.embedding_size, model.feature_version) == (6, 1)
    assert model.feature_config["segment_frames"] == 129


def test_a_segment_does_not_depend_on_its_company(model: numpy_model.Model) -> None:
    batch = features(numpy_model.SEGMENTS_AT_A_TIME + 1)  # more than are computed at a time
    together = model.embed(**batch)
    assert together.shape == (numpy_model.SEGMENTS_AT_A_TIME + 1, 6)
    assert together.dtype == np.float32
    alone = [model.embed(**{k: v[[i]] for k, v in batch.items()})[0] for i in (0, 8)]
    np.testing.assert_allclose(together[[0, 8]], alone, atol=1e-5)
    assert np.abs(together[0] - together[8]).max() > 1e-3, "the segments must differ"
    assert model.embed(**{k: v[:0] for k, v in batch.items()}).shape == (0, 6)


@pytest.mark.parametrize("frames", [129, 257, 400])
def test_a_track_is_the_mean_of_its_whole_segments(model: numpy_model.Model, frames: int) -> None:
    random = np.random.default_rng(frames)
    mel, cens = random.random((frames, 128)), random.random((frames, 12))
    onset = random.gamma(0.5, 1.0, frames)
    ramp = onset[0] * np.arange(192) / 192, onset[-1] * np.arange(191, -1, -1) / 192
    padded = np.concatenate([ramp[0], onset, ramp[1]])
    starts = range(0, frames - 128, 129)
    assert len(starts) == frames // 129
    segments = [
        model.embed(
            mel[None, s : s + 129], cens[None, s : s + 129], padded[None, s : s + 129 + 383]
        )
        for s in starts
    ]
    expected = np.mean(segments, axis=0)[0]
    np.testing.assert_allclose(model.embed_track(mel, cens, onset), expected, atol=1e-5)


def test_features_that_no_input_reads_may_be_absent(tmp_path: Path) -> None:
    batch = features(2)
    single = numpy_model.load(write(tmp_path / "single.npz", *parts(("mel",))))
    expected = single.embed(**batch)
    np.testing.assert_array_equal(single.embed(batch["mel"], None, None), expected)
    track = single.embed_track(batch["mel"][0], None, None)
    np.testing.assert_allclose(track, expected[0], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(mel=np.zeros((2, 128, 128))), "mel has shape (2, 128, 128), expected (B, 129, 128)"),
        (dict(mel=np.zeros((129, 128))), "mel has shape (129, 128), expected (B, 129, 128)"),
        (dict(cens=None), "cens has shape (), expected (B, 129, 12)"),
        (
            dict(onset_padded=np.zeros((2, 129))),
            "onset_padded has shape (2, 129), expected (B, 512)",
        ),
        (dict(cens=np.full((2, 129, 12), np.nan)), "cens has values that are not finite"),
        (
            dict(cens=np.zeros((3, 129, 12))),
            "the inputs have different numbers of segments: {'mel': 2, 'tempogram': 2, 'cens': 3}",
        ),
    ],
)
def test_refuses_segments(model: numpy_model.Model, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        model.embed(**(features(2) | change))
    assert str(error.value) == message


def test_refuses_tracks(model: numpy_model.Model) -> None:
    with pytest.raises(ValueError, match="has 128 frames, expected at least 129"):
        model.embed_track(np.zeros((128, 128)), np.zeros((128, 12)), np.zeros(128))
    with pytest.raises(ValueError, match=r"same length, found \{'mel': 129, 'cens': 130"):
        model.embed_track(np.zeros((129, 128)), np.zeros((130, 12)), np.zeros(129))


def test_tempogram_is_librosas() -> None:
    onset = np.random.default_rng(0).gamma(0.5, 1.0, 700).astype(np.float32)
    expected = librosa.feature.tempogram(onset_envelope=onset, win_length=384)
    padded = np.pad(onset, 192, mode="linear_ramp", end_values=0)
    found = numpy_model.tempogram(padded[None, : 700 + 383], 384)
    np.testing.assert_allclose(found[0].T, expected, atol=1e-5)
    assert not numpy_model.tempogram(np.zeros((1, 400)), 384).any()


@pytest.mark.parametrize("size", [(7, 9), (8, 6)])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (1, 2), (3, 1)])
def test_convolution_is_correlation(
    size: tuple[int, int], kernel_size: int, strides: tuple[int, int]
) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(2, *size, 3))
    kernel, bias = random.normal(size=(kernel_size, kernel_size, 3, 4)), random.normal(size=4)
    # SAME: ceil(size / stride) outputs, the odd element of the padding at the end.
    total = [
        max((-(-n // s) - 1) * s + kernel_size - n, 0) for n, s in zip(size, strides, strict=True)
    ]
    padded = np.pad(x, [(0, 0), *((n // 2, n - n // 2) for n in total), (0, 0)])
    dense = np.zeros((2, *(n - kernel_size + 1 for n in padded.shape[1:3]), 4))
    for b, i, o in np.ndindex(2, 3, 4):
        dense[b, :, :, o] += scipy.signal.correlate2d(padded[b, ..., i], kernel[..., i, o], "valid")
    expected = np.maximum(dense[:, :: strides[0], :: strides[1]] + bias, 0)
    found = numpy_model.convolve_relu(x, kernel, bias, strides)
    assert found.shape[1:3] == tuple(-(-n // s) for n, s in zip(size, strides, strict=True))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_average_pool_does_not_count_the_padding() -> None:
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    expected = np.empty_like(x)
    for i, j in np.ndindex(4, 5):
        window = x[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
        expected[:, i, j] = window.mean(axis=(1, 2))
    np.testing.assert_allclose(numpy_model.average_pool(x, (3, 3)), expected, atol=1e-12)


def change_metadata(field: str, value: Any) -> Callable[[Parts], None]:
    def change(contents: Parts) -> None:
        *parents, last = field.split(".")
        place = contents[0]
        for parent in parents:
            place = place[parent]
        place[last] = value

    return change


def change_array(name: str, function: Callable[[np.ndarray], Any]) -> Callable[[Parts], None]:
    def change(contents: Parts) -> None:
        contents[1][name] = function(contents[1][name])

    return change


def with_nan(array: np.ndarray) -> np.ndarray:
    return np.where(np.arange(array.size).reshape(array.shape) == 1, np.nan, array).astype("f")


REFUSALS = [
    (change_metadata("format", "other"), "not a jaxsim export (format is not 'jaxsim-model')"),
    (
        change_metadata("format_version", 1),
        "format_version is 1, expected 2 or 3 or 4 or 5; export the model again, "
        "or install the jaxsim that wrote it",
    ),
    (change_metadata("dimensions", "genre"), "dimensions is 'genre', expected list"),
    (change_metadata("dimensions", []), "dimensions is [], expected at least one name"),
    (change_metadata("tag_names", {"genre": [1]}), "tag_names.genre is [1], expected names"),
    (change_metadata("feature_version", None), "feature_version is None, expected int"),
    (
        change_metadata("feature_config.n_chroma", 17),
        "feature_config.n_chroma is 17, expected 1 to 16",
    ),
    (
        change_metadata("feature_config.n_mels", 64),
        "feature_config is {'mel': (8, 16), 'tempogram': (16, 16), 'cens': (16, 16)}, "
        "expected maps of equal size at the end of the inputs' blocks",
    ),
    (
        change_metadata("model.inputs", ["mel", "audio"]),
        "model.inputs is ['mel', 'audio'], expected some of ['mel', 'tempogram', 'cens']",
    ),
    *(
        (
            change_metadata("model.statistics", value),
            f"model.statistics is {value!r}, expected some of ['mel', 'tempogram', 'cens'], each "
            "at most once",
        )
        for value in (["cens", "cens"], ["cens", "audio"], "cens")
    ),
    (
        change_metadata("model.embedding_size", 7),
        "model.embedding_size is 7, expected a positive multiple of 3 (the number of dimensions)",
    ),
    (
        change_metadata("model.branch_blocks", 0),
        "model.branch_blocks is 0, expected a number from 1 to 100",
    ),
    (change_metadata("model.blocks", 2), "model.blocks is 2, expected a number from 3 to 100"),
    (change_metadata("model.width", "wide"), "model.width is 'wide', expected int or float"),
    (change_metadata("model.width", 0), "model.width is 0, expected a positive number"),
    (
        change_metadata("model.embedding_norm", "unit"),
        "model.embedding_norm is 'unit', expected one of ('layer', 'none')",
    ),
    (
        change_metadata("standardise.cens", [0.0, 0.0]),
        "standardise.cens is [0.0, 0.0], expected a mean and a positive deviation",
    ),
    (
        lambda contents: contents[1].pop("mel_stem/bias"),
        "lacks arrays: 1, first 'mel_stem/bias'",
    ),
    (
        change_metadata("model.embedding_norm", "none"),
        "has extra arrays: 2, first 'embedding_norm/bias'",
    ),
    (
        change_array("embedding/kernel", lambda array: array.T),
        "embedding/kernel has shape (6, 13), expected (13, 6)",
    ),
    (change_array("mel_stem/bias", with_nan), "mel_stem/bias has values that are not finite"),
    (
        change_array("mel_stem/bias", np.float64),
        "mel_stem/bias is float64, expected float32 or float16",
    ),
    (
        change_array("mel_stem/bias", lambda array: array.astype(object)),
        "mel_stem/bias cannot be read (Object arrays cannot be loaded when allow_pickle=False)",
    ),
]


@pytest.mark.parametrize(("change", "message"), REFUSALS, ids=[text for _, text in REFUSALS])
def test_refuses_a_file(tmp_path: Path, change: Callable[[Parts], None], message: str) -> None:
    contents = parts()
    numpy_model.load(write(tmp_path / "right.npz", *contents))
    change(contents)
    wrong = write(tmp_path / "wrong.npz", *contents)
    with pytest.raises(ValueError) as error:
        numpy_model.load(wrong)
    assert str(error.value) == f"{wrong}: {message}"


def test_refuses_what_is_no_export(tmp_path: Path, path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no model")
    (tmp_path / "truncated.npz").write_bytes(path.read_bytes()[:-100])
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 6
    for file in files:
        with pytest.raises(ValueError) as error:
            numpy_model.load(file)
        assert str(error.value).startswith(f"{file}: not a jaxsim export (")
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"missing\.npz"):
        numpy_model.load(tmp_path / "missing.npz")


def test_refuses_damage(tmp_path: Path, path: Path) -> None:
    data = bytearray(path.read_bytes())
    kernel = numpy_model.load(path).arrays["block_3/naive/deep_1/kernel"].tobytes()
    data[data.index(kernel) + len(kernel) // 2] ^= 1
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(data)
    with pytest.raises(ValueError, match=r"damaged\.npz: block_3/naive/deep_1/kernel cannot be"):
        numpy_model.load(damaged)


def test_refuses_metadata_that_is_no_json(tmp_path: Path) -> None:
    np.savez(tmp_path / "wrong.npz", metadata=np.frombuffer(b"{", np.uint8))
    with pytest.raises(ValueError, match=r"wrong\.npz: metadata is not JSON"):
        numpy_model.load(tmp_path / "wrong.npz")


def test_needs_numpy_only(path: Path, model: numpy_model.Model) -> None:
    done = subprocess.run(
        programs.command("embed_without_jax", path),
        env=programs.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    embeddings, others = map(json.loads, done.stdout.splitlines())
    np.testing.assert_allclose(embeddings, model.embed(**features(2)), atol=1e-5)
    assert others == []


# What the shipped models say of the random track below: the first, middle and last number of every
# sub-space, and the sub-spaces' lengths. Printed by this test's own lines when that model was
# trained; print them again when another model is shipped, and only then.
SCORES_VALUES = [
    [0.49705, -0.99294, -0.43222],
    [-1.42523, 0.39255, -1.87308],
    [-0.47852, -0.65889, 1.48705],
    [-1.43729, 1.33414, 0.98722],
    [-0.17762, -0.25241, 0.02874],
    [0.33606, 0.18215, -0.17524],
]
SCORES_LENGTHS = [3.00361, 10.62406, 9.61051, 8.57173, 4.65389, 2.22465]
MUSIC_VALUES = [
    [0.31516, 1.78972, -1.13593],
    [2.0279, 0.06853, -0.09177],
    [2.10778, -1.83588, 1.41789],
    [-1.77896, 1.12179, -0.24165],
    [0.76524, -0.07668, -0.00265],
    [-3.74925, -0.02441, 0.00027],
]
MUSIC_LENGTHS = [7.62196, 9.073, 11.59155, 8.58083, 4.19861, 6.56055]


@pytest.mark.parametrize(
    ("path", "values", "expected_lengths", "features"),
    [
        (numpy_model.SHIPPED, MUSIC_VALUES, MUSIC_LENGTHS, ("track", "left_out")),
        (numpy_model.SCORES, SCORES_VALUES, SCORES_LENGTHS, (None, None)),
    ],
)
def test_the_models_that_come_with_jaxsim(path, values, expected_lengths, features):
    model = numpy_model.load(path)
    chosen = model.feature_config
    assert (chosen.get("loudness"), chosen.get("silence")) == features
    assert model.dimensions == DIMENSIONS
    assert model.feature_version == FEATURE_VERSION
    assert path.stat().st_size < 5e6
    random = np.random.default_rng(0)
    mel, cens, onset = random.random((129, 128)), random.random((129, 12)), random.random(129)
    found = model.embed_track(mel, cens, onset).reshape(6, 64)
    np.testing.assert_allclose(found[:, [0, 31, 63]], values, rtol=0, atol=1e-4)
    lengths = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(lengths, expected_lengths, rtol=0, atol=1e-3)
    cosines = (found @ found.T) / np.outer(lengths, lengths)
    assert np.abs(cosines - np.eye(6)).max() < 0.5, "every sub-space says something of its own"
