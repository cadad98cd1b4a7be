"""Which tracks are drawn together, so that every dimension of a batch finds similar pairs."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from input_pipeline.datasets.dataset import DataSet
from input_pipeline.datasets.joining import of_part
from input_pipeline.hearing.segments import least_apart
from input_pipeline.tracks import TEMPO_OCTAVES, key_group


class Group(NamedTuple):
    """Tracks drawn to be similar to the first, by a class of which all are members, or by none."""

    tracks: tuple[int, ...]
    number: int  # of the class; -1 = none


class Partners:
    """Draws groups of tracks that share a class (a tag, or a key and the one similar to it).

    Args:
      classes: bool [N, C], the classes of each track; a track without any is never drawn.
    """

    def __init__(self, classes: np.ndarray):
        tracks, numbers = np.nonzero(classes)
        self._tracks = tracks[np.argsort(numbers, kind="stable")].astype(np.int32)
        counts = np.bincount(numbers, minlength=classes.shape[1])
        self._ends = np.cumsum(counts)
        self._begins = self._ends - counts
        self._numbers = np.flatnonzero(counts >= 2)
        self._shared = classes & (counts >= 2)  # of each track, that another one has
        self._has_partner = self._shared.sum(axis=1) > 0

    def __len__(self) -> int:
        """The number of classes from which a pair can be drawn."""
        return len(self._numbers)

    def __contains__(self, track: int) -> bool:
        """Whether the track shares a class with another."""
        return bool(self._has_partner[track])

    def draw(self, random: np.random.Generator, count: int = 2) -> Group:
        """`count` tracks of a class, which is drawn evenly."""
        number = int(self._numbers[random.integers(len(self._numbers))])
        return self._group(random, _one_of(random, self._members(number)), number, count)

    def around(self, random: np.random.Generator, first: int, count: int = 2) -> Group:
        """`first` and count - 1 tracks of one of its classes, which is drawn evenly."""
        number = _one_of(random, np.flatnonzero(self._shared[first]))
        return self._group(random, first, number, count)

    def _members(self, number: int) -> np.ndarray:
        return self._tracks[self._begins[number] : self._ends[number]]

    def _group(self, random: np.random.Generator, first: int, number: int, count: int) -> Group:
        members = self._members(number)
        tracks = _with_others(random, first, count, size=len(members), similar=members.item)
        return Group(tracks, number)


class TempoPartners:
    """Draws groups of tracks whose tempo is similar to the first's; memory O(N).

    Similar is what `jaxsim.objective.relations.by_tempo` calls so: a candidate's tempo c is similar
    to the first's tempo t if |t - 2^k c| <= tolerance. The c of one k are a range of sorted tempi.

    Args:
      tempo: float32 [N], BPM; 0 = unknown.
      tolerance: BPM.
    """

    def __init__(self, tempo: np.ndarray, *, tolerance: float):
        self._tolerance = float(np.float32(tolerance))  # as the relation rounds it
        known = np.flatnonzero(tempo > 0)
        order = known[np.argsort(tempo[known], kind="stable")]
        self._by_tempo = order.astype(np.int32)
        self._sorted = tempo[order].astype(np.float64)  # in which the bounds of a range are exact
        self._place = np.zeros(len(tempo), np.int32)  # of a track among the sorted tempi
        self._place[order] = np.arange(len(order))
        lows, highs = zip(*self._ranges(), strict=True)
        self._lows, self._highs = (np.stack(each, axis=1, dtype=np.int32) for each in (lows, highs))
        similar = (self._highs - self._lows).sum(axis=1)
        firsts = np.sort(self._by_tempo[similar >= 2])  # one similar track is the first itself
        self._is_first = np.zeros(len(tempo), bool)
        self._is_first[firsts] = True
        rounded = np.round(tempo[firsts], 1)
        by_class = np.argsort(rounded, kind="stable")
        self._firsts = firsts[by_class]
        _, begins = np.unique(rounded[by_class], return_index=True)
        self._bounds = np.append(begins, len(firsts))

    def __len__(self) -> int:
        """The number of tempi, to a tenth of a BPM, from which a pair can be drawn."""
        return len(self._bounds) - 1

    def __contains__(self, track: int) -> bool:
        """Whether another track is similar to this one."""
        return bool(self._is_first[track])

    def draw(self, random: np.random.Generator, count: int = 2) -> Group:
        """A track of a tempo, which is drawn evenly, and count - 1 tracks similar to it."""
        number = random.integers(len(self))
        first = _one_of(random, self._firsts[self._bounds[number] : self._bounds[number + 1]])
        return self.around(random, first, count)

    def around(self, random: np.random.Generator, first: int, count: int = 2) -> Group:
        """`first` and count - 1 tracks similar to it."""
        similar = self._similar(first)
        tracks = _with_others(
            random,
            first,
            count,
            size=len(similar),
            similar=lambda place: np.partition(similar, place)[place],  # faster than sorting
        )
        return Group(tracks, -1)

    def _similar(self, track: int) -> np.ndarray:
        """The tracks whose tempo is similar to that of `track`, itself included."""
        place = self._place[track]
        ranges = zip(self._lows[place].tolist(), self._highs[place].tolist(), strict=True)
        return np.concatenate([self._by_tempo[low:high] for low, high in ranges])

    def _ranges(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Disjoint ranges of the sorted tempi that hold those similar to each, ascending."""
        end = np.zeros(len(self._sorted), int)
        for octave in sorted(TEMPO_OCTAVES, reverse=True):
            lowest, highest = (
                (self._sorted + sign * self._tolerance) / 2.0**octave for sign in (-1, 1)
            )
            low = np.searchsorted(self._sorted, lowest, "left")
            high = np.searchsorted(self._sorted, highest, "right")
            yield np.maximum(low, end), high  # tempi below three tolerances have ranges that meet
            end = high


class SameTrack:
    """Draws segments of one track in pairs, for the track regularisation (C)."""

    def __init__(self, num_frames: np.ndarray, *, frames: int):
        self._long_enough = num_frames - frames >= least_apart(frames)
        self._tracks = np.flatnonzero(self._long_enough)

    def __len__(self) -> int:
        """The number of tracks that are long enough for two segments."""
        return len(self._tracks)

    def __contains__(self, track: int) -> bool:
        """Whether the track is long enough for two segments."""
        return bool(self._long_enough[track])

    def draw(self, random: np.random.Generator, count: int = 2) -> Group:
        """`count` tracks (an even number), each twice in a row."""
        return self.around(random, _one_of(random, self._tracks), count)

    def around(self, random: np.random.Generator, first: int, count: int = 2) -> Group:
        """`first` and count // 2 - 1 more tracks, each twice in a row."""
        drawn = [first, *(_one_of(random, self._tracks) for _ in range(count // 2 - 1))]
        return Group(tuple(np.repeat(drawn, 2)), -1)


class Mixed:
    """Draws groups from several data sets, each as often as its weight says.

    Args:
      weighted: the weight of each data set and what draws its groups, of tracks in a joined one.
    """

    def __init__(self, weighted: Sequence[tuple[float, "Drawn"]]):
        weights, self._partners = zip(*weighted, strict=True)
        self._ends = np.cumsum(np.array(weights) / sum(weights))

    def __len__(self) -> int:
        return sum(map(len, self._partners))

    def __contains__(self, track: int) -> bool:
        return any(track in each for each in self._partners)

    def draw(self, random: np.random.Generator, count: int = 2) -> Group:
        """A group of a data set, which is drawn by weight."""
        number = int(np.searchsorted(self._ends, random.random() * self._ends[-1], "right"))
        return self._partners[number].draw(random, count)

    def around(self, random: np.random.Generator, first: int, count: int = 2) -> Group:
        """A group of the data set that has the track `first`."""
        (own,) = (each for each in self._partners if first in each)
        return own.around(random, first, count)


Drawn = Partners | TempoPartners | SameTrack
PartnersByName = dict[str, Drawn | Mixed]


def partners_of(
    data: DataSet,
    dimensions: Sequence[str],
    *,
    tempo_tolerance: float,
    key_relation: str,
    track_pairs: bool = False,
) -> PartnersByName:
    """What draws the groups of each dimension, and those of one track as "track".

    From data sets that were joined, one is drawn by its weight for every group, all of whose tracks
    are from it; one that has no pairs in a dimension is not drawn for that dimension.

    Args:
      track_pairs: whether batches have pairs of segments of one track.

    Raises:
      ValueError: no two tracks are similar in a dimension, or no track is long enough.
    """
    parts = [(part.weight, of_part(data, part)) for part in data.parts] or [(1.0, data)]

    def mixed(of: Callable[[DataSet], Drawn]) -> Drawn | Mixed:
        found = [(weight, of(each)) for weight, each in parts]
        usable = [(weight, each) for weight, each in found if len(each)]
        return Mixed(usable) if len(usable) > 1 else (usable or found)[0][1]

    result: PartnersByName = {}
    of: Callable[[DataSet], Drawn]
    for dimension in dimensions:
        if dimension == "tempo":
            of = functools.partial(_of_tempo, tolerance=tempo_tolerance)
        elif dimension == "key":
            of = functools.partial(_of_key, relation=key_relation)
        else:
            of = functools.partial(_of_tags, dimension=dimension)
        result[dimension] = mixed(of)
        if not len(result[dimension]):
            raise ValueError(
                f"{data.directory}: split {data.split!r} has no two tracks that are similar in "
                f"{dimension!r}; label more tracks or leave it out of config.dimensions"
            )
    if track_pairs:
        result["track"] = mixed(_of_one_track)
        if not len(result["track"]):
            raise ValueError(
                f"{data.directory}: split {data.split!r} has no track of one and a half segments, "
                "which the track regularisation needs; set config.loss.track_weight = 0"
            )
    return result


def _of_tempo(data: DataSet, *, tolerance: float) -> TempoPartners:
    return TempoPartners(data.tempo, tolerance=tolerance)


def _of_key(data: DataSet, *, relation: str) -> Partners:
    group, known = key_group(data.key, relation), (data.key >= 0)[:, None]
    return Partners((group[:, None] == np.arange(12)) & known)


def _of_tags(data: DataSet, *, dimension: str) -> Partners:
    return Partners(data.tags[dimension])


def _of_one_track(data: DataSet) -> SameTrack:
    return SameTrack(data.num_frames, frames=data.feature_config.segment_frames)


def _one_of(random: np.random.Generator, values: np.ndarray) -> int:
    """What `random.choice` draws, in a fraction of the time."""
    return int(values[random.integers(len(values))])


def _with_others(
    random: np.random.Generator,
    first: int,
    count: int,
    *,
    size: int,
    similar: Callable[[int], int],
) -> tuple[int, ...]:
    """`first` and count - 1 tracks similar to it, which repeat only once all have been drawn.

    Args:
      size: number of the tracks similar to `first`, itself included; at least 2.
      similar: gives them by their place in the order of the data set, 0 to size - 1.
    """
    group = [first]
    fresh = {first}  # tracks drawn in this round
    while len(group) < count:
        if len(fresh) == size:
            fresh = {first}
        other = similar(int(random.integers(size)))
        if other not in fresh:
            fresh.add(other)
            group.append(other)
    return tuple(group)
