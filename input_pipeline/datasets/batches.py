"""Composed batches through tf.data: batch number t is a pure function of (data, seed, t).

`compose` draws the tracks and crops of a batch; tf.data reads several batches at a time, in order
and ahead of the consumer. There is no position to restore: a resumed run starts at its step, and
any number of processes reads the same global batches.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from input_pipeline.datasets.dataset import DataSet
from input_pipeline.hearing.segments import least_apart
from input_pipeline.tracks import TAG_DIMENSIONS, TEMPO_OCTAVES, key_group

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Composition:
    """The tracks [B] and first frames [B] of a global batch."""

    track: np.ndarray
    start: np.ndarray


def compose(
    partners: Sequence["Partners | SameTrack"],
    num_frames: np.ndarray,
    *,
    batch_size: int,
    frames: int,
    seed: int,
    step: int,
    group_size: int = 2,
) -> Composition:
    """Draws a global batch in which every dimension finds (anchor, positive) pairs.

    The batch consists of P groups of K = group_size rows, P x K = B. Group i is similar in
    dimension i mod S: its first row is drawn from a class (tag, tempo or key) that is itself drawn
    evenly, so that rare classes are seen; the other rows are different tracks similar to the first.
    Every dimension therefore has at least (K - 1) B / K S pairs, however few tracks have its label,
    and whatever else the rows share. Segments of one track (`SameTrack`) come in pairs that overlap
    by at most half.
    """
    random = np.random.default_rng((seed, step))
    count = -(-batch_size // group_size)
    groups = [partners[i % len(partners)].draw(random, group_size) for i in range(count)]
    track = np.array(groups, np.int64).reshape(-1)[:batch_size]
    room = num_frames[track] - frames
    start = random.integers(0, room, endpoint=True)
    for row in range(0, len(track) - 1, 2):
        if track[row] == track[row + 1] and room[row] >= least_apart(frames):
            apart = random.integers(least_apart(frames), room[row], endpoint=True)
            first = random.integers(room[row] - apart, endpoint=True)
            start[row : row + 2] = random.permutation([first, first + apart])
    return Composition(track, start)


class Partners:
    """Draws groups of similar tracks in one dimension.

    Args:
      classes: bool [N, C], the classes of each track; a track without any is never drawn first.
      related: bool [C, C], which classes are similar; by default each only to itself.
    """

    def __init__(self, classes: np.ndarray, related: np.ndarray | None = None):
        related = np.eye(classes.shape[1], dtype=bool) if related is None else related
        members = [np.flatnonzero(column) for column in classes.T]
        self._firsts, self._seconds = [], []
        for number, own in enumerate(members):
            similar = np.flatnonzero(classes[:, related[number]].any(axis=1))
            if len(own) and len(similar) >= 2:
                self._firsts.append(own)
                self._seconds.append(similar)

    def __len__(self) -> int:
        """The number of classes from which a pair can be drawn."""
        return len(self._firsts)

    def draw(self, random: np.random.Generator, count: int = 2) -> tuple[int, ...]:
        """A track and count - 1 tracks similar to it; they repeat only once all have been drawn."""
        number = random.integers(len(self._firsts))
        similar = self._seconds[number]
        group = [random.choice(self._firsts[number])]
        fresh = set(group)  # tracks drawn in this round
        while len(group) < count:
            if len(fresh) == len(similar):
                fresh = {group[0]}
            other = random.choice(similar)
            if other not in fresh:
                fresh.add(other)
                group.append(other)
        return tuple(group)


class SameTrack:
    """Draws segments of one track in pairs, for the track regularisation (C)."""

    def __init__(self, num_frames: np.ndarray, *, frames: int):
        self._tracks = np.flatnonzero(num_frames - frames >= least_apart(frames))

    def __len__(self) -> int:
        """The number of tracks that are long enough for two segments."""
        return len(self._tracks)

    def draw(self, random: np.random.Generator, count: int = 2) -> tuple[int, ...]:
        """`count` tracks (an even number), each twice in a row."""
        drawn = [random.choice(self._tracks) for _ in range(count // 2)]
        return tuple(np.repeat(drawn, 2))


def partners_of(
    data: DataSet,
    dimensions: Sequence[str],
    *,
    tempo_tolerance: float,
    key_relation: str,
    track_pairs: bool = False,
) -> list[Partners | SameTrack]:
    """One `Partners` per dimension, and a `SameTrack` if batches have pairs from one track.

    Raises:
      ValueError: no two tracks are similar in a dimension, or no track is long enough.
    """
    result: list[Partners | SameTrack] = []
    for dimension in dimensions:
        if dimension == "tempo":
            tempi = np.unique(np.round(data.tempo[data.tempo > 0], 1))
            classes = np.round(data.tempo, 1)[:, None] == tempi
            octaves = 2.0 ** np.array(TEMPO_OCTAVES)
            # Stricter than the relation by as much as rounding both tempi may hide.
            tolerance = np.maximum(tempo_tolerance - 0.05 * (1 + octaves), 0)
            apart = np.abs(tempi[:, None, None] - tempi[:, None] * octaves)
            related = np.any(apart <= tolerance, axis=-1)
            partners = Partners(classes, related)
        elif dimension == "key":
            group = key_group(data.key, key_relation)
            partners = Partners((group[:, None] == np.arange(12)) & (data.key >= 0)[:, None])
        else:
            partners = Partners(data.tags[dimension])
        if not len(partners):
            raise ValueError(
                f"{data.directory}: split {data.split!r} has no two tracks that are similar in "
                f"{dimension!r}; label more tracks or leave it out of config.dimensions"
            )
        result.append(partners)
    if track_pairs:
        result.append(SameTrack(data.num_frames, frames=data.feature_config.segment_frames))
        if not len(result[-1]):
            raise ValueError(
                f"{data.directory}: split {data.split!r} has no track of one and a half segments, "
                "which the track regularisation needs; set config.loss.track_weight = 0"
            )
    return result


def read_batch(data: DataSet, composition: Composition, rows: slice, frames: int) -> Batch:
    """Reads the crops and labels of the given rows of a global batch."""
    track = composition.track[rows]
    crops = [data.read(i, s, frames) for i, s in zip(track, composition.start[rows], strict=True)]
    mel, cens, onset = (np.stack(column) for column in zip(*crops, strict=True))
    labels = {dimension: data.tags[dimension][track] for dimension in TAG_DIMENSIONS}
    labels |= {"tempo": data.tempo[track], "key": data.key[track]}
    index = np.arange(len(composition.track), dtype=np.int32)[rows]
    return {
        "mel": mel,
        "cens": cens,
        "onset": onset,
        **labels,
        "index": index,
        "track": track.astype(np.int32),
        "start": composition.start[rows].astype(np.int32),
    }


def composed_batches(
    data: DataSet,
    *,
    dimensions: Sequence[str],
    batch_size: int,
    seed: int,
    first_step: int,
    num_steps: int,
    tempo_tolerance: float,
    key_relation: str,
    group_size: int = 2,
    track_pairs: bool = False,
    process_index: int = 0,
    process_count: int = 1,
    read_ahead: int = 4,
) -> Iterator[Batch]:
    """This process's rows of the batches of steps first_step to num_steps - 1, in order.

    Args:
      data: the split to train on or to compute a loss on.
      batch_size: of the global batch; a multiple of process_count.
      group_size: number of similar rows drawn together; see `compose`.
      track_pairs: whether batches contain pairs of segments of one track; see `SameTrack`.
      read_ahead: number of batches to read in advance.

    Raises:
      ValueError, OSError: a file of the data set was damaged after it was opened.

    Yields:
      mel float16 [b, T, 128], cens float16 [b, T, 12], onset float32 [b, T + 383], the labels
      (bool [b, C], tempo [b], key [b]), index int32 [b] (row in the global batch), track int32 [b]
      (row in `data`) and start int32 [b] (first frame of the segment).
    """
    frames = data.feature_config.segment_frames
    partners = partners_of(
        data,
        dimensions,
        tempo_tolerance=tempo_tolerance,
        key_relation=key_relation,
        track_pairs=track_pairs,
    )
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
        )
        return read_batch(data, composition, rows, frames)

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
        crops = [data.read(track, start, frames) for track, start in part]
        fill = [(0, batch_size - len(part))]
        mel, cens, onset = (
            np.pad(np.stack(column), fill + [(0, 0)] * column[0].ndim)
            for column in zip(*crops, strict=True)
        )
        track = np.pad(np.array([track for track, _ in part], np.int32), fill, constant_values=-1)
        yield {"mel": mel, "cens": cens, "onset": onset, "track": track}
