"""Prepares a data set: features and labels of all tracks, written once, read by training.

python -m input_pipeline.prepare --source=scores
python -m input_pipeline.prepare --source=csv --path=tracks.csv --data_dir=data/mine
"""

import sys
from pathlib import Path

from absl import app, flags

from input_pipeline import builder, scores
from input_pipeline.default_data import (
    build_scores,
    default_directory,
    describe,
    format_report,
)
from input_pipeline.features import FeatureConfig
from input_pipeline.tracks import read_csv

_SOURCE = flags.DEFINE_enum("source", "scores", ["scores", "csv"], "Where the tracks come from.")
_PATH = flags.DEFINE_string("path", None, "CSV file of the tracks, for --source=csv.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where to write; scores have a default in $JAXSIM_DATA or ~/.cache/jaxsim."
)
_ESTIMATE = flags.DEFINE_list(
    "estimate", ["tempo", "key"], "What madmom estimates where it is not known: tempo, key."
)
_WORKERS = flags.DEFINE_integer("workers", None, "Processes; default: one per core.", 1)
_SCORES = scores.ScoresConfig()
_PIECES_PER_GENRE = flags.DEFINE_integer(
    "pieces_per_genre", _SCORES.pieces_per_genre, "Pieces of each genre, for scores.", 1
)
_RENDERINGS = flags.DEFINE_integer(
    "renderings", _SCORES.renderings, "Clips of each piece, for scores.", 1
)
_SECONDS = flags.DEFINE_float("seconds", _SCORES.seconds, "Length of a clip, for scores.", 3.0)
_SEED = flags.DEFINE_integer("seed", _SCORES.seed, "Seed of everything random, for scores.")


def _prepare_from_flags() -> str:
    if _SOURCE.value == "csv":
        return _prepare_csv()
    config = scores.ScoresConfig(
        pieces_per_genre=_PIECES_PER_GENRE.value,
        renderings=_RENDERINGS.value,
        seconds=_SECONDS.value,
        seed=_SEED.value,
    )
    directory = Path(_DATA_DIR.value or default_directory(config, FeatureConfig()))
    if (directory / "metadata.json").is_file():
        raise FileExistsError(f"{directory}: holds a data set; delete it or set --data_dir")
    tracks = scores.tracks(config, workers=_WORKERS.value)
    return describe(build_scores(tracks, directory, FeatureConfig(), _WORKERS.value), tracks)


def _prepare_csv() -> str:
    if not _PATH.value or not _DATA_DIR.value:
        raise ValueError("--source=csv needs --path (the CSV file) and --data_dir (the output)")
    report = builder.prepare(
        read_csv(_PATH.value),
        _DATA_DIR.value,
        name="tracks",
        description=f"Tracks of {Path(_PATH.value).name}.",
        estimate=_ESTIMATE.value,
        workers=_WORKERS.value,
    )
    return format_report(report)


def main(arguments: list[str]) -> None:
    """Prepares what the flags say; expected problems are one line on stderr and exit code 1."""
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    try:
        print(_prepare_from_flags())
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing was written")


if __name__ == "__main__":
    app.run(main)
