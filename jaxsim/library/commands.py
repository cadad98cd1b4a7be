"""What the commands of `jaxsim.search` do with a library."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsim.library import store
from jaxsim.library.search import (
    exports,
    groups,
    hits,
    paths,
    playlists,
    presets,
    query,
    readings,
    reasons,
    shares,
    words,
)
from jaxsim.library.search.query import Example, Hit, Seed
from jaxsim.library.store import Store, writing
from jaxsim.library.store.matching import folded

if TYPE_CHECKING:
    import rich.table

CANDIDATES = 10  # listed when a title is not unique


def _write_playlist(library: Store, found: Sequence[Hit], options: argparse.Namespace) -> None:
    if options.playlist:
        tracks = library.metadata([hit.row for hit in found])
        playlists.write(options.playlist, tracks, relative=options.relative)


def _run_search(library: Store, options: argparse.Namespace) -> None:
    given = query.parse_weights(options.weights) if options.weights else None
    weights = presets.choose(library, options.preset, given)
    seeds = [seed for song in options.like for seed in resolve_all(library, song)]
    if weights is None:
        weights = words.weights(library, seeds)
    search: Callable[..., list[Hit]]
    if options.approximate:
        from jaxsim.library.search.index import Index

        index = Index(library)
        search = index.search
    else:
        search = lambda *positional, **named: query.search(library, *positional, **named)  # noqa: E731

    def find(top: int) -> list[Hit]:
        return search(
            seeds,
            weights,
            top=top,
            max_per_artist=options.max_per_artist,
            max_per_album=options.max_per_album,
            where=options.where,
            fold=not options.all_versions,
        )

    if options.by != "track":
        _show_groups(library, groups.search(library, find, by=options.by, top=options.top), options)
        return
    found = find(options.top)
    _write_playlist(library, found, options)
    if options.json:
        print(json.dumps(hits.as_json(library, found, seeds), indent=1))
    else:
        vector = query.weight_vector(library, weights)
        why = reasons.sentences(library, seeds, found) if options.explain else ()
        _print(_table(library, found, vector, explain=options.explain, why=why))


def _show_groups(
    library: Store, found: Sequence[groups.Group], options: argparse.Namespace
) -> None:
    import rich.table
    import rich.text

    best = hits.as_json(library, [group.best for group in found])
    if options.json:
        described = [
            {options.by: group.name, "tracks": group.tracks, "best": hit}
            for group, hit in zip(found, best, strict=True)
        ]
        print(json.dumps(described, indent=1))
        return
    table = rich.table.Table("", "score", options.by, "tracks", "its best track")
    for number, (group, hit) in enumerate(zip(found, best, strict=True), start=1):
        name, track = rich.text.Text(group.name), rich.text.Text(store.name_of(hit["track"]))
        table.add_row(str(number), f"{group.best.score:+.2f}", name, str(group.tracks), track)
    _print(table)


def resolve_all(library: Store, song: str) -> Sequence[Seed]:
    """The tracks of "artist:NAME" or "album:NAME", or what `resolve` finds; raises as it does."""
    if library.row_of(song) is None and not os.path.isfile(song):
        try:
            if (rows := groups.members(library, song)) is not None:
                return rows
        except ValueError as error:
            raise ValueError(f"--like {song!r}: {error}") from None
    return [resolve(library, song)]


def resolve(library: Store, song: str) -> Seed:
    """The row of a track, or the embedding of an audio file or of words.

    Raises:
      ValueError: there is no such track, or several, which the message lists.
    """
    row = library.row_of(song)
    if row is None and (asked := words.terms(song, library.dimensions)):
        return words.example(library, asked)
    if row is None and os.path.isfile(song):
        row = library.row_of_path(song)
        return _embed(library, song) if row is None else row
    rows = [row] if row is not None else _exact(library, song)
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


def _exact(library: Store, words: str) -> list[int]:
    """The one track with exactly this title, else those that have the words or such a file."""
    rows = library.find(words, CANDIDATES + 1)  # those with the title come first
    if not rows:
        return library.in_files(words, CANDIDATES + 1)
    titles = [folded(track["title"] or "") for track in library.metadata(rows)]
    wanted = " ".join(folded(words).split())
    return rows[:1] if titles.count(wanted) == 1 else rows


def _embed(library: Store, path: str) -> Example:
    from input_pipeline.hearing.audio import UnusableTrack
    from jaxsim.library.intake import tags
    from jaxsim.library.intake.embedding import Embedder

    try:
        seconds = library.description.get("seconds")
        vector, heard = Embedder(library.path / store.MODEL, seconds=seconds).heard(path)
    except UnusableTrack as error:
        raise ValueError(f"--like {path!r}: {error.reason}") from None
    return Example(vector, readings.of(tags.read(path), heard))


def _table(
    library: Store,
    found: Sequence[Hit],
    weights: np.ndarray,
    *,
    explain: bool,
    why: Sequence[str] = (),
) -> "rich.table.Table":
    """The hits and, if `explain`, what each dimension with a weight contributes, and why."""
    import rich.table
    import rich.text

    shown = np.flatnonzero(weights) if explain else np.zeros(0, int)
    caption = "%: the share of the library that is less alike, rounded down"
    table = rich.table.Table(caption=caption if explain else None)
    for name in ("", "score", *(library.dimensions[i] for i in shown)):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("track", overflow="fold")
    tracks = library.metadata([hit.row for hit in found])
    for number, (hit, track) in enumerate(zip(found, tracks, strict=True), start=1):
        scores = [f"{value:+.2f}" for value in (hit.score, *hit.contributions[shown])]
        if explain:
            closer = (hit.closer_than, *hit.closer_in[shown])
            pairs = zip(scores, closer, strict=True)
            scores = [f"{score}\n{shares.percent(share)} %" for score, share in pairs]
        # Not a plain string, in which rich would interpret markup.
        text = rich.text.Text(store.name_of(track))
        if hit.versions:
            text.append(f" ({1 + len(hit.versions)} versions)", "dim")
        if why:
            text.append(f"\n{why[number - 1]}", style="dim")
        table.add_row(str(number), *scores, text)
    return table


def _print(table: "rich.table.Table") -> None:
    """Fits the table to a terminal; files and pipes get whole lines."""
    import rich.console

    rich.console.Console(width=None if sys.stdout.isatty() else 200).print(table)


def _run_path(library: Store, options: argparse.Namespace) -> None:
    ends = [resolve(library, song) for song in (options.start, options.end)]
    rows = [row for row in ends if isinstance(row, int)]
    if len(rows) < len(ends):
        raise ValueError("--start and --end must be tracks of the library, not other files")
    weights = query.parse_weights(options.weights) if options.weights else None
    steps = paths.find(library, *rows, length=options.length, weights=weights, where=options.where)
    _write_playlist(library, steps, options)
    vector = query.weight_vector(library, weights)
    _print(_table(library, steps, vector, explain=False))


def _run_describe(library: Store, options: argparse.Namespace) -> None:
    row = resolve(library, options.song)
    if not isinstance(row, int):
        raise ValueError(f"{options.song!r}: not a track of the library, but another file")
    (track,), (heard,) = library.metadata([row]), library.heard([row])
    if options.json:
        print(json.dumps({"track": track, "heard": heard}, indent=1))
        return
    print(store.name_of(track))
    for line in readings.described(track, heard):
        print(f"  {line}")
    seconds = library.description.get("seconds")
    if seconds is not None and track["seconds"] > seconds:
        print(f"  heard in excerpts: {seconds:g} of {track['seconds']:.0f} s")


def _run_write_tags(library: Store, options: argparse.Namespace) -> None:
    import rich.table
    import rich.text
    import tqdm

    from jaxsim.library.intake import retagging

    report = retagging.Report(dry=not options.write)
    found = retagging.retag(
        library,
        report,
        where=options.where,
        only=options.only,
        least=options.min_confidence,
        replace=options.replace,
    )
    table = rich.table.Table("file", "field", "value", "probability")
    try:
        for one in tqdm.tqdm(found, total=len(library), unit="file", file=sys.stderr, leave=False):
            for field, reading in one.readings.items():
                value = rich.text.Text(str(reading))
                table.add_row(rich.text.Text(one.path), field, value, f"{reading.probability:.2f}")
    except KeyboardInterrupt:
        print("interrupted; run the same command again to resume", file=sys.stderr)
        sys.exit(130)
    finally:
        if table.row_count:
            _print(table)
        print(report.describe())


def _run_relocate(library: Store, options: argparse.Namespace) -> None:
    old, new = os.path.abspath(options.old), os.path.abspath(options.new)
    with writing.open(library.path) as writer:
        count = writer.relocate(old, new)
    if not count:
        raise ValueError(f"{old}: no track of this library is in this folder")
    print(f"{count} tracks: {new}")


def _run_presets(library: Store, options: argparse.Namespace) -> None:
    import rich.table

    if options.save:
        presets.save(library, options.save, query.parse_weights(options.weights))
    if options.delete:
        presets.delete(library, options.delete)
    table = rich.table.Table("preset", *library.dimensions)
    for name, content in presets.load_all(library).items():
        cells = (f"{content['weights'][dimension]:+.2f}" for dimension in library.dimensions)
        table.add_row(name, *cells)
    _print(table)


def _run_index(library: Store, _: argparse.Namespace) -> None:
    from jaxsim.library.search import index

    print(f"index: {index.build(library)}")


def _run_recall(library: Store, options: argparse.Namespace) -> None:
    import rich.table

    from jaxsim.library.search import index

    measured = index.measure(index.Index(library), queries=options.queries, top=options.top)
    table = rich.table.Table("weights", "width", f"recall@{options.top}", "index ms", "exact ms")
    for row in measured:
        times = (f"{row.index_ms:.2f}", f"{row.exact_ms:.2f}")
        table.add_row(row.weights, str(row.width), f"{row.recall:.3f}", *times)
    _print(table)


def _run_export(library: Store, options: argparse.Namespace) -> None:
    if options.format == "qdrant":
        _export_to_qdrant(library, options.out)
    else:
        write = {"npz": exports.to_npz, "pgvector": exports.to_pgvector}[options.format]
        write(library, options.out)
    print(f"{len(library)} tracks: {options.out}")


def _export_to_qdrant(library: Store, place: str) -> None:
    import qdrant_client
    from qdrant_client.http.exceptions import ApiException

    is_url = place.startswith(("http://", "https://"))
    # The check would be made beside the export, and warn about a server that is not there.
    where: dict[str, Any] = (
        {"url": place, "check_compatibility": False} if is_url else {"path": place}
    )
    try:
        client = qdrant_client.QdrantClient(**where)
        exports.to_qdrant(library, client)
        client.close()
    except ApiException as error:
        reason = str(error).partition("\n")[0]
        raise OSError(f"Qdrant: cannot write to {place}: {reason}") from None


RUN: dict[str, Callable[[Store, argparse.Namespace], None]] = {
    "search": _run_search,
    "path": _run_path,
    "describe": _run_describe,
    "write_tags": _run_write_tags,
    "relocate": _run_relocate,
    "presets": _run_presets,
    "index": _run_index,
    "recall": _run_recall,
    "export": _run_export,
}
