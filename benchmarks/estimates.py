"""Tempo and key by madmom as a file for `jaxsim.evaluate --estimates`, and how long madmom takes.

python -m benchmarks.estimates scores --split=test --out=madmom.csv
python -m benchmarks.estimates data/mine --split=test --out=madmom.csv

Takes turns, track by track: madmom's tempo and key from the decoded samples, and all features with
the tempo and key read from them, from the same samples. Printed is the processor time of both, in
one process on one core, and their ratio. Of the embedded scores, the options must be those with
which the data set was prepared, so that the pieces are the same. Linux only.
"""

import argparse
import contextlib
import csv
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import threadpoolctl
import tqdm

from input_pipeline import command_line, extras, manifest, prepare, scores
from input_pipeline.files import write_text
from input_pipeline.hearing import audio, estimates, excerpts, readings
from input_pipeline.hearing.audio import UnusableTrack
from input_pipeline.hearing.estimates import Estimate
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.hearing.readings import Reading
from input_pipeline.tracks import KEYS, SPLITS, Track
from jaxsim.evaluation.estimate_files import COLUMNS

CONFIG = FeatureConfig()
Result = TypeVar("Result")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        extras.need("madmom")
        config = prepare.scores_config(options)
        measure(tracks(options.source, split=options.split, config=config), options.out)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.estimates", __doc__)
    add = parser.add_argument
    add(
        "source",
        metavar="SOURCE",
        help='a prepared data set or its manifest; or "scores", the embedded ones',
    )
    add("--split", choices=SPLITS, default="test", help="its tracks")
    add("--out", type=Path, required=True, metavar="FILE", help="the CSV file to write")
    prepare.add_scores_options(parser)
    return parser


def tracks(source: str, *, split: str, config: scores.ScoresConfig) -> list[Track]:
    """The tracks of a split, under the ids that they have when they are prepared.

    Args:
      source: "scores"; a manifest; or a folder with one, such as a data set prepared from files.
      split: which tracks.
      config: of the scores.

    Raises:
      OSError, ValueError: there is no manifest, or no such track.
    """
    if source == prepare.SCORES:
        extras.need("scores")
        found = scores.tracks(config)
    else:
        path = Path(source).expanduser()
        listed = manifest.find(path) if path.is_dir() else path
        if listed is None:
            expected = f"{', '.join(manifest.NAMES)}, or the word {prepare.SCORES!r} for the scores"
            raise ValueError(f"{path}: holds no manifest, expected one of {expected}")
        found = manifest.read(listed).tracks
    if chosen := [track for track in found if track.split == split]:
        return chosen
    raise ValueError(f"{source}: has none of its {len(found)} tracks in the split {split!r}")


def measure(found: Sequence[Track], out: Path) -> None:
    """Writes madmom's estimates of the tracks, and prints the time of both."""
    rows, took, seconds = [], [], 0.0
    with _on_one_core():
        for number, track in enumerate(tqdm.tqdm(found, desc="listening", unit="track")):
            try:
                samples, rate = decoded(track)
                if not rows:  # models are loaded, and functions compiled
                    in_turns(samples, rate, 0)
                estimate, times = in_turns(samples, rate, number)
            except UnusableTrack as error:  # nor can it be prepared
                tqdm.tqdm.write(f"{track.track_id}: {error.reason}", file=sys.stderr)
                continue
            rows.append(row(track.track_id, estimate))
            took.append(times)
            seconds += len(samples) / rate
    if not rows:
        raise ValueError(f"none of the {len(found)} tracks can be heard")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    write_text(out, text.getvalue())
    print(out)
    print(described(np.array(took), seconds / 60))


def decoded(track: Track) -> tuple[np.ndarray, float]:
    """A track's samples [n] as preparing hears them, and their rate in Hz."""
    if callable(track.audio):
        return track.audio(), CONFIG.sample_rate
    heard = audio.decode(track.audio, None)
    return heard.samples, heard.rate


def in_turns(samples: np.ndarray, rate: float, number: int) -> tuple[Estimate, tuple[float, float]]:
    """madmom's estimate; and the seconds of processor time of madmom, and of features and readings.

    Args:
      samples: [n]; rate: of them, in Hz.
      number: of the turn; madmom comes first in every other one.
    """
    if number % 2:
        _, other = _timed(lambda: read(samples, rate))
        estimate, took = _timed(lambda: estimates.estimate_tempo_and_key(samples, rate))
    else:
        estimate, took = _timed(lambda: estimates.estimate_tempo_and_key(samples, rate))
        _, other = _timed(lambda: read(samples, rate))
    return estimate, (took, other)


def read(samples: np.ndarray, rate: float) -> Reading:
    """Extracts all features, and reads tempo and key from them."""
    resampled = audio.resample(samples, rate, CONFIG.sample_rate)
    arrays = excerpts.extract(resampled, CONFIG, None)
    return readings.of_features(arrays, CONFIG.frame_rate).reading()


def row(track_id: str, estimate: Estimate) -> tuple[str, str, str]:
    """The cells of `COLUMNS`."""
    tempo = f"{estimate.tempo:.2f}" if estimate.tempo > 0 else ""
    return track_id, tempo, KEYS[estimate.key] if estimate.key >= 0 else ""


def described(took: np.ndarray, minutes: float) -> str:
    """Says how long both took, given the seconds of each track [n, 2], and their ratio."""
    madmom, ours = 1000 * took.sum(axis=0) / minutes
    low, high = np.quantile(took[:, 0] / took[:, 1], (0.25, 0.75))
    return (
        f"{len(took)} tracks, {minutes:.1f} minutes of audio; ms of processor time per minute, on "
        f"one core: madmom {madmom:.0f}, features and readings {ours:.0f}; ratio "
        f"{madmom / ours:.1f} (half of the tracks: {low:.1f} to {high:.1f})"
    )


def _timed(function: Callable[[], Result]) -> tuple[Result, float]:
    began = time.process_time()
    result = function()
    return result, time.process_time() - began


@contextlib.contextmanager
def _on_one_core() -> Iterator[None]:
    """Neither of the two gains or loses by threads: madmom's networks have two, that would wait."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        with threadpoolctl.threadpool_limits(limits=1):
            yield
    finally:
        os.sched_setaffinity(0, before)


if __name__ == "__main__":
    main()
