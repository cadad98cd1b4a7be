"""From the features of a whole track to the segments that the network sees. NumPy alone."""

from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from input_pipeline.hearing.features import FeatureConfig  # which imports librosa

ARRAYS = ("mel", "cens", "onset")  # of a segment
SEGMENT_FRAMES = 129  # 3 s (A §3.1, B §4.1)
SAME_TRACK_OVERLAP = 0.5  # at most, between an anchor and a positive from one track (C)


def least_apart(frames: int) -> int:
    """Frames between the starts of two segments of one track that may be anchor and positive.

    Args:
      frames: in a segment.
    """
    return frames - int(SAME_TRACK_OVERLAP * frames)


def segments(
    arrays: Mapping[str, np.ndarray], config: "FeatureConfig", *, is_padded: bool = False
) -> dict[str, np.ndarray]:
    """Cuts a track into its L non-overlapping segments; the rest at the end is dropped.

    Args:
      arrays: the features of the whole track, as `features.extract` gives them.
      config: how they were extracted.
      is_padded: whether the onset envelope has what `pad_onset` adds.

    Returns:
      mel: float16 [L, segment_frames, n_mels].
      cens: float16 [L, segment_frames, n_chroma].
      onset: float32 [L, segment_frames + tempogram_window - 1], so that frame t of a segment's
        tempogram is computed from onset[t : t + tempogram_window].
    """
    frames, window = config.segment_frames, config.tempogram_window
    count = len(arrays["mel"]) // frames
    cut = {}
    for name in ("mel", "cens"):
        array = arrays[name][: count * frames]
        cut[name] = array.reshape(count, frames, array.shape[1])
    padded = arrays["onset"] if is_padded else pad_onset(arrays["onset"], window)
    seen = np.lib.stride_tricks.sliding_window_view(padded, frames + window - 1)
    return cut | {"onset": seen[::frames][:count]}


def middles(samples: Sized, config: "FeatureConfig") -> np.ndarray:
    """When the middles of a track's segments are, in seconds: float64 [L].

    Args:
      samples: of the track, as it is heard.
      config: how its features are extracted.
    """
    count = (1 + len(samples) // config.hop_length) // config.segment_frames
    first = (config.segment_frames - 1) / 2
    return (first + config.segment_frames * np.arange(count)) / config.frame_rate


def pad_onset(
    onset: np.ndarray, window: int, *, left: bool = True, right: bool = True
) -> np.ndarray:
    """Pads an onset envelope [n] as `librosa.feature.tempogram` does: with ramps from and to 0.

    Args:
      onset: the envelope, or part of it.
      window: frames in one window of the tempogram; half of it is added at each end.
      left, right: whether `onset` includes the beginning and the end of the envelope.
    """
    width = window // 2
    parts = [onset]
    if left:
        parts = [ramp(onset[0], width), *parts]
    if right:
        parts = [*parts, ramp(onset[-1], width)[::-1]]
    return np.concatenate(parts)


def ramp(end: np.floating, width: int) -> np.ndarray:
    """From 0, in `width` steps of equal size, to `end`, which is left out; of the type of `end`."""
    return (np.arange(width) * (np.float64(end) / width)).astype(end.dtype)
