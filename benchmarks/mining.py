"""Time and memory of mining and the triplet loss, forward and backward, as the batch grows.

python -m benchmarks.mining --sizes=256,512,1024,2048,4096

Compares jaxsim's sorted bands (`jaxsim.objective.mining`), all dimensions at once and one after
another (`config.parallel.dimensions_at_once`); the B x B x B array that compares every
anchor with every positive and negative, mapped over the dimensions one by one; and, if installed,
the miner and triplet loss of pytorch-metric-learning, one dimension after another, with one label
per example and dimension (the only relation it knows). Memory is what the compiler reserves for
intermediate results. Exponents are fitted to sizes of 512 and above: time ~ B^exponent.
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
import tqdm
from ml_collections import ConfigDict

from benchmarks import examples
from configs.six_dim import get_config
from input_pipeline import command_line
from input_pipeline.command_line import comma_separated
from input_pipeline.errors import first_line
from jaxsim.objective.relations import relations
from jaxsim.objective.terms import masks_of, objective_terms

CUBE = "B x B x B"
FORMS = ("sorted bands", "one by one", CUBE)
MINER = "pytorch-metric-learning"
LARGEST_CUBE = 1024  # 42 GiB; the miner lists equally many triplets
REPEATS = 3


def sorted_bands(config: ConfigDict, embeddings, labels):
    """The mean loss over the six dimensions, as used in training."""
    terms = objective_terms(embeddings, {}, labels, jax.random.key(0), config)
    return jnp.mean(terms.loss.mean())


def cube(config: ConfigDict, embeddings, labels):
    """The same number from arrays [B, B, B], one dimension after another."""
    found = relations(
        labels,
        labels,
        config.dimensions,
        tempo_tolerance=config.relation.tempo_tolerance,
        tempo_relation=config.relation.tempo,
        key_relation=config.relation.key,
    )
    masks = masks_of(config, embeddings.shape[1])

    def of_dimension(inputs):
        mask, similar, dissimilar = inputs
        x = embeddings * mask
        x = x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        distance = 1 - x @ x.T
        positive, negative = distance[:, :, None], distance[:, None, :]
        band = (negative > positive) & (negative <= positive + config.loss.band)
        band &= similar[:, :, None] & dissimilar[:, None, :]
        nearest = jnp.min(jnp.where(band, negative, jnp.inf), axis=2)
        mined = band.any(axis=2)
        loss = jax.nn.relu(distance - jnp.where(mined, nearest, 0.0) + config.loss.margin)
        return jnp.sum(jnp.where(mined, loss, 0.0)) / jnp.maximum(mined.sum(), 1)

    return jnp.mean(jax.lax.map(of_dimension, (masks, found.similar, found.dissimilar)))


def measure(form: str, size: int) -> tuple[float, float, float]:
    """Loss, median seconds of a forward and a backward pass, and MiB of intermediate results."""
    config = get_config()
    labels = {
        name: jax.device_put(array)
        for name, array in examples.batch(size).items()
        if name in (*config.dimensions, "index")
    }
    shape = (size, config.model.embedding_size)
    embeddings = jnp.float32(np.random.default_rng(0).normal(size=shape))
    config.parallel.dimensions_at_once = 1 if form == "one by one" else len(config.dimensions)
    function = cube if form == CUBE else sorted_bands
    both = jax.value_and_grad(lambda x, y: function(config, x, y))
    step = jax.jit(both).lower(embeddings, labels).compile()
    loss, _ = step(embeddings, labels)
    seconds = median_seconds(lambda: jax.block_until_ready(step(embeddings, labels)))
    return float(loss), seconds, step.memory_analysis().temp_size_in_bytes / 2**20


def measure_miner(size: int) -> tuple[float, float, float]:
    """Like `measure`, but without the memory."""
    from benchmarks import in_torch

    run = in_torch.miner(get_config(), size)
    return run(), median_seconds(run), float("nan")


def median_seconds(run: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def exponent(sizes: np.ndarray, values: np.ndarray) -> float:
    """The exponent of the power law fitted to the points."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def compare(*, sizes: Sequence[str]) -> None:
    """Measures every form at every size, and prints the table."""
    batches = [int(size) for size in sizes]
    forms = (*FORMS, MINER) if importlib.util.find_spec("pytorch_metric_learning") else FORMS
    wanted = [
        (form, size)
        for form in forms
        for size in batches
        if form in FORMS[:2] or size <= LARGEST_CUBE
    ]
    found = {}
    for form, size in tqdm.tqdm(wanted, unit="size"):
        try:
            found[form, size] = measure_miner(size) if form == MINER else measure(form, size)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            tqdm.tqdm.write(f"{form}, {size}: {first_line(error)}")
    table = rich.table.Table(title="Six dimensions, E = 384, forward and backward")
    for heading in ("form", "B", "loss", "s", "MiB", "x sorted bands"):
        table.add_column(heading, justify="left" if heading == "form" else "right")
    for (form, size), (loss, seconds, memory) in found.items():
        ratio = seconds / found[FORMS[0], size][1]
        space = "" if np.isnan(memory) else f"{memory:.0f}"
        values = (str(size), f"{loss:.6f}", f"{seconds:.4f}", space, f"{ratio:.1f}")
        table.add_row(form, *values)
    rich.console.Console(width=100).print(table)
    for form in forms:
        large = np.array([size for name, size in found if name == form and size >= 512])
        if len(large) > 1:
            _, seconds, memory = np.array([found[form, size] for size in large]).T
            grows = f"{form}: time ~ B^{exponent(large, seconds):.2f}"
            if not np.isnan(memory).any():
                grows += f", memory ~ B^{exponent(large, memory):.2f}"
            print(grows)
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        compare(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.mining", __doc__)
    add = parser.add_argument
    add(
        "--sizes",
        metavar="SIZE,...",
        type=comma_separated,
        default="256,512,1024,2048,4096",
        help="batch sizes",
    )
    return parser


if __name__ == "__main__":
    main()
