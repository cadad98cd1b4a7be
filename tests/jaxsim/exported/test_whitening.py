"""Whitened models use all directions of their sub-spaces, in JAX and in NumPy alike."""

import functools

import jax
import numpy as np
import pytest

from input_pipeline.datasets import dataset
from input_pipeline.datasets.batches import track_segments
from input_pipeline.hearing.features import FeatureConfig
from jaxsim import export
from jaxsim.exported import model_format, numpy_model, whitening
from jaxsim.library.intake.embedding import Embedder
from jaxsim.network import subspaces
from jaxsim.training import train_step
from jaxsim.training.saving.checkpoints import restore_for_inference
from jaxsim.training.saving.starting import read


def vectors(count: int = 500) -> np.ndarray:
    """Two sub-spaces of four columns, which vary in few directions."""
    random = np.random.default_rng(2)
    mixed = random.normal(size=(count, 8)) * np.array([9, 1, 0.1, 0.01, 3, 3, 1, 1])
    rotation, _ = np.linalg.qr(random.normal(size=(4, 4)))
    return (mixed.reshape(count, 2, 4) @ rotation).reshape(count, 8) + random.normal(size=8)


@pytest.mark.parametrize("strength", [1e-6, 0.1])
def test_components_are_divided_by_their_deviation(strength: float) -> None:
    embeddings = vectors()
    arrays = whitening.fit(embeddings, [strength, strength])
    for number in range(2):
        own = embeddings[:, 4 * number : 4 * number + 4]
        found = own @ arrays["whitening/kernel"][number]
        found = found + arrays["whitening/bias"][4 * number : 4 * number + 4]
        variance = np.linalg.eigvalsh(np.cov(own.T, bias=True))[::-1]
        deviation = np.sqrt(variance)
        shares = (deviation / (deviation + strength * deviation.max())) ** 2
        shares *= variance.sum() / shares.sum()
        expected = np.diag(shares)
        np.testing.assert_allclose(np.cov(found.T, bias=True), expected, rtol=1e-4, atol=0.03)
        np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-2)


def test_a_large_strength_changes_nothing_but_the_mean_and_the_axes() -> None:
    kernels = whitening.fit(vectors(), [1e9, 1e9])["whitening/kernel"]
    products = kernels @ kernels.swapaxes(1, 2)
    np.testing.assert_allclose(products, np.tile(np.eye(4), (2, 1, 1)), atol=1e-6)


def test_a_sub_space_without_a_strength_stays_as_it_is() -> None:
    embeddings = vectors()
    arrays, both = (whitening.fit(embeddings, each) for each in ([None, 0.1], [0.1, 0.1]))
    np.testing.assert_array_equal(arrays["whitening/kernel"][0], np.eye(4))
    np.testing.assert_array_equal(arrays["whitening/bias"][:4], 0)
    np.testing.assert_array_equal(arrays["whitening/kernel"][1], both["whitening/kernel"][1])
    np.testing.assert_array_equal(arrays["whitening/bias"][4:], both["whitening/bias"][4:])


@pytest.mark.parametrize(
    ("embeddings", "strength", "message"),
    [
        (vectors(1), 0.1, r"has 1 tracks and the strengths \(0\.1, 0\.1\), expected at least 2"),
        (vectors(9), 0.0, r"the strengths \(0\.0, 0\.0\), expected"),
        (np.ones((9, 8)), 0.1, "whitening: sub-space 0 is the same for all tracks"),
    ],
)
def test_what_cannot_be_whitened(embeddings, strength, message) -> None:
    with pytest.raises(ValueError, match=message):
        whitening.fit(embeddings, [strength, strength])


def test_the_command_whitens_over_the_training_tracks(finished, prepared_directory, tmp_path):
    path = tmp_path / "white.npz"
    export.main([f"--checkpoint={finished}", f"--out={path}", "--whiten=0.05"])
    restored = restore_for_inference(finished)
    state = train_step.State(0, restored.params, restored.batch_stats, ())
    embed = jax.jit(functools.partial(train_step.embed, restored.config))
    data = dataset.open(prepared_directory, "train", FeatureConfig())
    (batch,) = track_segments(data, batch_size=8)  # four tracks of two segments
    track = batch.pop("track")
    segments = np.asarray(embed(state, batch), np.float64)
    means = np.stack([segments[track == number].mean(axis=0) for number in range(4)])
    arrays = whitening.fit(means, [0.05, 0.05])
    by_hand = np.concatenate(
        [
            part @ kernel
            for part, kernel in zip(
                np.split(means, 2, axis=1), arrays["whitening/kernel"], strict=True
            )
        ],
        axis=1,
    )
    expected = by_hand + arrays["whitening/bias"]
    model = numpy_model.load(path)
    found = model.embed(batch["mel"], batch["cens"], batch["onset"])
    for number in range(4):
        mean = found[track == number].mean(axis=0)
        np.testing.assert_allclose(mean, expected[number], rtol=2e-3, atol=2e-3)
    units = [
        vector for _, vector in Embedder(path).stream((i, data.stored(i)) for i in range(len(data)))
    ]
    np.testing.assert_allclose(units, subspaces.normalised(expected, 2), atol=5e-3)
    assert model_format.read(path)[0]["format_version"] == 3
    assert model.plan.whitened == 2
    assert not {"whitening"} & read(path).params.keys(), "a training starts before it"


def test_the_command_whitens_the_dimensions_that_it_names(finished, tmp_path):
    whole, some = tmp_path / "whole.npz", tmp_path / "some.npz"
    export.main([f"--checkpoint={finished}", f"--out={whole}", "--whiten=0.05"])
    export.main([f"--checkpoint={finished}", f"--out={some}", "--whiten=mood=0.05"])
    kernels, found = (numpy_model.load(path).arrays["whitening/kernel"] for path in (whole, some))
    number = numpy_model.load(some).dimensions.index("mood")
    np.testing.assert_array_equal(found[number], kernels[number])
    np.testing.assert_array_equal(found[1 - number], np.eye(found.shape[1]))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--whiten=keys=0.1", "--whiten: 'keys', expected some of "),
        ("--whiten=genre=0", "'0', expected a number of at least 1e-06"),
        ("--whiten=genre=", "'', expected a number"),
        ("--whiten=much", "'much', expected a number"),
    ],
)
def test_strengths_that_cannot_be_used(finished, tmp_path, capsys, option, message):
    path = tmp_path / "white.npz"
    with pytest.raises(SystemExit) as ended:
        export.main([f"--checkpoint={finished}", f"--out={path}", option])
    assert message in f"{ended.value}\n{capsys.readouterr().err}"
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--readings=data", "--whiten=0.1"], "--whiten: needs --checkpoint"),
        ([], "--model: needs --readings"),
    ],
)
def test_an_exported_model_gets_readings_and_nothing_else(tmp_path, options, message):
    path = tmp_path / "white.npz"
    with pytest.raises(SystemExit, match=message):
        export.main([f"--model={numpy_model.SHIPPED}", f"--out={path}", *options])
    assert not path.exists()


def test_a_wrong_number_of_sub_spaces_is_refused(finished, tmp_path):
    path = tmp_path / "white.npz"
    export.main([f"--checkpoint={finished}", f"--out={path}", "--whiten=0.05"])
    metadata, arrays = model_format.read(path)
    metadata["model"]["whitened"] = 4
    with pytest.raises(ValueError, match=r"model\.whitened is 4, expected 0 or 2"):
        model_format.check(metadata, arrays, path)
