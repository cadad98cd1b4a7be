"""CENS as `librosa.feature.chroma_cens` computes it, in less than half the time.

Two things save time. In samples, the wavelets of an octave are those of the octave above it at half
the sampling rate, so one set serves all octaves. And the tuning is estimated from the spectral
peaks alone, not from interpolations at every bin.
"""

import functools

import librosa
import numpy as np
import scipy.sparse

OCTAVES = 7
HOP_UNIT = 1 << OCTAVES - 1  # samples; the hop is halved for every octave
LOWEST = float(librosa.note_to_hz("C1"))  # Hz
SPARSITY = 0.01  # share of a wavelet's spectrum that is dropped
TUNING_RANGE = (150.0, 4000.0)  # Hz; peaks outside do not count
TUNING_N_FFT = 2048
TUNING_THRESHOLD = 0.1  # of a frame's largest magnitude
TUNING_RESOLUTION = 0.01  # bins


def cens(
    samples: np.ndarray,
    *,
    sample_rate: int,
    hop_length: int,
    n_chroma: int,
    bins_per_octave: int,
) -> np.ndarray:
    """Chroma energy normalised statistics, float [n_chroma, T].

    Args:
      samples: mono float32 samples [n].
      sample_rate: Hz; at least 10,000, so that it covers the seven octaves above C1.
      hop_length: samples between frames; a multiple of `HOP_UNIT`.
      n_chroma: number of rows.
      bins_per_octave: of the constant-Q transform.
    """
    tuning = estimate_tuning(samples, sample_rate=sample_rate, bins_per_octave=bins_per_octave)
    magnitude = constant_q(
        samples,
        sample_rate=sample_rate,
        hop_length=hop_length,
        bins_per_octave=bins_per_octave,
        tuning=tuning,
    )
    return librosa.feature.chroma_cens(
        C=magnitude, n_chroma=n_chroma, bins_per_octave=bins_per_octave
    )


def estimate_tuning(samples: np.ndarray, *, sample_rate: int, bins_per_octave: int) -> float:
    """Like `librosa.estimate_tuning`: deviation from A440, in bins, in [-0.5, 0.5)."""
    magnitude = np.abs(librosa.stft(samples, n_fft=TUNING_N_FFT))  # [F, T]
    frequencies = librosa.fft_frequencies(sr=sample_rate, n_fft=TUNING_N_FFT)
    low, high = np.searchsorted(frequencies, TUNING_RANGE)
    middle, below, above = (magnitude[low + i : high + i] for i in (0, -1, 1))
    loud = middle > TUNING_THRESHOLD * magnitude.max(axis=0)
    row, frame = np.nonzero(loud & (middle > below) & (middle >= above))
    left, peak, right = below[row, frame], middle[row, frame], above[row, frame]
    slope, curvature = (right - left) / 2, left + right - 2 * peak
    # A parabola through three points; its vertex is at most one bin away.
    inside = np.abs(slope) < np.abs(curvature)
    shift = np.where(inside, -slope / np.where(inside, curvature, 1), 0)
    pitch = (low + row + shift) * sample_rate / TUNING_N_FFT
    height = peak + slope * shift / 2
    if not len(pitch):
        return 0.0
    return float(
        librosa.pitch_tuning(
            pitch[height >= np.median(height)],
            resolution=TUNING_RESOLUTION,
            bins_per_octave=bins_per_octave,
        )
    )


def constant_q(
    samples: np.ndarray,
    *,
    sample_rate: int,
    hop_length: int,
    bins_per_octave: int,
    tuning: float,
) -> np.ndarray:
    """Like the magnitude of `librosa.cqt` over seven octaves from C1: float32 [bins, T].

    Raises:
      ValueError: the hop length cannot be halved for every octave.
    """
    if hop_length % HOP_UNIT:
        raise ValueError(
            f"hop_length is {hop_length}, expected a multiple of {HOP_UNIT}, so that it can be "
            "halved for every octave"
        )
    wavelets, lengths = _top_octave(sample_rate, bins_per_octave, round(tuning, 4))
    n_fft = 2 * (wavelets.shape[1] - 1)
    octaves = []
    for octave in range(OCTAVES):
        spectrum = librosa.stft(
            samples, n_fft=n_fft, hop_length=hop_length >> octave, window="ones"
        )
        octaves.append(np.abs(wavelets @ spectrum) / np.sqrt(lengths)[:, None])
        if octave < OCTAVES - 1:
            samples = librosa.resample(samples, orig_sr=2, target_sr=1, scale=True)
    frames = min(octave.shape[1] for octave in octaves)
    return np.concatenate([octave[:, :frames] for octave in reversed(octaves)])


@functools.lru_cache(maxsize=128)  # enough for all tunings at this resolution
def _top_octave(
    sample_rate: int, bins_per_octave: int, tuning: float
) -> tuple[scipy.sparse.csr_matrix, np.ndarray]:
    """Spectra [bins, F] of the wavelets of the highest octave, and their lengths [bins]."""
    count = OCTAVES * bins_per_octave
    frequencies = librosa.cqt_frequencies(
        count, fmin=LOWEST, bins_per_octave=bins_per_octave, tuning=tuning
    )[-bins_per_octave:]
    basis, lengths = librosa.filters.wavelet(freqs=frequencies, sr=sample_rate)
    n_fft = basis.shape[1]
    spectra = np.fft.fft(basis * (lengths[:, None] / n_fft), axis=1)[:, : n_fft // 2 + 1]
    sparse = librosa.util.sparsify_rows(spectra, quantile=SPARSITY, dtype=np.complex64)
    return sparse, lengths.astype(np.float32)
