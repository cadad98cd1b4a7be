"""Two excerpts per track, as recordings of their own: what a listener might have of each.

They are as far apart as the track allows: their centres are at 1/4 and 3/4 of it. A track shorter
than both together is cut in half.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from input_pipeline.datasets.batches import Batch
from input_pipeline.datasets.dataset import DataSet
from input_pipeline.hearing.segments import segments

LEAST_SEGMENTS = 2  # in an excerpt of a track that is too short for whole ones
PER_TRACK = 2


def excerpt_names(track_id: str) -> tuple[str, str]:
    """What the excerpts of a track are called in files of embeddings."""
    return f"{track_id}#1", f"{track_id}#2"


@dataclasses.dataclass(frozen=True)
class Excerpts:
    """The excerpts of K tracks of a data set.

    Attributes:
      track: int [K], ascending rows of the data set.
      start: int [K, 2], first frames.
      frames: int [K], in each excerpt of the track.
      seconds: of an excerpt, as asked for.
    """

    track: np.ndarray
    start: np.ndarray
    frames: np.ndarray
    seconds: float

    def __len__(self) -> int:
        return len(self.track)


def cut(data: DataSet, *, seconds: float, at_most: int | None = None) -> Excerpts:
    """Cuts the tracks of a split.

    A track is left out if half of it has fewer than `LEAST_SEGMENTS` segments, or fewer than the
    excerpts that were asked for.

    Args:
      seconds: of an excerpt, if the track has twice as much.
      at_most: how many tracks; of more, those at even distances are taken.

    Raises:
      ValueError: an excerpt would be shorter than a segment.
    """
    config = data.feature_config
    rate = config.sample_rate / config.hop_length
    wanted = int(seconds * rate)
    if wanted < config.segment_frames:
        least = config.segment_frames / rate
        raise ValueError(
            f"--excerpt is {seconds:g}, expected at least {np.ceil(10 * least) / 10:g} s (a "
            "segment), or 0 for no excerpts"
        )
    frames = np.minimum(wanted, data.num_frames.astype(np.int64) // PER_TRACK)
    least_segments = min(LEAST_SEGMENTS, wanted // config.segment_frames)
    track = np.flatnonzero(frames >= least_segments * config.segment_frames)
    if at_most is not None and len(track) > at_most:
        track = track[np.arange(at_most) * len(track) // at_most]
    frames, length = frames[track], data.num_frames[track].astype(np.int64)
    first = (length - 2 * frames) // 4
    start = np.stack([first, length - frames - first], axis=1)
    return Excerpts(track, start, frames, seconds)


def described(data: DataSet, excerpts: Excerpts) -> dict[str, Any]:
    """How the tracks were cut, for JSON: where their excerpts begin, and how long they are [s]."""
    hop = data.feature_config.hop_length / data.feature_config.sample_rate
    return {
        "seconds": excerpts.seconds,
        "tracks": len(excerpts),
        "left_out": len(data) - len(excerpts),
        "cut": {
            data.track_ids[row]: {
                "start": np.round(start * hop, 3).tolist(),
                "seconds": round(float(frames * hop), 3),
            }
            for row, start, frames in zip(
                excerpts.track, excerpts.start, excerpts.frames, strict=True
            )
        },
    }


def features(data: DataSet, excerpts: Excerpts, number: int) -> Iterator[dict[str, np.ndarray]]:
    """The features of both excerpts of track `number` of the excerpts, as of two recordings."""
    track, frames = int(excerpts.track[number]), int(excerpts.frames[number])
    window = data.feature_config.tempogram_window
    for start in excerpts.start[number].tolist():
        mel, cens, onset = data.read(track, start, frames)
        # What was read around the excerpt for its tempogram belongs to the rest of the track.
        yield {"mel": mel, "cens": cens, "onset": onset[window // 2 : window // 2 + frames]}


def segment_batches(data: DataSet, excerpts: Excerpts, *, batch_size: int) -> Iterator[Batch]:
    """All non-overlapping segments of all excerpts, in batches of equal size.

    Yields:
      mel, cens, onset as in `batches.track_segments`, and excerpt int32 [B]: 2 k + i for excerpt i
      of track k of the excerpts, or -1 for the zeros that pad the last batch.
    """
    waiting: list[tuple[int, Batch]] = []
    for number in range(len(excerpts)):
        for place, arrays in enumerate(features(data, excerpts, number)):
            found = segments(arrays, data.feature_config)
            for one in zip(*found.values(), strict=True):
                waiting.append((PER_TRACK * number + place, dict(zip(found, one, strict=True))))
        while len(waiting) >= batch_size:
            yield _batch(waiting[:batch_size], batch_size)
            del waiting[:batch_size]
    if waiting:
        yield _batch(waiting, batch_size)


def _batch(rows: list[tuple[int, Batch]], size: int) -> Batch:
    excerpt = np.full(size, -1, np.int32)
    excerpt[: len(rows)] = [number for number, _ in rows]
    batch = {"excerpt": excerpt}
    for name, first in rows[0][1].items():
        batch[name] = np.zeros((size, *first.shape), first.dtype)
        batch[name][: len(rows)] = [arrays[name] for _, arrays in rows]
    return batch
