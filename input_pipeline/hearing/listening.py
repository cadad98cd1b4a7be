"""From an audio file to features, the same way for every caller.

Workers unpickle functions that use this module, so nothing here imports TensorFlow or JAX.
"""

import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from input_pipeline.hearing import audio as audio_files
from input_pipeline.hearing import estimates, excerpts
from input_pipeline.hearing.audio import LONGEST, Decoded, UnusableTrack
from input_pipeline.hearing.estimates import Estimate
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.hearing.tagging import Tagger

Audio = str | Path | Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Heard:
    """What was heard in a track.

    Attributes:
      features: as `excerpts.extract` gives them; empty if they were not requested.
      seconds: duration of the audio.
      fingerprint: of the audio in the file, see `audio.fingerprint`; empty if it is not a file.
      note: what is odd about the file, although it can be used; see `audio.Decoded`.
      estimate: madmom's tempo and key and MusiCNN's tags, if requested.
    """

    features: dict[str, np.ndarray]
    seconds: float
    estimate: Estimate
    fingerprint: str = ""
    note: str = ""


def listen(
    audio: Audio,
    config: FeatureConfig,
    *,
    seconds: float | None = None,
    longest: float = LONGEST,
    estimate: Collection[str] = (),
    tagger: Tagger | None = None,
    extract: bool = True,
) -> Heard:
    """Decodes one track and extracts its features.

    Args:
      audio: a file, or a callable that gives float32 mono samples at `config.sample_rate`.
      config: how to extract them.
      seconds: of a longer track whose features are extracted, in excerpts; None for whole tracks.
      longest: seconds of audio; a longer file is unusable.
      estimate: which of "tempo" and "key" to estimate with madmom.
      tagger: estimates the tags, if given.
      extract: whether to extract the features.

    Raises:
      UnusableTrack: there are no features. If a decoder failed unexpectedly, its exception is the
        `__cause__`.
      RuntimeError: the callable failed.
      ImportError: an estimate is requested, but madmom is not installed.
    """
    if callable(audio):
        decoded = _made(audio, config.sample_rate)
        arrays = _extract(decoded, config, seconds) if extract else {}
    else:
        # Estimates need the file's own rate; features alone are spared from holding all of that.
        rate = None if estimate or tagger else config.sample_rate
        try:
            decoded = audio_files.decode(audio, rate, longest=longest)
            arrays = _extract(decoded, config, seconds) if extract else {}
        except UnusableTrack:
            raise
        except Exception as error:  # one strange file must not end the run
            raise UnusableTrack(
                f"cannot be read ({type(error).__name__}: {error})", audio
            ) from error
    estimated = Estimate()
    if estimate:
        estimated = estimates.estimate_tempo_and_key(
            decoded.samples, decoded.rate, estimate=estimate
        )
    if tagger:
        tags = tagger.estimate(decoded.samples, decoded.rate)
        estimated = dataclasses.replace(estimated, tags=tags)
    return Heard(arrays, decoded.seconds, estimated, decoded.fingerprint, decoded.note)


def _made(audio: Callable[[], np.ndarray], sample_rate: float) -> Decoded:
    try:
        samples = audio()
        return Decoded(samples, sample_rate, len(samples) / sample_rate)
    except UnusableTrack:
        raise
    except Exception as error:
        raise RuntimeError(f"its audio failed: {error!r}") from error


def _extract(
    decoded: Decoded, config: FeatureConfig, seconds: float | None
) -> dict[str, np.ndarray]:
    samples = audio_files.resample(decoded.samples, decoded.rate, config.sample_rate)
    arrays = excerpts.extract(samples, config, seconds)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise UnusableTrack(f"its {name} is not finite: it is too loud")
    return arrays
