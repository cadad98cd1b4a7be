"""Loudness and silence: what ears do not take for a difference between two recordings."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.signal
from pyloudnorm.iirfilter import IIRfilter

from input_pipeline.hearing.blocks import Samples

LEVEL = -18.0  # LUFS to which tracks are brought, that of ReplayGain 2
SILENCE = -50.0  # dB; a block is silent below the track's loudness and this
BLOCK = 0.05  # seconds that are silent or not as a whole
LONGEST_PAUSE = 1.0  # seconds of silence inside a track that are kept
GATING_BLOCK = 0.4  # seconds over which loudness is measured (BS.1770-4),
GATING_STEPS = 4  # in as many steps, so that blocks overlap by three quarters
ABSOLUTE_GATE = -70.0  # LUFS
RELATIVE_GATE = -10.0  # LU
UNITY = -0.691  # LUFS of a mean square of one
AT_ONCE = 64  # steps or blocks


def loudness(samples: Samples, sample_rate: float) -> float:
    """Integrated loudness in LUFS, gated as ITU-R BS.1770-4 says: silence has no influence.

    Filters and gates are those of pyloudnorm.

    Args:
      samples: mono [n].

    Returns:
      -inf if nothing is above the gate of -70 LUFS.

    Raises:
      ValueError: there are less than 0.4 s.
    """
    seconds = len(samples) / sample_rate
    if seconds < GATING_BLOCK:
        raise ValueError(f"{seconds:.2f} s of audio, expected at least {GATING_BLOCK} s")
    count = round((seconds - GATING_BLOCK) / (GATING_BLOCK / GATING_STEPS)) + 1
    steps = np.arange(count + GATING_STEPS) / GATING_STEPS
    edges = np.minimum((GATING_BLOCK * steps * sample_rate).astype(int), len(samples))
    energy = np.concatenate(list(_weighted_energy(samples, edges, sample_rate)))
    blocks = np.lib.stride_tricks.sliding_window_view(energy, GATING_STEPS).sum(axis=1)
    power = blocks / (GATING_BLOCK * sample_rate)
    loud = power >= _power(ABSOLUTE_GATE)
    if not loud.any():
        return -np.inf
    threshold = power[loud].mean() * 10 ** (RELATIVE_GATE / 10)
    heard = power[(power > threshold) & (power > _power(ABSOLUTE_GATE))]
    return float(UNITY + 10 * np.log10(heard.mean())) if len(heard) else -np.inf


def _power(loudness: float) -> float:
    """The mean square of weighted samples of some loudness in LUFS."""
    return 10 ** ((loudness - UNITY) / 10)


def _weighted_energy(
    samples: Samples, edges: np.ndarray, sample_rate: float
) -> Iterator[np.ndarray]:
    """Sums of squares of the weighted samples between each edge and the next."""
    sections = _k_weighting(sample_rate)
    state = np.zeros((len(sections), 2))
    for first in range(0, len(edges) - 1, AT_ONCE):
        some = edges[first : first + AT_ONCE + 1]
        piece = samples[some[0] : some[-1]].astype(np.float64)
        weighted, state = scipy.signal.sosfilt(sections, piece, zi=state)
        yield np.add.reduceat(np.square(weighted, out=weighted), some[:-1] - some[0])


@functools.cache
def _k_weighting(sample_rate: float) -> np.ndarray:
    """BS.1770's weighting of frequencies as second-order sections [2, 6]."""
    shelf = IIRfilter(4.0, 1 / np.sqrt(2), 1500.0, sample_rate, "high_shelf")
    high_pass = IIRfilter(0.0, 0.5, 38.0, sample_rate, "high_pass")
    return np.array([[*stage.b, *stage.a] for stage in (shelf, high_pass)])


@dataclasses.dataclass(frozen=True)
class Amplified:
    """Samples times a gain; slices are computed when they are asked for."""

    samples: Samples
    gain: np.float32

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, piece: slice) -> np.ndarray:
        return self.samples[piece] * self.gain


class Cut:
    """Parts of samples [n], one after the other; slices are copied when they are asked for.

    Args:
      samples: of the whole track.
      parts: of it, in order.
    """

    def __init__(self, samples: np.ndarray, parts: Sequence[slice]):
        self._samples, self._parts = samples, parts
        self._starts = np.cumsum([0] + [part.stop - part.start for part in parts])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, piece: slice) -> np.ndarray:
        start, stop, _ = piece.indices(len(self))
        first, last = np.searchsorted(self._starts, (start + 1, stop))
        found = [self._samples[:0]]
        for i in range(int(first) - 1, int(last)):
            part, begin = self._parts[i], int(self._starts[i])
            low, high = max(start - begin, 0), min(stop - begin, part.stop - part.start)
            found.append(self._samples[part.start + low : part.start + high])
        return np.concatenate(found)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


def at_level(samples: Samples, loudness: float) -> Samples:
    """Samples of the given loudness, brought to `LEVEL`."""
    return Amplified(samples, np.float32(10 ** ((LEVEL - loudness) / 20)))


def sounding(samples: np.ndarray, sample_rate: float, loudness: float) -> Cut:
    """Samples without the silence at their ends and without pauses above `LONGEST_PAUSE`.

    Args:
      samples: mono [n].
      loudness: of them, in LUFS.
    """
    size = round(BLOCK * sample_rate)
    power = np.concatenate(
        [
            _block_power(samples[start : start + AT_ONCE * size], size)
            for start in range(0, len(samples), AT_ONCE * size)
        ]
    )
    kept = _kept(power > 10 ** ((loudness + SILENCE) / 10))
    edges = np.flatnonzero(np.diff(kept, prepend=False, append=False)) * size
    ends = np.minimum(edges, len(samples)).tolist()
    return Cut(samples, list(itertools.starmap(slice, zip(ends[::2], ends[1::2], strict=True))))


def _block_power(samples: np.ndarray, size: int) -> np.ndarray:
    """The mean squares of blocks of samples [n]; the last one is filled with zeros."""
    padded = np.pad(samples, (0, -len(samples) % size)).astype(np.float64)
    return np.square(padded, out=padded).reshape(-1, size).mean(axis=1)


def _kept(heard: np.ndarray) -> np.ndarray:
    """The blocks to keep: those that are heard, and short pauses between them."""
    kept = heard.copy()
    places = np.flatnonzero(heard)
    pauses = np.diff(places) - 1
    for i in np.flatnonzero((pauses > 0) & (pauses * BLOCK <= LONGEST_PAUSE)):
        kept[places[i] : places[i + 1]] = True
    return kept
