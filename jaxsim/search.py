"""Searches a library by example, with a weight per dimension.

python -m jaxsim.search STORE --like SONG --weights genre=1,tempo=2,mood=-0.5 --explain

SONG is a track's id, words of its title, artist and album that only one track has, or any audio
file; several --like are one query. Other commands, before STORE:

python -m jaxsim.search presets STORE [--save NAME --weights ... | --delete NAME]
python -m jaxsim.search index STORE         builds an approximate index for large libraries
python -m jaxsim.search recall STORE        measures what that index misses
python -m jaxsim.search export STORE --format=npz|pgvector|qdrant --out=FILE|FOLDER|URL
"""

import argparse
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import rich.console
import rich.table
import rich.text

from jaxsim.library import exports, presets, query, store
from jaxsim.library.query import Hit, Seed
from jaxsim.library.store import Store

CANDIDATES = 10  # that are listed when a title is not unique


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; expected problems are one line on stderr and exit code 1."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command = arguments.pop(0) if arguments and arguments[0] in COMMANDS else "search"
    add_options, run = COMMANDS[command]
    parser = argparse.ArgumentParser(
        prog=f"python -m jaxsim.search{'' if command == 'search' else ' ' + command}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("store", metavar="STORE", help="folder of the library")
    add_options(parser)
    options = parser.parse_args(arguments)
    try:
        with store.open(options.store) as library:
            run(library, options)
    except (OSError, ValueError, ImportError, sqlite3.Error) as error:
        sys.exit(f"error: {error}")


def _search_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--like", action="append", required=True, metavar="SONG", help="what to compare with")
    add("--weights", default="", help="such as genre=1,tempo=2,mood=-0.5; default: all 1")
    add("--preset", help="weights with a name; --weights change single ones")
    add("--top", type=_count, default=20, help="how many tracks (20)")
    add("--max_per_artist", type=_count, help="of one artist")
    add("--where", help="such as \"tempo>120 and genre='Jazz'\"; see jaxsim.library.where")
    add("--explain", action="store_true", help="what each dimension contributes to the score")
    add("--json", action="store_true", help="everything, for programs")
    add("--approximate", action="store_true", help="use the index, see `index`")


def _run_search(library: Store, options: argparse.Namespace) -> None:
    weights = presets.load(library, options.preset) if options.preset else None
    if options.weights:
        weights = (weights or {}) | parse_weights(options.weights)
    seeds = [resolve(library, song) for song in options.like]
    search: Callable[..., list[Hit]]
    if options.approximate:
        from jaxsim.library.index import Index

        index = Index(library)
        search = index.search
    else:
        search = lambda *positional, **named: query.search(library, *positional, **named)  # noqa: E731
    hits = search(
        seeds,
        weights,
        top=options.top,
        max_per_artist=options.max_per_artist,
        where=options.where,
    )
    if options.json:
        print(json.dumps(as_json(library, hits), indent=1))
    else:
        vector = query.weight_vector(library, weights)
        _print(_table(library, hits, vector, explain=options.explain))


def parse_weights(text: str) -> dict[str, float]:
    """Reads weights such as "genre=1,tempo=2"; raises ValueError if they are not such."""
    weights = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            raise ValueError(
                f"--weights has {part!r}, expected a dimension and a number such as tempo=2"
            ) from None
    return weights


def resolve(library: Store, song: str) -> Seed:
    """The row of a track, or the embedding of an audio file.

    Raises:
      ValueError: no track or several; the message lists them.
    """
    row = library.row_of(song)
    if row is None and os.path.isfile(song):
        row = library.row_of_path(song)
        return _embed(library, song) if row is None else row
    rows = [row] if row is not None else library.find(song, CANDIDATES + 1)
    if len(rows) == 1:
        return rows[0]
    if not rows:
        raise ValueError(f"--like {song!r}: no track of {library.path} and no file")
    lines = [
        f"  {track['id']}  {store.name_of(track)}" for track in library.metadata(rows[:CANDIDATES])
    ]
    more = ["  …"] if len(rows) > CANDIDATES else []
    listed = "\n".join(lines + more)
    raise ValueError(f"--like {song!r}: several tracks, choose one by its id:\n{listed}")


def _embed(library: Store, path: str) -> np.ndarray:
    from input_pipeline.audio import UnusableTrack
    from jaxsim import compilation
    from jaxsim.library.embedding import Embedder

    compilation.prepare()
    try:
        return Embedder(library.path / store.MODEL)(path)
    except UnusableTrack as error:
        raise ValueError(f"--like {path!r}: {error.reason}") from None


def as_json(library: Store, hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Metadata, score and contributions by dimension of every hit."""
    tracks = library.metadata([hit.row for hit in hits])
    return [
        track
        | {
            "score": hit.score,
            "contributions": dict(zip(library.dimensions, hit.contributions.tolist(), strict=True)),
        }
        for track, hit in zip(tracks, hits, strict=True)
    ]


def _table(
    library: Store, hits: Sequence[Hit], weights: np.ndarray, *, explain: bool
) -> rich.table.Table:
    """Hits; with what the dimensions that have a weight contribute, if asked for."""
    shown = np.flatnonzero(weights) if explain else np.zeros(0, int)
    table = rich.table.Table()
    for name in ("", "score", *(library.dimensions[i] for i in shown)):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("track", overflow="fold")
    tracks = library.metadata([hit.row for hit in hits])
    for number, (hit, track) in enumerate(zip(hits, tracks, strict=True), start=1):
        numbers = (f"{hit.contributions[i]:+.2f}" for i in shown)
        # Not as a string, in which rich would read markup.
        text = rich.text.Text(store.name_of(track))
        table.add_row(str(number), f"{hit.score:+.2f}", *numbers, text)
    return table


def _print(table: rich.table.Table) -> None:
    """Fits a terminal; files and pipes get whole lines."""
    rich.console.Console(width=None if sys.stdout.isatty() else 200).print(table)


def _presets_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--save", metavar="NAME", help="writes a preset of --weights")
    parser.add_argument("--weights", default="", help="such as genre=1,tempo=2")
    parser.add_argument("--delete", metavar="NAME", help="removes a preset")


def _run_presets(library: Store, options: argparse.Namespace) -> None:
    if options.save:
        presets.save(library, options.save, parse_weights(options.weights))
    if options.delete:
        presets.delete(library, options.delete)
    table = rich.table.Table("preset", *library.dimensions)
    for name, content in presets.load_all(library).items():
        cells = (f"{content['weights'][dimension]:+.2f}" for dimension in library.dimensions)
        table.add_row(name, *cells)
    _print(table)


def _run_index(library: Store, _: argparse.Namespace) -> None:
    from jaxsim.library import index

    print(f"index: {index.build(library)}")


def _recall_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", type=_count, default=100, help="tracks as queries (100)")
    parser.add_argument("--top", type=_count, default=10, help="hits that should be found (10)")


def _run_recall(library: Store, options: argparse.Namespace) -> None:
    from jaxsim.library import index

    measured = index.measure(index.Index(library), queries=options.queries, top=options.top)
    table = rich.table.Table("weights", "width", f"recall@{options.top}", "index ms", "exact ms")
    for row in measured:
        times = (f"{row.index_ms:.2f}", f"{row.exact_ms:.2f}")
        table.add_row(row.weights, str(row.width), f"{row.recall:.3f}", *times)
    _print(table)


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("npz", "pgvector", "qdrant"), required=True)
    parser.add_argument(
        "--out",
        required=True,
        help="file; for qdrant a folder of its local mode, or a server's URL",
    )


def _run_export(library: Store, options: argparse.Namespace) -> None:
    if options.format == "qdrant":
        try:
            import qdrant_client
        except ImportError:
            raise ImportError("this needs `pip install 'jaxsim[qdrant]'`") from None
        is_url = options.out.startswith(("http://", "https://"))
        place = {"url" if is_url else "path": options.out}
        client = qdrant_client.QdrantClient(**place)
        exports.to_qdrant(library, client)
        client.close()
    else:
        write = {"npz": exports.to_npz, "pgvector": exports.to_pgvector}[options.format]
        write(library, options.out)
    print(f"{len(library)} tracks: {options.out}")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number of at least 1")
    return int(text)


COMMANDS = {
    "search": (_search_options, _run_search),
    "presets": (_presets_options, _run_presets),
    "index": (lambda parser: None, _run_index),
    "recall": (_recall_options, _run_recall),
    "export": (_export_options, _run_export),
}

if __name__ == "__main__":
    main()
