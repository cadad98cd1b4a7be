"""What drawing the tracks of balanced batches costs in a large data set, without reading any.

python -m benchmarks.composing --tracks=201680,1000000

Random labels: the MSD's numbers of tags, keys, and as many tempi as tracks.
"""

import argparse
import resource
import time
from collections.abc import Sequence

import numpy as np
import rich.console
import rich.table

from benchmarks.examples import TAGS
from input_pipeline import command_line
from input_pipeline.command_line import comma_separated, positive_integer
from input_pipeline.datasets.batches import compose
from input_pipeline.datasets.partners import Partners, PartnersByName, TempoPartners
from input_pipeline.hearing.segments import SEGMENT_FRAMES

STEPS = 20


def _partners(tracks: int) -> tuple[PartnersByName, float]:
    """The partners of a data set of random labels, and the seconds it took to build them."""
    random = np.random.default_rng(0)
    labels = {name: random.random((tracks, count)) < 0.1 for name, count in TAGS.items()}
    labels["key"] = random.integers(12, size=(tracks, 1)) == np.arange(12)
    tempo = random.uniform(60, 180, tracks).astype(np.float32)
    began = time.perf_counter()
    result: PartnersByName = {name: Partners(classes) for name, classes in labels.items()}
    result["tempo"] = TempoPartners(tempo, tolerance=5.0)
    return result, time.perf_counter() - began


def measure(*, tracks: Sequence[str], batch_size: int) -> None:
    """Builds the partners and composes batches for every number of tracks; prints the table."""
    table = rich.table.Table(title=f"Composing batches of {batch_size}")
    for heading in ("tracks", "partners built, s", "a batch, ms", "peak of the process, MiB"):
        table.add_column(heading, justify="right")
    for count in map(int, tracks):
        partners, built = _partners(count)
        num_frames = np.full(count, 10 * SEGMENT_FRAMES)
        began = time.perf_counter()
        for step in range(STEPS):
            compose(
                partners,
                num_frames,
                batch_size=batch_size,
                frames=SEGMENT_FRAMES,
                seed=0,
                step=step,
            )
        each = (time.perf_counter() - began) / STEPS
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        table.add_row(f"{count:,}", f"{built:.2f}", f"{each * 1e3:.1f}", f"{peak:,.0f}")
    rich.console.Console(width=100).print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        measure(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.composing", __doc__)
    add = parser.add_argument
    add(
        "--tracks",
        metavar="NUMBER,...",
        type=comma_separated,
        default="201680,1000000",
        help="sizes of the data set",
    )
    add("--batch_size", type=positive_integer, default=256, help="examples per batch")
    return parser


if __name__ == "__main__":
    main()
