"""An approximate index (USearch) for libraries that are too large for the exact scan.

One graph of the vectors by inner product serves every weighting, because only the query is
weighted. The more skewed the weights, the less the graph's neighbours are those of the query, so
the more widely it must be searched (`search_width`). For negative weights the neighbours are the
wrong ones, and the scan is used. What the graph finds is ranked by exact scores. `measure` shows
what is lost.
"""

import dataclasses
import functools
import hashlib
import json
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime  # noqa: F401  # before USearch: loaded after it, it ends the process
import usearch.index

from input_pipeline.files import replacing
from input_pipeline.progress import Bar
from jaxsim.library.search import query
from jaxsim.library.search.query import Hit, Seed, Weights
from jaxsim.library.store import Store

FILE, DESCRIPTION = "index.usearch", "index.json"
CONNECTIVITY, EXPANSION = 16, 64  # of the graph: links per track, and width while it is built
PART = 1024  # tracks added at once
WIDTH, WIDEST = 1024, 8192  # for equal weights, and at most


class Index:
    """The index of a store; any number of threads may use it."""

    def __init__(self, store: Store):
        """Maps the index of a store.

        Raises:
          FileNotFoundError: the store has no index.
          ValueError: the library has changed since the index was built, or the file is damaged.
        """
        path = store.path / FILE
        command = f"python -m jaxsim.search index {store.path}"
        if not path.is_file() or not (store.path / DESCRIPTION).is_file():
            raise FileNotFoundError(f"{store.path}: has no index; build it with `{command}`")
        described = json.loads((store.path / DESCRIPTION).read_text())
        if described != _describe(store, path):
            raise ValueError(f"{path}: the library has changed; rebuild the index with `{command}`")
        self.store = store
        self._index = _empty(store)
        self._index.view(str(path))
        self._lock = threading.Lock()

    def nearest(self, vector: np.ndarray, count: int, width: int) -> np.ndarray:
        """Rows of about the `count` largest inner products with a vector [E]."""
        with self._lock:  # the width belongs to the index, not to the search
            self._index.expansion_search = max(width, count)  # type: ignore[misc]  # it has a setter
            # The length of the query does not change what is nearest, but float16 can overflow.
            found = self._index.search((vector / np.abs(vector).max()).astype(np.float16), count)
        return np.sort(np.asarray(found.keys, np.int64))

    def search(
        self,
        seeds: Sequence[Seed],
        weights: Weights = None,
        *,
        top: int = 20,
        max_per_artist: int | None = None,
        max_per_album: int | None = None,
        where: str | None = None,
        exclude: Iterable[int] = (),
        include_seeds: bool = False,
        fold: bool = False,
        width: int | None = None,
    ) -> list[Hit]:
        """Like `query.search`, but some of the best may be missing; `width`: see `search_width`.

        With negative weights, or when filters and caps leave too few of the graph's hits, the
        exact scan is used.
        """
        store, excluded = self.store, list(exclude)
        search = functools.partial(
            query.search,
            store,
            seeds,
            weights,
            top=top,
            max_per_artist=max_per_artist,
            max_per_album=max_per_album,
            where=where,
            exclude=excluded,
            include_seeds=include_seeds,
            fold=fold,
        )
        w = query.weight_vector(store, weights)
        vector = query.vector(store, query.seed_vector(store, seeds), w)
        if (w >= 0).all() and vector.any():
            width = width or search_width(query.scales(store, w))
            # Filters and caps need more to choose from; otherwise a few more are ranked exactly.
            limits = (max_per_artist, max_per_album, where)
            limited = fold or any(limit is not None for limit in limits)
            count = max(4 * top, width if limited else 0) + len(excluded) + len(seeds)
            hits = search(among=self.nearest(vector, min(count, len(store)), width))
            if len(hits) == top:
                return hits
        return search()


def build(store: Store) -> Path:
    """Builds the index of a store, replacing any existing one."""
    index = _empty(store)
    with Bar(total=len(store), desc="index", unit="track") as bar:
        for start in range(0, len(store), PART):
            rows = store.rows[start : start + PART]
            index.add(rows.astype(np.uint64), np.asarray(store.vectors[rows]))
            bar.step(len(rows))
    path = store.path / FILE
    (store.path / DESCRIPTION).unlink(missing_ok=True)  # a described index is complete
    with replacing(path) as file:
        index.save(file.name)
    with replacing(store.path / DESCRIPTION) as file:
        file.write(json.dumps(_describe(store, path)).encode())
    return path


def search_width(scales: np.ndarray) -> int:
    """How widely to search the graph for weights [S], as `query.scales` returns them.

    The number of sub-spaces that take part is (sum s^2)^2 / sum s^4: S for equal weights, 1 for a
    single one. The width for equal weights is multiplied by S over this number.
    """
    squares = np.square(scales, dtype=np.float64)
    if not squares.any():
        return WIDTH
    taking_part = squares.sum() ** 2 / np.square(squares).sum()
    return int(min(WIDTH * len(squares) / taking_part, WIDEST))


@dataclasses.dataclass(frozen=True)
class Recall:
    """What a search of one width achieves: recall of the exact top hits, milliseconds per query."""

    weights: str
    width: int
    recall: float
    index_ms: float
    exact_ms: float


def measure(index: Index, *, queries: int = 100, top: int = 10, seed: int = 0) -> list[Recall]:
    """Compares the index with the exact scan, with tracks of the library as queries.

    The weights are all equal, one dimension at four times the others, and each dimension alone. The
    widths are the one that `search_width` chooses, and others.
    """
    store = index.store
    random = np.random.default_rng(seed)
    seeds = random.choice(store.rows, min(queries, len(store)), replace=False).tolist()
    alone = {f"{name} alone": {name: 1.0} for name in store.dimensions}
    skewed = dict.fromkeys(store.dimensions, 1.0) | {store.dimensions[0]: 4.0}
    equal = dict.fromkeys(store.dimensions, 1.0)
    table = []
    for name, weights in {
        "equal": equal,
        f"{store.dimensions[0]} times 4": skewed,
        **alone,
    }.items():
        exact, exact_ms = _timed(lambda s, w=weights: query.search(store, [s], w, top=top), seeds)
        chosen = search_width(query.scales(store, query.weight_vector(store, weights)))
        for width in sorted({64, 256, WIDTH, chosen}):
            found, ms = _timed(
                lambda s, w=weights, n=width: index.search([s], w, top=top, width=n), seeds
            )
            shares = [len(a & b) / max(len(b), 1) for a, b in zip(found, exact, strict=True)]
            label = f"{name} (chosen)" if width == chosen else name
            table.append(Recall(label, width, float(np.mean(shares)), ms, exact_ms))
    return table


def _timed(search, seeds: Sequence[int]) -> tuple[list[set[int]], float]:
    """The rows found for every seed, and the median time in milliseconds."""
    found, times = [], []
    for seed in seeds:
        began = time.perf_counter()
        found.append({hit.row for hit in search(seed)})
        times.append(1000 * (time.perf_counter() - began))
    return found, float(np.median(times))


def _empty(store: Store) -> usearch.index.Index:
    return usearch.index.Index(
        ndim=store.embedding_size,
        metric="ip",
        dtype="f16",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION,
    )


def _describe(store: Store, path: Path) -> dict[str, str | int]:
    rows = hashlib.sha256(store.rows.tobytes()).hexdigest()
    return {"matrix": store.matrix, "rows": rows, "bytes": path.stat().st_size}
