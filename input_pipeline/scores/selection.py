"""Chooses pieces: in seeded order, parsed in worker processes, no piece twice."""

import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from input_pipeline.progress import Bar
from input_pipeline.scores.corpus import GENRES, Candidate
from input_pipeline.scores.pieces import Note, Piece, Rejected, parse

_GRAM = 6  # melodic steps
_SHARED = 0.25  # of the shorter melody's runs; two pieces that share more count as one


@dataclasses.dataclass
class Selection:
    """The pieces of each genre, and why the rest were rejected."""

    pieces: dict[str, list[Piece]]
    rejected: dict[str, Counter[str]]


def choose(count: int, *, seed: int, progress: bool, workers: int | None) -> Selection:
    """Chooses `count` pieces of each genre, or all if there are fewer.

    Args:
      count: number of pieces per genre.
      seed: of the order in which candidates are tried.
      progress: whether to show progress.
      workers: processes; None = one per core. The choice doesn't depend on it.
    """
    selection = Selection({}, {})
    melodies: list[frozenset[tuple[int, ...]]] = []
    with (
        _pool(workers) as run,
        Bar(total=count * len(GENRES), unit="piece", disable=not progress) as bar,
    ):
        for number, (name, genre) in enumerate(GENRES.items()):
            bar.set_description(f"reading scores: {name}")
            candidates = _ordered(genre.candidates(), np.random.default_rng([seed, number]))
            pieces: list[Piece] = []
            rejected: Counter[str] = Counter()
            while len(pieces) < count and candidates:
                # Half as many again as are missing, since most are accepted.
                size = (count - len(pieces)) * 3 // 2 + 1
                batch, candidates = candidates[:size], candidates[size:]
                for result in run(batch):
                    if len(pieces) == count:
                        break
                    if reason := _reason_against(result, pieces, melodies):
                        rejected[reason] += 1
                        continue
                    pieces.append(result)
                    melodies.append(fingerprint(result.notes))
                    bar.update()
                works = {_work(piece.candidate) for piece in pieces}
                candidates = [one for one in candidates if _work(one) not in works]
            selection.pieces[name], selection.rejected[name] = pieces, rejected
    return selection


def _reason_against(
    result: Piece | str, pieces: list[Piece], melodies: list[frozenset[tuple[int, ...]]]
) -> str | None:
    if isinstance(result, str):
        return result
    if _work(result.candidate) in {_work(piece.candidate) for piece in pieces}:
        return "from the same work as a piece already chosen"
    melody = fingerprint(result.notes)
    if any(same_melody(melody, other) for other in melodies):
        return "shares its melody with a piece already chosen"
    return None


def fingerprint(notes: tuple[Note, ...]) -> frozenset[tuple[int, ...]]:
    """Returns all runs of melodic steps (in semitones) in the highest part, whatever the key."""
    pitches: dict[int, list[int]] = {}
    for note in notes:
        pitches.setdefault(note.part, []).append(note.pitch)
    melody = max(pitches.values(), key=lambda part: sum(part) / len(part))
    steps = [after - before for before, after in itertools.pairwise(melody)]
    return frozenset(tuple(steps[i : i + _GRAM]) for i in range(len(steps) - _GRAM + 1))


def same_melody(one: frozenset[tuple[int, ...]], other: frozenset[tuple[int, ...]]) -> bool:
    """Tells whether two fingerprints share too much to be different pieces."""
    shorter = min(len(one), len(other))
    return len(one & other) > _SHARED * shorter


def _ordered(candidates: list[Candidate], generator: np.random.Generator) -> list[Candidate]:
    """Shuffles, with the first candidate of every work before any second one."""
    seen: Counter[str] = Counter()
    rounds: list[tuple[int, Candidate]] = []
    for index in generator.permutation(len(candidates)):
        candidate = candidates[index]
        rounds.append((seen[_work(candidate)], candidate))
        seen[_work(candidate)] += 1
    return [candidate for _, candidate in sorted(rounds, key=lambda item: item[0])]


def _work(candidate: Candidate) -> str:
    """Variants of a tune share a title; "Missa X: Kyrie" and "Missa X: Gloria" are one work."""
    return candidate.title.split(":")[0].casefold()


def _parse_or_reason(candidate: Candidate) -> Piece | str:
    try:
        return parse(candidate)
    except Rejected as rejected:
        return str(rejected)


@contextmanager
def _pool(workers: int | None) -> Iterator:
    """Provides a function like `map` that runs `_parse_or_reason`."""
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        yield lambda batch: map(_parse_or_reason, batch)
        return
    # The parent may be running TensorFlow or JAX threads, so a fork could hang.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as executor:
        yield lambda batch: executor.map(_parse_or_reason, batch, chunksize=4)
