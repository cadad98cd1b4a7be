"""From samples to features: mel spectrogram, CENS chroma and onset envelope of a whole track.

Nothing here imports TensorFlow, JAX or librosa, so that worker processes start quickly.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.fft
import threadpoolctl

from input_pipeline.hearing import chroma, level
from input_pipeline.hearing.audio import UnusableTrack
from input_pipeline.hearing.blocks import Samples
from input_pipeline.hearing.mel import mel_and_onset
from input_pipeline.hearing.segments import SEGMENT_FRAMES

FEATURE_VERSION = 1  # Raise it whenever the same configuration gives different numbers.
LARGEST = 10**6
SILENCE_PEAK = 1e-4  # -80 dB of full scale


@dataclasses.dataclass(frozen=True)
class FeatureConfig:
    """How features are extracted; the defaults are those of the papers.

    Attributes:
      sample_rate: Hz.
      hop_length: samples between frames (512 = 23.2 ms).
      n_fft: samples in a window of the mel spectrogram and of the onset envelope.
      n_mels: bands of the mel spectrogram.
      n_chroma: rows of CENS.
      bins_per_octave: resolution of the constant-Q transform below CENS.
      segment_frames: frames in a segment (129 = 3 s); shorter tracks are unusable.
      tempogram_window: frames in one window of the tempogram (384 = 8.9 s).
      log_gain: g in log10(1 + g * mel).
      loudness: "none", or "track": every track is brought to one loudness before anything else.
      silence: "kept", or "left_out": silence at the ends and long pauses are no part of the track.

    Raises:
      ValueError: a field is out of range.
    """

    sample_rate: int = 22050
    hop_length: int = 512
    n_fft: int = 1024
    n_mels: int = 128
    n_chroma: int = 12
    bins_per_octave: int = 36
    segment_frames: int = SEGMENT_FRAMES
    tempogram_window: int = 384
    log_gain: float = 10.0
    loudness: str = "none"
    silence: str = "kept"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_field(field.name, getattr(self, field.name), type(field.default))
        if self.hop_length % chroma.HOP_UNIT:
            raise ValueError(
                f"features.hop_length is {self.hop_length}, expected a multiple of "
                f"{chroma.HOP_UNIT}, so that it can be halved for every octave of CENS"
            )

    def described(self) -> dict[str, Any]:
        """The fields as data sets and models store them; newer ones only if they are used."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if (name, value) not in NEWER}

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length


NEWER = {"loudness": "none", "silence": "kept"}.items()  # fields and what older versions did
CHOICES = {"loudness": ("none", "track"), "silence": ("kept", "left_out")}


def _check_field(name: str, value: Any, kind: type) -> None:
    if kind is str:
        if value not in CHOICES[name]:
            expected = " or ".join(CHOICES[name])
            raise ValueError(f"features.{name} is {value!r}, expected {expected}")
        return
    numbers = int if kind is int else int | float
    if isinstance(value, bool) or not isinstance(value, numbers) or not 0 < value < LARGEST:
        raise ValueError(
            f"features.{name} is {value!r}, expected a positive {kind.__name__} below {LARGEST:,}"
        )


def parse_feature_config(options: Sequence[str]) -> FeatureConfig:
    """The `FeatureConfig` of options NAME=VALUE; fields that are not given keep their defaults.

    Raises:
      ValueError: an option has no such form, or a name or value is invalid.
    """
    kinds = {name: type(value) for name, value in dataclasses.asdict(FeatureConfig()).items()}
    values: dict[str, Any] = {}
    for option in options:
        name, separator, text = option.partition("=")
        if not separator or name not in kinds:
            raise ValueError(f"--feature is {option!r}, expected NAME=VALUE of {', '.join(kinds)}")
        try:
            values[name] = kinds[name](text)
        except ValueError:
            raise ValueError(
                f"--feature is {option!r}, expected a number ({kinds[name].__name__})"
            ) from None
    return FeatureConfig(**values)


def extract(samples: np.ndarray, config: FeatureConfig) -> dict[str, np.ndarray]:
    """Extracts all features of a track.

    Args:
      samples: mono float samples at `config.sample_rate`, [n].
      config: see `FeatureConfig`.

    Returns:
      mel: float16 [T, n_mels], log10(1 + log_gain * Slaney mel of the STFT magnitude).
      cens: float16 [T, n_chroma].
      onset: float32 [T], the envelope that `librosa.feature.tempogram` expects.
      harmony: float32 [2, `harmony.SIZE`], see `harmony.statistics`.

    Raises:
      UnusableTrack: the samples are too short, silent or not finite.
    """
    return analyse(hear(samples, config), config)


def hear(samples: np.ndarray, config: FeatureConfig) -> Samples:
    """The samples of a track as `config` has them heard: see its loudness and silence.

    Raises:
      UnusableTrack: they are too short, silent or not finite.
    """
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    _check_samples(samples, config)
    return _as_ears_hear(samples, config)


def analyse(
    heard: Samples, config: FeatureConfig, *, tuning: float | None = None
) -> dict[str, np.ndarray]:
    """The features of what `hear` gives, or of a part of it, as `extract` returns them.

    Args:
      heard: the samples.
      config: see `FeatureConfig`.
      tuning: of the track, see `chroma.estimate_tuning`; by default, that of `heard`.
    """
    # Products round differently with more threads: one thread gives the same bytes everywhere.
    with _thread_pools().limit(limits=1):
        return _analyse(heard, config, tuning)


@functools.cache
def _thread_pools() -> threadpoolctl.ThreadpoolController:
    """Of the libraries that are loaded by now; looking for them takes milliseconds."""
    return threadpoolctl.ThreadpoolController()


def _analyse(heard: Samples, config: FeatureConfig, tuning: float | None) -> dict[str, np.ndarray]:
    mel, onset = mel_and_onset(
        heard,
        sample_rate=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        log_gain=config.log_gain,
    )
    cens, sounding = chroma.cens_and_harmony(
        heard,
        sample_rate=config.sample_rate,
        hop_length=config.hop_length,
        n_chroma=config.n_chroma,
        bins_per_octave=config.bins_per_octave,
        tuning=tuning,
    )
    frames = min(len(mel), cens.shape[1])
    return {
        "mel": mel[:frames],
        "cens": np.ascontiguousarray(cens.T[:frames], dtype=np.float16),
        "onset": onset[:frames],
        "harmony": sounding,
    }


def mfcc_statistics(mel: np.ndarray, *, count: int = 20) -> np.ndarray:
    """The oldest timbre embedding: the mean and covariance of a track's MFCCs.

    Args:
      mel: log-compressed mel spectrogram [T, n_mels], as `extract` gives it.
      count: number of MFCCs.

    Returns:
      float64 [count + count (count + 1) / 2].
    """
    mfcc = scipy.fft.dct(mel.astype(np.float64), norm="ortho").T[:count]
    covariance = np.cov(mfcc)[np.triu_indices(count)]
    return np.concatenate([mfcc.mean(axis=1), covariance])


def _as_ears_hear(samples: np.ndarray, config: FeatureConfig) -> Samples:
    """The samples at the loudness and without the silence that `config` asks for."""
    if (config.loudness, config.silence) == ("none", "kept"):
        return samples
    heard: Samples = samples
    loudness = level.loudness(samples, config.sample_rate)
    if not np.isfinite(loudness):
        raise UnusableTrack("silent: nothing is louder than -70 LUFS")
    if config.silence == "left_out":
        heard = level.sounding(samples, config.sample_rate, loudness)
        _check_length(heard, config, "too short without silence")
    return level.at_level(heard, loudness) if config.loudness == "track" else heard


def _check_samples(samples: np.ndarray, config: FeatureConfig) -> None:
    if samples.ndim != 1:
        raise UnusableTrack(f"has samples of shape {samples.shape}, expected one dimension")
    lowest, highest = samples.min(initial=0), samples.max(initial=0)  # NaN if any sample is
    if not np.isfinite([lowest, highest]).all():
        raise UnusableTrack("has samples that are not finite")
    _check_length(samples, config, "too short")
    if max(-lowest, highest) < SILENCE_PEAK:
        raise UnusableTrack(f"silent: no sample is above {SILENCE_PEAK}")


def _check_length(samples: Samples, config: FeatureConfig, problem: str) -> None:
    frames = 1 + len(samples) // config.hop_length
    if frames < config.segment_frames:
        raise UnusableTrack(
            f"{problem}: {len(samples) / config.sample_rate:.2f} s is {frames} frames, "
            f"expected at least {config.segment_frames}"
        )
