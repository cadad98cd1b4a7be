"""How alike two tracks are in standard deviations, per sub-space. Needs NumPy alone.

Cosines of different sub-spaces spread differently: their plain sum says mostly what those say that
spread most. Divided by its deviation between random tracks, each has the same influence. The search
of a library and the evaluation of a model share this.
"""

import numpy as np

from jaxsim.network import subspaces

COSINE_PAIRS = 20_000
TINY_DEVIATION = 5e-4  # of cosines between vectors in float16, whose lengths are not quite 1


def cosine_statistics(
    vectors: np.ndarray, rows: np.ndarray, dimensions: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation [S] of the cosine between two random tracks, per dimension.

    All pairs if there are few tracks, otherwise `COSINE_PAIRS` random ones, the same at every call.
    With one pair or none there is no deviation: mean 0 and deviation 1.

    Args:
      vectors: [M, E], every sub-space at length 1.
      rows: [N], the tracks' rows.
      dimensions: how many there are.
    """
    count = len(rows)
    if count < 3:
        return np.zeros(dimensions), np.ones(dimensions)
    if count * (count - 1) // 2 <= COSINE_PAIRS:
        first, second = np.triu_indices(count, 1)
    else:
        random = np.random.default_rng(0)
        first = random.integers(count, size=COSINE_PAIRS)
        second = (first + random.integers(1, count, size=COSINE_PAIRS)) % count
    cosines = []
    for start in range(0, len(first), 2048):
        part = slice(start, start + 2048)
        products = np.asarray(vectors[rows[first[part]]], np.float64) * vectors[rows[second[part]]]
        cosines.append(subspaces.split(products, dimensions).sum(axis=2))
    together = np.concatenate(cosines)
    return together.mean(axis=0), together.std(axis=0)


def standard_scales(weights: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """float64 [S]: what the cosines of the sub-spaces are multiplied by, w_s / deviation_s.

    A sub-space in which all tracks are alike (deviation below `TINY_DEVIATION`: rounding) cannot
    tell them apart and counts 0.
    """
    speaks = deviation >= TINY_DEVIATION
    return np.where(speaks, weights / np.where(speaks, deviation, 1.0), 0.0)
