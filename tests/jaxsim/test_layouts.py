"""One device = eight virtual devices = two processes of four: one step and its evaluation."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
LAYOUTS = {"one device": (1, 1), "eight devices": (1, 8), "two processes of four": (2, 4)}

# Writes what one step finds: losses, gradients, mined triplets, and what an evaluation says.
PROGRAM = """
import os
import sys
from jaxsim import processes

if "JAX_NUM_PROCESSES" in os.environ:
    processes.join(silence=30)

import jax
import numpy as np
from jax import lax
from jaxsim.shapes import DEVICE_AXIS
from jaxsim import evaluation, losses, mining, model, objective, parallel, train, training
from tests.helpers.batches import fake_data
from tests.helpers.states import drawn_state
from tests.helpers.runs import tiny

mapping, out = sys.argv[1:]
model.BLOCKS = 1  # as in test_training.py
BATCH = 24
config = tiny("", batch_size=BATCH)
config.dimensions = ("genre", "tempo", "key")
config.model.embedding_size = 12
config.model.branch_norm, config.model.embedding_norm = "none", "layer"
config.parallel.mapping = mapping
config.loss.pick, config.loss.band = "uniform", 0.05
config.loss.average = "mined"
data = fake_data()
random = np.random.default_rng(0)
row = random.integers(len(data), size=BATCH)
batch = {
    "mel": random.random((BATCH, 129, 128)).astype(np.float16),
    "cens": random.random((BATCH, 129, 12)).astype(np.float16),
    "onset": random.random((BATCH, 512)).astype(np.float32),
    "genre": data.tags["genre"][row],
    "tempo": data.tempo[row],
    "key": data.key[row],
    "index": np.arange(BATCH, dtype=np.int32),
    "track": row.astype(np.int32),
}
start = drawn_state(config, batch)
own = parallel.to_devices(parallel.own_rows(batch), local_devices=jax.local_device_count())
state, terms = train.mapped_train_step(config)(
    parallel.replicate(start), own, parallel.replicate(np.float32(0.01))
)


def mined(state, own):
    "Of every (anchor, candidate) the negative of its triplet, -1 without one [A, S, B]."
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    anchors = training.embed(config, state, own)
    labels = {name: own[name] for name in (*config.dimensions, "index")}
    candidates, others = jax.tree.map(
        lambda x: lax.all_gather(x, DEVICE_AXIS, tiled=True), (anchors, labels)
    )
    relation = objective._relations(labels, others, key, config)
    drawn = objective._random(key, labels["index"], (len(config.dimensions) + 1, BATCH))
    found = []
    for number, mask in enumerate(objective.masks_of(config, anchors.shape[1])):
        bands = mining.semi_hard_bands(
            losses.cosine_distances(anchors, candidates, mask),
            relation.similar[number],
            relation.dissimilar[number],
            width=config.loss.band,
        )
        chosen = mining.uniform(bands, drawn[:, number])
        found.append(jax.numpy.where(bands.upper > bands.lower, chosen, -1))
    return jax.numpy.stack(found, axis=1)


triplets = parallel.to_host(
    parallel.map_over_devices(
        mined, split=(False, True), mapping=mapping, split_result=True
    )(parallel.replicate(start), own)
).reshape(BATCH, len(config.dimensions), BATCH)
embed = evaluation.embedder(config)
placed = parallel.replicate(start)
embeddings = evaluation.track_embeddings(
    data, lambda segments: embed(placed, segments), batch_size=BATCH, subspaces=3
)
sampled = evaluation.sample_triplets(data, config, count=300, seed=0)
table = evaluation.triplet_table(embeddings, embeddings[::-1], sampled, data, config.dimensions)
gradients = {
    jax.tree_util.keystr(path): np.asarray(mu) * 10  # the first moment is a tenth of it
    for path, mu in jax.tree_util.tree_leaves_with_path(jax.device_get(state.moments.mu))
}
if processes.first():
    terms = jax.device_get(terms)
    np.savez(
        out,
        **{f"gradient {name}": value for name, value in gradients.items()},
        loss=terms.loss.mean(),
        counted=terms.loss.weight,
        active=terms.active.mean(),
        spread=terms.spread.mean(),
        triplets=triplets,
        embeddings=embeddings,
        scores=np.array([[score.value, score.low, score.high] for row in table.values()
                         for score in row.values()]),
        devices=[jax.process_count(), jax.local_device_count()],
    )
"""


def results(layout: str, mapping: str, folder: Path) -> dict[str, np.ndarray]:
    """What the program finds in a layout."""
    processes, devices = LAYOUTS[layout]
    out = folder / f"{layout}, {mapping}.npz"
    environment = {name: value for name, value in os.environ.items() if "JAX_NUM_" not in name} | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} "
        "--xla_backend_optimization_level=0",
        "PYTHONPATH": str(ROOT),
        "JAXSIM_CHECK_SHAPES": "",
    }
    if processes > 1:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        environment |= {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": str(processes),
        }
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, mapping, str(out)],
            cwd=ROOT,
            env=environment | {"JAX_PROCESS_ID": str(number)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    errors = [process.communicate(timeout=600)[1] for process in started]
    assert [process.returncode for process in started] == [0] * processes, errors
    with np.load(out) as file:
        found = dict(file)
    assert found.pop("devices").tolist() == [processes, devices]
    return found


@pytest.mark.slow
def test_layouts_agree(tmp_path):
    expected = results("one device", "pmap", tmp_path)
    assert (expected["counted"] > 5).all(), "every dimension has triplets"
    assert len(np.unique(expected["triplets"])) > 10
    largest = max(np.abs(x).max() for name, x in expected.items() if name.startswith("gradient"))
    assert largest > 1e-3
    for layout, mapping in (
        ("eight devices", "pmap"),
        ("eight devices", "shard_map"),
        ("two processes of four", "pmap"),
        ("two processes of four", "shard_map"),
    ):
        found = results(layout, mapping, tmp_path)
        assert found.keys() == expected.keys()
        for name in ("triplets", "counted", "scores"):
            np.testing.assert_array_equal(found[name], expected[name], f"{layout}: {name}")
        for name in expected.keys() - {"triplets", "counted", "scores"}:
            tolerance = 1e-5 * largest if name.startswith("gradient") else 1e-5
            np.testing.assert_allclose(
                found[name], expected[name], rtol=0, atol=tolerance, err_msg=f"{layout}: {name}"
            )
