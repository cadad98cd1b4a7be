"""The objective by loops over examples, as the papers have it."""

import jax
import numpy as np
from ml_collections import ConfigDict

from input_pipeline.tracks import DIMENSIONS


def drawn(key: jax.Array, number: int, size: int, shape: tuple[int, ...]) -> np.ndarray:
    """The numbers [size, *shape] that an anchor's place in the batch determines."""
    key = key if number == 0 else jax.random.fold_in(key, number)
    return np.stack(
        [jax.random.uniform(jax.random.fold_in(key, index), shape) for index in range(size)]
    )


def near(first: float, second: float, tolerance: float) -> bool:
    return any(abs(first - second * 2.0**octave) <= tolerance for octave in range(-9, 10))


def in_one_group(first: int, second: int, relation: str) -> bool:
    """The same key; or the same tonic (parallel), or the same key signature (relative)."""

    def group(key: int) -> int:
        return key % 12 if relation == "parallel" or key < 12 else (key + 3) % 12

    return bool(group(first) == group(second))


def related(labels, number: int, config: ConfigDict, a: int, c: int, key: jax.Array) -> bool | None:
    """Whether two examples are similar (A §3.3, B §3.1); None = not comparable."""
    dimension, relation = config.dimensions[number], config.relation
    own, other = labels[dimension][a], labels[dimension][c]
    if a == c:
        return None
    if dimension == "tempo":
        found = near(own, other, relation.tempo_tolerance)
        if relation.tempo == "symmetric":
            found = found or near(other, own, relation.tempo_tolerance)
        return found if own and other else None
    if dimension == "key":
        known = own >= 0 and other >= 0
        return in_one_group(own, other, relation.key) if known else None
    if not own.any() or (relation.unlabelled == "excluded" and not other.any()):
        return None
    place = DIMENSIONS.index(dimension)
    if relation.tags == "sampled_label" and labels["drawn_dimension"][a] == place:
        own = np.arange(len(own)) == labels["drawn_tag"][a]
    elif relation.tags == "sampled_label":
        draws = drawn(key, number + 1, len(labels["index"]), own.shape)[a]
        own = own & (draws == draws[own].max())
    return bool((own & other).any())


def of_one_track(labels, a: int, c: int) -> bool | None:
    """Two segments of 129 frames of a track: similar, unless they overlap by more than half (C)."""
    if labels["track"][a] != labels["track"][c]:
        return False
    overlap = 129 - abs(int(labels["start"][a]) - int(labels["start"][c]))
    return True if overlap <= 129 / 2 else None


def mined(distances, pairs, draws, config: ConfigDict) -> tuple[list[tuple[int, int, int]], int]:
    """The picked triplets (a, p, n) of one dimension, and how many would be possible."""
    chosen, possible, loss = [], 0, config.loss
    for a, p in np.ndindex(distances.shape):
        if pairs[a][p] is not True:
            continue
        negatives = [n for n in range(len(distances)) if pairs[a][n] is False]
        possible += len(negatives) if loss.pick == "all" else bool(negatives)
        to = distances[a]
        if loss.pick != "any":
            negatives = [n for n in negatives if to[p] < to[n] <= to[p] + loss.band]
            negatives.sort(key=lambda n: to[n])
        if negatives and loss.pick == "nearest":
            negatives = negatives[:1]
        if negatives and loss.pick in ("uniform", "any"):
            negatives = [negatives[int(draws[a, p] * len(negatives))]]
        chosen += [(a, p, n) for n in negatives]
    return chosen, possible


def targets(label, dimension: str, count: int, config: ConfigDict) -> set[int]:
    """The classes that an example belongs to."""
    if dimension == "tempo":
        centres = [60 * 2 ** ((number + 0.5) / count) for number in range(count)]
        tolerance = config.relation.tempo_tolerance
        return {c for c, centre in enumerate(centres) if label and near(label, centre, tolerance)}
    if dimension == "key":
        same = (c for c in range(24) if in_one_group(label, c, config.relation.key))
        return set(same) if label >= 0 else set()
    return set(np.flatnonzero(label))
