"""Which pitch classes sound in a track, alone and together, in a low and a high register.

CENS puts all octaves into one and rounds what is in it, as suits the comparison of versions of a
piece. A key is heard more surely where the bass is told from the chords above it, and the highest
octave, which is mostly overtones, is left out.
"""

from collections.abc import Sequence

import numpy as np
import scipy.ndimage

PITCH_CLASSES = 12
REGISTERS = ((0, 1, 2), (3, 4, 5))  # octaves of the constant-Q transform: C1 to B3, C4 to B6
PAIRS = np.triu_indices(PITCH_CLASSES)
SIZE = PITCH_CLASSES + len(PAIRS[0])  # numbers in a register
SMOOTHING = np.hanning(43)[1:-1] / np.hanning(43).sum()  # over 41 frames, as in CENS


def statistics(registers: np.ndarray) -> np.ndarray:
    """The mean of a track's frames, and of their products.

    Args:
      registers: magnitude of the pitch classes in each register, [R, 12, T].

    Returns:
      float32 [R, SIZE]: of frames smoothed over a second and brought to length 1, the mean of each
      pitch class, and of each pair's product. Zeros where a register is silent throughout.
    """
    smooth = scipy.ndimage.convolve1d(registers, SMOOTHING, axis=2, mode="constant")
    return np.stack([of_frames(frames.T) for frames in smooth]).astype(np.float32)


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The `statistics` of excerpts of one length, as those of one track."""
    return np.stack(parts).mean(axis=0, dtype=np.float64).astype(np.float32)


def of_frames(frames: np.ndarray) -> np.ndarray:
    """The statistics of one register's frames [T, 12]: float64 [SIZE]."""
    length = np.linalg.norm(frames, axis=1, keepdims=True)
    sounding = length[:, 0] > np.finfo(np.float32).tiny
    frames = (frames[sounding] / length[sounding]).astype(np.float64)
    count = max(len(frames), 1)
    together = frames.T @ frames / count
    return np.concatenate([frames.sum(axis=0) / count, together[PAIRS]])
