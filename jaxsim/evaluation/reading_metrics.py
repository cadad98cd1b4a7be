"""Measures of what is read from a track: tempo, key, and probabilities of tags.

Tempo is scored as in MIREX: accuracy 1 within 4 %, accuracy 2 also at 2, 3, 1/2 and 1/3 times the
true tempo; and up to octaves, that is, at any metrical level of the true beat. Keys are exact, or
scored as in MIREX.
"""

import numpy as np

from input_pipeline.hearing.readings import TOLERANCE, octaves_apart
from input_pipeline.tracks import KEYS
from jaxsim.evaluation.metrics import RESAMPLES, Score

MULTIPLES = (1, 2, 3, 1 / 2, 1 / 3)  # of accuracy 2
TEMPO_MEASURES = ("accuracy 1", "accuracy 2", "octaves")
KEY_MEASURES = ("exact", "MIREX")
FIFTH, RELATIVE, PARALLEL = 0.5, 0.3, 0.2  # MIREX's scores of keys that are not the same
BINS = 10  # of probabilities, in the calibration error


def tempo_scores(found: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """Whether tempi [N] are right, by `TEMPO_MEASURES`, as 0 or 1; an unknown tempo (0) is not."""
    errors = np.abs(found[:, None] / (np.array(MULTIPLES) * true[:, None]) - 1)
    known = np.where(found > 0, found, true)
    octaves = np.array([octaves_apart(one, other) for one, other in zip(known, true, strict=True)])
    near = (octaves <= np.log2(1 + TOLERANCE)) & (found > 0)
    right = errors[:, 0] <= TOLERANCE, errors.min(axis=1) <= TOLERANCE, near
    return {name: each.astype(float) for name, each in zip(TEMPO_MEASURES, right, strict=True)}


def key_scores(found: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of keys [N], indices in `KEYS`, by `KEY_MEASURES`; an unknown key (-1) has 0."""
    weighted = np.where(found >= 0, MIREX[found, true], 0.0)
    return dict(zip(KEY_MEASURES, ((found == true).astype(float), weighted), strict=True))


def mirex(found: int, true: int) -> float:
    """MIREX's score: exact, a fifth above the true key, its relative, its parallel key."""
    if found == true:
        return 1.0
    up = (found - true) % 12
    if found // 12 == true // 12:
        return FIFTH if up == 7 else 0.0
    relative = 3 if true >= 12 else 9
    return {relative: RELATIVE, 0: PARALLEL}.get(up, 0.0)


MIREX = np.array([[mirex(found, true) for true in range(len(KEYS))] for found in range(len(KEYS))])


def calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, seed: int = 0
) -> Score:
    """Expected calibration error in ten bins, of probabilities [n] and labels [n] of groups [n].

    In each bin, the difference between the mean probability and the share of labels counts by the
    number of probabilities in it. Chance adds to the error of every sample, and once more to that
    of a resample; so the 95 % interval is as wide as that of resampled groups, but lies around the
    value as theirs lies around their median.
    """
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    _, group = np.unique(groups, return_inverse=True)
    gaps = np.zeros((group.max() + 1, BINS))  # sums of probability - label
    np.add.at(gaps, (group, bins), probabilities - labels)
    sizes = np.bincount(group)
    value = np.abs(gaps.sum(axis=0)).sum() / sizes.sum()
    random = np.random.default_rng(seed)
    errors = []
    for _ in range(RESAMPLES):
        rows = random.integers(len(gaps), size=len(gaps))
        errors.append(np.abs(gaps[rows].sum(axis=0)).sum() / sizes[rows].sum())
    low, middle, high = np.quantile(errors, (0.025, 0.5, 0.975)) - value
    return Score(float(value), max(0.0, float(value - high + middle)), float(value + middle - low))


def average_precision(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision for several weightings of the same examples [R].

    The mean of the precision at every distinct score, weighted by the recall that it adds; NaN
    where nothing is labelled.

    Args:
      scores: [N]; labels: bool [N]; weights: [R, N].
    """
    values, place = np.unique(-scores, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(values)))
    positive = np.add.reduceat((weights * labels)[:, order], starts, axis=1)
    listed = np.cumsum(np.add.reduceat(weights[:, order], starts, axis=1), axis=1)
    found = np.cumsum(positive, axis=1)
    precision = np.divide(found, listed, out=np.zeros(found.shape), where=listed > 0)
    total, area = found[:, -1], np.sum(positive * precision, axis=1)
    return np.divide(area, total, out=np.full(len(weights), np.nan), where=total > 0)
