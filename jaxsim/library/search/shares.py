"""What share of a library is less like a query than a hit is: a score that a listener can read.

For the score it is counted over all tracks, from the products that a search computes anyway, to
their rounding. A count for every dimension would need products of its own, which take 1.8 times as
long as the scan: there, and where nothing was scanned, `Store.sample` stands for the library. So it
is exact for a library that is no larger than the sample of 1,000, and otherwise has a standard
error of at most 1.6 points, 0.3 at 99 %. No share is 1, for no hit is more like the query than
itself.
"""

import numpy as np

from jaxsim.library.store import Store
from jaxsim.network import subspaces
from jaxsim.network.likeness import TINY_DEVIATION, standard_scales

ROUNDING = 2.0**-20  # of cosines in float32: a track is not less like the query than itself


def of_library(store: Store, products: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """float64 [n]: the share of all tracks whose product is smaller than that of each of `rows`.

    Args:
      store: the library.
      products: float32 [M], inner products of every row with a query.
      rows: of tracks, [n].
    """
    if not len(rows):
        return np.zeros(0)
    own = products[rows]
    above = np.sort(products[(products >= own.min()) & store.select(None)])
    at_least = len(above) - np.searchsorted(above, own)
    return (len(store) - at_least) / len(store)


def sample_cosines(store: Store, query: np.ndarray) -> np.ndarray:
    """float32 [S, n]: cosines of the sample's tracks with a query [E]."""
    parts = subspaces.split(query[None], len(store.dimensions))[0].astype(np.float32)
    return (store.sample @ parts[:, :, None])[:, :, 0]


def by_dimension(store: Store, sampled: np.ndarray, cosines: np.ndarray) -> np.ndarray:
    """float64 [n, S]: shares of the sample that are less alike in each dimension.

    They are 0 in dimensions in which all tracks are alike.

    Args:
      store: the library.
      sampled: see `sample_cosines`.
      cosines: float64 [n, S], of the hits.
    """
    speaks = store.deviation >= TINY_DEVIATION
    return _smaller(store, sampled, cosines.T - ROUNDING).T * speaks


def of_sample(
    store: Store, weights: np.ndarray, sampled: np.ndarray, cosines: np.ndarray
) -> np.ndarray:
    """float64 [n]: shares of the sample that have a smaller score; see `by_dimension`."""
    scales = standard_scales(weights, store.deviation).astype(np.float32)
    scores = cosines @ scales - ROUNDING * np.abs(scales).sum()
    return _smaller(store, (scales @ sampled)[None], scores[None])[0]


def _smaller(store: Store, sampled: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The share of the sample, and of the hit itself, below each value: [S, n], of [S, m]."""
    size = sampled.shape[1]
    pairs = zip(np.sort(sampled, axis=1), values.astype(np.float32), strict=True)
    counts = np.stack([np.searchsorted(*pair) for pair in pairs])
    return counts / (size + (size < len(store)))  # the hit itself may not be in the sample


def percent(share: float) -> int:
    """A share in whole percents, rounded down."""
    return int(100 * share + 1e-9)
