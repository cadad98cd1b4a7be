"""The input images: standardised features, frequency or lag by time."""

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxsim.network.inputs import images


def batch(size: int = 2) -> dict[str, jax.Array]:
    random = np.random.default_rng(0)
    return {
        "mel": jnp.float16(random.random((size, 129, 128))),
        "cens": jnp.float16(random.random((size, 129, 12))),
        "onset": jnp.float32(random.gamma(0.5, 1.0, (size, 129 + 383))),
    }


def test_images_are_transposed_and_standardised(config: ConfigDict) -> None:
    config.model.inputs = ("mel", "tempogram", "cens")
    config.features.standardise = ConfigDict(
        dict(mel=(0.2, 0.25), tempogram=(0.5, 2.0), cens=(0.3, 0.1))
    )
    features = batch()
    found = {name: np.asarray(image) for name, image in images(features, config).items()}
    assert {name: image.shape for name, image in found.items()} == {
        "mel": (2, 128, 129, 1),
        "tempogram": (2, 384, 129, 1),
        "cens": (2, 16, 129, 1),
    }
    assert {image.dtype for image in found.values()} == {np.dtype(np.float32)}
    mel = (np.asarray(features["mel"], np.float64) - 0.2) / 0.25
    np.testing.assert_allclose(found["mel"][..., 0], mel.transpose(0, 2, 1), atol=1e-5)
    cens = (np.asarray(features["cens"], np.float64) - 0.3) / 0.1
    np.testing.assert_allclose(found["cens"][:, :12, :, 0], cens.transpose(0, 2, 1), atol=1e-5)
    assert not found["cens"][:, 12:].any(), "the padding is zero after the standardisation"


def test_the_tempogram_image_is_librosas(config: ConfigDict) -> None:
    config.model.inputs = ("tempogram",)
    config.features.standardise.tempogram = (0.5, 2.0)
    features = batch()
    found = np.asarray(images(features, config)["tempogram"])
    for example, onset in enumerate(np.asarray(features["onset"])):
        # Frames that lie a window from the edges of an uncropped envelope see no padding.
        whole = librosa.feature.tempogram(onset_envelope=onset, win_length=384)
        expected = (whole[:, 192 : 192 + 129] - 0.5) / 2.0
        np.testing.assert_allclose(found[example, ..., 0], expected, atol=1e-4)


@pytest.mark.parametrize("inputs", [("mel",), ("cens", "mel")])
def test_only_the_configured_inputs_are_made(inputs, config: ConfigDict) -> None:
    config.model.inputs = inputs
    assert tuple(images(batch(), config)) == inputs
