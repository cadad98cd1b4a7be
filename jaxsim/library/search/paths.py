"""Playlists from one song to another, in which every dimension has its own schedule.

At share t of the way, dimension s has gone p_s(t) of its way: 0 until its schedule begins, 1 from
where it ends, linear in between. Its target is the point at share p_s of the arc from the first
song's sub-space to the last song's. A step's track is scored as in a search for the step's targets
(`jaxsim.library.search.query`). The tracks are all different, and those whose scores have the
largest sum.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from jaxsim.library.search import query, versions
from jaxsim.library.search.query import Hit, Weights
from jaxsim.library.store import Store
from jaxsim.network import subspaces

MAX_LENGTH = 50
Schedule = Mapping[str, tuple[float, float]]
STEADILY = (0.0, 1.0)
ALIKE = 0.9


@dataclasses.dataclass(frozen=True, eq=False)
class Step(Hit):
    """A track of a playlist: a hit of the search for its targets, and its place on the way.

    Attributes:
      share: place on the way, 0 for the first song and 1 for the last.
      targets: float64 [S], p_s: how far each dimension should have gone.
      reached: float64 [S], how far each has gone: 0 like the first song, 1 like the last. Measured
        by cosines, so it can lie outside; nan where both songs are alike (cosine above `ALIKE`).
    """

    share: float = 0.0
    targets: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    reached: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))


def find(
    store: Store,
    start: int,
    end: int,
    *,
    length: int = 10,
    weights: Weights = None,
    schedule: Schedule | None = None,
    where: str | None = None,
) -> list[Step]:
    """The playlist of `length` tracks from `start` to `end`.

    Args:
      store: the library.
      start: row of the first song.
      end: row of the last song.
      length: number of tracks including both, 2 to `MAX_LENGTH`.
      weights: see `query.search`; none may be negative.
      schedule: by dimension, the shares of the way at which it starts and stops moving; default
        `STEADILY`.
      where: a condition on the tracks in between, see `jaxsim.library.store.conditions`.

    Raises:
      ValueError: an argument is invalid, or too few tracks meet the condition.
    """
    w = _check(store, start, end, length, weights)
    shares = np.linspace(0, 1, length)
    targets = positions(store, schedule or {}, shares)
    first, last = query.seed_vector(store, [start]), query.seed_vector(store, [end])
    aims = [_between(first, last, target) for target in targets]
    # More than there are steps, for some may be other versions of the first and the last song.
    found = [
        query.search(store, [aim], w, top=2 * length, where=where, exclude=[start, end], fold=True)
        for aim in aims[1:-1]
    ]
    recording = _recordings(store, [start, end], found)
    ends = recording[start], recording[end]
    found = [[hit for hit in hits if recording[hit.row] not in ends] for hits in found]
    if found and len(found[0]) < length - 2:
        raise ValueError(
            f"length is {length}, expected at most {len(found[0]) + 2}: only {len(found[0])} "
            "tracks can go in between"
        )
    (opening,) = query.score_tracks(store, [aims[0]], w, [start])
    (closing,) = query.score_tracks(store, [aims[-1]], w, [end])
    hits = [opening, *_choose(found, recording), closing]
    reached = _reached(store, first, last, [hit.row for hit in hits])
    return [
        Step(
            **vars(hit),
            share=float(share),
            targets=target,
            reached=way,
        )
        for hit, share, target, way in zip(hits, shares, targets, reached, strict=True)
    ]


def _check(store: Store, start: int, end: int, length: int, weights: Weights) -> np.ndarray:
    if not 2 <= length <= MAX_LENGTH:
        raise ValueError(f"length is {length}, expected 2 to {MAX_LENGTH}")
    if start == end:
        raise ValueError("the first and the last song are the same, expected two different ones")
    w = query.weight_vector(store, weights)
    if (w < 0).any() or not w.any():
        raise ValueError(
            f"weights: {store.by_dimension(w)}, expected none below 0 and at least one above: a "
            "playlist goes towards a song, not away from it"
        )
    return w


def positions(store: Store, schedule: Schedule, shares: np.ndarray) -> np.ndarray:
    """float64 [n, S]: how far each dimension has gone at shares [n] of the way.

    Raises:
      ValueError: a dimension is unknown, or not 0 <= begin <= end <= 1.
    """
    if unknown := set(schedule) - set(store.dimensions):
        raise ValueError(
            f"schedule: {sorted(unknown)[0]!r} is not a dimension of this library, expected some "
            f"of {', '.join(store.dimensions)}"
        )
    columns = []
    for name in store.dimensions:
        begin, end = schedule.get(name, STEADILY)
        if not 0 <= begin <= end <= 1:
            raise ValueError(
                f"schedule: {name} moves from {begin} to {end}, expected 0 <= begin <= end <= 1"
            )
        jump = np.where(shares >= end, 1.0, 0.0)
        steady = np.clip((shares - begin) / max(end - begin, 1e-12), 0, 1)
        column = jump if begin == end else steady
        column[0], column[-1] = 0.0, 1.0  # the songs themselves, whatever the schedule
        columns.append(column)
    return np.stack(columns, axis=1)


def _between(first: np.ndarray, last: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The point [E] at shares [S] of the arcs between the sub-spaces of two songs [E]."""
    a, b = subspaces.split(np.stack([first, last]), len(target))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = np.sum(a * b, axis=1) / np.maximum(lengths, 1e-12)
    angle = np.arccos(np.clip(cosine, -1, 1))
    sine = np.sin(angle)
    is_arc = sine > 1e-6  # otherwise they are equal, opposite or zero: a straight line
    safe = np.where(is_arc, sine, 1.0)
    of_a = np.where(is_arc, np.sin((1 - target) * angle) / safe, 1 - target)
    of_b = np.where(is_arc, np.sin(target * angle) / safe, target)
    return (of_a[:, None] * a + of_b[:, None] * b).ravel()


def _recordings(store: Store, ends: list[int], found: list[list[Hit]]) -> dict[int, int]:
    """Numbers of recordings by row: the same for versions of one recording."""
    rows = [*ends, *sorted({hit.row for hits in found for hit in hits})]
    return dict(zip(rows, versions.originals(store, np.array(rows)), strict=True))


def _choose(found: list[list[Hit]], recording: Mapping[int, int]) -> list[Hit]:
    """One hit from each list, all of different recordings, with the largest sum of scores.

    n lists of the n best are enough: whatever the other steps take, one hit is left.
    """
    from scipy.optimize import linear_sum_assignment  # takes a second to import

    if not found:
        return []
    chosen_from = sorted({recording[hit.row] for hits in found for hit in hits})
    column = {number: i for i, number in enumerate(chosen_from)}
    scores = np.full((len(found), len(column)), -np.inf)
    for step, hits in enumerate(found):
        columns = [column[recording[hit.row]] for hit in hits]
        scores[step, columns] = [hit.score for hit in hits]
    # The solver refuses a row of infinities; a score below all possible sums does the same job.
    lowest = scores[np.isfinite(scores)].min()
    span = np.ptp(scores[np.isfinite(scores)]) + 1
    scores[np.isinf(scores)] = lowest - len(found) * span
    steps, columns = linear_sum_assignment(scores, maximize=True)
    chosen = {int(s): chosen_from[int(c)] for s, c in zip(steps, columns, strict=True)}
    return [
        next(hit for hit in hits if recording[hit.row] == chosen[step])
        for step, hits in enumerate(found)
    ]


def _reached(store: Store, first: np.ndarray, last: np.ndarray, rows: list[int]) -> np.ndarray:
    """float64 [n, S], see `Step.reached`."""
    vectors = np.asarray(store.vectors[rows], np.float64)

    def cosines(song: np.ndarray) -> np.ndarray:
        return subspaces.split(vectors * song, len(store.dimensions)).sum(axis=2)

    to_first, to_last = cosines(first), cosines(last)
    way = to_last - to_first  # from c - 1 to 1 - c, where c is the cosine of both songs
    low, length = way[0], way[-1] - way[0]
    is_way = length > 2 * (1 - ALIKE)
    return np.where(is_way, (way - low) / np.where(is_way, length, 1.0), np.nan)
