"""Training time of B's eight objectives, as ratios to classification, in one run (B Table 1).

python -m benchmarks.objectives --width=0.125 --batch_size=32 --rounds=10

A round times a few steps of each objective, one after the other, so that other load on the machine
affects all of them; the ratio is the median over the rounds.
"""

import argparse
import functools
import importlib
import time
from collections.abc import Sequence

import jax
import numpy as np
import rich.console
import rich.table
import tqdm

from benchmarks import examples
from input_pipeline import command_line
from input_pipeline.command_line import number, positive_integer
from jaxsim.evaluation import published
from jaxsim.training import train_step
from jaxsim.training.machines import parallel

STEPS = 3  # of each objective in a round


def stepper(row: str, batch: dict[str, np.ndarray], width: float):
    """A compiled function that runs a few steps of a published row and returns their seconds."""
    config = importlib.import_module(f"configs.lee2020_ismir.{row}").get_config()
    config.model.update(width=width)
    if jax.default_backend() == "cpu":
        config.model.dtype = "float32"
    step = parallel.map_over_devices(
        functools.partial(train_step.train_step, config),
        split=(False, True, False),
        mapping=config.parallel.mapping,
        donate=True,
    )
    placed = parallel.to_devices(batch, local_devices=jax.local_device_count())
    state = parallel.replicate(train_step.initial_state(config, batch))
    rate = parallel.replicate(np.float32(1e-6))

    def run() -> float:
        nonlocal state
        began = time.perf_counter()
        for _ in range(STEPS):
            state, terms = step(state, placed, rate)
        jax.block_until_ready(terms)
        return (time.perf_counter() - began) / STEPS

    run()
    return run


def compare(*, width: float, batch_size: int, rounds: int) -> None:
    """Times every objective in turn, and prints the table."""
    batch = examples.batch(batch_size)
    steppers = {
        row: stepper(row, batch, width)
        for row in tqdm.tqdm(published.B_ROWS, desc="compiling", unit="objective")
    }
    times = np.array(
        [
            [run() for run in steppers.values()]
            for _ in tqdm.trange(rounds, desc="timing", unit="round")
        ]
    )
    reference = times[:, list(steppers).index("classification")]
    table = rich.table.Table(title="Time of a training step, relative to classification")
    for heading in ("objective", "s/step", "ratio", "lowest", "highest", "B Table 1"):
        table.add_column(heading, justify="right" if heading != "objective" else "left")
    for column, row in enumerate(steppers):
        ratios = times[:, column] / reference
        values = (np.median(times[:, column]), np.median(ratios), ratios.min(), ratios.max())
        table.add_row(row, *(f"{v:.3f}" for v in values), f"{published.B_ROWS[row][1]:.2f}")
    rich.console.Console(width=110).print(table)
    print(
        f"width {width}, batch {batch_size}, {jax.device_count()} x "
        f"{jax.devices()[0].device_kind}, jax {jax.__version__}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        compare(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.objectives", __doc__)
    add = parser.add_argument
    add("--width", type=number(1 / 32), default=0.125, help="width of the network")
    add(
        "--batch_size",
        type=positive_integer,
        default=32,
        help="examples per batch, over all devices",
    )
    add("--rounds", type=positive_integer, default=10, help="rounds of timing")
    return parser


if __name__ == "__main__":
    main()
