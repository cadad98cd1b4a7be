"""What is lost, and what is saved, when a track is embedded in excerpts instead of the whole.

python -m benchmarks.whole_tracks music/manifest.csv --split=validation,test --seconds=30,60,90

Takes tracks of at least --at_least seconds. For each setting: processor time per minute of audio
for features and network; how far a track's embedding is from that of the whole track, in its worst
sub-space, as a share of the distance between random tracks there; how many of its ten first hits
are those of whole tracks, with equal weights; for how many tracks a clip of 15 s is nearest to its
own track; and whether tracks of one album are nearer than others, and nearest (R@1).
"""

import argparse
import csv
import dataclasses
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rich.console
import rich.table
import tqdm

from benchmarks.same_recording import distances, ranks
from input_pipeline import command_line
from input_pipeline.command_line import comma_separated, number, positive_integer
from input_pipeline.hearing import audio
from jaxsim.evaluation.excerpt_retrieval import outcomes
from jaxsim.exported import numpy_model
from jaxsim.library.intake.embedding import Embedder
from jaxsim.network import subspaces
from jaxsim.network.likeness import cosine_statistics, standard_scales

CLIP = 15.0  # seconds
CLIP_PLACE = 0.3  # its middle, as a share of the track: neither in its centre nor at its end
HITS = 10


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        measure(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.whole_tracks", __doc__)
    add = parser.add_argument
    add("manifest", type=Path, help="CSV with the columns path, split and group")
    add("--split", type=comma_separated, default=["test"], metavar="NAME,...", help="its tracks")
    add("--seconds", type=comma_separated, default=["90"], metavar="NUMBER,...", help="of excerpts")
    add("--at_least", type=number(0), default=120.0, metavar="SECONDS", help="length of a track")
    add("--count", type=positive_integer, default=40, help="how many tracks")
    add("--model", type=Path, default=numpy_model.SHIPPED, metavar="FILE", help="a model or run")
    return parser


@dataclasses.dataclass(frozen=True, eq=False)
class Embedded:
    """Tracks as they were embedded in every way.

    Attributes:
      groups: album of each of N tracks.
      clips: [N, E], of a clip of each.
      libraries: [N, E] by setting.
      cost: ms of processor time for a minute of audio, by setting.
      minutes: of audio.
    """

    groups: list[str]
    clips: np.ndarray
    libraries: list[np.ndarray]
    cost: np.ndarray
    minutes: float


def measure(*, seconds: Sequence[str], model: Path, **which: Any) -> None:
    """Embeds the tracks in every way, and prints the table."""
    settings = [None, *map(float, seconds)]
    embedders = [Embedder(model, seconds=setting) for setting in settings]
    found = embed(embedders, tracks(**which, rate=embedders[0].feature_config.sample_rate))
    album = np.unique(found.groups, return_inverse=True)[1]
    table = rich.table.Table("seconds", "ms a minute", "farthest (median)", "hits shared")
    for heading in ("clip finds its track", "album", "R@1 album"):
        table.add_column(heading)
    for setting, cost, library in zip(settings, found.cost, found.libraries, strict=True):
        parts = len(embedders[0].model.dimensions)
        shown = _row(library, found.libraries[0], found.clips, album, parts=parts)
        table.add_row("all" if setting is None else f"{setting:g}", f"{cost:.0f}", *shown)
    table.caption = f"{len(album)} tracks of {album.max() + 1} albums, {found.minutes:.0f} minutes"
    rich.console.Console(width=120).print(table)


def tracks(
    *, manifest: Path, split: Sequence[str], at_least: float, count: int, rate: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Albums and samples of the first tracks that are long enough."""
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in split]
    decoded = ((row, audio.load_audio(manifest.parent / row["path"], rate)) for row in rows)
    long = ((row["group"], one) for row, one in decoded if len(one) >= at_least * rate)
    return itertools.islice(long, count)


def embed(embedders: Sequence[Embedder], found: Iterable[tuple[str, np.ndarray]]) -> Embedded:
    """Embeds samples [n], and a clip of them, whole and in excerpts."""
    rate = embedders[0].feature_config.sample_rate
    groups, samples_count, clips = [], 0, []
    vectors: list[list[np.ndarray]] = [[] for _ in embedders]
    took = np.zeros(len(embedders))
    for group, samples in tqdm.tqdm(found, desc="embedding", unit="track"):
        groups.append(group)
        samples_count += len(samples)
        first = int(CLIP_PLACE * len(samples) - CLIP / 2 * rate)
        clips.append(embedders[0](samples[first : first + int(CLIP * rate)]))
        for i, embedder in enumerate(embedders):
            began = time.process_time()
            vectors[i].append(embedder(samples))
            took[i] += time.process_time() - began
    minutes = samples_count / rate / 60
    libraries = [np.stack(one) for one in vectors]
    return Embedded(groups, np.stack(clips), libraries, 1000 * took / minutes, minutes)


def _row(
    library: np.ndarray, whole: np.ndarray, clips: np.ndarray, album: np.ndarray, *, parts: int
) -> list[str]:
    """What the table says of a library [N, E], beside that of whole tracks."""
    apart = distances(library, whole, whole, parts=parts)
    own = np.arange(len(library))
    shared = [
        len(set(one) & set(other)) / HITS
        for one, other in zip(_hits(library, parts), _hits(whole, parts), strict=True)
    ]
    first = np.sum(ranks(clips, library, own, parts=parts) == 1)
    _, nearer, _, nearest = np.nanmean(outcomes(_scaled(library, parts), own, album), axis=0)
    return [
        f"{apart.max():.3f} ({np.median(apart):.3f})",
        f"{np.mean(shared):.3f}",
        f"{first} of {len(library)}",
        f"{nearer:.3f}",
        f"{nearest:.3f}",
    ]


def _scaled(library: np.ndarray, parts: int) -> np.ndarray:
    """Vectors [N, E] whose inner products rank as a search with equal weights does."""
    _, deviation = cosine_statistics(library, np.arange(len(library)), parts)
    scales = np.sqrt(standard_scales(np.ones(parts), deviation))
    return (subspaces.split(library, parts) * scales[:, None]).reshape(library.shape)


def _hits(library: np.ndarray, parts: int) -> np.ndarray:
    """The first hits of every track [N, HITS]."""
    points = _scaled(library, parts)
    scores = points @ points.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1)[:, :HITS]


if __name__ == "__main__":
    main()
