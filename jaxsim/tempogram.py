"""The tempogram, built on the device from a slice of the onset envelope: one row stored, not 384.

Equal to `librosa.feature.tempogram(onset_envelope=..., win_length=W)`: windowed local
autocorrelation, every frame divided by its maximum magnitude.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxsim.shapes import checked


@checked
def tempogram(onset: Float[Array, "B N"], window: int) -> Float[Array, "B window N-window+1"]:
    """Local autocorrelation of the onset envelope.

    Args:
      onset: envelope slices; frame t of the result sees onset[t : t + window].
      window: frames of the autocorrelation window, and number of lags.

    Returns:
      Autocorrelation by lag (rows) and frame (columns), at most 1 in magnitude per frame; a frame
      without any onset is 0.
    """
    frames = onset.shape[1] - window + 1
    index = np.arange(frames)[:, None] + np.arange(window)
    windowed = onset[:, index] * _hann(window)  # [B, T, W]
    # Zero-padded to twice the window, so that the circular correlation is the linear one.
    power = jnp.abs(jnp.fft.rfft(windowed, 2 * window)) ** 2
    correlation = jnp.fft.irfft(power, 2 * window)[..., :window]
    peak = jnp.max(jnp.abs(correlation), axis=-1, keepdims=True)
    tiny = jnp.finfo(correlation.dtype).tiny
    normalised = correlation / jnp.where(peak < tiny, 1.0, peak)
    return jnp.swapaxes(normalised, 1, 2)


def _hann(size: int) -> np.ndarray:
    """The periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)
