"""Mel spectrogram and onset envelope as librosa computes them, from one STFT and in blocks."""

import functools
import itertools
from collections.abc import Iterator

import numpy as np
import scipy.sparse

from input_pipeline.hearing import blocks, filters
from input_pipeline.hearing.blocks import Samples

FAINTEST = 1e-10  # power below which `librosa.power_to_db` does not look,
DYNAMIC_RANGE = 1e-8  # nor below this share of the track's largest power (80 dB)
KEPT_BLOCKS = 64  # 6 minutes; mel powers of later blocks are computed twice instead of kept
DECIBELS = 10 / np.log(10)  # in a natural logarithm of powers


def mel_and_onset(
    samples: Samples,
    *,
    sample_rate: int,
    n_fft: int,
    hop_length: int,
    n_mels: int,
    log_gain: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The mel spectrogram float16 [T, n_mels] and the onset envelope float32 [T].

    They are log10(1 + log_gain * Slaney mel of the STFT magnitude), and what
    `librosa.onset.onset_strength` makes of the mel spectrogram of powers.
    """
    bands = _bands(sample_rate, n_fft, n_mels)
    count = blocks.frame_count(samples, n_fft, hop_length)
    mel = np.empty((count, n_mels), np.float16)
    kept: list[np.ndarray] = []
    loudest = 0.0
    for place, power in _powers(samples, n_fft, hop_length):
        mel[place] = (np.log(1 + log_gain * (bands @ np.sqrt(power))) / np.log(10)).T
        mel_power = bands @ power
        loudest = max(loudest, float(mel_power.max()))
        if len(kept) < KEPT_BLOCKS:
            kept.append(mel_power)
    start = len(kept) * blocks.FRAMES
    again = (bands @ power for _, power in _powers(samples, n_fft, hop_length, start))
    onset = _onset(itertools.chain(kept, again), max(FAINTEST, DYNAMIC_RANGE * loudest))
    delay = n_fft // (2 * hop_length)  # half a window, as librosa shifts it
    return mel, np.concatenate([np.zeros(delay, np.float32), *onset])[:count]


def _powers(
    samples: Samples, n_fft: int, hop_length: int, first: int = 0
) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of the power spectrogram [F, frames] from a frame on, with their places."""
    for place, spectrum in blocks.spectra(samples, n_fft=n_fft, hop_length=hop_length, first=first):
        yield place, np.ascontiguousarray(blocks.power(spectrum).T)


def _onset(mel_powers: Iterator[np.ndarray], floor: float) -> Iterator[np.ndarray]:
    """How much louder frames are than the one before, in dB and on average over the bands.

    Args:
      mel_powers: blocks [n_mels, frames].
      floor: differences below this power do not count.
    """
    before = None
    for mel_power in mel_powers:
        level = np.log(np.maximum(mel_power, np.float32(floor)))
        before = level[:, :1] if before is None else before
        rises = np.diff(level, axis=1, prepend=before)
        yield np.maximum(rises, 0).mean(axis=0) * np.float32(DECIBELS)
        before = level[:, -1:]


@functools.cache
def _bands(sample_rate: int, n_fft: int, n_mels: int) -> scipy.sparse.csr_matrix:
    """The mel filters [n_mels, F], of which a hundredth is not zero."""
    return scipy.sparse.csr_matrix(filters.mel(sample_rate, n_fft, n_mels))
