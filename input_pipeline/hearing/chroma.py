"""CENS as `librosa.feature.chroma_cens` computes it, several times as fast and in blocks.

Three things save time. In samples, the wavelets of an octave are those of the octave above it at
half the sampling rate, so one set serves all octaves. Their band is narrow, so a fifth of the bins
of a spectrum is all they need. And the tuning is estimated from the spectral peaks alone, not from
interpolations at every bin.
"""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
import scipy.fft
import scipy.ndimage
import soxr

from input_pipeline.hearing import blocks, filters, harmony
from input_pipeline.hearing.blocks import Samples

OCTAVES = 7
HOP_UNIT = 1 << OCTAVES - 1  # samples; the hop is halved for every octave
GROUPS = 3  # into which the wavelets of an octave are split: the fewer, the more products with zero
STEPS = (0.05, 0.1, 0.2, 0.4)  # shares of a frame's energy; CENS has a quarter for each exceeded
TINY = np.finfo(np.float32).tiny
CENS_FRAMES = 8192  # that are smoothed at once
TUNING_RANGE = (150.0, 4000.0)  # Hz; peaks outside do not count
TUNING_N_FFT = 2048
TUNING_THRESHOLD = 0.1  # of a frame's largest magnitude
TUNING_STEPS = 100  # in a bin of the constant-Q transform


def cens_and_harmony(
    samples: Samples,
    *,
    sample_rate: int,
    hop_length: int,
    n_chroma: int,
    bins_per_octave: int,
    tuning: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Chroma energy normalised statistics, float32 [n_chroma, T], and `harmony.statistics`.

    Args:
      samples: mono float32 samples [n].
      sample_rate: Hz; at least 10,000, so that it covers the seven octaves above C1.
      hop_length: samples between frames; a multiple of `HOP_UNIT`.
      n_chroma: number of rows.
      bins_per_octave: of the constant-Q transform.
      tuning: see `estimate_tuning`; estimated by default.
    """
    if tuning is None:
        tuning = estimate_tuning(samples, sample_rate=sample_rate, bins_per_octave=bins_per_octave)
    fold = filters.fold(bins_per_octave, n_chroma)
    pitches = np.zeros((harmony.PITCH_CLASSES, bins_per_octave), np.float32)
    if bins_per_octave % harmony.PITCH_CLASSES == 0:  # else there is no harmony to speak of
        pitches = filters.fold(bins_per_octave, harmony.PITCH_CLASSES)
    frames = 1 + len(samples) // hop_length
    chroma = np.zeros((n_chroma, frames), np.float32)
    registers = np.zeros((len(harmony.REGISTERS), harmony.PITCH_CLASSES, frames), np.float32)
    for octave, place, magnitude in _octaves(
        samples,
        sample_rate=sample_rate,
        hop_length=hop_length,
        bins_per_octave=bins_per_octave,
        tuning=tuning,
    ):
        chroma[:, place] += fold @ magnitude.T
        for register, octaves in zip(registers, harmony.REGISTERS, strict=True):
            if octave in octaves:
                register[:, place] += pitches @ magnitude.T
    return _smoothed(chroma), harmony.statistics(registers)


def _smoothed(chroma: np.ndarray) -> np.ndarray:
    """CENS of chroma [n_chroma, T], in pieces that overlap as far as the smoothing reaches."""
    cens = np.empty_like(chroma)
    for start in range(0, chroma.shape[1], CENS_FRAMES):
        begin = max(start - harmony.REACH, 0)
        share = _normalised(chroma[:, begin : start + CENS_FRAMES + harmony.REACH], order=1)
        quantised = sum((share > np.float32(step)) * np.float32(0.25) for step in STEPS)
        smooth = scipy.ndimage.convolve1d(quantised, harmony.SMOOTHING, axis=1, mode="constant")
        piece = smooth[:, start - begin :][:, :CENS_FRAMES]
        cens[:, start : start + CENS_FRAMES] = _normalised(piece, order=2)
    return cens


def _normalised(frames: np.ndarray, order: int) -> np.ndarray:
    """Frames [n_chroma, T] by their norms; frames of zeros stay."""
    length = np.linalg.norm(frames.astype(np.float64), order, axis=0)
    return (frames / np.where(length < TINY, 1, length)).astype(np.float32)


def estimate_tuning(samples: Samples, *, sample_rate: int, bins_per_octave: int) -> float:
    """Like `librosa.estimate_tuning`: deviation from A440, in bins, in [-0.5, 0.5)."""
    steps, heights = [], []
    for _, spectrum in blocks.spectra(samples, n_fft=TUNING_N_FFT, hop_length=TUNING_N_FFT // 4):
        pitch, height = _peaks(blocks.power(spectrum), sample_rate)
        bins = bins_per_octave * np.log2(pitch / filters.A4)
        steps.append((np.mod(bins + 0.5, 1) * TUNING_STEPS).astype(np.uint8))
        heights.append(height)
    step, height = np.concatenate(steps), np.concatenate(heights)
    if not len(step):
        return 0.0
    counts = np.bincount(step[height >= np.median(height)], minlength=TUNING_STEPS)
    return float(np.linspace(-0.5, 0.5, TUNING_STEPS + 1)[counts.argmax()])


def _peaks(power: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """The frequencies in Hz and the heights of the peaks in a power spectrogram [frames, F]."""
    frequencies = np.fft.rfftfreq(TUNING_N_FFT, 1 / sample_rate)
    low, high = np.searchsorted(frequencies, TUNING_RANGE)
    middle, below, above = (power[:, low + i : high + i] for i in (0, -1, 1))
    loud = middle > np.float32(TUNING_THRESHOLD**2) * power.max(axis=1, keepdims=True)
    peaks = np.flatnonzero(loud & (middle > below) & (middle >= above))  # faster than np.nonzero
    frame, bin = np.divmod(peaks, high - low)
    left, peak, right = (np.sqrt(each[frame, bin]) for each in (below, middle, above))
    slope, curvature = (right - left) / 2, left + right - 2 * peak
    # A parabola through three points; its vertex is at most one bin away.
    inside = np.abs(slope) < np.abs(curvature)
    shift = np.where(inside, -slope / np.where(inside, curvature, 1), 0)
    return (low + bin + shift) * sample_rate / TUNING_N_FFT, peak + slope * shift / 2


def constant_q(
    samples: Samples,
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
    magnitudes = np.empty((OCTAVES, bins_per_octave, 1 + len(samples) // hop_length), np.float32)
    for octave, place, magnitude in _octaves(
        samples,
        sample_rate=sample_rate,
        hop_length=hop_length,
        bins_per_octave=bins_per_octave,
        tuning=tuning,
    ):
        magnitudes[octave, :, place] = magnitude.T
    return magnitudes.reshape(-1, magnitudes.shape[2])


def _octaves(
    samples: Samples, *, sample_rate: int, hop_length: int, bins_per_octave: int, tuning: float
) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Blocks of the octaves of `constant_q`, each as soon as its samples are there.

    Yields:
      The octave, of which 0 is the lowest, the place of a block's frames in the track, and their
      magnitudes [frames, bins_per_octave].
    """
    if hop_length % HOP_UNIT:
        raise ValueError(
            f"hop_length is {hop_length}, expected a multiple of {HOP_UNIT}, so that it can be "
            "halved for every octave"
        )
    wavelets = _top_octave(sample_rate, bins_per_octave, round(tuning, 4))
    count = 1 + len(samples) // hop_length
    edge = np.zeros(wavelets.n_fft // 2, np.float32)
    waiting = [edge] * OCTAVES  # samples from the start of an octave's next frame on
    done = [0] * OCTAVES  # frames
    halvings = [soxr.ResampleStream(2, 1, 1, "float32", quality="HQ") for _ in range(OCTAVES)]
    size = blocks.FRAMES * hop_length
    for start in range(0, len(samples), size):
        piece, last = samples[start : start + size], start + size >= len(samples)
        for i, halving in enumerate(halvings):
            ready = np.concatenate([waiting[i], piece, edge if last else edge[:0]])
            frames = blocks.frames(ready, wavelets.n_fft, hop_length >> i)[: count - done[i]]
            magnitude = wavelets.magnitude(frames) * np.float32(2 ** (i / 2))
            yield OCTAVES - 1 - i, slice(done[i], done[i] + len(frames)), magnitude
            waiting[i] = ready[len(frames) * (hop_length >> i) :]
            done[i] += len(frames)
            piece = halving.resample_chunk(piece, last)


@dataclasses.dataclass(frozen=True)
class _Wavelets:
    """The wavelets of one octave.

    Attributes:
      n_fft: samples in a frame.
      groups: spectra of neighbouring wavelets, complex64 [bins, wavelets], with the bins of a
        frame's spectrum that matter to any of them.
    """

    n_fft: int
    groups: list[tuple[slice, np.ndarray]]

    def magnitude(self, frames: np.ndarray) -> np.ndarray:
        """Of the products of all wavelets with frames [T, n_fft]: float32 [T, bins_per_octave]."""
        spectrum = scipy.fft.rfft(frames)
        products = [spectrum[:, bins] @ wavelets for bins, wavelets in self.groups]
        return np.sqrt(blocks.power(np.concatenate(products, axis=1)))


@functools.lru_cache(maxsize=128)  # enough for all tunings at this resolution
def _top_octave(sample_rate: int, bins_per_octave: int, tuning: float) -> _Wavelets:
    """The wavelets of the highest octave."""
    n_fft, spectra = filters.wavelets(
        sample_rate, octave=OCTAVES - 1, bins_per_octave=bins_per_octave, tuning=tuning
    )
    groups = np.array_split(spectra.astype(np.complex64), GROUPS)
    return _Wavelets(n_fft, [_group(wavelets) for wavelets in groups])


def _group(wavelets: np.ndarray) -> tuple[slice, np.ndarray]:
    used = np.flatnonzero(wavelets.any(axis=0))
    bins = slice(int(used[0]), int(used[-1]) + 1)
    return bins, np.ascontiguousarray(wavelets[:, bins].T)
