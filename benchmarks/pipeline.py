"""Examples per second of the input pipeline, from the page cache, on one core.

python -m benchmarks.pipeline --data_dir=DIR --batch_size=256

Compares the item as stored (mel, CENS and onset envelope) with the same crops that have the
tempogram stored as float32, as they would without rebuilding it on the device.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import rich.console
import rich.table

from input_pipeline import command_line
from input_pipeline.command_line import number, positive_integer
from input_pipeline.datasets import batches, dataset, partners
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.tracks import DIMENSIONS

CONFIG = FeatureConfig()


def _examples_per_second(read: Callable[[int], int], seconds: float) -> tuple[float, float]:
    """Examples and bytes per second of `read(step)`, which returns the bytes of its batch."""
    read(0)
    began, step, total = time.perf_counter(), 0, 0
    while (elapsed := time.perf_counter() - began) < seconds:
        step += 1
        total += read(step)
    return step / elapsed, total / elapsed


def measure(*, data_dir: str, batch_size: int, duration: float) -> None:
    """Reads batches of every kind for a while, and prints the table."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    data = dataset.open(data_dir, "train", CONFIG)
    groups = partners.partners_of(data, DIMENSIONS, tempo_tolerance=5.0, key_relation="parallel")
    size, frames = batch_size, CONFIG.segment_frames

    def compose(step: int) -> batches.Composition:
        shape = dict(batch_size=size, frames=frames)
        return batches.compose(groups, data.num_frames, **shape, seed=0, step=step)

    def read(step: int) -> int:
        batch = batches.read_batch(data, compose(step), slice(0, size), frames)
        return sum(array.nbytes for array in batch.values())

    stream = batches.composed_batches(
        data, groups, batch_size=size, seed=0, first_step=0, num_steps=1 << 30
    )

    def through_tf_data(_: int) -> int:
        return sum(array.nbytes for array in next(stream).values())

    with tempfile.TemporaryDirectory() as folder:
        tempogram = np.memmap(
            Path(folder) / "tempogram",
            np.float32,
            "w+",
            shape=(len(data), int(data.num_frames.max()), CONFIG.tempogram_window),
        )
        tempogram[:] = 1

        def with_tempogram(step: int) -> int:
            composition = compose(step)
            crops = zip(composition.track, composition.start, strict=True)
            stored = np.stack([tempogram[track, start : start + frames] for track, start in crops])
            return read(step) + stored.nbytes

        rows = {
            "mel, CENS, onset envelope": read,
            "the same through tf.data": through_tf_data,
            "mel, CENS, tempogram as float32": with_tempogram,
        }
        table = rich.table.Table(title=f"One core, batches of {size}, {len(data)} tracks")
        for heading in ("item", "KB per example", "examples/s", "MB/s"):
            table.add_column(heading, justify="right" if heading != "item" else "left")
        for name, function in rows.items():
            per_second, rate = _examples_per_second(function, duration)
            examples = per_second * size
            table.add_row(
                name, f"{rate / examples / 1e3:.1f}", f"{examples:,.0f}", f"{rate / 1e6:.0f}"
            )
    rich.console.Console(width=100).print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        measure(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.pipeline", __doc__)
    add = parser.add_argument
    add("--data_dir", "--data", required=True, metavar="FOLDER", help="a prepared data set")
    add("--batch_size", type=positive_integer, default=256, help="examples per batch")
    add("--duration", "--seconds", type=number(0), default=5.0, help="seconds to spend on each row")
    return parser


if __name__ == "__main__":
    main()
