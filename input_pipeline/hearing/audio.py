"""From an audio file to mono samples.

Nothing here imports librosa, TensorFlow or JAX, so that worker processes start quickly.
"""

import os
from pathlib import Path

import numpy as np
import soundfile
import soxr

LONGEST = 1800.0  # seconds; a worker needs 50 MB for each minute
DECODED_FRAMES = 1 << 18  # at a time, so that many channels at a high rate don't fill the memory


class UnusableTrack(Exception):
    """A track that cannot be used.

    Attributes:
      reason: why, in words, without the path.
      path: of the audio file; None if the audio is not a file or its name does not help.
    """

    def __init__(self, reason: str, path: str | Path | None = None):
        super().__init__(reason, path)  # pickle passes these to this method
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        return self.reason if self.path is None else f"{self.reason}: {self.path}"


def load_audio(path: str | Path, sample_rate: int, *, longest: float = LONGEST) -> np.ndarray:
    """Decodes an audio file into float32 [samples], mono, at `sample_rate` Hz; see `decode`."""
    samples, rate = decode(path, longest=longest)
    return resample(samples, rate, sample_rate)


def resample(samples: np.ndarray, rate: float, sample_rate: float) -> np.ndarray:
    """Converts samples [n] from `rate` Hz to `sample_rate` Hz."""
    return soxr.resample(samples, rate, sample_rate, quality="HQ")


def decode(path: str | Path, *, longest: float = LONGEST) -> tuple[np.ndarray, float]:
    """Decodes an audio file: float32 [samples], the mean of its channels, and its rate in Hz.

    Args:
      path: of the file.
      longest: seconds of audio; a longer file is not decoded.

    Raises:
      UnusableTrack: the file is missing, empty, too long or in a format that cannot be decoded.
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


def check_file(path: str | Path) -> None:
    """Raises UnusableTrack unless `path` is a regular file that is not empty."""
    if not os.path.isfile(path):  # reading from a pipe might never end
        raise UnusableTrack("not a regular file" if os.path.exists(path) else "no such file", path)
    if os.path.getsize(path) == 0:
        raise UnusableTrack("file is empty", path)


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
            "is ffmpeg installed?)",
            path,
        ) from None


def _check_length(seconds: float, longest: float, path: Path) -> None:
    if seconds > longest:
        raise UnusableTrack(f"too long: {seconds:.0f} s, expected at most {longest:.0f} s", path)
