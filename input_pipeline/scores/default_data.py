"""The embedded default data: where it is kept, and how it is made if it is missing."""

import dataclasses
import hashlib
import importlib.metadata
import json
import sys
from pathlib import Path

from input_pipeline import extras, scores
from input_pipeline.cache import cache_directory
from input_pipeline.collection import Collection
from input_pipeline.datasets import builder, dataset
from input_pipeline.hearing.features import FEATURE_VERSION, FeatureConfig
from input_pipeline.tracks import DIMENSIONS, Track

# What determines the bytes of the default data, besides the configurations.
_DISTRIBUTIONS = ("librosa", "music21", "pretty_midi", "midirenderer")


def default_directory(scores_config: scores.ScoresConfig, feature_config: FeatureConfig) -> Path:
    """Where the scores of these configurations are kept, below `cache_directory`.

    Raises:
      ImportError: what makes them is not installed.
    """
    extras.need("scores")
    identity = {
        "scores": dataclasses.asdict(scores_config),
        "features": feature_config.described(),
        # The oldest one that can be read: nothing that it lacks is trained on.
        "versions": [dataset.READABLE_VERSIONS[0], FEATURE_VERSION, scores.VERSION],
        "distributions": {name: importlib.metadata.version(name) for name in _DISTRIBUTIONS},
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    return cache_directory() / f"scores-{digest}"


def prepare_scores(
    scores_config: scores.ScoresConfig,
    feature_config: FeatureConfig,
    directory: str | Path | None = None,
    *,
    workers: int | None = None,
) -> Path:
    """Returns the directory of the default data, which is made if it does not exist."""
    directory = Path(directory or default_directory(scores_config, feature_config))
    if (directory / "metadata.json").is_file():
        return directory
    tracks = scores.tracks(scores_config, workers=workers)
    try:
        report = build_scores(tracks, directory, feature_config, workers)
        print(describe(report, tracks), file=sys.stderr)
    except FileExistsError:
        # Another process may have made the same data in the meantime.
        if not (directory / "metadata.json").is_file():
            raise
    return directory


def build_scores(
    tracks: list[Track], directory: Path, feature_config: FeatureConfig, workers: int | None
) -> builder.PreparedReport:
    """Renders and prepares the given tracks of the scores."""
    collection = scores_collection(tracks)
    return builder.prepare(
        tracks,
        directory,
        name=collection.name,
        description=collection.description,
        label_descriptions=dict(collection.label_descriptions),
        feature_config=feature_config,
        estimate=(),
        workers=workers,
        citation=collection.citation,
        licence=collection.licence,
    )


def scores_collection(tracks: list[Track]) -> Collection:
    """The given tracks of the scores, with their description, labels and licence."""
    return Collection(
        name="scores",
        tracks=tracks,
        description="Notated music rendered in a factorial design of similarity dimensions.",
        citation=scores.CITATION,
        licence=scores.LICENCE,
        label_descriptions=scores.DESCRIPTION,
    )


def format_report(report: builder.PreparedReport) -> str:
    """Describes in a few lines what was prepared."""
    total = sum(report.num_tracks.values())
    tracks = ", ".join(f"{number} {split}" for split, number in report.num_tracks.items())
    labels = ", ".join(f"{name} {report.label_counts[name]}" for name in DIMENSIONS)
    lines = [
        f"{total} tracks ({tracks}), {report.hours:.2f} hours",
        f"labelled tracks: {labels}",
        f"data set: {report.directory}",
    ]
    if report.estimated_counts:
        counts = (f"{name} {report.estimated_counts.get(name, 0)}" for name in DIMENSIONS)
        lines.insert(2, f"of these, estimated: {', '.join(counts)}")
    if report.skipped:
        where = report.directory / "skipped.csv"
        lines.insert(1, f"tracks skipped: {len(report.skipped)}, with reasons in {where}")
    return "\n".join(lines)


def describe(report: builder.PreparedReport, tracks: list[Track]) -> str:
    """Describes what was made, how independent its labels are, and the licence."""
    table = scores.format_independence(scores.independence(tracks))
    return (
        f"{format_report(report)}\nCramér's V of the labels (0 = independent):\n{table}\n"
        f"licence: {scores.LICENCE}"
    )
