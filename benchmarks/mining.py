"""Time and memory of mining and the triplet loss, forward and backward, as the batch grows.

python -m benchmarks.mining --sizes=256,512,1024,2048,4096

jaxsim's sorted bands (`jaxsim.mining`), and the B x B x B array that compares every anchor with
every positive and negative, mapped over the dimensions one after the other. Memory is what the
compiler reserves for intermediate results. Exponents are fitted to the sizes of 512 and more: time
~ B^exponent.
"""

import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
import tqdm
from absl import app, flags
from ml_collections import ConfigDict

from benchmarks import examples
from configs.six_dim import get_config
from jaxsim import objective
from jaxsim.relations import relations

FORMS = ("sorted bands", "B x B x B")
LARGEST_CUBE = 1024  # 42 GiB
REPEATS = 3


def sorted_bands(config: ConfigDict, embeddings, labels):
    """The mean loss of the six dimensions as it is trained."""
    terms = objective.objective_terms(embeddings, {}, labels, jax.random.key(0), config)
    return jnp.mean(terms.loss.mean())


def cube(config: ConfigDict, embeddings, labels):
    """The same number from arrays [B, B, B], one dimension after the other."""
    found = relations(
        labels,
        labels,
        config.dimensions,
        tempo_tolerance=config.relation.tempo_tolerance,
        key_relation=config.relation.key,
    )
    masks = objective.masks_of(config, embeddings.shape[1])

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
    function = sorted_bands if form == FORMS[0] else cube
    both = jax.value_and_grad(lambda x, y: function(config, x, y))
    step = jax.jit(both).lower(embeddings, labels).compile()
    loss, _ = jax.block_until_ready(step(embeddings, labels))
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(step(embeddings, labels))
        times.append(time.perf_counter() - began)
    memory = step.memory_analysis().temp_size_in_bytes / 2**20
    return float(loss), statistics.median(times), memory


def exponent(sizes: np.ndarray, values: np.ndarray) -> float:
    """Of the power law through the points."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def main(_) -> None:
    sizes = [int(size) for size in _SIZES.value]
    wanted = [
        (form, size) for form in FORMS for size in sizes if form == FORMS[0] or size <= LARGEST_CUBE
    ]
    found = {}
    for form, size in tqdm.tqdm(wanted, unit="size"):
        try:
            found[form, size] = measure(form, size)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            tqdm.tqdm.write(f"{form}, {size}: {str(error).partition(chr(10))[0]}")
    table = rich.table.Table(title="Six dimensions, E = 384, forward and backward")
    for heading in ("form", "B", "loss", "s", "MiB", "x sorted bands"):
        table.add_column(heading, justify="left" if heading == "form" else "right")
    for (form, size), (loss, seconds, memory) in found.items():
        ratio = seconds / found[FORMS[0], size][1]
        values = (str(size), f"{loss:.6f}", f"{seconds:.4f}", f"{memory:.0f}", f"{ratio:.1f}")
        table.add_row(form, *values)
    rich.console.Console(width=100).print(table)
    for form in FORMS:
        large = np.array([size for name, size in found if name == form and size >= 512])
        if len(large) > 1:
            _, seconds, memory = np.array([found[form, size] for size in large]).T
            print(
                f"{form}: time ~ B^{exponent(large, seconds):.2f}, "
                f"memory ~ B^{exponent(large, memory):.2f}"
            )
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}")


if __name__ == "__main__":
    _SIZES = flags.DEFINE_list("sizes", "256,512,1024,2048,4096", "Examples of a batch.")
    app.run(main)
