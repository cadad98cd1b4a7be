"""The exported network equals the trained one, and its file is whole, plain and reproducible."""

import dataclasses
import functools
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from input_pipeline.datasets import dataset
from input_pipeline.datasets.batches import track_segments
from input_pipeline.hearing.features import FeatureConfig
from jaxsim import export
from jaxsim.exported import model_format, model_writing, numpy_model
from jaxsim.library.intake import onnx_network
from jaxsim.network import inception
from jaxsim.network.inputs import images
from jaxsim.training import train_step
from jaxsim.training.saving.checkpoints import Checkpoints
from jaxsim.training.schedule import Plateau

FEATURES = dataclasses.asdict(FeatureConfig())
TAGS = {"genre": ("jazz", "rock"), "mood": ()}


def random_features(segments: int) -> dict[str, np.ndarray]:
    """Loud noise, quiet noise, and a last segment without any onset."""
    random = np.random.default_rng(1)
    loudness = np.geomspace(1, 0.1, segments, dtype=np.float32)[:, None]
    onset = loudness * random.gamma(0.5, 1.0, (segments, 129 + 383)).astype(np.float32)
    onset[-1] = 0
    return {
        "mel": np.float16(loudness[..., None] * random.random((segments, 129, 128))),
        "cens": np.float16(random.random((segments, 129, 12))),
        "onset": onset,
    }


def narrow(
    config: ConfigDict,
    *,
    inputs: tuple[str, ...],
    norm: str,
    embedding_norm: str,
    branch_norm: str = "none",
) -> None:
    config.model.update(
        inputs=inputs,
        norm=norm,
        branch_norm=branch_norm,
        embedding_norm=embedding_norm,
        width=0.0625,
        trunk_width=1.5,
        embedding_size=12,
        dtype="float32",
    )
    config.features.standardise.cens = (0.3, 0.2)  # so that its padding is no chroma of zero


def trained_state(config: ConfigDict) -> train_step.State:
    """A state whose parameters and statistics are all random, none at its initial value."""
    random = np.random.default_rng(0)

    def value(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        name = path[-1].key
        if name == "kernel":
            scale = np.sqrt(2 / np.prod(leaf.shape[:-1]))
            return random.normal(0, scale, leaf.shape).astype(np.float32)
        if name in ("scale", "var"):
            sign = random.choice((-1, 1), leaf.shape) if name == "scale" else 1
            return (sign * random.uniform(0.5, 2.0, leaf.shape)).astype(np.float32)
        return random.normal(0, 0.3, leaf.shape).astype(np.float32)  # biases and means

    def variables(batch: dict[str, jax.Array]) -> Any:
        model = train_step.network(config)
        return model.init(jax.random.key(0), images(batch, config), train=False)

    shapes = jax.eval_shape(variables, random_features(1))
    filled = jax.tree_util.tree_map_with_path(value, shapes)
    if config.model.embedding_norm == "layer":  # so small that the norm's epsilon matters
        small = jax.tree.map(lambda x: x / 300, filled["params"]["embedding"])
        filled["params"]["embedding"] = small
    return train_step.State(np.int32(7), filled["params"], filled.get("batch_stats", {}), ())


def write(config: ConfigDict, state: train_step.State, path: Path, dtype: str = "float32") -> None:
    model_writing.write(
        state.params,
        state.batch_stats,
        config,
        tag_names=TAGS,
        feature_config=FEATURES,
        feature_version=3,
        path=path,
        dtype=dtype,
    )


@pytest.fixture
def single(config: ConfigDict) -> tuple[ConfigDict, train_step.State]:
    """A network of one input with all its batch normalisations."""
    narrow(config, inputs=("mel",), norm="batch", embedding_norm="batch_layer")
    return config, trained_state(config)


@pytest.mark.parametrize(
    ("inputs", "norm", "branch_norm", "embedding_norm"),
    [
        (("mel",), "none", "none", "none"),
        (("mel",), "batch", "batch", "layer"),
        (("mel", "tempogram", "cens"), "none", "none", "layer"),
        (("mel", "tempogram", "cens"), "batch", "batch", "batch_layer"),
    ],
)
def test_numpy_equals_jax(
    config: ConfigDict,
    tmp_path: Path,
    prepared_directory: Path,
    inputs: tuple[str, ...],
    norm: str,
    branch_norm: str,
    embedding_norm: str,
) -> None:
    norms = dict(norm=norm, branch_norm=branch_norm, embedding_norm=embedding_norm)
    narrow(config, inputs=inputs, **norms)
    state = trained_state(config)
    write(config, state, tmp_path / "model.npz")
    model = numpy_model.load(tmp_path / "model.npz")
    data = dataset.open(prepared_directory, "train", FeatureConfig())
    (music,) = track_segments(data, batch_size=8)  # four tracks of two segments
    track = music.pop("track")
    embed = jax.jit(functools.partial(train_step.embed, config))
    for batch in (random_features(8), music):
        expected = np.asarray(embed(state, batch))
        found = model.embed(batch["mel"], batch["cens"], batch["onset"])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        assert np.ptp(expected, axis=0).max() > 0.02, "the segments must differ"
    mel, cens, padded = data.read_track(1)
    found = model.embed_track(mel, cens, padded[192 : 192 + len(mel)])
    np.testing.assert_allclose(found, expected[track == 1].mean(axis=0), rtol=0, atol=1e-4)


def test_a_network_of_another_depth(config: ConfigDict, tmp_path: Path) -> None:
    norms = dict(norm="none", branch_norm="batch", embedding_norm="batch_layer")
    narrow(config, inputs=("mel", "tempogram", "cens"), **norms)
    config.model.blocks = 3
    state = trained_state(config)
    write(config, state, tmp_path / "model.npz")
    model = numpy_model.load(tmp_path / "model.npz")
    assert model.config["blocks"] == 3 and "branch_blocks" not in model.config
    batch = random_features(3)
    expected = np.asarray(jax.jit(functools.partial(train_step.embed, config))(state, batch))
    found = model.embed(batch["mel"], batch["cens"], batch["onset"])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    config.model.blocks = 4
    with pytest.raises(ValueError, match=r"lacks arrays: \d+, first 'block_4/"):
        write(config, state, tmp_path / "model.npz")


@pytest.mark.slow
def test_a_cyclic_tempogram_and_a_relu(config: ConfigDict, tmp_path: Path) -> None:
    """Older versions would compute something else from such a file, and must refuse it."""
    norms = dict(norm="none", branch_norm="batch", embedding_norm="batch_layer")
    narrow(config, inputs=("mel", "tempogram", "cens"), **norms)
    batch, versions = random_features(3), {}
    for kind, relu in (("autocorrelation", False), ("cyclic", False), ("autocorrelation", True)):
        config.features.tempogram, config.model.embedding_relu = kind, relu
        state = trained_state(config)
        write(config, state, tmp_path / "model.npz")
        versions[kind, relu] = model_format.read(tmp_path / "model.npz")[0]["format_version"]
        model = numpy_model.load(tmp_path / "model.npz")
        expected = np.asarray(jax.jit(functools.partial(train_step.embed, config))(state, batch))
        assert (expected.min() >= 0) == relu
        found = model.embed(batch["mel"], batch["cens"], batch["onset"])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert [*versions.values()] == [2, 3, 3]


@pytest.mark.parametrize("branch_norm", ["none", "batch"])
def test_statistics_of_the_inputs(config: ConfigDict, branch_norm: str, tmp_path: Path) -> None:
    norms = dict(norm="none", branch_norm=branch_norm, embedding_norm="batch_layer")
    narrow(config, inputs=("mel", "tempogram", "cens"), **norms)
    config.model.statistics = ("cens", "mel")
    state = trained_state(config)
    variance = state.batch_stats["statistics_centre"]["var"]
    variance[:3] = 1e-9, 1e-7, 1e-5  # they reach the limit
    write(config, state, tmp_path / "model.npz")
    assert model_format.read(tmp_path / "model.npz")[0]["format_version"] == 5
    model = numpy_model.load(tmp_path / "model.npz")
    batch = random_features(3)
    expected = np.asarray(jax.jit(functools.partial(train_step.embed, config))(state, batch))
    found = model.embed(batch["mel"], batch["cens"], batch["onset"])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    by_onnx = onnx_network.Network(model)(batch)
    np.testing.assert_allclose(by_onnx, expected, rtol=0, atol=1e-4)
    variance = -state.batch_stats["statistics_centre"]["var"]
    wrong = {"statistics_centre": state.batch_stats["statistics_centre"] | {"var": variance}}
    with pytest.raises(ValueError, match=r"statistics_centre/var has -\d\S+, expected at least 0"):
        write(config, state.replace(batch_stats=state.batch_stats | wrong), tmp_path / "wrong.npz")
    state.params["statistics"]["kernel"] *= 0
    without = np.asarray(jax.jit(functools.partial(train_step.embed, config))(state, batch))
    assert np.abs(without - expected).max() > 0.1, "they must matter"


def test_what_statistics_are() -> None:
    image = np.float32([[[[1], [2], [5], [0]], [[3], [3], [3], [3]]]])
    expected = [[2.0, 3.0, np.sqrt((1 + 0 + 9 + 4) / 4), 0.0, (1 + 3 + 5) / 3, 0.0]]
    np.testing.assert_allclose(numpy_model.statistics(image), expected, rtol=1e-6)
    np.testing.assert_allclose(inception.statistics(jax.numpy.asarray(image)), expected, rtol=1e-6)


def test_half_the_size(single: tuple[ConfigDict, train_step.State], tmp_path: Path) -> None:
    config, state = single
    for dtype in model_format.DTYPES:
        write(config, state, tmp_path / f"{dtype}.npz", dtype)
    whole, half = (numpy_model.load(tmp_path / f"{dtype}.npz") for dtype in model_format.DTYPES)
    sizes = [(tmp_path / f"{dtype}.npz").stat().st_size for dtype in model_format.DTYPES]
    numbers = sum(array.size for array in whole.arrays.values())
    assert sizes[0] - sizes[1] == 2 * numbers, "two bytes instead of four; the headers stay"
    assert sizes[1] < 0.65 * sizes[0], "even of so narrow a network, whose headers are large"
    with np.load(tmp_path / "float16.npz") as file:
        assert file["mel_stem/kernel"].dtype == np.float16
    for name, array in whole.arrays.items():
        assert half.arrays[name].dtype == np.float32
        np.testing.assert_array_equal(half.arrays[name], array.astype(np.float16))
    state.params["mel_stem"]["bias"][0] = 1e9
    with pytest.raises(ValueError, match="mel_stem/bias has values that are not finite"):
        write(config, state, tmp_path / "float16.npz", "float16")


def test_safetensors_hold_the_same(
    single: tuple[ConfigDict, train_step.State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for dtype in model_format.DTYPES:
        for name in ("one.safetensors", "two.safetensors", "expected.npz"):
            write(*single, tmp_path / name, dtype)
        one = tmp_path / "one.safetensors"
        assert one.read_bytes() == (tmp_path / "two.safetensors").read_bytes()
        expected = model_format.read(tmp_path / "expected.npz")
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "safetensors", None)  # NumPy alone reads it
            metadata, arrays = model_format.read(one)
        assert metadata == expected[0]
        assert arrays.keys() == expected[1].keys()
        for name, array in expected[1].items():
            np.testing.assert_array_equal(arrays[name], array, strict=True)
    assert numpy_model.load(one).dimensions == (
        "genre",
        "mood",
        "instrument",
        "era",
        "tempo",
        "key",
    )


def test_safetensors_need_the_package_to_be_written(
    single: tuple[ConfigDict, train_step.State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"this needs `pip install 'jaxsim\[safetensors\]'`"):
        write(*single, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_metadata_says_all_that_a_user_needs(
    single: tuple[ConfigDict, train_step.State], tmp_path: Path
) -> None:
    config, state = single
    write(config, state, tmp_path / "new folder" / "model.npz")
    with np.load(tmp_path / "new folder" / "model.npz", allow_pickle=False) as file:
        metadata = json.loads(file["metadata"].tobytes())
        assert {array.dtype.name for name, array in file.items() if name != "metadata"} == {
            "float32"
        }
        assert not [name for name in file.files if "norm/mean" in name or "/norm/" in name]
    assert metadata.pop("jaxsim_version")
    assert metadata == {
        "format": "jaxsim-model",
        "format_version": 2,
        "dimensions": ["genre", "mood", "instrument", "era", "tempo", "key"],
        "tag_names": {"genre": ["jazz", "rock"], "mood": []},
        "model": {
            "inputs": ["mel"],
            "embedding_size": 12,
            "width": 0.0625,
            "trunk_width": 1.5,
            "trunk_start": "mixed",
            "first_input": {"tempo": "tempogram", "key": "cens"},
            "norm": "batch",
            "branch_norm": "none",
            "embedding_norm": "layer",
            "dtype": "float32",
        },
        "standardise": {"mel": [0.2, 0.25], "tempogram": [0.0, 1.0], "cens": [0.3, 0.2]},
        "feature_config": FEATURES,
        "feature_version": 3,
    }


def test_same_network_same_bytes(
    single: tuple[ConfigDict, train_step.State], tmp_path: Path
) -> None:
    for name in ("one.npz", "two.npz", "two.npz"):  # an older file is replaced
        write(*single, tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert zipfile.ZipFile(tmp_path / "one.npz").testzip() is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.npz", "two.npz"]


def test_leaves_nothing_half_written(
    single: tuple[ConfigDict, train_step.State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.npz"
    path.write_text("the older model")

    def interrupted(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(*single, path)
    assert path.read_text() == "the older model"
    assert list(tmp_path.iterdir()) == [path]


def test_refuses_what_is_not_this_network(
    single: tuple[ConfigDict, train_step.State], tmp_path: Path
) -> None:
    config, state = single
    path = tmp_path / "model.npz"
    stem = state.params["mel_stem"]
    for wrong, message in (
        ({"bias": stem["bias"] * np.nan}, "mel_stem/bias has values that are not finite"),
        ({"kernel": stem["kernel"][:3]}, "mel_stem/kernel has shape (3, 5, 1, 4), expected (5, 5"),
        ({"other": np.zeros(3)}, "has extra arrays: 1, first 'mel_stem/other'"),
    ):
        changed = state.replace(params=state.params | {"mel_stem": stem | wrong})
        with pytest.raises(ValueError) as error:
            write(config, changed, path)
        assert str(error.value).startswith(f"{path}: {message}")
    with pytest.raises(ValueError, match=r"lacks mel_\w+/\S*norm/mean"):
        write(config, state.replace(batch_stats={}), path)
    config.model.norm = "none"
    with pytest.raises(ValueError, match="has extra arrays: 98, first 'mel_block_1/naive/deep_1/n"):
        write(config, state, path)
    config.features.tempogram_window = 256
    with pytest.raises(ValueError, match="tempogram_window is 256, expected 384"):
        write(config, state, path)
    assert not path.exists()


def test_command_exports_a_checkpoint(
    single: tuple[ConfigDict, train_step.State], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, state = single
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    record = {
        "config": config.to_dict(),
        "tag_names": TAGS,
        "feature_config": FEATURES,
        "feature_version": 3,
    }
    checkpoints.save(state, Plateau(), json.loads(json.dumps(record)))
    checkpoints.close()
    export.main([f"--checkpoint={tmp_path / 'run'}", f"--out={tmp_path / 'model.npz'}"])
    assert capsys.readouterr().out == f"model: {tmp_path / 'model.npz'}\n"
    write(config, state, tmp_path / "expected.npz")
    expected = numpy_model.load(tmp_path / "expected.npz")
    found = numpy_model.load(tmp_path / "model.npz")
    assert found.tag_names == expected.tag_names == {"genre": ("jazz", "rock"), "mood": ()}
    assert found.config == expected.config
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)


def test_command_refuses_in_one_line(tmp_path: Path) -> None:
    flags = [f"--checkpoint={tmp_path / 'none'}", f"--out={tmp_path / 'model.npz'}"]
    root = Path(export.__file__).parent.parent
    command = [sys.executable, "-m", "jaxsim.export", *flags]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'none'}: has no checkpoint")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
