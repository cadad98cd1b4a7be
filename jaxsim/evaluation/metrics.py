"""Measures of embeddings: triplet scores, retrieval, tagging, collapse (A §4.1; B §4.3).

Embeddings are float [N, S, D], or [N, 1, E] of an undivided space. Where sub-spaces have length 1,
Euclidean distances rank as cosine distances do. The squared distance in several sub-spaces together
is the sum of their squared distances. What grows with N² or with N K runs on
the devices in blocks; no N x N array is ever made.
"""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Sequence
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxsim.training.machines import parallel

CHANCE = 0.5  # of a triplet
KS = (1, 2, 4, 8)  # of R@K (B §4.3.2)
RESAMPLES = 1000  # of a bootstrap
TAGGING_RESAMPLES = 200
TRIPLETS = 1024  # whose vectors are in memory at once
QUERIES = 256  # at most of a block, per device
DISTANCES = 2**27  # at most of a block, per device: 512 MB


@dataclasses.dataclass(frozen=True)
class Triplets:
    """Rows [n] of a data set: anchor and positive are similar, anchor and negative dissimilar."""

    anchor: np.ndarray
    positive: np.ndarray
    negative: np.ndarray

    def __len__(self) -> int:
        return len(self.anchor)


@dataclasses.dataclass(frozen=True)
class Score:
    """A mean with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def gaps(embeddings: np.ndarray, triplets: Triplets) -> np.ndarray:
    """d²(a, n) - d²(a, p) in every sub-space, float64 [n, S]; above 0 = predicted correctly."""

    def squared(anchor: np.ndarray, other: np.ndarray) -> np.ndarray:
        difference = embeddings[anchor] - embeddings[other]
        return np.einsum("nsd,nsd->ns", difference, difference)

    result = np.empty((len(triplets), embeddings.shape[1]))
    for first in range(0, len(triplets), TRIPLETS):
        anchor, positive, negative = (
            rows[first : first + TRIPLETS]
            for rows in (triplets.anchor, triplets.positive, triplets.negative)
        )
        result[first : first + TRIPLETS] = squared(anchor, negative) - squared(anchor, positive)
    return result


def right(gap: np.ndarray) -> np.ndarray:
    """Whether a triplet is predicted correctly, as 0 or 1; a tie counts one half."""
    return np.where(gap == 0, 0.5, gap > 0)


def subsets(dimensions: Sequence[str]) -> list[tuple[str, ...]]:
    """All non-empty subsets of the dimensions, the single ones first (A Table 2)."""
    sizes = range(1, len(dimensions) + 1)
    return [subset for size in sizes for subset in combinations(dimensions, size)]


def subset_predictions(gaps: np.ndarray, dimensions: Sequence[str]) -> np.ndarray:
    """`right` of every triplet in every subset of sub-spaces [n, 2^S - 1], in `subsets` order."""
    chosen = [[name in subset for name in dimensions] for subset in subsets(dimensions)]
    return right(gaps @ np.array(chosen, np.float64).T)


def bootstrap(values: np.ndarray, groups: Sequence[str] | np.ndarray, *, seed: int = 0) -> Score:
    """Mean of `values` [n] with a 95 % interval over resampled groups (pieces), not values.

    Triplets whose anchors are renderings of one piece are not independent; pieces are. Two systems
    are compared by the mean of the differences of their values, which pairs them. `values` [R, n]
    of R repetitions (seeds of a network) have the mean of all, and an interval over resampled
    repetitions too; with few of them it is somewhat narrow.
    """
    values = np.atleast_2d(values)
    _, group = np.unique(groups, return_inverse=True)
    counts = np.bincount(group)
    sums = np.stack([np.bincount(group, each) for each in values])
    means = []
    random = np.random.default_rng(seed)
    for _ in range(RESAMPLES):  # one at a time: thousands of groups need no matrix of resamples
        rows = random.integers(len(counts), size=len(counts))
        repetitions = random.integers(len(sums), size=len(sums))  # of a single one, draws nothing
        drawn = sums[repetitions].mean(axis=0)
        means.append(drawn[rows].sum() / counts[rows].sum())
    low, high = np.quantile(means, (0.025, 0.975))
    return Score(float(values.mean()), float(low), float(high))


def recall_at(
    vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray, ks: Sequence[int]
) -> np.ndarray:
    """Multi-label R@K of every query (B Eq. 12) [N, len(ks)]; NaN for a query without labels.

    The share of the query's labels that its K nearest tracks have between them. Tracks of the
    query's own group (itself, other renderings of its piece) are not candidates.

    Args:
      vectors: [N, D]; the nearest are those at the smallest Euclidean distance.
      labels: bool [N, C].
      groups: int [N].
    """
    nearest = neighbours(vectors, groups, max(ks))
    labelled = labels.any(axis=1)
    result = np.full((len(vectors), len(ks)), np.nan)
    for column, k in enumerate(ks):
        found = np.zeros_like(labels)
        for rank in range(min(k, nearest.shape[1])):
            has = nearest[:, rank] >= 0
            found[has] |= labels[nearest[has, rank]]
        shared = (found & labels).sum(axis=1)
        result[labelled, column] = shared[labelled] / labels[labelled].sum(axis=1)
    return result


def neighbours(vectors: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """The `count` nearest rows of other groups to each row [N, count]; -1 where there are fewer.

    Exact, on all devices of this process; memory N x (D + queries of a block). Equally near rows
    come in the order of their numbers.
    """
    devices = jax.local_devices()
    count = min(count, len(vectors))
    rows = max(1, min(QUERIES, DISTANCES // len(vectors))) * len(devices)
    centred = vectors - vectors.mean(axis=0)  # so that float32 is spent on the differences
    library = jnp.asarray(centred, jnp.float32), jnp.asarray(groups, jnp.int32)
    search = parallel.map_over_devices(
        functools.partial(nearest_of_others, count=count),
        split=(True, False),
        split_result=True,
        mapping="pmap",
        devices=devices,
    )
    result = []
    for first in range(0, len(vectors), rows):
        # The last block is filled up with other queries, whose answers are dropped.
        index = np.arange(first, first + rows) % len(vectors)
        block = index.reshape(len(devices), -1).astype(np.int32)
        result.append(np.asarray(search(block, library)).reshape(rows, count))
    return np.concatenate(result)[: len(vectors)]


def nearest_of_others(
    index: Int[Array, " Q"],
    library: tuple[Float[Array, "N D"], Int[Array, " N"]],
    *,
    count: int,
) -> Int[Array, "Q K"]:
    vectors, groups = library
    # -|q - x|² without the query's own square, which does not affect the ranking.
    closeness = jnp.matmul(2 * vectors[index], vectors.T, precision="highest")
    closeness -= jnp.sum(vectors**2, axis=1)
    closeness = jnp.where(groups[index][:, None] == groups, -jnp.inf, closeness)
    best, nearest = jax.lax.top_k(closeness, count)
    return jnp.where(best > -jnp.inf, nearest, -1)


def prototypes(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean vector of every label's tracks [C, D]; NaN for a label without any (B §4.3.3)."""
    counts = labels.sum(axis=0)[:, None]
    with np.errstate(invalid="ignore"):
        return labels.T.astype(np.float64) @ vectors / counts


def prototype_scores(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Minus the Euclidean distance of every track to every prototype [N, C] (B §4.3.3)."""
    squares = (vectors**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)
    return -np.sqrt(np.maximum(squares - 2 * vectors @ centres.T, 0))


def tagging_auc(
    scores: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, seed: int = 0
) -> tuple[Score, dict[int, float]]:
    """Mean ROC AUC over the tags, with its interval, and that of every tag; see `over_tags`."""
    return over_tags(roc_auc, scores, labels, groups, seed=seed)


def over_tags(
    measure: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    scores: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    seed: int = 0,
) -> tuple[Score, dict[int, float]]:
    """The mean of a measure over the tags, with its interval over groups, and that of every tag.

    Tags that no track or every track has, or that have no score, are left out.

    Args:
      measure: of one tag's scores [N] and labels [N] for several weightings [R, N], as `roc_auc`.
      scores: [N, C], NaN in the column of a tag without a score.
      labels: bool [N, C].
    """
    usable = [
        tag
        for tag in range(labels.shape[1])
        if 0 < labels[:, tag].sum() < len(labels) and np.isfinite(scores[:, tag]).all()
    ]
    if not usable:
        return Score(np.nan, np.nan, np.nan), {}
    _, group = np.unique(groups, return_inverse=True)
    count = group.max() + 1
    drawn = np.random.default_rng(seed).integers(count, size=(TAGGING_RESAMPLES, count))
    times = np.stack([np.bincount(row, minlength=count) for row in drawn])
    weights = np.concatenate([np.ones((1, len(labels))), times[:, group]])
    areas = np.stack([measure(scores[:, tag], labels[:, tag], weights) for tag in usable])
    # A resample may lack a tag: its mean is over the others.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        resampled = np.nanmean(areas[:, 1:], axis=0)
    low, high = np.nanquantile(resampled, (0.025, 0.975))
    each = dict(zip(usable, areas[:, 0].tolist(), strict=True))
    return Score(float(areas[:, 0].mean()), float(low), float(high)), each


def roc_auc(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve for several weightings of the same examples [R].

    Args:
      scores: [N]; labels: bool [N]; weights: [R, N].

    Returns:
      The share of the weight of (positive, negative) pairs in which the positive has the higher
      score, ties counted half; NaN where there is no pair.
    """
    values, place = np.unique(scores, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(values)))
    # Weight of the positives and of the negatives at every distinct score, in ascending order.
    positive = np.add.reduceat((weights * labels)[:, order], starts, axis=1)
    negative = np.add.reduceat((weights * ~labels)[:, order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    right = np.sum(positive * (below + 0.5 * negative), axis=1)
    return np.divide(right, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def spread(vectors: np.ndarray) -> float:
    """1 - |mean vector|² of unit vectors [N, D]: 0 = collapsed to one point, 1 = centred."""
    return float(1 - np.sum(np.mean(vectors, axis=0) ** 2))


def effective_rank(vectors: np.ndarray) -> float:
    """How many directions the vectors [N, D] differ in; 0 if they are all the same.

    As `objective.terms.effective_rank`: (sum of l)^2 / sum of l^2 over the eigenvalues l of their
    covariance, here of vectors of any length.
    """
    centred = vectors - vectors.mean(axis=0)
    variances = np.linalg.svd(centred, compute_uv=False) ** 2
    if variances.sum() < 1e-12 * max(np.sum(vectors**2), 1e-300):
        return 0.0
    return float(variances.sum() ** 2 / np.sum(variances**2))
