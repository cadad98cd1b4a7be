"""A track's tempo and key, read from the features that are extracted anyway. NumPy alone.

Both are a choice among candidates: 200 tempi, 24 keys. Every candidate has a few features; their
weighted sum is its score, and a softmax over the candidates makes probabilities of the scores. The
weights, some 600 numbers in readings.json, were fitted by `benchmarks.fit_readings`.

- Tempo: the onset envelope is cut into windows like those of the tempogram. If it pulses at a
  tempo, its autocorrelation is high at the beat's period and at multiples of it, and its Fourier
  transform at the beat's rate and at multiples of that (Peeters, "Template-based estimation of
  time-varying tempo", 2007). Each candidate is judged by both at simple ratios to itself, and by a
  log-normal prior.
- Key: the candidate is judged by how strong each pitch class is, counted from its tonic, as with
  the profiles of Krumhansl; and by which pitch classes sound together. This in two registers (see
  `harmony`), or in CENS where data sets were prepared before these were kept.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from input_pipeline.hearing import harmony as registers
from input_pipeline.tracks import KEYS

TABLE = Path(__file__).with_name("readings.json")
SLOWEST, CANDIDATES, PER_OCTAVE = 30.0, 200, 60  # tempi: up to 299 BPM, 1.2 % apart
TEMPI = SLOWEST * 2.0 ** (np.arange(CANDIDATES) / PER_OCTAVE)
CENTRE = 110.0  # BPM, from which octaves are counted
TOLERANCE = 0.04  # within which two tempi are the same, as in MIREX
WINDOW_SECONDS, HOP_SECONDS, MOST_WINDOWS = 8.9, 0.56, 400
# At which multiples of the beat's period and rate a candidate is looked at.
PERIODS = np.array([1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1, 4 / 3, 3 / 2, 2, 3, 4])
RATES = np.array([1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 4 / 3, 3 / 2, 2, 3, 4, 6, 8])
LONGEST_LAG = 0.8  # of a window; beyond, too little of it overlaps
TINY = 1e-9
TOGETHER = 3.0  # scales the pairs of pitch classes like the single ones


@dataclasses.dataclass(frozen=True)
class Reading:
    """A track's tempo and key as they were read.

    Attributes:
      tempo: beats per minute, 0 = unknown.
      tempo_confidence: probability of that tempo up to its metrical level: of all tempi that are
        within 4 % of it, or of it doubled or halved.
      tempo_level: probability, if so, that it is this level and not another one.
      key: index in `tracks.KEYS`, -1 = unknown.
      key_confidence: its probability.
    """

    tempo: float = 0.0
    tempo_confidence: float = 0.0
    tempo_level: float = 0.0
    key: int = -1
    key_confidence: float = 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What the features of a track say about its tempo and key.

    Attributes:
      tempo: [CANDIDATES], scores of `TEMPI`: log-probabilities but for a constant; None without
        any onset.
      key: [24], probabilities of `KEYS`; None without any pitch.
    """

    tempo: np.ndarray | None = None
    key: np.ndarray | None = None

    def reading(self, by_embedding: np.ndarray | None = None) -> Reading:
        """The most probable tempo and key.

        Args:
          by_embedding: [C], scores of tempi within an octave, as `within_octave` reads them, that
            a model has read from the track's embedding.
        """
        tempo: tuple[float, float, float] = (0.0, 0.0, 0.0)
        key: tuple[int, float] = (-1, 0.0)
        if self.tempo is not None:
            more = 0.0 if by_embedding is None else within_octave(by_embedding)
            tempo = _tempo(self.tempo + more)
        if self.key is not None:
            best = int(np.argmax(self.key))
            key = best, float(self.key[best])
        return Reading(*tempo, *key)


def evidence(
    onset: np.ndarray, cens: np.ndarray, frame_rate: float, harmony: np.ndarray | None = None
) -> Evidence:
    """Judges the candidates by the features of a whole track, or of its segments.

    Args:
      onset: the onset envelope [T], or what each of L segments sees of it [L, n].
      cens: chroma [T, 12] or [L, frames, 12].
      frame_rate: frames per second of both.
      harmony: of the track, see `harmony.statistics`; None or empty if it is not known.
    """
    seen = tempo_features(onset, frame_rate)
    if harmony is not None and harmony.size:
        name, heard = "harmony", harmony_features(harmony)
    else:
        name, heard = "key", key_features(cens.reshape(-1, cens.shape[-1]))
    return Evidence(
        None if seen is None else seen @ _weights()["tempo"],
        None if heard is None else _softmax(heard @ _weights()[name]),
    )


def of_features(arrays: Mapping[str, np.ndarray], frame_rate: float) -> Evidence:
    """The `evidence` of a track's features, as `features.extract` or a data set gives them."""
    return evidence(arrays["onset"], arrays["cens"], frame_rate, arrays.get("harmony"))


def within_octave(scores: np.ndarray) -> np.ndarray:
    """Scores of `TEMPI` from those of C tempi SLOWEST * 2^(c / C): the same at every level."""
    place = np.log2(TEMPI / SLOWEST) * len(scores) % len(scores)
    below = np.floor(place).astype(int) % len(scores)
    share = place - np.floor(place)
    return (1 - share) * scores[below] + share * scores[(below + 1) % len(scores)]


def tempo_features(onset: np.ndarray, frame_rate: float) -> np.ndarray | None:
    """What speaks for each of `TEMPI`, [CANDIDATES, F]; None if there is no onset.

    Args:
      onset: [T], or of segments [L, n].
      frame_rate: frames per second.
    """
    window = round(WINDOW_SECONDS * frame_rate)
    spectra = _spectra(onset, window, round(HOP_SECONDS * frame_rate))
    if spectra is None:
        return None
    power, size = spectra
    correlation = np.fft.irfft(power, axis=1)[:, :window]
    correlation = (correlation / correlation[:, :1]).mean(axis=0) / _overlap(window)
    magnitude = np.sqrt(power)
    magnitude = (magnitude / np.linalg.norm(magnitude, axis=1, keepdims=True)).mean(axis=0)
    lags = 60 * frame_rate / TEMPI[:, None] * PERIODS
    at_lags = np.interp(lags, np.arange(window), correlation)
    at_lags[lags >= LONGEST_LAG * window] = 0
    rates = TEMPI[:, None] / 60 * RATES / frame_rate * size
    at_rates = np.interp(rates, np.arange(len(magnitude)), magnitude / magnitude.max(), right=0)
    beat, pulse = at_lags[:, PERIODS == 1], at_rates[:, RATES == 1]
    both = np.concatenate([beat * pulse, np.sqrt(np.maximum(beat, 0)) * pulse], axis=1)
    seen = np.concatenate([at_lags, at_rates, both], axis=1)
    seen = (seen - seen.mean(axis=0)) / (seen.std(axis=0) + 1e-6)
    octave = np.log2(TEMPI / CENTRE)[:, None]
    return np.concatenate([seen, seen * octave, octave, octave**2], axis=1)


def key_features(cens: np.ndarray) -> np.ndarray | None:
    """What speaks for each of `KEYS` in CENS [T, 12]: [24, F]; None if no pitch sounds."""
    if cens.shape[1] != registers.PITCH_CLASSES:
        return None
    return harmony_features(registers.of_frames(cens.astype(np.float64) ** 2)[None])  # uncompressed


def harmony_features(harmony: np.ndarray) -> np.ndarray | None:
    """What speaks for each of `KEYS` in [R, `harmony.SIZE`]: [24, F]; None if no pitch sounds."""
    if not harmony.any():
        return None
    means, pairs = np.split(harmony.astype(np.float64), [registers.PITCH_CLASSES], axis=1)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), TINY)
    together = np.zeros((len(harmony), 12, 12))
    together[:, *registers.PAIRS] = together[:, *registers.PAIRS[::-1]] = pairs
    together *= TOGETHER / np.maximum(np.trace(together, axis1=1, axis2=2), TINY)[:, None, None]
    size = harmony.size
    result = np.zeros((len(KEYS), 2 * size + 1))
    for tonic in range(12):
        turned = np.roll(together, (-tonic, -tonic), axis=(1, 2))[:, *registers.PAIRS]
        seen = np.concatenate([np.roll(means, -tonic, axis=1), turned], axis=1).ravel()
        result[tonic, :size] = seen
        result[12 + tonic, size:-1] = seen
    result[12:, -1] = 1  # minor keys may be rarer
    return result


def octaves_apart(tempo: np.ndarray | float, other: float) -> np.ndarray:
    """How far tempi are from each other up to their metrical levels, in octaves, in [0, 0.5]."""
    return np.abs((np.log2(np.asarray(tempo) / other) + 0.5) % 1 - 0.5)


def _tempo(scores: np.ndarray) -> tuple[float, float, float]:
    """The best tempo between the candidates, and the probabilities of `Reading`."""
    probabilities = _softmax(scores)
    best = int(np.argmax(scores))
    middle = min(max(best, 1), len(scores) - 2)
    before, peak, after = scores[middle - 1 : middle + 2]
    curvature = before - 2 * peak + after
    shift = (before - after) / (2 * curvature) if curvature < 0 else 0.0
    tempo = SLOWEST * 2.0 ** ((middle + min(max(shift, -1.0), 1.0)) / PER_OCTAVE)
    near = np.log2(1 + TOLERANCE)
    any_level = probabilities[octaves_apart(TEMPI, tempo) <= near].sum()
    this_level = probabilities[np.abs(np.log2(TEMPI / tempo)) <= near].sum()
    return float(tempo), float(any_level), float(this_level / any_level)


def _spectra(onset: np.ndarray, window: int, hop: int) -> tuple[np.ndarray, int] | None:
    """Power spectra of windows with an onset, and the size of their Fourier transforms."""
    # Segments see what surrounds them; the ends of a track are padded.
    width = window // 2 if onset.ndim == 1 else max(window - onset.shape[1] + 1, 0) // 2
    padded = np.pad(
        np.atleast_2d(onset).astype(np.float64),
        ((0, 0), (width, width)),
        mode="linear_ramp",
        end_values=0,
    )
    views = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)
    hop = max(hop, -(-views.shape[0] * views.shape[1] // MOST_WINDOWS))
    views = views[:, ::hop].reshape(-1, window)
    centred = (views - views.mean(axis=1, keepdims=True)) * _hann(window)
    size = 1 << (8 * window - 1).bit_length()
    power = np.abs(np.fft.rfft(centred, size, axis=1)) ** 2
    power = power[power.sum(axis=1) > 1e-9 * size]
    return (power, size) if len(power) else None


def _hann(window: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)


@functools.cache
def _overlap(window: int) -> np.ndarray:
    """The autocorrelation of the window itself, which is undone."""
    own = np.correlate(_hann(window), _hann(window), "full")[window - 1 :]
    return np.maximum(own / own[0], 0.1)


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


@functools.cache
def _weights() -> dict[str, np.ndarray]:
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    return {name: np.array(table[name]) for name in ("tempo", "key", "harmony")}
