"""From an audio file to features, the same way for every caller.

Workers unpickle functions that use this module, so nothing here imports TensorFlow or JAX.
"""

import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from input_pipeline.hearing import audio as audio_files
from input_pipeline.hearing import estimates, excerpts, features, segments
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
      estimate: which of `estimates.LABELS` to estimate.
      tagger: hears the tags, of the track and of its segments.
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
        rate = None if estimate else config.sample_rate
        try:
            decoded = audio_files.decode(audio, rate, longest=longest)
            arrays = _extract(decoded, config, seconds) if extract else {}
        except UnusableTrack:
            raise
        except Exception as error:  # one strange file must not end the run
            raise UnusableTrack(
                f"cannot be read ({type(error).__name__}: {error})", audio
            ) from error
    estimated = _estimate(decoded, config, estimate, tagger)
    return Heard(arrays, decoded.seconds, estimated, decoded.fingerprint, decoded.note)


def _made(audio: Callable[[], np.ndarray], sample_rate: float) -> Decoded:
    try:
        samples = audio()
        return Decoded(samples, sample_rate, len(samples) / sample_rate)
    except UnusableTrack:
        raise
    except Exception as error:
        raise RuntimeError(f"its audio failed: {error!r}") from error


def _estimate(
    decoded: Decoded, config: FeatureConfig, estimate: Collection[str], tagger: Tagger | None
) -> Estimate:
    samples, rate = decoded.samples, decoded.rate
    estimated = Estimate()
    if by_madmom := {*estimate} - estimates.BY_TAGGER:
        estimated = estimates.estimate_tempo_and_key(samples, rate, estimate=by_madmom)
    tags: dict[str, np.ndarray] = {}
    if tagger and "tags" in estimate:
        tags |= tagger.estimate(samples, rate)
    if tagger and "segments" in estimate:
        resampled = audio_files.resample(samples, rate, config.sample_rate)
        # Without the silence that the segments lack, but as loud as it is: as tags are heard.
        heard = features.hear(resampled, dataclasses.replace(config, loudness="none"))
        middles = segments.middles(heard, config)
        tags |= tagger.hear_around(np.asarray(heard), config.sample_rate, middles)
    return dataclasses.replace(estimated, tags=tags)


def _extract(
    decoded: Decoded, config: FeatureConfig, seconds: float | None
) -> dict[str, np.ndarray]:
    samples = audio_files.resample(decoded.samples, decoded.rate, config.sample_rate)
    arrays = excerpts.extract(samples, config, seconds)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise UnusableTrack(f"its {name} is not finite: it is too loud")
    return arrays
