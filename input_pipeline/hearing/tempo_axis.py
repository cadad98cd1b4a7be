"""From lags to tempi that are folded into one octave: the axis of the cyclic tempogram.

Defined by Grosche, Müller and Kurth, "Cyclic tempogram: a mid-level tempo representation for music
signals", ICASSP 2010: tempi that are a power of two apart are averaged. NumPy alone.
"""

import functools

import numpy as np

SLOWEST = 30.0  # BPM, the tempo of the first row
OCTAVES = 4  # of tempo, that are averaged: up to 480 BPM


@functools.cache
def folding(window: int, frame_rate: float) -> np.ndarray:
    """The matrix from a tempogram by lag to a cyclic tempogram, float32 [window, window].

    Row r stands for the tempi SLOWEST * 2^(r / window + octave). A tempo between those of two lags
    is interpolated linearly from both. There are as many rows as lags, so that the image keeps its
    size.

    Args:
      window: number of lags.
      frame_rate: frames per second.

    Raises:
      ValueError: the lags do not cover all octaves.
    """
    matrix = np.zeros((window, window))
    for octave in range(OCTAVES):
        tempi = SLOWEST * 2.0 ** (octave + np.arange(window) / window)
        lags = 60 * frame_rate / tempi  # fractional, falling
        if lags[-1] < 1 or lags[0] > window - 1:
            raise ValueError(
                f"features.tempogram_window is {window}: lags of {1000 / frame_rate:.1f} ms do "
                f"not cover {SLOWEST:.0f} to {SLOWEST * 2**OCTAVES:.0f} BPM, which the "
                "cyclic tempogram needs"
            )
        longer, shorter = np.ceil(lags).astype(int), np.floor(lags).astype(int)
        slow, fast = 60 * frame_rate / longer, 60 * frame_rate / shorter
        share = (tempi - slow) / np.where(fast > slow, fast - slow, 1)  # of the shorter lag
        rows = np.arange(window)
        np.add.at(matrix, (rows, longer), (1 - share) / OCTAVES)
        np.add.at(matrix, (rows, shorter), share / OCTAVES)
    return matrix.astype(np.float32)
