"""Searches a library by example, with a weight per dimension.

python -m jaxsim.search STORE --like SONG --weights genre=1,tempo=2,mood=-0.5 --explain

SONG is a track's id, words that only one track has in its title, artist and album, or any audio
file. Several --like options form one query. Other commands are given before STORE:

python -m jaxsim.search path STORE --start SONG --end SONG --playlist FILE
python -m jaxsim.search relocate STORE OLD NEW    the music is found in another folder now
python -m jaxsim.search presets STORE [--save NAME --weights ... | --delete NAME]
python -m jaxsim.search index STORE         builds an approximate index for large libraries
python -m jaxsim.search recall STORE        measures what that index misses
python -m jaxsim.search export STORE --format=npz|pgvector|qdrant --out=FILE|FOLDER|URL
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from input_pipeline import command_line, extras
from input_pipeline.command_line import positive_integer
from jaxsim.library.search import playlists

if TYPE_CHECKING:  # NumPy alone takes longer to import than --help may take
    import numpy as np
    import rich.table

    from jaxsim.library.search.query import Hit, Seed
    from jaxsim.library.store import Store

CANDIDATES = 10  # listed when a title is not unique


def main(arguments: Sequence[str] | None = None) -> None:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command = arguments.pop(0) if arguments and arguments[0] in COMMANDS else "search"
    run = COMMANDS[command][1]
    options = _parser(command).parse_args(arguments)
    with command_line.problems_in_one_line():
        if extra := _extra(command, options):
            extras.need(extra)
        from jaxsim.library import store

        with store.open(options.store) as library:
            run(library, options)


def _extra(command: str, options: argparse.Namespace) -> str | None:
    """What must be installed beyond the library."""
    if command in ("index", "recall") or getattr(options, "approximate", False):
        return "ann"
    return "qdrant" if getattr(options, "format", None) == "qdrant" else None


def _parser(command: str = "search") -> argparse.ArgumentParser:
    name = "jaxsim.search" if command == "search" else f"jaxsim.search {command}"
    parser = command_line.parser(name, __doc__)
    parser.add_argument("store", metavar="STORE", help="the folder that jaxsim.embed wrote")
    COMMANDS[command][0](parser)
    return parser


def _search_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--like", action="append", required=True, metavar="SONG", help="what to compare with")
    add(
        "--weights",
        default="",
        metavar="DIMENSION=WEIGHT,...",
        help="how much each dimension counts, such as genre=1,tempo=2,mood=-0.5; default: all 1",
    )
    add("--preset", metavar="NAME", help="saved weights; --weights overrides individual ones")
    add(
        "--top",
        type=positive_integer,
        default=20,
        help="number of tracks to list",
    )
    add(
        "--max_per_artist",
        type=positive_integer,
        help="maximum number of tracks by one artist",
    )
    add(
        "--max_per_album",
        type=positive_integer,
        help="maximum number of tracks from one album",
    )
    add(
        "--where",
        metavar="CONDITION",
        help="only tracks that meet this condition, such as \"tempo>120 and genre='Jazz'\"",
    )
    add("--explain", action="store_true", help="show what each dimension contributes to the score")
    add("--json", action="store_true", help="print everything known about the hits, as JSON")
    add(
        "--approximate",
        action="store_true",
        help="search the index built by `python -m jaxsim.search index STORE`",
    )
    _playlist_options(parser)


def _playlist_options(parser: argparse.ArgumentParser) -> None:
    suffixes = ", ".join(playlists.SUFFIXES)
    parser.add_argument(
        "--playlist", metavar="FILE", help=f"write a playlist of the files, too ({suffixes})"
    )
    parser.add_argument(
        "--relative",
        action="store_true",
        help="name the files as seen from the playlist's folder",
    )


def _write_playlist(library: "Store", found: "Sequence[Hit]", options: argparse.Namespace) -> None:
    if options.playlist:
        tracks = library.metadata([hit.row for hit in found])
        playlists.write(options.playlist, tracks, relative=options.relative)


def _run_search(library: "Store", options: argparse.Namespace) -> None:
    from jaxsim.library.search import hits, presets, query

    weights = presets.load(library, options.preset) if options.preset else None
    if options.weights:
        weights = (weights or {}) | query.parse_weights(options.weights)
    seeds = [resolve(library, song) for song in options.like]
    search: Callable[..., list[Hit]]
    if options.approximate:
        from jaxsim.library.search.index import Index

        index = Index(library)
        search = index.search
    else:
        search = lambda *positional, **named: query.search(library, *positional, **named)  # noqa: E731
    found = search(
        seeds,
        weights,
        top=options.top,
        max_per_artist=options.max_per_artist,
        max_per_album=options.max_per_album,
        where=options.where,
    )
    _write_playlist(library, found, options)
    if options.json:
        print(json.dumps(hits.as_json(library, found), indent=1))
    else:
        vector = query.weight_vector(library, weights)
        _print(_table(library, found, vector, explain=options.explain))


def resolve(library: "Store", song: str) -> "Seed":
    """The row of a track, or the embedding of an audio file.

    Raises:
      ValueError: there is no such track, or several, which the message lists.
    """
    from jaxsim.library import store

    row = library.row_of(song)
    if row is None and os.path.isfile(song):
        row = library.row_of_path(song)
        return _embed(library, song) if row is None else row
    rows = [row] if row is not None else library.find(song, CANDIDATES + 1)
    if len(rows) == 1:
        return rows[0]
    if not rows:
        raise ValueError(f"--like {song!r}: neither a track in {library.path} nor a file")
    lines = [
        f"  {track['id']}  {store.name_of(track)}" for track in library.metadata(rows[:CANDIDATES])
    ]
    more = ["  …"] if len(rows) > CANDIDATES else []
    listed = "\n".join(lines + more)
    raise ValueError(f"--like {song!r}: matches several tracks; choose one by its id:\n{listed}")


def _embed(library: "Store", path: str) -> "np.ndarray":
    from input_pipeline.hearing.audio import UnusableTrack
    from jaxsim.library import store
    from jaxsim.library.intake.embedding import Embedder

    try:
        return Embedder(library.path / store.MODEL)(path)
    except UnusableTrack as error:
        raise ValueError(f"--like {path!r}: {error.reason}") from None


def _table(
    library: "Store", found: "Sequence[Hit]", weights: "np.ndarray", *, explain: bool
) -> "rich.table.Table":
    """The hits and, if `explain`, what each dimension with a weight contributes."""
    import numpy as np
    import rich.table
    import rich.text

    from jaxsim.library import store

    shown = np.flatnonzero(weights) if explain else np.zeros(0, int)
    table = rich.table.Table()
    for name in ("", "score", *(library.dimensions[i] for i in shown)):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("track", overflow="fold")
    tracks = library.metadata([hit.row for hit in found])
    for number, (hit, track) in enumerate(zip(found, tracks, strict=True), start=1):
        numbers = (f"{hit.contributions[i]:+.2f}" for i in shown)
        # Not a plain string, in which rich would interpret markup.
        text = rich.text.Text(store.name_of(track))
        table.add_row(str(number), f"{hit.score:+.2f}", *numbers, text)
    return table


def _print(table: "rich.table.Table") -> None:
    """Fits the table to a terminal; files and pipes get whole lines."""
    import rich.console

    rich.console.Console(width=None if sys.stdout.isatty() else 200).print(table)


def _path_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--start", required=True, metavar="SONG", help="the first track")
    add("--end", required=True, metavar="SONG", help="the last track")
    add("--length", type=positive_integer, default=10, help="number of tracks, with both")
    add("--weights", default="", metavar="DIMENSION=WEIGHT,...", help="as in a search")
    add("--where", metavar="CONDITION", help="only tracks in between that meet this condition")
    _playlist_options(parser)


def _run_path(library: "Store", options: argparse.Namespace) -> None:
    from jaxsim.library.search import paths, query

    ends = [resolve(library, song) for song in (options.start, options.end)]
    rows = [row for row in ends if isinstance(row, int)]
    if len(rows) < len(ends):
        raise ValueError("--start and --end must be tracks of the library, not other files")
    weights = query.parse_weights(options.weights) if options.weights else None
    steps = paths.find(library, *rows, length=options.length, weights=weights, where=options.where)
    _write_playlist(library, steps, options)
    vector = query.weight_vector(library, weights)
    _print(_table(library, steps, vector, explain=False))


def _relocate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="the folder in which the music was")
    parser.add_argument("new", metavar="NEW", help="the folder in which it is now")


def _run_relocate(library: "Store", options: argparse.Namespace) -> None:
    from jaxsim.library.store import writing

    old, new = os.path.abspath(options.old), os.path.abspath(options.new)
    with writing.open(library.path) as writer:
        count = writer.relocate(old, new)
    if not count:
        raise ValueError(f"{old}: no track of this library is in this folder")
    print(f"{count} tracks: {new}")


def _presets_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--save", metavar="NAME", help="save --weights as a preset with this name")
    add("--weights", default="", metavar="DIMENSION=WEIGHT,...", help="such as genre=1,tempo=2")
    add("--delete", metavar="NAME", help="delete the preset with this name")


def _run_presets(library: "Store", options: argparse.Namespace) -> None:
    import rich.table

    from jaxsim.library.search import presets, query

    if options.save:
        presets.save(library, options.save, query.parse_weights(options.weights))
    if options.delete:
        presets.delete(library, options.delete)
    table = rich.table.Table("preset", *library.dimensions)
    for name, content in presets.load_all(library).items():
        cells = (f"{content['weights'][dimension]:+.2f}" for dimension in library.dimensions)
        table.add_row(name, *cells)
    _print(table)


def _run_index(library: "Store", _: argparse.Namespace) -> None:
    from jaxsim.library.search import index

    print(f"index: {index.build(library)}")


def _recall_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--queries", type=positive_integer, default=100, help="number of queries")
    add("--top", type=positive_integer, default=10, help="number of hits per query")


def _run_recall(library: "Store", options: argparse.Namespace) -> None:
    import rich.table

    from jaxsim.library.search import index

    measured = index.measure(index.Index(library), queries=options.queries, top=options.top)
    table = rich.table.Table("weights", "width", f"recall@{options.top}", "index ms", "exact ms")
    for row in measured:
        times = (f"{row.index_ms:.2f}", f"{row.exact_ms:.2f}")
        table.add_row(row.weights, str(row.width), f"{row.recall:.3f}", *times)
    _print(table)


def _export_options(parser: argparse.ArgumentParser) -> None:
    formats = ("npz", "pgvector", "qdrant")
    parser.add_argument("--format", choices=formats, required=True, help="what to write")
    parser.add_argument(
        "--out",
        required=True,
        metavar="PATH",
        help="the file to write; for qdrant, the folder of its local mode or a server's URL",
    )


def _run_export(library: "Store", options: argparse.Namespace) -> None:
    from jaxsim.library.search import exports

    if options.format == "qdrant":
        import qdrant_client

        is_url = options.out.startswith(("http://", "https://"))
        place = {"url" if is_url else "path": options.out}
        client = qdrant_client.QdrantClient(**place)
        exports.to_qdrant(library, client)
        client.close()
    else:
        write = {"npz": exports.to_npz, "pgvector": exports.to_pgvector}[options.format]
        write(library, options.out)
    print(f"{len(library)} tracks: {options.out}")


COMMANDS = {
    "search": (_search_options, _run_search),
    "path": (_path_options, _run_path),
    "relocate": (_relocate_options, _run_relocate),
    "presets": (_presets_options, _run_presets),
    "index": (lambda parser: None, _run_index),
    "recall": (_recall_options, _run_recall),
    "export": (_export_options, _run_export),
}

if __name__ == "__main__":
    main()
