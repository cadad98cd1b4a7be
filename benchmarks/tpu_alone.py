"""What the network's convolutions take on a TPU when each is compiled alone.

python -m benchmarks.tpu_alone --topology=v5e:2x2 --batch_size_per_chip=256

Each has the layouts that suit it best, with nothing between them. Compared with the estimate of
`benchmarks.tpu` for the whole step, this shows how much of it is convolutions, by the TPU's
compiler. (In the step, some find their input still on the chip, which is faster.) The stems are
left out: their convolutions are fused with their pooling. Takes three to five minutes.
"""

import argparse
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

# First, because it keeps JAX from looking for a TPU.
from launch import check  # isort: skip

import flax.linen as nn
import jax
import jax.numpy as jnp
import rich.console
import rich.table
import tqdm
from jax.experimental.layout import Format, Layout
from jax.sharding import SingleDeviceSharding
from ml_collections import ConfigDict

from benchmarks import examples, slices
from benchmarks.step import configured
from input_pipeline import command_line
from jaxsim.network.forms.convolution import plain_convolution
from jaxsim.network.inception import Convolution
from jaxsim.network.inputs import images
from jaxsim.training import train_step

PASSES = ("forward", "input gradient", "kernel gradient")


class Form(NamedTuple):
    """The shapes and strides of a convolution."""

    image: tuple[int, int, int]  # rows, columns, channels of the input
    kernel: tuple[int, int, int, int]
    strides: tuple[int, int]


def convolutions(config: ConfigDict) -> dict[str, Form]:
    """The network's convolutions except for the stems, by path."""
    found: dict[str, Form] = {}

    def note(call: Callable, arguments: tuple, options: dict, context):
        layer = context.module
        if isinstance(layer, Convolution) and context.method_name == "__call__":
            _, height, width, channels = arguments[0].shape
            strides = layer.strides
            if layer.kernel == (1, 1):  # reads only the pixels it keeps
                height, width = -(-height // strides[0]), -(-width // strides[1])
                strides = (1, 1)
            kernel = (*layer.kernel, channels, layer.features)
            found["/".join(layer.path)] = Form((height, width, channels), kernel, strides)
        return call(*arguments, **options)

    model, batch = train_step.network(config), examples.batch(1)
    with nn.intercept_methods(note):
        jax.eval_shape(lambda: model.init(jax.random.key(0), images(batch, config), train=False))
    return found


def passes(form: Form, rows: int) -> dict[str, tuple[Callable, tuple]]:
    """The passes with `rows` examples: functions of two arrays, and the shapes of the arrays."""
    x = jax.ShapeDtypeStruct((rows, *form.image), jnp.bfloat16)
    kernel = jax.ShapeDtypeStruct(form.kernel, jnp.bfloat16)

    def forward(x, kernel):
        return plain_convolution(x, kernel, form.strides, "SAME")

    def input_gradient(kernel, gradient):
        pull = jax.vjp(lambda x: forward(x, kernel), jnp.zeros(x.shape, x.dtype))[1]
        return pull(gradient)[0]

    def kernel_gradient(x, gradient):
        pull = jax.vjp(lambda kernel: forward(x, kernel), jnp.zeros(kernel.shape, kernel.dtype))[1]
        return pull(gradient)[0]

    y = jax.eval_shape(forward, x, kernel)
    return {
        "forward": (forward, (x, kernel)),
        "input gradient": (input_gradient, (kernel, y)),
        "kernel gradient": (kernel_gradient, (x, y)),
    }


def estimate(*, topology: str, batch_size_per_chip: int) -> None:
    """Compiles every convolution, and prints the estimates."""
    rows = batch_size_per_chip
    device = check.slice_devices(topology)[0]
    chip = check.chip_of(topology)
    placed = Format(Layout.AUTO, SingleDeviceSharding(device))

    @functools.cache
    def cycles(form: Form, name: str) -> float:
        function, shapes = passes(form, rows)[name]
        jitted = jax.jit(function, in_shardings=placed, out_shardings=placed)
        program = jitted.lower(*shapes).compile().as_text()
        assert program is not None, "libtpu reports it"
        return sum(count for _, count in check.cycles_by_instruction(program, chip)) / rows

    layers: dict[str, dict[str, float]] = {}
    for path, form in tqdm.tqdm(convolutions(configured(1.0, rows, "bfloat16")).items()):
        layer = layers.setdefault(path.partition("/")[0], dict.fromkeys(PASSES, 0.0))
        for name in PASSES:
            layer[name] += cycles(form, name)

    layers["all"] = {name: sum(layer[name] for layer in layers.values()) for name in PASSES}
    table = rich.table.Table(title="Estimated cycles per example, every convolution alone")
    table.add_column("layer")
    for name in (*PASSES, "all"):
        table.add_column(name, justify="right")
    for title, layer in layers.items():
        counts = (*layer.values(), sum(layer.values()))
        table.add_row(title, *(f"{count:,.0f}" for count in counts))
    rich.console.Console(width=110).print(table)
    print(f"{topology}, {rows} examples per chip, width 1, bfloat16; jax {jax.__version__}")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        estimate(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.tpu_alone", __doc__)
    slices.add_topology(parser)
    slices.add_batch_size(parser)
    return parser


if __name__ == "__main__":
    main()
