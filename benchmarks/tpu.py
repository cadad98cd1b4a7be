"""The training step on a TPU slice, by the TPU's compiler without a TPU, compared with plain Flax.

python -m benchmarks.tpu --topology=v5e:2x2 --batch_size_per_chip=256 --forms=jaxsim,plain

Compiles the papers' network with six dimensions, mining and the exchange between chips in
bfloat16, and prints the compiler's estimates: cycles of every layer per example, memory, share of
the peak. The estimates are the same in every run. Each form takes a quarter of an hour. The share
of the peak counts the operations in the papers' table, the same for all forms.
"""

import argparse
import collections
import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from unittest import mock

# First, because it keeps JAX from looking for a TPU.
from launch import check  # isort: skip

import jax
import jax.numpy as jnp
import rich.console
import rich.table
from ml_collections import ConfigDict

from benchmarks import slices
from benchmarks.plain import Plain
from benchmarks.step import configured, operations
from input_pipeline import command_line
from input_pipeline.command_line import comma_separated, number
from jaxsim.training import train_step

FORMS = ("jaxsim", "plain")
EXCHANGE = r"all-gather|all-reduce|psum|all_gather"


class PlainModel(Plain):
    """`Plain` with the network's interface; anything but a convolution is named after its block."""

    def __call__(self, images, *, train: bool):
        return super().__call__(images)

    def block(self, x, name: str, strides: tuple[int, int]):
        with jax.named_scope(f"{name}, rest"):
            return super().block(x, name, strides)


def plain_model(config: ConfigDict) -> PlainModel:
    model = config.model
    return PlainModel(
        tuple(model.inputs), model.embedding_size, model.width, jnp.dtype(model.dtype)
    )


def compiled(form: str, config: ConfigDict, topology: str) -> jax.stages.Compiled:
    """The training step of `jaxsim.train` with this form of the network."""
    plain = mock.patch.object(train_step, "network", plain_model)
    with plain if form == "plain" else contextlib.nullcontext():
        return check.compile_step(config, check.slice_devices(topology))


def layer(instruction: str) -> str:
    """The layer to which an instruction of a compiled program belongs, by its operation's name."""
    found = re.search(r'op_name="([^"]*)"', instruction)
    name = found[1] if found else ""
    if at := re.search(r"(mel|tempogram|cens)(?:_|: )(stem|block)(?:[_ ](\d))?", name):
        number = int(at[3]) + (": " in at[0]) if at[3] else ""  # the plain form counts from 0
        return f"{at[1]}: {at[2]} {number}".strip()
    if at := re.search(r"common: block (\d)", name):
        return f"block {int(at[1]) + 1}"
    if at := re.search(r"/block_(\d)", name):
        return f"block {at[1]}"
    if re.search(r"/embedding|/dense|layer norm", name):
        return "embedding"
    if re.search(EXCHANGE, name) or re.search(EXCHANGE, instruction.partition("(")[0]):
        return "exchange between chips"
    if "Inception" in name or "PlainModel" in name:
        return "between layers"
    return "inputs, mining, Adam, copies"


def by_layer(program: str, examples: int, chip: check.Chip) -> dict[str, float]:
    """Estimated cycles per example of every layer, forward and backward."""
    cycles: collections.Counter[str] = collections.Counter()
    for instruction, count in check.cycles_by_instruction(program, chip):
        cycles[layer(instruction)] += count
    return {name: count / examples for name, count in cycles.items()}


def order(name: str) -> tuple:
    """Sorts by position in the network; what is outside it comes last."""
    at = re.match(r"(?:(mel|tempogram|cens): )?(stem|block)\s?(\d?)", name)
    if at is None:
        return (2, name != "embedding", name)
    return (1 if at[1] is None else 0, ("mel", "tempogram", "cens", None).index(at[1]), at[3])


def show(layers: Mapping[str, Mapping[str, float]]) -> None:
    table = rich.table.Table(title="Estimated cycles per example, forward and backward")
    table.add_column("layer")
    for form in layers:
        table.add_column(form, justify="right")
    for name in sorted({name for cycles in layers.values() for name in cycles}, key=order):
        table.add_row(name, *(f"{cycles.get(name, 0):,.0f}" for cycles in layers.values()))
    table.add_section()
    table.add_row("all", *(f"{sum(cycles.values()):,.0f}" for cycles in layers.values()))
    rich.console.Console(width=110).print(table)


def compare(*, topology: str, batch_size_per_chip: int, width: float, forms: Sequence[str]) -> None:
    """Compiles every form, and prints its estimates."""
    rows = batch_size_per_chip
    chips = len(check.slice_devices(topology))
    config = configured(width, rows * chips, "bfloat16")
    chip = check.chip_of(topology)
    # Forward once, backward twice; at the peak, for every form.
    ideal = 3 * operations(config) / chip.peak * chip.clock
    layers = {}
    for form in forms:
        began = time.monotonic()
        step = compiled(form, config, topology)
        program = step.as_text()
        assert program is not None, "libtpu reports it"
        found = check.needs(step, chip)
        layers[form] = by_layer(program, rows, chip)
        cycles = sum(layers[form].values())
        print(
            f"{form}: {cycles:,.0f} cycles per example, {ideal / cycles:.1%} of the peak, "
            f"{chip.clock / cycles:,.0f} examples/s per chip; {found.flops / rows / 1e9:.2f} GFLOP "
            f"per example as compiled; memory {found.memory / check.GIB:.2f} of "
            f"{chip.memory / check.GIB:.2f} GiB per chip, {found.room(rows, chip)} "
            f"(compiled in {time.monotonic() - began:.0f} s)",
            flush=True,
        )
    show(layers)
    print(
        f"{topology}, {rows} examples per chip, width {width}, bfloat16; at the peak of "
        f"{chip.peak / 1e12:.0f} TFLOP/s {ideal:,.0f} cycles per example at "
        f"{chip.clock / 1e9:.2f} GHz; jax {jax.__version__}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        compare(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.tpu", __doc__)
    slices.add_topology(parser)
    slices.add_batch_size(parser)
    add = parser.add_argument
    add("--width", type=number(1 / 32), default=1.0, help="width of the network")
    add(
        "--forms",
        metavar="FORM,...",
        type=comma_separated,
        default=",".join(FORMS),
        help="the forms to compile",
    )
    return parser


if __name__ == "__main__":
    main()
