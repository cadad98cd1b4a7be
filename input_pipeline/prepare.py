"""Prepares a data set: features and labels of all tracks, written once, read by training.

python -m input_pipeline.prepare --source=folder --path=~/music --data_dir=data/mine
python -m input_pipeline.prepare --source=jamendo --path=mtg-jamendo-dataset --audio=audio-low \\
    --option=subset=instrument --data_dir=data/jamendo
python -m input_pipeline.prepare --source=scores

--dry_run reads the source alone and says what it would give. Options of a source are the arguments
of `read` in input_pipeline/sources.
"""

import csv
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path

from absl import app, flags

from input_pipeline import manifest, scores
from input_pipeline.collection import Collection, Problem, summarise
from input_pipeline.features import FeatureConfig
from input_pipeline.sources import dimsim, fma, folder, jamendo, magnatagatune, mirdata, msd

READERS: dict[str, Callable[..., Collection]] = {
    "folder": folder.read,
    "manifest": manifest.read,
    "csv": manifest.read,
    "jamendo": jamendo.read,
    "fma": fma.read,
    "msd": msd.read,
    "magnatagatune": magnatagatune.read,
    "dimsim": dimsim.read,
    "mirdata": mirdata.read,
}

_SOURCE = flags.DEFINE_enum("source", "scores", [*READERS, "scores"], "What the tracks come from.")
_PATH = flags.DEFINE_string("path", None, "The source: a folder, a manifest, a data set's files.")
_AUDIO = flags.DEFINE_string("audio", None, "Folder of the audio, where it lies apart from --path.")
_OPTIONS = flags.DEFINE_multi_string("option", [], "name=value: an option of the source.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where to write; scores have a default in $JAXSIM_DATA or ~/.cache/jaxsim."
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Only read the source, and say what is in it.")
_ESTIMATE = flags.DEFINE_list(
    "estimate", ["tempo", "key"], "What madmom estimates where it is not known: tempo, key."
)
_WORKERS = flags.DEFINE_integer("workers", None, "Processes; default: one per core.", 1)
_BEAM_OPTIONS = flags.DEFINE_list(
    "beam_options", [], "Extract by Apache Beam with these options, e.g. --runner=DataflowRunner."
)
_SCORES = scores.ScoresConfig()
_PIECES_PER_GENRE = flags.DEFINE_integer(
    "pieces_per_genre", _SCORES.pieces_per_genre, "Pieces of each genre, for scores.", 1
)
_RENDERINGS = flags.DEFINE_integer(
    "renderings", _SCORES.renderings, "Clips of each piece, for scores.", 1
)
_SECONDS = flags.DEFINE_float("seconds", _SCORES.seconds, "Length of a clip, for scores.", 3.0)
_SEED = flags.DEFINE_integer("seed", _SCORES.seed, "Seed of everything random, for scores.")


def _prepare_scores() -> None:
    from input_pipeline import default_data  # imports TensorFlow

    config = scores.ScoresConfig(
        pieces_per_genre=_PIECES_PER_GENRE.value,
        renderings=_RENDERINGS.value,
        seconds=_SECONDS.value,
        seed=_SEED.value,
    )
    directory = Path(_DATA_DIR.value or default_data.default_directory(config, FeatureConfig()))
    if not _DRY_RUN.value and (directory / "metadata.json").is_file():
        raise FileExistsError(f"{directory}: holds a data set; delete it or set --data_dir")
    tracks = scores.tracks(config, workers=_WORKERS.value)
    if _DRY_RUN.value:
        print(summarise(default_data.scores_collection(tracks)))
        return
    report = default_data.build_scores(tracks, directory, FeatureConfig(), _WORKERS.value)
    print(default_data.describe(report, tracks))


def _prepare_music() -> None:
    if not _PATH.value or not (_DATA_DIR.value or _DRY_RUN.value):
        raise ValueError(f"--source={_SOURCE.value} needs --path (what to read) and --data_dir")
    directory = Path(_DATA_DIR.value or "").expanduser()
    reader = READERS[_SOURCE.value]
    collection = reader(Path(_PATH.value).expanduser(), **_reader_options(reader))
    print(summarise(collection), flush=True)
    if _DRY_RUN.value:
        return
    from input_pipeline import builder, default_data  # imports TensorFlow

    report = builder.prepare(
        collection.tracks,
        directory,
        name=collection.name,
        description=collection.description,
        label_descriptions=dict(collection.label_descriptions),
        estimate=_ESTIMATE.value,
        workers=_WORKERS.value,
        beam_options=_BEAM_OPTIONS.value,
        problems=[_row_of_problem(problem) for problem in collection.problems],
        citation=collection.citation,
        licence=collection.licence,
    )
    manifest.write(collection, report.directory / manifest.NAME)
    _write_unknown_tags(collection, report.directory / "unknown_tags.csv")
    print(default_data.format_report(report))


def _reader_options(reader: Callable[..., Collection]) -> dict[str, str]:
    """The values of --audio and --option, checked against the reader's arguments."""
    given = {"audio": _AUDIO.value} if _AUDIO.value else {}
    for option in _OPTIONS.value:
        name, separator, value = option.partition("=")
        if not separator:
            raise ValueError(f"--option is {option!r}, expected name=value")
        given[name] = value
    known = {
        name: parameter
        for name, parameter in inspect.signature(reader).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    for name in given:
        if name not in known:
            expected = f"one of {', '.join(known)}" if known else "none"
            raise ValueError(f"option {name!r} is unknown to {_SOURCE.value}, expected {expected}")
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in given:
            flag = "--audio=..." if name == "audio" else f"--option={name}=..."
            raise ValueError(f"--source={_SOURCE.value} needs {flag}")
    return {name: os.path.expanduser(value) for name, value in given.items()}


def _row_of_problem(problem: Problem) -> tuple[str, str]:
    reason = problem.reason if problem.skipped else f"label left out: {problem.reason}"
    return problem.where, reason


def _write_unknown_tags(collection: Collection, path: Path) -> None:
    """Writes tags that the tag map lacks, so that they can be given a dimension."""
    if collection.unknown_tags:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("tag", "count"), *collection.unknown_tags.items()])


def main(arguments: list[str]) -> None:
    """Prepares what the flags say; expected problems are one line on stderr and exit code 1."""
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    try:
        (_prepare_scores if _SOURCE.value == "scores" else _prepare_music)()
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on")


if __name__ == "__main__":
    app.run(main)
