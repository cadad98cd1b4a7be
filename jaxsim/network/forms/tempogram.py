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
FAINTEST = 1e-3  # of the window's correlation with itself


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


@checked
def stretched(
    by_lag: Float[Array, "B window T"], factor: Float[Array, " B"]
) -> Float[Array, "B window T"]:
    """The tempogram of the same music at `factor` times its tempo: lag l is what factor * l was.

    A window shortens the correlation of long lags. That stays as it is: only what the window is
    divided out of is stretched, by linear interpolation. Lags that come from beyond the window,
    or where it leaves less than a `FAINTEST`-th, are 0.
    """
    window = by_lag.shape[1]
    taper = _hann_correlation(window)
    audible = taper > FAINTEST
    bare = by_lag * jnp.where(audible, 1 / np.where(audible, taper, 1), 0)[:, None]
    place = factor[:, None] * np.arange(window)  # [B, window]
    below = jnp.floor(place)
    share = (place - below)[..., None]
    inside = place < int(audible.sum()) - 1
    lower = jnp.where(inside, below, 0).astype(jnp.int32)[..., None]
    lower_values = jnp.take_along_axis(bare, lower, axis=1)
    upper_values = jnp.take_along_axis(bare, lower + 1, axis=1)
    found = (1 - share) * lower_values + share * upper_values
    return jnp.where(inside[..., None], found * taper[:, None], 0)


def _hann_correlation(window: int) -> np.ndarray:
    """The autocorrelation of the Hann window by lag, 1 at lag 0."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi / window * np.arange(window))
    correlation = np.correlate(hann, hann, "full")[window - 1 :]
    return (correlation / correlation[0]).astype(np.float32)


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
