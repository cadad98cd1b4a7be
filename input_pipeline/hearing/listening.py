"""From an audio file to features, the same way for every caller.

Workers unpickle functions that use this module, so nothing here imports TensorFlow or JAX.
"""

import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from input_pipeline.hearing import audio as audio_files
from input_pipeline.hearing import estimates, features
from input_pipeline.hearing.audio import LONGEST, UnusableTrack
from input_pipeline.hearing.estimates import Estimate
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.hearing.tagging import Tagger

Audio = str | Path | Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Heard:
    """What was heard in a track.

    Attributes:
      features: as `features.extract` gives them; empty if they were not requested.
      seconds: duration of the audio.
      estimate: madmom's tempo and key and MusiCNN's tags, if requested.
    """

    features: dict[str, np.ndarray]
    seconds: float
    estimate: Estimate


def listen(
    audio: Audio,
    config: FeatureConfig,
    *,
    longest: float = LONGEST,
    estimate: Collection[str] = (),
    tagger: Tagger | None = None,
    extract: bool = True,
) -> Heard:
    """Decodes one track and extracts its features.

    Args:
      audio: a file, or a callable that gives float32 mono samples at `config.sample_rate`.
      config: how to extract them.
      longest: seconds of audio; a longer file is not decoded.
      estimate: which of "tempo" and "key" to estimate with madmom.
      tagger: estimates the tags, if given.
      extract: whether to extract the features.

    Raises:
      UnusableTrack: there are no features. If a decoder failed unexpectedly, its exception is the
        `__cause__`.
      RuntimeError: the callable failed.
      ImportError: an estimate is requested, but madmom is not installed.
    """
    rate: float
    if callable(audio):
        samples, rate = _made(audio), config.sample_rate
        arrays = _extract(samples, rate, config) if extract else {}
    else:
        try:
            samples, rate = audio_files.decode(audio, longest=longest)
            arrays = _extract(samples, rate, config) if extract else {}
        except UnusableTrack:
            raise
        except Exception as error:  # one strange file must not end the run
            raise UnusableTrack(
                f"cannot be read ({type(error).__name__}: {error})", audio
            ) from error
    estimated = Estimate()
    if estimate:
        estimated = estimates.estimate_tempo_and_key(samples, rate, estimate=estimate)
    if tagger:
        estimated = dataclasses.replace(estimated, tags=tagger.estimate(samples, rate))
    return Heard(arrays, len(samples) / rate, estimated)


def _made(audio: Callable[[], np.ndarray]) -> np.ndarray:
    try:
        return audio()
    except UnusableTrack:
        raise
    except Exception as error:
        raise RuntimeError(f"its audio failed: {error!r}") from error


def _extract(samples: np.ndarray, rate: float, config: FeatureConfig) -> dict[str, np.ndarray]:
    resampled = audio_files.resample(samples, rate, config.sample_rate)
    return features.extract(resampled, config)
