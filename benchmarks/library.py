"""Search in a library of synthetic tracks: time, size, and recall of the approximate index.

python -m benchmarks.library --tracks=100000

Embeddings are drawn around 1,000 centres in each sub-space, independently of one another; or, with
--like=STORE, around the tracks of a library of that many sub-spaces, each sub-space moved by half
its length in a random direction. Queries are tracks of the library; the index is queried with the
weights of `jaxsim.library.search.index.measure`.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rich.console
import rich.table
import tqdm

from input_pipeline import command_line
from input_pipeline.command_line import positive_integer
from input_pipeline.tracks import DIMENSIONS
from jaxsim.library import store
from jaxsim.library.search import index, query
from jaxsim.library.store import writing
from jaxsim.library.store.entries import Entry
from jaxsim.network import subspaces

CENTRES, SIZE = 1000, 64  # of a sub-space
PART = 2000  # tracks written at once
ARTISTS = 5000
MOVED = 0.5  # of the length of a sub-space: the cosine to where it was is 0.9


def embeddings(count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yields parts of [count, S x 64], every sub-space normalised to length 1."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(len(DIMENSIONS), CENTRES, SIZE))
    for start in range(0, count, PART):
        rows = min(PART, count - start)
        chosen = random.integers(CENTRES, size=(len(DIMENSIONS), rows))
        around = np.stack([c[i] for c, i in zip(centres, chosen, strict=True)], axis=1)
        vectors = around + random.normal(size=around.shape)
        yield subspaces.normalised(vectors.reshape(rows, -1), len(DIMENSIONS))


def around(tracks: store.Store, count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yields parts of [count, S x 64] like `embeddings`, around the tracks of a library."""
    random = np.random.default_rng(seed)
    for start in range(0, count, PART):
        rows = random.choice(tracks.rows, min(PART, count - start))
        moved = random.normal(size=(len(rows), SIZE * len(DIMENSIONS)))
        vectors = tracks.vectors[rows] + MOVED * subspaces.normalised(moved, len(DIMENSIONS))
        yield subspaces.normalised(vectors, len(DIMENSIONS))


def description() -> dict[str, Any]:
    return store.describe(
        model="0" * 64,
        dimensions=DIMENSIONS,
        embedding_size=SIZE * len(DIMENSIONS),
        feature_version=1,
        feature_config={},
        tag_names={},
    )


def write(folder: Path, count: int, like: store.Store | None = None) -> None:
    """Writes a library of `count` tracks, as `jaxsim.embed` does."""
    with writing.open(folder, description(), b"none") as writer:
        number = 0
        parts = around(like, count) if like else embeddings(count)
        for vectors in tqdm.tqdm(parts, total=-(-count // PART), desc="writing"):
            entries = []
            for vector in vectors:
                entries.append(entry(number, vector))
                number += 1
            writer.add(entries)
        writer.measure_cosines()


def track_id(number: int) -> str:
    return f"{number:07d}"


def entry(number: int, vector: np.ndarray) -> Entry:
    given = {"title": f"Song {number}", "artist": f"Artist {number % ARTISTS}"}
    return Entry(
        path=f"/music/{number}.ogg",
        track_id=track_id(number),
        given=given | {"tempo": 60 + number % 120},
        size=1,
        modified=1,
        digest=str(number),
        tags={},
        seconds=200.0,
        vector=vector,
    )


def milliseconds(search: Callable[[int], object], seeds: np.ndarray) -> np.ndarray:
    """The time of every query, after one that is not counted."""
    search(int(seeds[0]))
    times = []
    for seed in seeds:
        began = time.perf_counter()
        search(int(seed))
        times.append(1000 * (time.perf_counter() - began))
    return np.array(times)


def search_table(library: store.Store, queries: int) -> rich.table.Table:
    """Times exact searches of every kind."""
    random = np.random.default_rng(1)
    seeds = random.choice(library.rows, queries, replace=False)
    weights = random.uniform(-1, 2, (queries, len(DIMENSIONS)))
    of_seed = dict(zip(seeds.tolist(), weights, strict=True))
    kinds: dict[str, Callable[[int], object]] = {
        "equal weights": lambda s: query.search(library, [s]),
        "random weights, some negative": lambda s: query.search(library, [s], of_seed[s]),
        "one dimension": lambda s: query.search(library, [s], {"tempo": 1}),
        "at most two per artist": lambda s: query.search(library, [s], max_per_artist=2),
        "where tempo > 120": lambda s: query.search(library, [s], where="tempo > 120"),
    }
    table = rich.table.Table(title=f"Exact search, {len(library):,} tracks, {queries} queries")
    for heading in ("query", "p50, ms", "p99, ms"):
        table.add_column(heading, justify="right" if heading != "query" else "left")
    for kind, search in kinds.items():
        median, last = np.percentile(milliseconds(search, seeds), (50, 99))
        table.add_row(kind, f"{median:.1f}", f"{last:.1f}")
    return table


def recall_table(approximate: index.Index, queries: int) -> rich.table.Table:
    table = rich.table.Table(title="USearch, against the exact first ten")
    for heading in ("weights", "width", "recall", "ms", "exact, ms"):
        table.add_column(heading, justify="right" if heading != "weights" else "left")
    for row in index.measure(approximate, queries=queries):
        times = f"{row.index_ms:.1f}", f"{row.exact_ms:.1f}"
        table.add_row(row.weights, str(row.width), f"{row.recall:.3f}", *times)
    return table


def size_of(*files: Path) -> float:
    """MB."""
    return sum(file.stat().st_size for file in files) / 1e6


def measure(*, tracks: int, queries: int, like: Path | None) -> None:
    """Writes, searches and indexes a library, and prints the tables."""
    console = rich.console.Console(width=100)
    with tempfile.TemporaryDirectory() as folder:
        path, began = Path(folder, "library"), time.perf_counter()
        write(path, tracks, store.open(like) if like else None)
        written = time.perf_counter()
        size = size_of(*path.iterdir())
        with store.open(path) as library:
            opened = time.perf_counter()
            console.print(search_table(library, queries))
            building = time.perf_counter()
            file = index.build(library)
            built = time.perf_counter()
            console.print(recall_table(index.Index(library), queries))
        print(
            f"written in {written - began:.1f} s ({tracks / (written - began):,.0f} "
            f"tracks/s), {size:.0f} MB; opened in {opened - written:.2f} s; index built in "
            f"{built - building:.1f} s, {size_of(file):.0f} MB"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        measure(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.library", __doc__)
    add = parser.add_argument
    add("--tracks", type=positive_integer, default=100_000, help="tracks in the library")
    add("--like", type=Path, help="a library around whose tracks to draw embeddings")
    add("--queries", type=positive_integer, default=200, help="queries of each kind")
    return parser


if __name__ == "__main__":
    main()
