"""Embeds a library of audio files, or whatever has changed in it since the last run.

python -m jaxsim.embed --store=libraries/mine ~/Music

LIBRARY is any number of

- folders of audio files,
- audio files,
- data sets written by `input_pipeline.prepare`, whose stored features are used, and
- manifests: CSV or JSON Lines files with the column `path` and, where known, track_id, title,
  artist, album, genre, mood, instrument, era, year, tempo and key. The columns split, group and
  source, which `input_pipeline.prepare` also reads, are ignored. A manifest.csv, manifest.jsonl or
  tracks.csv in a folder adds to what is found there.

It can be interrupted at any time; running it again resumes where it stopped. A track keeps its id
when its file is moved, renamed or retagged. If a folder cannot be listed, or more than a fifth of
the tracks have lost their files at once, nothing is taken for gone, and the exit code is 3.

--subsonic=URL asks a music server such as Navidrome under which ids it knows the same files, so
that `jaxsim.serve` answers players in these ids.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from input_pipeline import command_line, extras, folders
from input_pipeline.datasets import pool
from input_pipeline.hearing import audio
from jaxsim.exported import numpy_model
from jaxsim.library import store
from jaxsim.library.intake import matching, music_server
from jaxsim.library.intake.embedding import BATCH_SIZE, Embedder
from jaxsim.library.intake.updating import update
from jaxsim.library.store import subsonic_ids

FAULT = 3  # exit code when files are missing in a way that may be a fault


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        if options.beam_options:
            extras.need("beam")
        server = _server(options)
        try:
            embedder = Embedder(
                _model(options), seconds=_seconds(options), batch_size=options.batch_size
            )
            report = update(
                options.library,
                options.store,
                embedder=embedder,
                workers=options.workers,
                max_seconds=60 * options.max_minutes,
                exclude=options.exclude,
                read_tags=options.tags,
                prune=options.prune,
                confirm_gone=options.confirm_gone,
                beam_options=options.beam_options,
            )
        except KeyboardInterrupt:
            pool.stop()
            print("interrupted; run the same command again to resume", file=sys.stderr)
            sys.exit(130)
        pool.stop()
        with store.open(options.store) as opened:
            print(f"{report.describe()}\n{len(opened)} tracks in {opened.path}{_heard(opened)}")
            if server is not None:
                print(take_ids(server, opened))
        if report.faults:
            print(
                "nothing was hidden or forgotten; if the missing files are really gone, run the "
                "same command with --confirm_gone",
                file=sys.stderr,
            )
            sys.exit(FAULT)


def take_ids(server: music_server.MusicServer, library: store.Store) -> str:
    """Stores the server's ids of the library's files, and says how many it has."""
    songs = list(server.songs())
    found = matching.match(songs, library.metadata(library.rows))
    subsonic_ids.save(library.path, server.url, found)
    return f"{len(found)} of them are among the {len(songs)} songs of {server.url}"


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("jaxsim.embed", __doc__)
    add = parser.add_argument
    add(
        "library",
        nargs="+",
        metavar="LIBRARY",
        help="a folder, audio file, manifest or prepared data set",
    )
    add(
        "--store",
        required=True,
        metavar="FOLDER",
        help="where the embeddings are kept; created if it does not exist",
    )
    add(
        "--model",
        metavar="PATH",
        help="a run's directory or an exported model; default: the model that the store was made "
        "with, or the one that comes with jaxsim if the store is new",
    )
    add(
        "--seconds",
        type=command_line.number(0),
        help="of a longer track that are embedded, in excerpts spread over it; 0: all of it; "
        "default: what the store was made with, or 0 if the store is new",
    )
    add(
        "--workers",
        type=command_line.positive_integer,
        default=os.cpu_count() or 1,
        help="number of processes that read audio",
    )
    add(
        "--beam_options",
        type=command_line.comma_separated,
        default="",
        metavar="OPTION,...",
        help="read audio and embed with Apache Beam and these options, such as "
        "--runner=DataflowRunner; all of its workers must see the files and the store's folder",
    )
    add(
        "--batch_size",
        type=command_line.positive_integer,
        default=BATCH_SIZE,
        help="segments to embed at once",
    )
    add(
        "--max_minutes",
        type=command_line.number(0),
        default=audio.LONGEST / 60,
        metavar="MINUTES",
        help="skip tracks longer than this",
    )
    add(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out files and folders that match, as in .gitignore (may be repeated); a file "
        f"{folders.IGNORE_FILE} in a folder does the same, and {folders.NO_MEDIA} leaves it out",
    )
    add("--tags", action="store_true", help="read the tags of files that seem unchanged, too")
    add("--prune", action="store_true", help="forget tracks whose files are gone")
    add(
        "--confirm_gone",
        action="store_true",
        help="missing files are really gone, though they are more than a fifth of the library",
    )
    add(
        "--subsonic",
        metavar="URL",
        help="a Subsonic server such as Navidrome, whose ids of the files are stored too",
    )
    music_server.add_login_options(parser)
    return parser


def _server(options: argparse.Namespace) -> music_server.MusicServer | None:
    """The music server, which has answered once, so that a wrong password is found at once."""
    login = music_server.read_login(options.subsonic_user, options.subsonic_password_file)
    if not options.subsonic:
        return None
    if login is None:
        raise ValueError("--subsonic needs --subsonic_user, and its password")
    server = music_server.MusicServer(options.subsonic, login)
    server.call("ping")
    return server


def _model(options: argparse.Namespace) -> Path:
    if options.model:
        return Path(options.model)
    folder = Path(options.store)
    return folder / store.MODEL if (folder / store.DESCRIPTION).is_file() else numpy_model.SHIPPED


def _heard(library: store.Store) -> str:
    seconds = library.description.get("seconds")
    return "" if seconds is None else f", at most {seconds:g} s of each"


def _seconds(options: argparse.Namespace) -> float | None:
    if options.seconds is None:
        folder = Path(options.store)
        is_there = (folder / store.DESCRIPTION).is_file()
        return store.read_description(folder).get("seconds") if is_there else None
    return options.seconds or None


if __name__ == "__main__":
    main()
