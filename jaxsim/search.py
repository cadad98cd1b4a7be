"""Searches a library by example, with a weight per dimension.

python -m jaxsim.search STORE --like SONG --weights genre=1,tempo=2,mood=-0.5 --explain

SONG is a track's id, its title, words that only one track has in its title, artist and album, any
audio file, or words about the sound such as "instrument:violin tempo:90 mood:sad"; artist:NAME and
album:NAME are all tracks of an artist or an album. Several --like options form one query. Other
commands are given before STORE:

python -m jaxsim.search path STORE --start SONG --end SONG --playlist FILE
python -m jaxsim.search describe STORE SONG          what is heard in a track
python -m jaxsim.search write_tags STORE    shows which tags what is heard would give the files
python -m jaxsim.search relocate STORE OLD NEW    the music is found in another folder now
python -m jaxsim.search presets STORE [--save NAME --weights ... | --delete NAME]
python -m jaxsim.search index STORE         builds an approximate index for large libraries
python -m jaxsim.search recall STORE        measures what that index misses
python -m jaxsim.search export STORE --format=npz|pgvector|qdrant --out=FILE|FOLDER|URL
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from input_pipeline import command_line, extras
from input_pipeline.command_line import positive_integer
from jaxsim.library.search import playlists

TAG_FIELDS = ("tempo", "key", "mood", "genre")  # that `write_tags` may write


def main(arguments: Sequence[str] | None = None) -> None:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command = arguments.pop(0) if arguments and arguments[0] in OPTIONS else "search"
    options = _parser(command).parse_args(arguments)
    with command_line.problems_in_one_line():
        if extra := _extra(command, options):
            extras.need(extra)
        # Only now: NumPy alone takes longer to import than --help may take.
        from jaxsim.library import commands, store

        with store.open(options.store) as library:
            commands.RUN[command](library, options)


def _extra(command: str, options: argparse.Namespace) -> str | None:
    """What must be installed beyond the library."""
    if command in ("index", "recall") or getattr(options, "approximate", False):
        return "ann"
    return "qdrant" if getattr(options, "format", None) == "qdrant" else None


def _parser(command: str = "search") -> argparse.ArgumentParser:
    name = "jaxsim.search" if command == "search" else f"jaxsim.search {command}"
    parser = command_line.parser(name, __doc__)
    parser.add_argument("store", metavar="STORE", help="the folder that jaxsim.embed wrote")
    OPTIONS[command](parser)
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
    add(
        "--by",
        choices=("track", "artist", "album"),
        default="track",
        help="list tracks, or artists or albums by their best tracks",
    )
    add("--explain", action="store_true", help="show what each dimension contributes to the score")
    add(
        "--all_versions",
        action="store_true",
        help="list every version of a recording; otherwise the best one stands for all",
    )
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


def _path_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--start", required=True, metavar="SONG", help="the first track")
    add("--end", required=True, metavar="SONG", help="the last track")
    add("--length", type=positive_integer, default=10, help="number of tracks, with both")
    add("--weights", default="", metavar="DIMENSION=WEIGHT,...", help="as in a search")
    add("--where", metavar="CONDITION", help="only tracks in between that meet this condition")
    _playlist_options(parser)


def _describe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("song", metavar="SONG", help="a track of the library")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def _write_tags_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--where", metavar="CONDITION", help="only tracks that meet this condition")
    add(
        "--only",
        type=_tag_fields,
        default="tempo,key,mood",
        metavar="FIELD,...",
        help=f"what to write, of {', '.join(TAG_FIELDS)}",
    )
    add(
        "--min_confidence",
        type=command_line.number(0),
        default=0.5,
        metavar="P",
        help="the probability from which on a value is written",
    )
    add("--replace", action="store_true", help="write it in place of what is already known, too")
    add("--write", action="store_true", help="write it; without this, it is only shown")


def _tag_fields(text: str) -> list[str]:
    fields = command_line.comma_separated(text)
    if not fields or set(fields) - set(TAG_FIELDS):
        expected = ", ".join(TAG_FIELDS)
        raise argparse.ArgumentTypeError(f"{text!r}, expected one or more of {expected}")
    return fields


def _relocate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="the folder in which the music was")
    parser.add_argument("new", metavar="NEW", help="the folder in which it is now")


def _presets_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--save", metavar="NAME", help="save --weights as a preset with this name")
    add("--weights", default="", metavar="DIMENSION=WEIGHT,...", help="such as genre=1,tempo=2")
    add("--delete", metavar="NAME", help="delete the preset with this name")


def _recall_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--queries", type=positive_integer, default=100, help="number of queries")
    add("--top", type=positive_integer, default=10, help="number of hits per query")


def _export_options(parser: argparse.ArgumentParser) -> None:
    formats = ("npz", "pgvector", "qdrant")
    parser.add_argument("--format", choices=formats, required=True, help="what to write")
    parser.add_argument(
        "--out",
        required=True,
        metavar="PATH",
        help="the file to write; for qdrant, the folder of its local mode or a server's URL",
    )


OPTIONS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "search": _search_options,
    "path": _path_options,
    "describe": _describe_options,
    "write_tags": _write_tags_options,
    "relocate": _relocate_options,
    "presets": _presets_options,
    "index": lambda parser: None,
    "recall": _recall_options,
    "export": _export_options,
}

if __name__ == "__main__":
    main()
