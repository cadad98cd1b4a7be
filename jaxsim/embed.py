"""Embeds a library of audio files, or what has changed in it since the last time.

python -m jaxsim.embed --store=libraries/mine ~/Music

LIBRARY is folders, audio files, data sets that `input_pipeline.prepare` wrote (their features are
taken as they are), or manifests: CSV files or JSON lines with the column `path` and, where known,
track_id, title, artist, album, genre, mood, instrument, era, year, tempo, key. `split`, `group` and
`source`, which `input_pipeline.prepare` reads too, are ignored. A manifest.csv, manifest.jsonl or
tracks.csv in a folder adds to what is found there. The command can be interrupted at any time: the
same one goes on.
"""

import argparse
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from input_pipeline import audio, pool
from jaxsim import compilation, numpy_model
from jaxsim.library import store
from jaxsim.library.embedding import BATCH_SIZE, Embedder
from jaxsim.library.updating import Report, update


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; expected problems are one line on stderr and exit code 1."""
    options = _parser().parse_args(arguments)
    compilation.prepare()
    logging.set_verbosity(logging.WARNING)  # JAX and orbax log through absl
    try:
        embedder = Embedder(_model(options), batch_size=options.batch_size)
        report = update(
            options.library,
            options.store,
            embedder=embedder,
            workers=options.workers,
            max_seconds=60 * options.max_minutes,
            prune=options.prune,
        )
    except KeyboardInterrupt:
        pool.stop()
        print("interrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)
    except (OSError, ValueError, sqlite3.Error) as error:
        sys.exit(f"error: {error}")
    pool.stop()
    with store.open(options.store) as opened:
        print(describe(report, opened))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jaxsim.embed",
        description=(__doc__ or "").partition("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    cores = os.cpu_count() or 1
    add = parser.add_argument
    add("library", nargs="+", metavar="LIBRARY", help="folder, audio file, manifest or data set")
    add("--store", required=True, help="folder of the store; made if there is none")
    add(
        "--model",
        help="a run's directory or an exported model; default: the store's, else jaxsim's own",
    )
    add("--workers", type=_count, default=cores, help="processes that read audio")
    add("--batch_size", type=_count, default=BATCH_SIZE, help="segments at once in the network")
    add("--max_minutes", type=float, default=audio.LONGEST / 60, help="longer: skipped")
    add("--prune", action="store_true", help="forget tracks whose file is gone")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number of at least 1")
    return int(text)


def _model(options: argparse.Namespace) -> Path:
    if options.model:
        return Path(options.model)
    folder = Path(options.store)
    return folder / store.MODEL if (folder / store.DESCRIPTION).is_file() else numpy_model.SHIPPED


def describe(report: Report, opened: store.Store) -> str:
    """Says what was done, and what was not and why."""
    lines = [f"{reason}: {place}" for place, reason in sorted(report.skipped.items())]
    for place, reason in sorted(report.labels_left_out.items()):
        lines.append(f"label left out: {reason}: {place}")
    counts = {
        "embedded": report.embedded,
        "copied (same content)": report.copied,
        "unchanged": report.unchanged,
        "gone (hidden)": report.gone,
        "forgotten": report.forgotten,
        "skipped": len(report.skipped),
    }
    lines.append(", ".join(f"{number} {name}" for name, number in counts.items() if number))
    lines.append(f"{len(opened)} tracks in {opened.path}")
    return "\n".join(filter(None, lines))


if __name__ == "__main__":
    main()
