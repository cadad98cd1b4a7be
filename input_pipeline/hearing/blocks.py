"""Samples read piece by piece, so that the memory for a track's features does not grow with it."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import scipy.fft

from input_pipeline.hearing import filters

FRAMES = 256  # in a block: its spectra stay in the processor's cache


class Samples(Protocol):
    """Mono float32 samples [n]: an array, or what makes its slices when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, piece: slice, /) -> np.ndarray: ...


def frame_count(samples: Samples, n_fft: int, hop_length: int) -> int:
    """How many frames `spectra` gives."""
    return 1 + (len(samples) - n_fft % 2) // hop_length


def spectra(
    samples: Samples, *, n_fft: int, hop_length: int, first: int = 0
) -> Iterator[tuple[slice, np.ndarray]]:
    """Like `librosa.stft` with a Hann window: frame t is centred at sample t * hop_length.

    Args:
      samples: of a track.
      n_fft: samples in a window.
      hop_length: samples between frames.
      first: frame to begin with.

    Yields:
      The place of a block's frames in the track, and their spectra: complex64 [frames, F].
    """
    window = filters.hann(n_fft).astype(np.float32)
    count = frame_count(samples, n_fft, hop_length)
    for start in range(first, count, FRAMES):
        stop = min(start + FRAMES, count)
        begin, end = (frame * hop_length - n_fft // 2 for frame in (start, stop - 1))
        piece = _padded(samples, begin, end + n_fft)
        yield slice(start, stop), scipy.fft.rfft(frames(piece, n_fft, hop_length) * window)


def power(spectrum: np.ndarray) -> np.ndarray:
    """The squared magnitude of complex64 values, float32, without the care of `np.abs`."""
    power = spectrum.real**2
    power += spectrum.imag**2
    return power


def frames(samples: np.ndarray, length: int, hop_length: int) -> np.ndarray:
    """All whole frames of samples [n], as a view [frames, length]."""
    count = max(0, 1 + (len(samples) - length) // hop_length)
    (stride,) = samples.strides
    return np.lib.stride_tricks.as_strided(
        samples, (count, length), (hop_length * stride, stride), writeable=False
    )


def _padded(samples: Samples, start: int, stop: int) -> np.ndarray:
    """samples[start:stop], with zeros before the first and after the last sample."""
    piece = samples[max(start, 0) : stop]
    if len(piece) == stop - start:
        return piece
    return np.pad(piece, (max(-start, 0), stop - max(start, 0) - len(piece)))
