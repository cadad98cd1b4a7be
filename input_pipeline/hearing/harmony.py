"""Which pitch classes sound in a track, alone and together, in a low and a high register.

CENS puts all octaves into one and rounds what is in it, as suits the comparison of versions of a
piece. A key is heard more surely where the bass is told from the chords above it, and the highest
octave, which is mostly overtones, is left out.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import scipy.ndimage

PITCH_CLASSES = 12
REGISTERS = ((0, 1, 2), (3, 4, 5))  # octaves of the constant-Q transform: C1 to B3, C4 to B6
PAIRS = np.triu_indices(PITCH_CLASSES)
SIZE = PITCH_CLASSES + len(PAIRS[0])  # numbers in a register
SMOOTHING = np.hanning(43)[1:-1] / np.hanning(43).sum()  # over 41 frames, as in CENS
REACH = len(SMOOTHING) // 2
FRAMES = 4096  # that are smoothed at once


def statistics(registers: np.ndarray) -> np.ndarray:
    """The mean of a track's frames, and of their products.

    Args:
      registers: magnitude of the pitch classes in each register, [R, 12, T].

    Returns:
      float32 [R, SIZE]: of frames smoothed over a second and brought to length 1, the mean of each
      pitch class, and of each pair's product. Zeros where a register is silent throughout.
    """
    return np.stack([_of_pieces(_smoothed(frames)) for frames in registers]).astype(np.float32)


def _smoothed(frames: np.ndarray) -> Iterator[np.ndarray]:
    """Frames [12, T], smoothed, in pieces [t, 12]."""
    for start in range(0, frames.shape[1], FRAMES):
        begin = max(start - REACH, 0)
        around = frames[:, begin : start + FRAMES + REACH]
        smooth = scipy.ndimage.convolve1d(around, SMOOTHING, axis=1, mode="constant")
        yield smooth[:, start - begin :][:, :FRAMES].T


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The `statistics` of excerpts of one length, as those of one track."""
    return np.stack(parts).mean(axis=0, dtype=np.float64).astype(np.float32)


def of_frames(frames: np.ndarray) -> np.ndarray:
    """The statistics of one register's frames [T, 12]: float64 [SIZE]."""
    return _of_pieces([frames])


def _of_pieces(pieces: Iterable[np.ndarray]) -> np.ndarray:
    count, total = 0, np.zeros(SIZE)
    for frames in pieces:
        length = np.linalg.norm(frames, axis=1, keepdims=True)
        sounding = length[:, 0] > np.finfo(np.float32).tiny
        frames = (frames[sounding] / length[sounding]).astype(np.float64)
        count += len(frames)
        total += np.concatenate([frames.sum(axis=0), (frames.T @ frames)[PAIRS]])
    return total / max(count, 1)
