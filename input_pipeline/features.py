"""Mel spectrogram, CENS chroma and onset envelope of a whole track.

Nothing here imports TensorFlow or JAX, so that worker processes start quickly.
"""

import dataclasses
import os
from pathlib import Path

import librosa
import numpy as np
import soundfile
import soxr
import threadpoolctl

from input_pipeline import chroma

FEATURE_VERSION = 1  # Raise it whenever `extract` gives other numbers for the same configuration.
SILENCE_PEAK = 1e-4  # -80 dB of full scale
LONGEST = 1800.0  # seconds; a worker needs 50 MB for each minute
DECODED_FRAMES = 1 << 18  # at once, so that many channels at a high rate don't fill the memory


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
    """

    sample_rate: int = 22050
    hop_length: int = 512
    n_fft: int = 1024
    n_mels: int = 128
    n_chroma: int = 12
    bins_per_octave: int = 36
    segment_frames: int = 129
    tempogram_window: int = 384
    log_gain: float = 10.0


class UnusableTrack(Exception):
    """A track that cannot take part; the message is the reason in words."""


def load_audio(path: str | Path, sample_rate: int, *, longest: float = LONGEST) -> np.ndarray:
    """Decodes an audio file into float32 [samples], mono, at `sample_rate`; see `decode`."""
    samples, rate = decode(path, longest=longest)
    return resample(samples, rate, sample_rate)


def resample(samples: np.ndarray, rate: float, sample_rate: int) -> np.ndarray:
    """Samples [n] at `rate` Hz, at `sample_rate` Hz."""
    return soxr.resample(samples, rate, sample_rate, quality="HQ")


def decode(path: str | Path, *, longest: float = LONGEST) -> tuple[np.ndarray, float]:
    """Decodes an audio file into float32 [samples], the mean of its channels, and its rate in Hz.

    Args:
      path: of the file.
      longest: seconds of audio; what lasts longer is not decoded.

    Raises:
      UnusableTrack: the file is missing, empty, too long or in no format that can be decoded here.
    """
    path = Path(path)
    check_file(path)
    try:
        with soundfile.SoundFile(path) as file:
            _check_length(file.frames / file.samplerate, longest, path)
            blocks = file.blocks(DECODED_FRAMES, dtype="float32", always_2d=True)
            mono = [block.mean(axis=1) for block in blocks]
            return np.concatenate(mono or [np.zeros(0, np.float32)]), file.samplerate
    except soundfile.LibsndfileError:
        return _decode_elsewhere(path, longest)


def check_file(path: Path) -> None:
    """Raises UnusableTrack unless there is a file with something in it."""
    if not os.path.isfile(path):
        raise UnusableTrack(f"no such file: {path}")
    if path.stat().st_size == 0:
        raise UnusableTrack(f"file is empty: {path}")


def _decode_elsewhere(path: Path, longest: float) -> tuple[np.ndarray, float]:
    """Decodes with audioread (ffmpeg, GStreamer, Core Audio)."""
    import audioread

    mono: list[np.ndarray] = []
    try:
        with audioread.audio_open(path) as file:
            _check_length(file.duration, longest, path)
            for block in file:
                frames = np.frombuffer(block, "<i2").reshape(-1, file.channels)
                mono.append(frames.mean(axis=1, dtype=np.float32) / np.float32(32768))
                _check_length(len(mono) * len(mono[0]) / file.samplerate, longest, path)
            return np.concatenate(mono), file.samplerate
    except (audioread.DecodeError, EOFError, OSError, ValueError) as error:
        raise UnusableTrack(
            f"cannot be decoded by libsndfile or by audioread ({type(error).__name__}; "
            f"is ffmpeg installed?): {path}"
        ) from None


def _check_length(seconds: float, longest: float, path: Path) -> None:
    if seconds > longest:
        raise UnusableTrack(f"too long: {seconds:.0f} s, expected at most {longest:.0f} s: {path}")


# Matrix products round differently with more threads: one thread gives the same bytes everywhere.
@threadpoolctl.threadpool_limits.wrap(limits=1)
def extract(samples: np.ndarray, config: FeatureConfig) -> dict[str, np.ndarray]:
    """Extracts all features of a track.

    Args:
      samples: mono float samples at `config.sample_rate`, [n].
      config: see `FeatureConfig`.

    Returns:
      mel: float16 [T, n_mels], log10(1 + log_gain * Slaney mel of the STFT's magnitude).
      cens: float16 [T, n_chroma].
      onset: float32 [T], the envelope that `librosa.feature.tempogram` takes.

    Raises:
      UnusableTrack: too short, silent or non-finite samples.
    """
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    _check_samples(samples, config)
    magnitude = np.abs(
        librosa.stft(samples, n_fft=config.n_fft, hop_length=config.hop_length)
    )  # [1 + n_fft / 2, T]
    filters = librosa.filters.mel(sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.n_mels)
    mel = np.log10(1.0 + config.log_gain * (filters @ magnitude))
    onset = librosa.onset.onset_strength(
        S=librosa.power_to_db(filters @ magnitude**2),
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
    )
    cens = chroma.cens(
        samples,
        sample_rate=config.sample_rate,
        hop_length=config.hop_length,
        n_chroma=config.n_chroma,
        bins_per_octave=config.bins_per_octave,
    )
    frames = min(mel.shape[1], cens.shape[1], len(onset))
    return {
        "mel": np.ascontiguousarray(mel.T[:frames], dtype=np.float16),
        "cens": np.ascontiguousarray(cens.T[:frames], dtype=np.float16),
        "onset": np.ascontiguousarray(onset[:frames], dtype=np.float32),
    }


def mfcc_statistics(mel: np.ndarray, *, count: int = 20) -> np.ndarray:
    """The oldest embedding of timbre: mean and covariance of a track's MFCCs.

    Args:
      mel: log-compressed mel spectrogram as `extract` gives it [T, n_mels].
      count: number of MFCCs.

    Returns:
      float64 [count + count (count + 1) / 2].
    """
    mfcc = librosa.feature.mfcc(S=mel.T.astype(np.float64), n_mfcc=count)
    covariance = np.cov(mfcc)[np.triu_indices(count)]
    return np.concatenate([mfcc.mean(axis=1), covariance])


def _check_samples(samples: np.ndarray, config: FeatureConfig) -> None:
    if samples.ndim != 1:
        raise UnusableTrack(f"has samples of shape {samples.shape}, expected one dimension")
    if not np.isfinite(samples).all():
        raise UnusableTrack("has samples that are not finite")
    frames = 1 + len(samples) // config.hop_length
    if frames < config.segment_frames:
        raise UnusableTrack(
            f"too short: {len(samples) / config.sample_rate:.2f} s is {frames} frames, "
            f"expected at least {config.segment_frames}"
        )
    if np.abs(samples).max() < SILENCE_PEAK:
        raise UnusableTrack(f"silent: no sample is above {SILENCE_PEAK}")
