"""Retrieval of recordings: does an excerpt find its own track, and other tracks of its album?

Labels say little about what a listener wants of a search; that two excerpts of one track, and the
tracks of one album, sound alike needs no labels. Every measure is one of a ranking by inner
products, so a space is what turns embeddings into points. n excerpts, S sub-spaces of D columns.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from jaxsim.network import subspaces
from jaxsim.network.likeness import cosine_statistics, standard_scales

MEASURES = ("track", "album", "R@1 track", "R@1 album")
STRENGTHS = (0.02, 0.1, 0.3)  # of the regularisation of a whitening
FITTED_PER_COLUMN = 2  # excerpts that a whitening must at least be fitted to
QUERIES = 256  # whose inner products with all excerpts are in memory at once
TIE = 1e-9  # inner products of vectors of length 1 that differ by less are equal: rounding
CONSTANT = 1e-9  # deviation of a column that says nothing


def outcomes(points: np.ndarray, track: np.ndarray, group: np.ndarray) -> np.ndarray:
    """`MEASURES` with every excerpt as the query [n, 4]; NaN where one has no answer.

    "track": the share of other tracks' excerpts that are less near than the other excerpts of the
    query's track. "album": the share of pairs of an excerpt of another track of the query's group
    and one of another group in which the former is nearer. Ties count half. "R@1 track": whether
    the nearest excerpt is of the query's track. "R@1 album": whether the nearest of another track
    is of the query's group. If several are nearest, the share of them.

    Args:
      points: [n, E], of length 1 or less; near are those with a large inner product.
      track: of each excerpt, int [n].
      group: of its track, int [n].
    """
    result = np.full((len(points), len(MEASURES)), np.nan)
    for first in range(0, len(points), QUERIES):
        for query, near in enumerate(points[first : first + QUERIES] @ points.T, start=first):
            own, album = track == track[query], group == group[query]
            others, related = ~own, album & ~own
            own[query] = False
            result[query, [0, 2]] = _nearer(near[own], near[others])
            result[query, [1, 3]] = _nearer(near[related], near[~album])
    return result


def _nearer(right: np.ndarray, wrong: np.ndarray) -> tuple[float, float]:
    """Shares of pairs in which the right one is nearer, and of the nearest that are right."""
    if not len(right) or not len(wrong):
        return np.nan, np.nan
    if len(right) == 1:  # as always with two excerpts per track: counting is faster than sorting
        below, up_to = np.count_nonzero(wrong < right - TIE), np.count_nonzero(wrong <= right + TIE)
    else:
        ordered = np.sort(wrong)
        below = np.searchsorted(ordered, right - TIE).mean()
        up_to = np.searchsorted(ordered, right + TIE, side="right").mean()
    nearest = max(right.max(), wrong.max()) - TIE
    hits, misses = np.count_nonzero(right >= nearest), np.count_nonzero(wrong >= nearest)
    return float((below + up_to) / (2 * len(wrong))), hits / (hits + misses)


def measured(
    vectors: np.ndarray,
    fitting: np.ndarray,
    track: np.ndarray,
    group: np.ndarray,
    *,
    tags: Sequence[int] | None = None,
) -> tuple[dict[str, np.ndarray], float]:
    """`outcomes` in every space by its name, and the strength of the best whitening.

    "cosine" of whole vectors; "z-scored": the same after standardising every column; "whitened":
    the same of `whitened` vectors, with the one of `STRENGTHS` that has the best mean of all
    measures; "search": by the score of a library's search with equal weights, these excerpts being
    the library; "search by tags": the same without tempo and key, which vary within an album.

    Args:
      vectors: [n, S, D]; S = 1 if the space is not divided.
      fitting: [m, S, D], excerpts that the whitening is fitted to.
      track, group: see `outcomes`.
      tags: the sub-spaces of tags; without any there is no search by them. None if the space is not
        divided, which is then taken whole.
    """
    flat = vectors.reshape(len(vectors), -1)
    by_strength = {
        strength: outcomes(_unit(points), track, group)
        for strength, points in whitened(flat, fitting.reshape(len(fitting), -1), STRENGTHS)
    }
    best = max(by_strength, key=lambda strength: _mean(by_strength[strength]))
    found = {
        "cosine": outcomes(_unit(flat), track, group),
        "z-scored": outcomes(_unit(z_scored(flat)), track, group),
        "whitened": by_strength[best],
        "search": outcomes(search_points(vectors), track, group),
    }
    if tags is None:
        found["search by tags"] = found["search"]
    elif tags:
        found["search by tags"] = outcomes(search_points(vectors[:, list(tags)]), track, group)
    return found, best


def z_scored(vectors: np.ndarray) -> np.ndarray:
    """Vectors [n, E] with every column at mean 0 and deviation 1; constant columns are 0."""
    deviation = vectors.std(axis=0)
    centred = vectors - vectors.mean(axis=0)
    return centred / np.where(deviation > CONSTANT, deviation, np.inf)


def whitened(
    vectors: np.ndarray, fitting: np.ndarray, strengths: Sequence[float]
) -> Iterator[tuple[float, np.ndarray]]:
    """For every strength, the vectors [n, E] by principal components of `fitting` [m, E].

    Each component is divided by its deviation plus the strength times the largest deviation,
    without which those that hardly vary would be mostly noise.
    """
    mean = fitting.mean(axis=0)
    variances, components = np.linalg.eigh(np.cov(fitting.T, bias=True).reshape(2 * mean.shape))
    deviations = np.sqrt(np.maximum(variances, 0))
    projected = (vectors - mean) @ components
    for strength in strengths:
        divisors = np.maximum(deviations + strength * deviations.max(), CONSTANT)
        yield strength, projected / divisors


def search_points(vectors: np.ndarray) -> np.ndarray:
    """Points [n, S D] whose inner products rank as a search with equal weights does.

    Its score is the sum of the sub-spaces' cosines, each less its mean and divided by its deviation
    over pairs of the library's tracks; the means are the same for all. The largest possible inner
    product is 1.
    """
    parts = vectors.shape[1]
    whole = subspaces.normalised(vectors.reshape(len(vectors), -1), parts)
    _, deviation = cosine_statistics(whole, np.arange(len(whole)), parts)
    scales = standard_scales(np.ones(parts), deviation)
    scales = scales / max(scales.sum(), 1e-300)
    return (subspaces.split(whole, parts) * np.sqrt(scales)[:, None]).reshape(whole.shape)


def _mean(found: np.ndarray) -> float:
    """The mean of all measures, each over the queries that have an answer."""
    known = ~np.isnan(found)
    means = [found[known[:, i], i].mean() for i in range(len(MEASURES)) if known[:, i].any()]
    return float(np.mean(means)) if means else 0.0


def _unit(vectors: np.ndarray) -> np.ndarray:
    return subspaces.normalised(vectors, 1)
