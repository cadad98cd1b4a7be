"""Composed batches through tf.data: batch number t is a pure function of (data, seed, t).

`compose` draws the tracks and crops of a batch; tf.data reads several batches at a time, in order
and ahead of the consumer. There is no position to restore: a resumed run starts at its step, and
any number of processes reads the same global batches.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from input_pipeline.datasets.dataset import DataSet
from input_pipeline.datasets.partners import Group, PartnersByName
from input_pipeline.hearing.segments import least_apart
from input_pipeline.tracks import DIMENSIONS, TAG_DIMENSIONS

DRAWS = ("balanced", "every_track")

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Composition:
    """What the rows of a global batch are, int [B] each.

    Attributes:
      track: rows of the data set.
      start: first frames.
      drawn_dimension: in which dimension the row was drawn to be similar, a position in
        `tracks.DIMENSIONS`; -1 for segments of one track, and for a track without partners.
      drawn_tag: by which of that dimension's tags; -1 if by none.
    """

    track: np.ndarray
    start: np.ndarray
    drawn_dimension: np.ndarray
    drawn_tag: np.ndarray


def compose(
    partners: PartnersByName,
    num_frames: np.ndarray,
    *,
    batch_size: int,
    frames: int,
    seed: int,
    step: int,
    group_size: int = 2,
    draw: str = "balanced",
) -> Composition:
    """Draws a global batch of (anchor, positive) pairs in every dimension.

    The batch consists of P groups of K = group_size rows, P x K = B. Group i is similar in
    dimension i mod S: its first row is drawn from a class (tag, tempo or key) that is itself drawn
    evenly, so that rare classes are seen; the other rows are different tracks similar to the first.
    Every dimension therefore has at least (K - 1) B / K S pairs, however few tracks have its label,
    and whatever else the rows share. Segments of one track (`SameTrack`) come in pairs that overlap
    by at most half.

    With the draw "every_track", the first rows are instead the next tracks of a random order in
    which an epoch takes every track once. A group is similar in another dimension if its first
    track has no partner in dimension i mod S, and its other rows are any tracks if it has none.

    Args:
      partners: see `partners.partners_of`.
    """
    random = np.random.default_rng((seed, step))
    count = -(-batch_size // group_size)
    names = [list(partners)[i % len(partners)] for i in range(count)]
    if draw == "balanced":
        groups = [partners[name].draw(random, group_size) for name in names]
    else:
        firsts = _next_tracks(len(num_frames), seed=seed, first=step * count, count=count)
        around = [
            _around(partners, name, first, random, group_size, tracks=len(num_frames))
            for name, first in zip(names, firsts, strict=True)
        ]
        names, groups = (list(column) for column in zip(*around, strict=True))
    track = np.array([group.tracks for group in groups], np.int64).reshape(-1)[:batch_size]
    room = num_frames[track] - frames
    start = random.integers(0, room, endpoint=True)
    for row in range(0, len(track) - 1, 2):
        if track[row] == track[row + 1] and room[row] >= least_apart(frames):
            apart = random.integers(least_apart(frames), room[row], endpoint=True)
            first = random.integers(room[row] - apart, endpoint=True)
            start[row : row + 2] = random.permutation([first, first + apart])
    dimension = [DIMENSIONS.index(name) if name in DIMENSIONS else -1 for name in names]
    tag = [
        group.number if name in TAG_DIMENSIONS else -1
        for name, group in zip(names, groups, strict=True)
    ]
    of_rows = (np.repeat(each, group_size)[:batch_size] for each in (dimension, tag))
    return Composition(track, start, *of_rows)


def _around(
    partners: PartnersByName,
    name: str,
    first: int,
    random: np.random.Generator,
    size: int,
    *,
    tracks: int,
) -> tuple[str, Group]:
    """A group around a track in the dimension `name`, or else in another; "" = in none."""
    others = [other for other in partners if other != name]
    for each in (name, *random.permutation(others)):
        if first in partners[each]:
            return each, partners[each].around(random, first, size)
    return "", Group((first, *random.integers(tracks, size=size - 1)), -1)


def _next_tracks(tracks: int, *, seed: int, first: int, count: int) -> list[int]:
    """Places first to first + count - 1 of the endless order in which epochs take all tracks."""
    places = (divmod(place, tracks) for place in range(first, first + count))
    return [int(_order(tracks, seed, epoch)[place]) for epoch, place in places]


@functools.lru_cache(maxsize=4)  # reading ahead may cross an epoch; so may training and validation
def _order(tracks: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, 1)).permutation(tracks)


def read_batch(data: DataSet, composition: Composition, rows: slice, frames: int) -> Batch:
    """Reads the crops and labels of the given rows of a global batch."""
    track = composition.track[rows]
    mel, cens, onset = data.read_crops(track.tolist(), composition.start[rows].tolist(), frames)
    labels = {dimension: data.tags[dimension][track] for dimension in TAG_DIMENSIONS}
    labels |= {"tempo": data.tempo[track], "key": data.key[track]}
    index = np.arange(len(composition.track), dtype=np.int32)[rows]
    composed = {name: values[rows].astype(np.int32) for name, values in vars(composition).items()}
    return {
        "mel": mel,
        "cens": cens,
        "onset": onset,
        **labels,
        "index": index,
        **composed,
    }


def composed_batches(
    data: DataSet,
    partners: PartnersByName,
    *,
    batch_size: int,
    seed: int,
    first_step: int,
    num_steps: int,
    group_size: int = 2,
    draw: str = "balanced",
    process_index: int = 0,
    process_count: int = 1,
    read_ahead: int = 4,
    of_crops: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] | None = None,
) -> Iterator[Batch]:
    """This process's rows of the batches of steps first_step to num_steps - 1, in order.

    Args:
      data: the split to train on or to compute a loss on.
      partners: what draws its groups, see `partners.partners_of`.
      batch_size: of the global batch; a multiple of process_count.
      group_size: number of similar rows drawn together; see `compose`.
      draw: one of `DRAWS`; see `compose`.
      read_ahead: number of batches to read in advance.
      of_crops: what gives further arrays [b, ...] of a batch, of its tracks and first frames.

    Raises:
      ValueError, OSError: a file of the data set was damaged after it was opened.

    Yields:
      mel float16 [b, T, 128], cens float16 [b, T, 12], onset float32 [b, T + 383], the labels
      (bool [b, C], tempo [b], key [b]), index int32 [b] (row in the global batch), track int32 [b]
      (row in `data`), start, drawn_dimension and drawn_tag int32 [b] (see `Composition`).
    """
    frames = data.feature_config.segment_frames
    rows = slice(*(batch_size * (process_index + i) // process_count for i in (0, 1)))

    def batch(step: int) -> Batch:
        composition = compose(
            partners,
            data.num_frames,
            batch_size=batch_size,
            frames=frames,
            seed=seed,
            step=step,
            group_size=group_size,
            draw=draw,
        )
        further = {
            name: of(composition.track[rows], composition.start[rows])
            for name, of in (of_crops or {}).items()
        }
        return read_batch(data, composition, rows, frames) | further

    yield from _read_ahead(batch, range(first_step, num_steps), count=read_ahead)


def _read_ahead(batch: Callable[[int], Batch], steps: range, *, count: int) -> Iterator[Batch]:
    """Yields the batches of the steps in order, up to `count` of them read at once by tf.data."""
    import tensorflow as tf

    failed: list[Exception] = []

    def read(step: np.ndarray) -> list[np.ndarray]:
        try:
            return list(batch(int(step)).values())
        except (OSError, ValueError) as error:
            failed.append(error)
            raise

    example = batch(0)
    types = [tf.as_dtype(array.dtype) for array in example.values()]
    batches = (
        tf.data.Dataset.range(steps.start, steps.stop)
        .map(
            lambda step: tf.numpy_function(read, [step], types, stateful=False),
            num_parallel_calls=count,
            deterministic=True,
        )
        .prefetch(count)
    )
    try:
        for arrays in batches.as_numpy_iterator():
            yield dict(zip(example, arrays, strict=True))
    except tf.errors.OpError:
        if failed:  # TensorFlow wraps it in an error whose message is a traceback
            raise failed[0] from None
        raise


def track_segments(data: DataSet, *, batch_size: int) -> Iterator[Batch]:
    """All non-overlapping segments of all tracks, in batches of equal size (A §4.1).

    Yields:
      mel, cens, onset as in `composed_batches`, and track int32 [B]: the row in `data`, or -1 for
      the zeros that pad the last batch.
    """
    frames = data.feature_config.segment_frames
    segments = [
        (track, start)
        for track, length in enumerate(data.num_frames)
        for start in range(0, int(length) - frames + 1, frames)
    ]
    for first in range(0, len(segments), batch_size):
        part = segments[first : first + batch_size]
        tracks, starts = zip(*part, strict=True)
        fill = [(0, batch_size - len(part))]
        mel, cens, onset = (
            np.pad(crops, fill + [(0, 0)] * (crops.ndim - 1))
            for crops in data.read_crops(tracks, starts, frames)
        )
        track = np.pad(np.array(tracks, np.int32), fill, constant_values=-1)
        yield {"mel": mel, "cens": cens, "onset": onset, "track": track}
