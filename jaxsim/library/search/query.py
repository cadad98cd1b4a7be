"""Search by example with a weight per dimension (A Fig. 1): one inner product, and its explanation.

For a track x and a query q, whose sub-spaces s have length 1:

  likeness_s(x) = (cos(q_s, x_s) - mean_s) / deviation_s        in standard deviations
  contribution_s(x) = w_s likeness_s(x)
  score(x) = sum_s contribution_s(x)

mean_s and deviation_s are those of the cosine between two random tracks of the library, so that
equal weights have equal influence, and 0 means no more alike than any two tracks of the library.
Several seeds are averaged, which averages their scores. A dimension in which all tracks are alike
(see `standard_scales`) cannot tell them apart and contributes 0. A negative weight asks for tracks
that differ. cos is the inner product of the vectors as they are stored, in float16.

Since mean_s is the same for all tracks, the ranking is that of the inner product of x with the
query whose sub-spaces are scaled by w_s / deviation_s: the library stays as it is (`vector`).
"""

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from jaxsim.library.search import shares, versions
from jaxsim.library.search.readings import UNKNOWN, Sound
from jaxsim.library.search.scanning import LONGEST, scan, scan_coarse
from jaxsim.library.search.steps import Steps, Stepwise
from jaxsim.library.store import Store
from jaxsim.network import subspaces
from jaxsim.network.likeness import standard_scales


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """What a query is like that is no track of the library: other audio, or words.

    Attributes:
      vector: its embedding [E].
      sound: what is known of it, for people.
    """

    vector: np.ndarray
    sound: Sound = UNKNOWN


# A row of the store, an example, or an embedding [E] of which no more is known.
Seed = int | np.integer | np.ndarray | Example
Weights = Mapping[str, float] | Sequence[float] | np.ndarray | None

MOST_PROMISING = 50  # rows for each that is wanted; if there are more, the pass was too coarse
EXACT_ROWS = 8192  # whose float64 form is in memory at once
MANY_EXACT, MANY_COMPARED = 4000, 500  # rows that take long to compute, or to fold


@dataclasses.dataclass(frozen=True, eq=False)
class Hit:
    """A track found by a search.

    Attributes:
      row: in the store.
      score: see the module; exactly the contributions added one after the other (`sum` in Python
        3.12 and later rounds differently).
      contributions: float64 [S].
      likeness: float64 [S], in standard deviations; the same for every weighting.
      closer_than: the share of the library that has a smaller score, see `shares`.
      closer_in: float64 [S], the same by dimension.
      versions: rows of other versions of the same recording, if they were folded into this hit.
    """

    row: int
    score: float
    contributions: np.ndarray
    likeness: np.ndarray
    closer_than: float
    closer_in: np.ndarray
    versions: tuple[int, ...] = ()


@Stepwise
def search(
    store: Store,
    seeds: Sequence[Seed],
    weights: Weights = None,
    *,
    top: int = 20,
    max_per_artist: int | None = None,
    max_per_album: int | None = None,
    where: str | None = None,
    exclude: Iterable[int] = (),
    include_seeds: bool = False,
    among: np.ndarray | None = None,
    fold: bool = False,
) -> Steps[list[Hit]]:
    """The `top` tracks with the highest scores, exactly; fewer only if fewer are allowed.

    Args:
      store: the library.
      seeds: one or more rows of the store, examples or embeddings [E] (their sub-spaces are
        normalised here).
      weights: by dimension (those not named are 0) or in the dimensions' order; None: all 1.
      top: how many tracks to find.
      max_per_artist: at most this many by one artist, see `matching.limited_artist`; tracks by
        unknown artists are not limited.
      max_per_album: at most this many from one album, see `matching.limited_album`.
      where: a condition on metadata, see `jaxsim.library.store.conditions`.
      exclude: rows that must not be found.
      include_seeds: whether rows that are seeds may be found.
      among: rows that may be found (the candidates of an approximate index); None: all.
      fold: whether versions of one recording (see `versions`) are one hit, the best of them, and
        those of a seed that is a row are not found.

    Returns:
      Hits by descending score; equal scores by id.

    Raises:
      ValueError: no seed, a row that does not belong to a track, an embedding of the wrong size or
        not finite, an unknown dimension, a weight that is not finite, or an invalid condition.
    """
    limits = {"max_per_artist": max_per_artist, "max_per_album": max_per_album}
    for name, value in {"top": top, **limits}.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}, expected at least 1")
    w = weight_vector(store, weights)
    q = seed_vector(store, seeds)
    allowed = np.array(store.select(where))
    allowed[list(exclude)] = False
    known = [row for row in map(row_of, seeds) if row is not None]
    if not include_seeds:
        allowed[known] = False
    if among is None:
        ranking = yield from _scanned(store, q, w, allowed, top)
    else:
        ranking = _Ranking(among[allowed[among]])
    count = top
    while True:
        candidates = ranking.candidates(count)
        if len(candidates) > MANY_EXACT or count > MANY_COMPARED:
            yield None
        rows, cosines = _first(store, q, w, candidates, count)
        others = (
            versions.folded(store, rows, known) if fold else dict.fromkeys(range(len(rows)), ())
        )
        positions = np.fromiter(others, np.int64, len(others))
        within = _within_limits(store, rows[positions], max_per_artist, max_per_album)[:top]
        kept = positions[within]
        if len(kept) == top or count >= ranking.size:
            break
        count *= 4
    same = [others[int(one)] for one in kept]
    return _hits(store, q, w, rows[kept], cosines[kept], ranking.products, same)


class _Ranking:
    """Some rows, whose scores are all computed exactly.

    Attributes:
      size: how many rows there are.
      products: float32 [M], inner products of all rows of the store, if they are known.
    """

    products: np.ndarray | None = None

    def __init__(self, rows: np.ndarray):
        self._rows = rows
        self.size = len(rows)

    def candidates(self, count: int) -> np.ndarray:
        """Rows among which the `count` with the highest scores are."""
        return self._rows


class _ScannedRanking(_Ranking):
    """The `allowed` rows, of which inner products tell which are worth computing exactly."""

    def __init__(self, products: np.ndarray, tolerance: float, allowed: np.ndarray):
        """`tolerance` is how far each product can be from the true one."""
        self.products, self._tolerance = products, tolerance
        self.size = int(np.count_nonzero(allowed))
        self._approximate = np.where(allowed, products, np.float32(-np.inf))
        self._known: dict[int, np.ndarray] = {}

    def candidates(self, count: int) -> np.ndarray:
        if count not in self._known:
            self._known[count] = _promising(self._approximate, count, self._tolerance)
        return self._known[count]


def _scanned(
    store: Store, query: np.ndarray, weights: np.ndarray, allowed: np.ndarray, count: int
) -> Steps[_Ranking]:
    """Ranks all `allowed` rows by a pass over the library; `count` will be asked for first."""
    asked = vector(store, query, weights)
    if store.coarse is not None:
        ranking = _ScannedRanking(*(yield from scan_coarse.steps(store.coarse, asked)), allowed)
        if len(ranking.candidates(count)) <= MOST_PROMISING * count:
            return ranking
    products = yield from scan.steps(store.vectors, asked)
    return _ScannedRanking(products, _rounding(store, query, weights), allowed)


def score_tracks(
    store: Store, seeds: Sequence[Seed], weights: Weights, rows: Sequence[int] | np.ndarray
) -> list[Hit]:
    """The tracks in `rows`, in that order, scored as in a search with these seeds and weights.

    Raises:
      ValueError: as `search` does.
    """
    w, q = weight_vector(store, weights), seed_vector(store, seeds)
    rows = np.asarray(rows, np.int64)
    return _hits(store, q, w, rows, _cosines(store, q, rows))


def _hits(
    store: Store,
    query: np.ndarray,
    weights: np.ndarray,
    rows: np.ndarray,
    cosines: np.ndarray,
    products: np.ndarray | None = None,
    others: Sequence[tuple[int, ...]] = (),
) -> list[Hit]:
    """Hits from their cosines [n, S].

    `products` are those of all rows, if they are known, and `others` the hits' versions.
    """
    contributions = _contributions(store, weights, cosines)
    likeness = _contributions(store, np.ones(len(weights)), cosines)
    sampled = shares.sample_cosines(store, query)
    if products is None:
        closer_than = shares.of_sample(store, weights, sampled, cosines)
    else:
        closer_than = shares.of_library(store, products, rows)
    closer_in = shares.by_dimension(store, sampled, cosines)
    scores, same = _total(contributions), others or [()] * len(rows)
    first = rows.tolist(), scores.tolist(), contributions, likeness
    columns = *first, closer_than.tolist(), closer_in, same
    return [Hit(*values) for values in zip(*columns, strict=True)]


def parse_weights(text: str) -> dict[str, float]:
    """Parses weights such as "genre=1,tempo=2"; raises ValueError if it cannot."""
    weights = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            raise ValueError(
                f"weights: {part!r} found, expected a dimension and a number such as tempo=2"
            ) from None
    return weights


def weight_vector(store: Store, weights: Weights) -> np.ndarray:
    """Weights as float64 [S]; raises ValueError as `search` does."""
    if weights is None:
        return np.ones(len(store.dimensions))
    if isinstance(weights, Mapping):
        if unknown := set(weights) - set(store.dimensions):
            raise ValueError(
                f"weights: {sorted(unknown)[0]!r} is not a dimension of this library, expected "
                f"some of {', '.join(store.dimensions)}"
            )
        weights = [weights.get(name, 0.0) for name in store.dimensions]
    result = np.asarray(weights, np.float64)
    if result.shape != (len(store.dimensions),):
        raise ValueError(f"weights: {result.shape} found, expected {len(store.dimensions)} numbers")
    for name, weight in zip(store.dimensions, result, strict=True):
        if not abs(weight) < 1e6:
            raise ValueError(f"weights: {name} is {weight}, expected a number below a million")
    return result


def seed_vector(store: Store, seeds: Sequence[Seed]) -> np.ndarray:
    """The mean of the seeds [E], float64, each with sub-spaces at length 1."""
    if not len(seeds):
        raise ValueError("no seed, expected at least one track or embedding to compare with")
    return np.mean([_seed(store, seed) for seed in seeds], axis=0)


def row_of(seed: Seed) -> int | None:
    """The row of a seed that is a track of the library."""
    return None if isinstance(seed, np.ndarray | Example) else int(seed)


def _seed(store: Store, seed: Seed) -> np.ndarray:
    seed = seed.vector if isinstance(seed, Example) else seed
    if not isinstance(seed, np.ndarray):
        if not 0 <= seed < len(store.ids) or store.ids[seed] is None:
            raise ValueError(f"seed: row {seed} does not belong to a track")
        return np.asarray(store.vectors[seed], np.float64)
    if seed.shape != (store.embedding_size,) or not np.isfinite(seed).all():
        raise ValueError(
            f"seed: an embedding of shape {seed.shape}, expected {store.embedding_size} finite "
            "numbers"
        )
    return subspaces.normalised(seed[None], len(store.dimensions))[0]


def scales(store: Store, weights: np.ndarray) -> np.ndarray:
    """float64 [S]: what the sub-spaces of a query are multiplied by, w_s / deviation_s."""
    return standard_scales(weights, store.deviation)


def vector(store: Store, query: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The query [E], float64, whose inner products with the library's vectors give the ranking."""
    parts = subspaces.split(query[None], len(weights))[0]
    return (parts * scales(store, weights)[:, None]).ravel()


def offset(store: Store, weights: np.ndarray) -> float:
    """What must be added to these inner products to give the score."""
    return -float(np.sum(scales(store, weights) * store.mean))


def likenesses(store: Store, seeds: Sequence[Seed], rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """float64 [n, S]: how alike the tracks in `rows` are to the seeds, in standard deviations."""
    equal = np.ones(len(store.dimensions))
    cosines = _cosines(store, seed_vector(store, seeds), np.asarray(rows, np.int64))
    return _contributions(store, equal, cosines)


def _rounding(store: Store, query: np.ndarray, weights: np.ndarray) -> float:
    """How far an inner product of `scan` can be from the true one.

    What is lost with the query's digits, Higham's bound for float32, what is lost if the processor
    treats float16 below 2^-14 as zero, and the smallest float32.
    """
    size, length = len(query), float(np.linalg.norm(vector(store, query, weights)))
    longest = LONGEST * math.sqrt(len(store.dimensions))  # of a row
    relative = (2.0**-11 + (size + 8) * 2.0**-24) * longest + math.sqrt(size) * 2.0**-14
    return length * relative + 2.0**-149


def _promising(approximate: np.ndarray, count: int, tolerance: float) -> np.ndarray:
    """The rows whose exact score can be among the `count` highest; never those at -inf.

    The highest of each of many groups of rows are so many different rows: at least `count` rows
    are as high as the `count`-th of them, which is found faster than the `count`-th row.
    """
    size = max(len(approximate) // (8 * count), 1)
    whole = len(approximate) - len(approximate) % size
    highest = approximate[:whole].reshape(-1, size).max(axis=1)
    bound = np.finfo(np.float32).min
    if count < len(highest):
        bound = max(bound, np.partition(highest, -count)[-count] - 2 * tolerance)
    return np.flatnonzero(approximate >= bound)


def _first(
    store: Store, query: np.ndarray, weights: np.ndarray, candidates: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` candidates by exact score, then id: rows [n] and cosines [n, S]."""
    if not scales(store, weights).any():  # all scores are 0
        candidates = candidates[np.argsort(store.id_rank[candidates])[:count]]
    cosines = _cosines(store, query, candidates)
    scores = _total(_contributions(store, weights, cosines))
    order = np.lexsort((store.id_rank[candidates], -scores))[:count]
    return candidates[order], cosines[order]


def _cosines(store: Store, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """float64 [n, S]; the same numbers for equal vectors, wherever they are."""
    result = np.zeros((len(rows), len(store.dimensions)))
    for start in range(0, len(rows), EXACT_ROWS):
        part = slice(start, start + EXACT_ROWS)
        products = store.vectors[rows[part]].astype(np.float64)
        products *= query  # in place: most of its time would go into fetching memory
        result[part] = subspaces.split(products, len(store.dimensions)).sum(axis=2)
    return result


def _contributions(store: Store, weights: np.ndarray, cosines: np.ndarray) -> np.ndarray:
    """float64 [n, S] from cosines [n, S]."""
    return scales(store, weights) * (cosines - store.mean) + 0.0  # no negative zeros


def _total(contributions: np.ndarray) -> np.ndarray:
    """Sums [n] of contributions [n, S], one dimension after the other."""
    return functools.reduce(np.add, contributions.T)


def _within_limits(
    store: Store, rows: np.ndarray, per_artist: int | None, per_album: int | None
) -> list[int]:
    """Positions in `rows` of those that remain when no artist and no album has too many."""
    limits: list[tuple[int, list[int], Counter[int]]] = []
    if per_artist is not None:
        limits.append((per_artist, store.artist_number[rows].tolist(), Counter()))
    if per_album is not None:
        limits.append((per_album, store.album_number[rows].tolist(), Counter()))
    if not limits:
        return list(range(len(rows)))
    kept = []
    for position in range(len(rows)):
        owners = [(numbers[position], limit, seen) for limit, numbers, seen in limits]
        if all(owner < 0 or seen[owner] < limit for owner, limit, seen in owners):
            kept.append(position)
            for owner, _, seen in owners:
                seen[owner] += 1
    return kept
