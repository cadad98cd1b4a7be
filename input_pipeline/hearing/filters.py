"""The filters of librosa that the features need, without its imports (numba, scikit-learn).

They are librosa 0.11's to rounding, which tests check.
"""

import numpy as np

A4, A4_MIDI, C1_MIDI = 440.0, 69, 24
LOWEST = A4 * 2 ** ((C1_MIDI - A4_MIDI) / 12)  # Hz, C1
SPARSITY = 0.01  # share of a wavelet's spectrum that is dropped
LINEAR_BELOW = 1000.0  # Hz; Slaney's mel scale is linear up to there
HERTZ_PER_MEL = 200 / 3
MELS_PER_LOG = 27 / np.log(6.4)  # above: 27 mel for a factor of 6.4


def hann(length: int) -> np.ndarray:
    """The periodic Hann window, float64 [length]."""
    return np.hanning(length + 1)[:-1] if length > 1 else np.ones(1)


def mel(sample_rate: float, n_fft: int, n_mels: int) -> np.ndarray:
    """Slaney's triangular filters of equal area, float32 [n_mels, F]."""
    nyquist = sample_rate / 2
    edges = _mel_to_hertz(np.linspace(0, _hertz_to_mel(nyquist), n_mels + 2))[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    hertz = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    triangles = np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle))
    return (np.maximum(triangles, 0) * 2 / (high - low)).astype(np.float32)


def _hertz_to_mel(hertz: float) -> float:
    if hertz < LINEAR_BELOW:
        return hertz / HERTZ_PER_MEL
    return LINEAR_BELOW / HERTZ_PER_MEL + MELS_PER_LOG * np.log(hertz / LINEAR_BELOW)


def _mel_to_hertz(mels: np.ndarray) -> np.ndarray:
    above = np.maximum(mels - LINEAR_BELOW / HERTZ_PER_MEL, 0)
    return np.where(above > 0, LINEAR_BELOW * np.exp(above / MELS_PER_LOG), mels * HERTZ_PER_MEL)


def wavelets(
    sample_rate: float, *, octave: int, bins_per_octave: int, tuning: float
) -> tuple[int, np.ndarray]:
    """Spectra of the wavelets of one octave of the constant-Q transform, as `librosa.cqt` has them.

    Args:
      sample_rate: Hz.
      octave: above C1.
      bins_per_octave: wavelets in an octave.
      tuning: deviation from A440, in bins.

    Returns:
      The samples in a frame, and complex128 [bins_per_octave, F], whose product with a frame's
      spectrum is the transform.
    """
    steps = np.arange(octave * bins_per_octave, (octave + 1) * bins_per_octave)
    frequencies = LOWEST * 2 ** ((steps + tuning) / bins_per_octave)
    both = 2 ** (2 / bins_per_octave)  # the step from the bin below to the one above
    lengths = (both + 1) / (both - 1) * sample_rate / frequencies
    n_fft = int(2 ** np.ceil(np.log2(lengths.max())))
    basis = np.stack(
        [
            _wavelet(length, frequency / sample_rate, n_fft)
            for length, frequency in zip(lengths, frequencies, strict=True)
        ]
    )
    spectra = np.fft.fft(basis * np.sqrt(lengths)[:, None] / n_fft)[:, : n_fft // 2 + 1]
    return n_fft, np.stack([_without_tails(spectrum) for spectrum in spectra])


def _wavelet(length: float, frequency: float, n_fft: int) -> np.ndarray:
    """A windowed oscillation of unit sum in the middle of a frame; frequency per sample."""
    time = np.arange(-length // 2, length // 2)
    wave = np.exp(2j * np.pi * frequency * time) * hann(len(time))
    before = (n_fft - len(wave)) // 2
    padded = np.zeros(n_fft, complex)
    padded[before : before + len(wave)] = wave / np.abs(wave).sum()
    return padded


def _without_tails(spectrum: np.ndarray) -> np.ndarray:
    """A spectrum without its smallest values, whose magnitudes are `SPARSITY` of the sum."""
    magnitude = np.abs(spectrum)
    ascending = np.sort(magnitude)
    least = ascending[np.argmin(np.cumsum(ascending / ascending.sum()) < SPARSITY)]
    return np.where(magnitude >= least, spectrum, 0)


def fold(bins_per_octave: int, n_chroma: int) -> np.ndarray:
    """The matrix from an octave that begins at C to chroma, float32 [n_chroma, bins_per_octave].

    Raises:
      ValueError: the bins cannot be shared out equally.
    """
    width, rest = divmod(bins_per_octave, n_chroma)
    if rest:
        raise ValueError(
            f"bins_per_octave is {bins_per_octave}, expected a multiple of n_chroma ({n_chroma})"
        )
    return np.roll(np.repeat(np.eye(n_chroma, dtype=np.float32), width, axis=1), -(width // 2), 1)
