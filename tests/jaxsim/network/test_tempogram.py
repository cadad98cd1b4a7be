"""The tempogram on the device is librosa's."""

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.signal

from input_pipeline.hearing.tempo_axis import folding
from jaxsim.network.forms import tempogram as tempogram_module

WINDOW, FRAME_RATE = 384, 22050 / 512

tempogram = jax.jit(tempogram_module.tempogram, static_argnums=1)


def onset_envelope(seed: int, frames: int = 700) -> np.ndarray:
    """Onset strengths with a pulse; the beginning, the end and a long stretch are silent."""
    random = np.random.default_rng(seed)
    onset = random.gamma(0.5, 1.0, frames) + 3 * (np.arange(frames) % 21 == 0)
    onset[:5] = 0
    onset[-7:] = 0
    onset[120:600] = 0  # longer than the window: some frames see no onset at all
    return onset.astype(np.float32)


def padded(onset: np.ndarray) -> np.ndarray:
    """The envelope padded as librosa pads it; frame t of the tempogram sees padded[t : t + W]."""
    return np.pad(onset, WINDOW // 2, mode="linear_ramp", end_values=0)[:-1]


def test_is_librosas_in_every_frame() -> None:
    envelopes = [onset_envelope(seed) for seed in range(3)]
    envelopes[1] *= 1e-3  # the scale cancels
    expected = [
        librosa.feature.tempogram(onset_envelope=onset, win_length=WINDOW) for onset in envelopes
    ]
    found = np.asarray(tempogram(jnp.stack([padded(onset) for onset in envelopes]), WINDOW))
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-4)
    silent = np.abs(np.stack(expected)).max(axis=1) == 0
    assert silent.any(), "the oracle has silent frames"
    assert not found.swapaxes(1, 2)[silent].any()


def test_the_cyclic_one_averages_octaves() -> None:
    """A pulse of 100 BPM is as good as one of 50; one of 70 is not."""

    def rows(beats_per_minute: float) -> np.ndarray:
        period = 60 * FRAME_RATE / beats_per_minute
        onset = np.zeros(700, np.float32)
        onset[np.arange(0, 700, period).astype(int)] = 1
        by_lag = tempogram(jnp.asarray(padded(onset)[None]), WINDOW)
        image = tempogram_module.cyclic(by_lag, FRAME_RATE)
        np.testing.assert_allclose(image[0], folding(WINDOW, FRAME_RATE) @ by_lag[0], atol=1e-5)
        return np.asarray(image[0]).mean(axis=1)

    slow, fast, other = rows(50), rows(100), rows(70)
    assert np.corrcoef(slow, fast)[0, 1] > np.corrcoef(slow, other)[0, 1] + 0.2


@pytest.mark.parametrize("form", ["correlation_by_fft", "correlation_by_product"])
def test_every_form_is_the_sum_over_the_window(form: str) -> None:
    """Against the definition in float64; small, because one form has a matrix for every lag."""
    window, onset = 48, onset_envelope(3)[:100].astype(np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(onset, window) * scipy.signal.get_window(
        "hann", window
    )
    lagged = [frames[:, : window - lag] * frames[:, lag:] for lag in range(window)]
    expected = np.stack([products.sum(axis=1) for products in lagged])
    assert (expected != 0).mean() > 0.9, "the oracle hears something"
    function = jax.jit(getattr(tempogram_module, form), static_argnames="window")
    found = function(jnp.asarray(onset[None], jnp.float32), window=window)
    np.testing.assert_allclose(found[0], expected, atol=1e-5 * expected.max())


def test_silence_is_zero() -> None:
    assert not np.asarray(tempogram(jnp.zeros((2, 500)), WINDOW)).any()


@pytest.mark.parametrize("start", [0, 1, 250, 700 - 129])
def test_crop_is_the_whole_cropped(start: int) -> None:
    onset = jnp.asarray(padded(onset_envelope(5)))
    whole = np.asarray(tempogram(onset[None], WINDOW))
    crop = np.asarray(tempogram(onset[None, start : start + 129 + WINDOW - 1], WINDOW))
    np.testing.assert_allclose(crop, whole[:, :, start : start + 129], atol=1e-5)
