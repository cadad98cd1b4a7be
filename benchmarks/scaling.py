"""What mining over all chips costs as a slice grows, by the TPU's compiler and without a TPU.

python -m benchmarks.scaling --topologies=v5e:4x4,v5e:16x16 --groups=0,16

Compiles the objective alone (embeddings and labels exchanged between chips, six dimensions mined,
gradient back to each chip's embeddings) and prints the compiler's estimates and the bytes that each
chip receives. Groups: neighbouring chips that mine together (config.parallel.mining_group);
0 = all. The estimates exclude the time on the wires.
"""

import argparse
import sys
from collections.abc import Sequence

# First, because it keeps JAX from looking for a TPU.
from launch import check  # isort: skip

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
from ml_collections import ConfigDict

from benchmarks import slices
from benchmarks.step import configured
from input_pipeline import command_line
from input_pipeline.command_line import comma_separated
from jaxsim.network import inputs
from jaxsim.network.shapes import DEVICE_AXIS
from jaxsim.objective.terms import objective_terms
from jaxsim.training.machines import parallel


def compiled(config: ConfigDict, topology: str, rows: int) -> jax.stages.Compiled:
    """Loss and gradient of `rows` embeddings per chip, as in the training step."""
    devices = check.slice_devices(topology)
    labels = {
        name: jax.ShapeDtypeStruct((len(devices), *each.shape), each.dtype)
        for name, each in check.example_shapes(config, rows=rows).items()
        if name not in inputs.FEATURES
    }
    size = config.model.embedding_size
    embeddings = jax.ShapeDtypeStruct((len(devices), rows, size), np.float32)

    def gradient(embeddings, labels):
        def loss(embeddings):
            key = jax.random.key(0)
            terms = objective_terms(embeddings, {}, labels, key, config, axis=DEVICE_AXIS)
            return jnp.mean(terms.loss.mean())

        return jax.grad(loss)(embeddings)

    mapped = parallel.map_over_devices(
        gradient,
        split=(True, True),
        split_result=True,
        mapping=config.parallel.mapping,
        devices=devices,
    )
    return mapped.lower(embeddings, labels).compile()  # type: ignore[attr-defined]


def received(config: ConfigDict, candidates: int) -> int:
    """Bytes that a chip receives: embeddings and labels of all candidates, its own gradients."""
    label_bytes = sum(
        each.dtype.itemsize * int(np.prod(each.shape))
        for name, each in check.example_shapes(config, rows=1).items()
        if name not in inputs.FEATURES
    )
    return candidates * (2 * 4 * config.model.embedding_size + label_bytes)


def compare(*, topologies: Sequence[str], groups: Sequence[str], batch_size_per_chip: int) -> None:
    """Compiles the objective for every slice, and prints the table."""
    rows = batch_size_per_chip
    table = rich.table.Table(title=f"Mining with {rows} anchors per chip, forward and backward")
    for heading in (
        "slice",
        "chips",
        "mine together",
        "candidates",
        "received, MB",
        "memory, GiB",
        "cycles per example",
        "ms",
    ):
        table.add_column(heading, justify="left" if heading == "slice" else "right")
    for topology in topologies:
        chips = len(check.slice_devices(topology))
        for group in sorted({min(int(group), chips) or chips for group in groups}):
            config = configured(1.0, rows * chips, "bfloat16")
            config.parallel.mining_group = group
            chip = check.chip_of(topology)
            found = check.needs(compiled(config, topology, rows), chip)
            table.add_row(
                topology,
                str(chips),
                str(group),
                f"{group * rows:,}",
                f"{received(config, group * rows) / 1e6:.1f}",
                f"{found.memory / check.GIB:.2f}",
                f"{found.cycles / rows:,.0f}",
                f"{found.cycles / chip.clock * 1e3:.2f}",
            )
            print(f"{topology}, {group}: compiled", file=sys.stderr, flush=True)
    rich.console.Console(width=110).print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        compare(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.scaling", __doc__)
    add = parser.add_argument
    add(
        "--topologies",
        metavar="SLICE,...",
        type=comma_separated,
        default="v5e:4x4,v5e:16x16",
        help="slices",
    )
    add(
        "--groups",
        metavar="CHIPS,...",
        type=comma_separated,
        default="0,16",
        help="numbers of chips that mine together; 0 for all",
    )
    slices.add_batch_size(parser)
    return parser


if __name__ == "__main__":
    main()
