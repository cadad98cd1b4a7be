"""Prepares a data set: features and labels of all tracks, written once, read by every training.

python -m input_pipeline.prepare --source=folder --path=~/music --data_dir=data/mine
python -m input_pipeline.prepare --source=jamendo --path=mtg-jamendo-dataset --audio=audio-low \\
    --option=subset=instrument --data_dir=data/jamendo
python -m input_pipeline.prepare --source=scores

--dry_run only reads the source and prints what it contains. A source's options (--option) are the
arguments of `read` in its module, input_pipeline/sources/SOURCE.py.
"""

import argparse
import csv
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from input_pipeline import command_line, extras, manifest, scores
from input_pipeline.collection import Collection, Problem, summarise
from input_pipeline.hearing.features import FeatureConfig, parse_feature_config
from input_pipeline.sources import dimsim, fma, folder, jamendo, magnatagatune, mirdata, msd
from input_pipeline.tracks import TAG_DIMENSIONS

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

SCORES = "scores"


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        try:
            _need_extras(options)
            feature_config = parse_feature_config(options.feature)
            if options.source == SCORES:
                prepare_scores(
                    scores_config(options),
                    feature_config,
                    data_dir=options.data_dir,
                    workers=options.workers,
                    dry_run=options.dry_run,
                )
            else:
                prepare_music(
                    options.source,
                    options.path,
                    feature_config,
                    audio=options.audio,
                    options=options.option,
                    data_dir=options.data_dir,
                    estimate=options.estimate,
                    tag_thresholds=options.tag_thresholds,
                    tag_table=options.tag_table,
                    workers=options.workers,
                    beam_options=options.beam_options,
                    dry_run=options.dry_run,
                )
        except KeyboardInterrupt:
            sys.exit("interrupted; running the same command again resumes there")


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("input_pipeline.prepare", __doc__)
    positive_integer = command_line.positive_integer
    add = parser.add_argument
    add("--source", choices=[*READERS, SCORES], default=SCORES, help="where the tracks come from")
    add("--path", default="", help="what to read: a folder, a manifest, the files of a data set")
    add("--audio", default="", metavar="FOLDER", help="where the audio is, if not in --path")
    add(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the source; can be repeated",
    )
    add(
        "--data_dir",
        default="",
        metavar="FOLDER",
        help="where to write the data set; for the scores, the default is a folder in $JAXSIM_DATA "
        "or ~/.cache/jaxsim",
    )
    add("--dry_run", action="store_true", help="only read the source and print what it contains")
    add(
        "--estimate",
        type=command_line.comma_separated,
        default="tempo,key",
        metavar="LABEL,...",
        help="labels to estimate where they are unknown: tempo and key with madmom, tags (genre, "
        "mood, instrument, era) with MusiCNN; empty for none. segments also keeps what MusiCNN "
        "hears in every segment, for config.loss.teacher='segment'",
    )
    add(
        "--feature",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="how features are extracted, as config.features says in training, such as n_mels=96; "
        "can be repeated",
    )
    add(
        "--tag_thresholds",
        type=_tag_thresholds,
        default="",
        metavar="DIMENSION=NUMBER,...",
        help="deviations by which a tag must stand out to be a label, such as genre=1.5,mood=1.2",
    )
    add("--tag_table", default="", metavar="FILE", help="CSV of what MusiCNN's tags stand for")
    add(
        "--workers",
        type=positive_integer,
        help="processes that extract features; default: one per core",
    )
    add(
        "--beam_options",
        type=command_line.comma_separated,
        default="",
        metavar="OPTION,...",
        help="extract with Apache Beam and these options, such as --runner=DataflowRunner",
    )
    add_scores_options(parser)
    return parser


def add_scores_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which scores are rendered, and how; see `scores_config`."""
    default = scores.ScoresConfig()
    group = parser.add_argument_group("scores", "Options of the embedded scores.")
    group.add_argument(
        "--pieces_per_genre",
        type=command_line.positive_integer,
        default=default.pieces_per_genre,
        help="pieces per genre",
    )
    group.add_argument(
        "--renderings",
        type=command_line.positive_integer,
        default=default.renderings,
        help="clips per piece",
    )
    group.add_argument(
        "--seconds", type=command_line.number(3.0), default=default.seconds, help="length of a clip"
    )
    group.add_argument("--seed", type=int, default=default.seed, help="random seed")


def scores_config(options: argparse.Namespace) -> scores.ScoresConfig:
    """The size of the embedded scores, from the options that `add_scores_options` added."""
    return scores.ScoresConfig(
        pieces_per_genre=options.pieces_per_genre,
        renderings=options.renderings,
        seconds=options.seconds,
        seed=options.seed,
    )


def _tag_thresholds(text: str) -> dict[str, float]:
    """The type of an option that gives numbers to tag dimensions."""
    found = {}
    for part in command_line.comma_separated(text):
        dimension, _, value = part.partition("=")
        try:
            if dimension not in TAG_DIMENSIONS:
                raise ValueError
            found[dimension] = float(value)
        except ValueError:
            expected = f"such as genre=1.5, with one of {', '.join(TAG_DIMENSIONS)}"
            raise argparse.ArgumentTypeError(f"{part!r}, expected a threshold {expected}") from None
    return found


def _need_extras(options: argparse.Namespace) -> None:
    """Makes sure that everything that the options ask for is installed."""
    if options.source in (SCORES, "mirdata"):
        extras.need(options.source)
    if options.dry_run:
        return
    extras.need("train")
    if options.beam_options:
        extras.need("beam")


def prepare_scores(
    config: scores.ScoresConfig,
    feature_config: FeatureConfig,
    *,
    data_dir: str,
    workers: int | None,
    dry_run: bool,
) -> None:
    """Prepares the embedded scores in `data_dir`, or in their default folder if it is empty.

    Raises:
      FileExistsError: there already is a data set.
    """
    from input_pipeline.scores import default_data  # imports TensorFlow

    directory = Path(data_dir or default_data.default_directory(config, feature_config))
    if not dry_run and (directory / "metadata.json").is_file():
        raise FileExistsError(f"{directory}: holds a data set; delete it or set --data_dir")
    tracks = scores.tracks(config, workers=workers)
    if dry_run:
        print(summarise(default_data.scores_collection(tracks)))
        return
    report = default_data.build_scores(tracks, directory, feature_config, workers)
    print(default_data.describe(report, tracks))


def prepare_music(
    source: str,
    path: str,
    feature_config: FeatureConfig,
    *,
    audio: str,
    options: Sequence[str],
    data_dir: str,
    estimate: Sequence[str],
    tag_thresholds: dict[str, Any],
    tag_table: str,
    workers: int | None,
    beam_options: Sequence[str],
    dry_run: bool,
) -> None:
    """Prepares the tracks of a source; the arguments are those of the command line.

    Raises:
      OSError, ValueError, ImportError: from the source's reader or `builder.prepare`; or an option
        is missing or unknown to the source.
    """
    if not path or not (data_dir or dry_run):
        raise ValueError(f"--source={source} needs --path (what to read) and --data_dir")
    directory = Path(data_dir).expanduser()
    reader = READERS[source]
    collection = reader(Path(path).expanduser(), **_reader_options(source, audio, options))
    print(summarise(collection), flush=True)
    if dry_run:
        return
    unknown = {"tempo", "key"} & {*estimate}
    if any(getattr(track, label) is None for track in collection.tracks for label in unknown):
        extras.need("madmom")
    from input_pipeline.datasets import builder, tag_labels  # imports TensorFlow
    from input_pipeline.scores import default_data  # imports TensorFlow

    table = Path(tag_table).expanduser() if tag_table else tag_labels.TABLE
    report = builder.prepare(
        collection.tracks,
        directory,
        name=collection.name,
        description=collection.description,
        label_descriptions=dict(collection.label_descriptions),
        feature_config=feature_config,
        estimate=estimate,
        tag_config=tag_labels.TagConfig(table=table, **tag_thresholds),
        workers=workers,
        beam_options=beam_options,
        problems=[_row_of_problem(problem) for problem in collection.problems],
        citation=collection.citation,
        licence=collection.licence,
    )
    manifest.write(collection, report.directory / manifest.NAME)
    _write_unknown_tags(collection, report.directory / "unknown_tags.csv")
    print(default_data.format_report(report))


def _reader_options(source: str, audio: str, options: Sequence[str]) -> dict[str, str]:
    """The values of --audio and --option, checked against the reader's arguments."""
    given = {"audio": audio} if audio else {}
    for option in options:
        name, separator, value = option.partition("=")
        if not separator:
            raise ValueError(f"--option is {option!r}, expected name=value")
        given[name] = value
    known = {
        name: parameter
        for name, parameter in inspect.signature(READERS[source]).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    for name in given:
        if name not in known:
            expected = f"one of {', '.join(known)}" if known else "none"
            raise ValueError(f"option {name!r} is unknown to {source}, expected {expected}")
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in given:
            flag = "--audio=..." if name == "audio" else f"--option={name}=..."
            raise ValueError(f"--source={source} needs {flag}")
    return {name: os.path.expanduser(value) for name, value in given.items()}


def _row_of_problem(problem: Problem) -> tuple[str, str]:
    reason = problem.reason if problem.skipped else f"label left out: {problem.reason}"
    return problem.where, reason


def _write_unknown_tags(collection: Collection, path: Path) -> None:
    """Writes the tags missing from the tag map, so that they can be given a dimension."""
    if collection.unknown_tags:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("tag", "count"), *collection.unknown_tags.items()])


if __name__ == "__main__":
    main()
