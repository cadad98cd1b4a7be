"""The training step and the forward pass, compared with plain Flax (and PyTorch, if installed).

python -m benchmarks.step --width=1 --batch_size=32 --rounds=3
python -m benchmarks.step --batch_size=256 --dtype=bfloat16 --steps=20 --rounds=5  (on a GPU)

All forms train the same network on the same batch with the same objective (six dimensions, mining
included). The rounds alternate; ratios are medians over them. Peak: the rate of a matrix product
measured in the same run. Operations: those of the convolutions and products in the papers' table,
the same for all forms.
"""

import argparse
import functools
import importlib.util
import platform
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
import rich.console
import rich.table
import tqdm
from ml_collections import ConfigDict

from benchmarks import examples
from benchmarks.plain import Plain
from configs.six_dim import get_config
from input_pipeline import command_line
from input_pipeline.command_line import number, positive_integer
from jaxsim.network import compilation
from jaxsim.network.inputs import images
from jaxsim.objective.terms import objective_terms
from jaxsim.training import train_step

PRODUCT = {"cpu": 2048, "gpu": 8192}  # rows and columns of the product that measures the peak


def configured(width: float, batch_size: int, dtype: str) -> ConfigDict:
    """The papers' network and objective."""
    config = get_config()
    config.batch_size = batch_size
    config.model.update(width=width, dtype=dtype)
    return config


def networks(config: ConfigDict) -> dict[str, Callable]:
    """For each form, apply(params, images) and its initial parameters."""
    model = train_step.network(config)
    plain = Plain(
        tuple(config.model.inputs),
        config.model.embedding_size,
        config.model.width,
        jnp.dtype(config.model.dtype),
    )
    batch = examples.batch(2)
    shapes = images(batch, config)
    forms = {}
    for name, module, options in (("jaxsim", model, {"train": False}), ("plain Flax", plain, {})):
        apply = functools.partial(_apply, module, options)
        params = jax.jit(functools.partial(module.init, **options))(jax.random.key(0), shapes)
        forms[name] = (apply, params["params"])
    return forms


def _apply(module, options, params, inputs):
    return module.apply({"params": params}, inputs, **options)


def trainer(config: ConfigDict, apply: Callable, params, batch) -> Callable[[int], None]:
    """A compiled function that makes a given number of training steps."""
    adam = optax.adam(1e-6)

    def loss(params, batch):
        embeddings = apply(params, images(batch, config))
        terms = objective_terms(embeddings, {}, batch, jax.random.key(0), config)
        return jnp.mean(terms.loss.mean())

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, moments, batch):
        gradients = jax.grad(loss)(params, batch)
        updates, moments = adam.update(gradients, moments, params)
        return optax.apply_updates(params, updates), moments

    params = jax.tree.map(jnp.array, params)  # every step donates it
    state = [params, adam.init(params)]

    def run(steps: int) -> None:
        for _ in range(steps):
            state[:] = step(*state, batch)
        jax.block_until_ready(state)

    return run


def embedder(config: ConfigDict, apply: Callable, params, batch) -> Callable[[int], None]:
    forward = jax.jit(lambda params, batch: apply(params, images(batch, config)))

    def run(passes: int) -> None:
        jax.block_until_ready([forward(params, batch) for _ in range(passes)])

    return run


def operations(config: ConfigDict) -> float:
    """Operations in the plain forward pass of one example, as the CPU compiler counts them."""
    with jax.default_device(jax.local_devices(backend="cpu")[0]):  # only this backend counts them
        apply, params = networks(config)["plain Flax"]
        batch = examples.batch(2)
        lowered = jax.jit(lambda p, b: apply(p, images(b, config))).lower(params, batch)
        return lowered.cost_analysis()["flops"] / 2


def peak(dtype: str, size: int) -> float:
    """Operations per second in a product of square random matrices, the best of ten."""
    a = jax.random.normal(jax.random.key(0), (size, size), dtype)
    product = jax.jit(lambda a: a @ a)
    return 2 * size**3 / min(_seconds(lambda: product(a).block_until_ready()) for _ in range(11))


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def compare(*, width: float, batch_size: int, dtype: str, rounds: int, steps: int) -> None:
    """Times every form in turn, and prints the table."""
    compilation.widen_scratch()
    config = configured(width, batch_size, dtype)
    batch = jax.device_put(examples.batch(batch_size))
    runs = {}
    for name, (apply, params) in networks(config).items():
        runs[name, "training"] = trainer(config, apply, params, batch)
        runs[name, "forward"] = embedder(config, apply, params, batch)
    if importlib.util.find_spec("torch"):
        from benchmarks import in_torch

        runs |= in_torch.runs(config, batch)
    for run in tqdm.tqdm(runs.values(), desc="compiling"):
        run(1)
    size = PRODUCT[jax.default_backend()]
    forward, fastest = operations(config), peak(dtype, size)
    times: dict[tuple[str, str], list[float]] = {what: [] for what in runs}
    for _ in tqdm.trange(rounds, desc="rounds"):
        for what, run in runs.items():
            time.sleep(0.5)  # threads of the previous form may still be busy-waiting for work
            times[what].append(_seconds(functools.partial(run, steps)) / steps)
    table = rich.table.Table(title="Whole batches, median of the rounds")
    headings = ("pass", "form", "s", "examples/s", "GFLOP/s", "of peak", "x plain Flax")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("pass", "form") else "right")
    for kind, factor in (("training", 3), ("forward", 1)):
        reference = np.array(times["plain Flax", kind])
        for (name, other), seconds in times.items():
            if other == kind:
                median = float(np.median(seconds))
                rate = factor * forward * batch_size / median
                ratio = float(np.median(reference / np.array(seconds)))
                table.add_row(
                    kind,
                    name,
                    f"{median:.4f}",
                    f"{batch_size / median:.1f}",
                    f"{rate / 1e9:.1f}",
                    f"{rate / fastest:.3f}",
                    f"{ratio:.2f}",
                )
    rich.console.Console(width=110).print(table)
    print(
        f"width {width}, batch {batch_size}, {dtype}, {rounds} rounds "
        f"of {steps}, {forward / 1e9:.2f} GFLOP forward per example, product of {size}: "
        f"{fastest / 1e9:.0f} GFLOP/s, {jax.devices()[0].device_kind} ({platform.machine()}), "
        f"jax {jax.__version__}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        compare(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.step", __doc__)
    add = parser.add_argument
    add("--width", type=number(1 / 32), default=1.0, help="width of the network")
    add("--batch_size", type=positive_integer, default=32, help="examples per batch")
    add(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="data type to compute in",
    )
    add("--rounds", type=positive_integer, default=3, help="rounds of timing")
    add("--steps", type=positive_integer, default=1, help="steps of each form in a round")
    return parser


if __name__ == "__main__":
    main()
