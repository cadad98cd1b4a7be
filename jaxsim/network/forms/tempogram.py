"""The tempogram, built on the device from a slice of the onset envelope: one row stored, not 384.

Equal to `librosa.feature.tempogram(onset_envelope=..., win_length=W)`: windowed local
autocorrelation, every frame divided by its maximum magnitude.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from input_pipeline.hearing.tempo_axis import folding
from jaxsim.network.shapes import checked

KINDS = ("autocorrelation", "cyclic")


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
    correlation = lax.platform_dependent(
        onset,
        tpu=functools.partial(correlation_by_product, window=window),
        default=functools.partial(correlation_by_fft, window=window),
    )
    peak = jnp.max(jnp.abs(correlation), axis=1, keepdims=True)
    tiny = jnp.finfo(correlation.dtype).tiny
    return correlation / jnp.where(peak < tiny, 1.0, peak)


def cyclic(by_lag: Float[Array, "B window T"], frame_rate: float) -> Float[Array, "B window T"]:
    """The cyclic tempogram of a tempogram; `tempo_axis.folding` defines its rows."""
    matrix = folding(by_lag.shape[1], frame_rate)
    return jnp.einsum("rl,blt->brt", matrix, by_lag, precision=lax.Precision.HIGHEST)


def correlation_by_fft(onset: Float[Array, "B N"], window: int) -> Float[Array, "B window T"]:
    """Local autocorrelation, through each frame's power spectrum."""
    frames = onset.shape[1] - window + 1
    index = np.arange(frames)[:, None] + np.arange(window)
    windowed = onset[:, index] * _hann(jnp.arange(window), window)  # [B, T, W]
    # Zero-padded to twice the window, so that the circular correlation is the linear one.
    power = jnp.abs(jnp.fft.rfft(windowed, 2 * window)) ** 2
    correlation = jnp.fft.irfft(power, 2 * window)[..., :window]
    return jnp.swapaxes(correlation, 1, 2)


def correlation_by_product(onset: Float[Array, "B N"], window: int) -> Float[Array, "B window T"]:
    """Local autocorrelation, as one matrix product per lag, for all examples.

    sum_n w[n] w[n + l] o[t + n] o[t + n + l]: only o[m] o[m + l] depends on the example; the
    windows are the same matrix over (t, m) for all. A matrix unit does this seven times as fast as
    the Fourier transforms (benchmarks/RESULTS.md).
    """
    size = onset.shape[1]
    lag, frame, m = jnp.arange(window), jnp.arange(size - window + 1), jnp.arange(size)
    later = jnp.pad(onset, ((0, 0), (0, window - 1))).T[lag[:, None] + m]  # [lag, N, B]
    products = onset.T * later
    n = (m - frame[:, None])[None]  # [1, T, N]: where in the window m lies
    n_later = n + lag[:, None, None]
    inside = (n >= 0) & (n_later < window)
    windows = jnp.where(inside, _hann(n, window) * _hann(n_later, window), 0.0)
    return jnp.einsum("ltm,lmb->blt", windows, products, precision=lax.Precision.HIGHEST)


def _hann(n: Array, size: int) -> Array:
    """The periodic Hann window at n."""
    return 0.5 - 0.5 * jnp.cos(2 * np.pi / size * n)
