"""Training time of B's eight objectives, as ratios to classification, in one run (B Table 1).

python -m benchmarks.objectives --width=0.125 --batch_size=32 --rounds=10

A round times a few steps of each objective, one after the other, so that whatever else the machine
does meets all of them; the ratio is the median over the rounds.
"""

import functools
import importlib
import time

import jax
import numpy as np
import rich.console
import rich.table
import tqdm
from absl import app, flags

from benchmarks import examples
from jaxsim import parallel, published, training

STEPS = 3  # of each objective in a round


def stepper(row: str, batch: dict[str, np.ndarray], width: float):
    """A function that makes some steps of a published row, compiled, and says their seconds."""
    config = importlib.import_module(f"configs.lee2020_ismir.{row}").get_config()
    config.model.update(width=width)
    if jax.default_backend() == "cpu":
        config.model.dtype = "float32"
    step = parallel.map_over_devices(
        functools.partial(training.train_step, config),
        split=(False, True, False),
        mapping=config.parallel.mapping,
        donate=True,
    )
    placed = parallel.to_devices(batch, local_devices=jax.local_device_count())
    state = parallel.replicate(training.initial_state(config, batch))
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


def main(_) -> None:
    batch = examples.batch(_BATCH_SIZE.value)
    steppers = {
        row: stepper(row, batch, _WIDTH.value)
        for row in tqdm.tqdm(published.B_ROWS, desc="compiling", unit="objective")
    }
    times = np.array(
        [
            [run() for run in steppers.values()]
            for _ in tqdm.trange(_ROUNDS.value, desc="timing", unit="round")
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
        f"width {_WIDTH.value}, batch {_BATCH_SIZE.value}, {jax.device_count()} x "
        f"{jax.devices()[0].device_kind}, jax {jax.__version__}"
    )


if __name__ == "__main__":
    _WIDTH = flags.DEFINE_float("width", 0.125, "Of the network.")
    _BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Examples of all devices together.")
    _ROUNDS = flags.DEFINE_integer("rounds", 10, "Rounds of timing.")
    app.run(main)
