"""Loudness and silence: what ears do not take for a difference between two recordings."""

import itertools

import numpy as np
import pyloudnorm

LEVEL = -18.0  # LUFS to which tracks are brought, that of ReplayGain 2
SILENCE = -50.0  # dB; a block is silent below the track's loudness and this
BLOCK = 0.05  # seconds that are silent or not as a whole
LONGEST_PAUSE = 1.0  # seconds of silence inside a track that are kept


def loudness(samples: np.ndarray, sample_rate: float) -> float:
    """Integrated loudness in LUFS, gated as ITU-R BS.1770-4 says: silence has no influence.

    Args:
      samples: mono [n], at least 0.4 s.

    Returns:
      -inf if nothing is above the gate of -70 LUFS.
    """
    return float(pyloudnorm.Meter(sample_rate).integrated_loudness(samples.astype(np.float64)))


def at_level(samples: np.ndarray, loudness: float) -> np.ndarray:
    """Samples of the given loudness, brought to `LEVEL`."""
    return samples * np.float32(10 ** ((LEVEL - loudness) / 20))


def sounding(samples: np.ndarray, sample_rate: float, loudness: float) -> np.ndarray:
    """Samples without the silence at their ends and without pauses above `LONGEST_PAUSE`.

    Args:
      samples: mono [n].
      loudness: of them, in LUFS.
    """
    size = round(BLOCK * sample_rate)
    blocks = -(-len(samples) // size)
    padded = np.pad(samples, (0, blocks * size - len(samples))).reshape(blocks, size)
    power = np.square(padded, dtype=np.float64).mean(axis=1)
    heard = power > 10 ** ((loudness + SILENCE) / 10)
    return samples[np.repeat(_kept(heard), size)[: len(samples)]]


def _kept(heard: np.ndarray) -> np.ndarray:
    """The blocks to keep: those that are heard, and short pauses between them."""
    kept = heard.copy()
    places = np.flatnonzero(heard)
    for before, after in itertools.pairwise(places):
        if (after - before - 1) * BLOCK <= LONGEST_PAUSE:
            kept[before:after] = True
    return kept
