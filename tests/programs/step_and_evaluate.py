"""One step and an evaluation, in the layout it is started with: step_and_evaluate.py MAPPING OUT

Writes the results of one step (losses, gradients, mined triplets) and of an evaluation.
"""

import os
import sys

import jax
import numpy as np
from jax import lax

from jaxsim.evaluation import sampled_triplets, track_embeddings, validation
from jaxsim.network.shapes import DEVICE_AXIS
from jaxsim.objective import losses, mining, terms
from jaxsim.training import train_step
from jaxsim.training.machines import parallel, processes
from tests.helpers.batches import fake_data
from tests.helpers.runs import in_doubles, readme_network
from tests.helpers.states import drawn_state

if "JAX_NUM_PROCESSES" in os.environ:
    processes.join(silence=30)
mapping, out = sys.argv[1:]
BATCH = 24
config = in_doubles(readme_network())  # with JAX_ENABLE_X64
config.batch_size = BATCH
config.dimensions = ("genre", "tempo", "key")
config.model.embedding_size = 12
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
}
start = drawn_state(config, batch)


def dealt(rows):
    """The rows, which all processes have, over the devices of this one."""
    return parallel.to_devices(parallel.own_rows(rows), local_devices=jax.local_device_count())


own = dealt(batch)
state, found_terms = train_step.mapped_train_step(config)(
    parallel.replicate(start), own, parallel.replicate(np.float32(0.01))
)


def mined(anchors, own):
    """The negative in the triplet of every (anchor, candidate), -1 without one [A, S, B]."""
    key = jax.random.fold_in(jax.random.key(config.seed), start.step)
    labels = {name: own[name] for name in (*config.dimensions, "index")}
    candidates, others = jax.tree.map(
        lambda x: lax.all_gather(x, DEVICE_AXIS, tiled=True), (anchors, labels)
    )
    relation = terms._relations(labels, others, key, config)
    drawn = terms._random(key, labels["index"], (len(config.dimensions) + 1, BATCH))
    found = []
    for number, mask in enumerate(terms.masks_of(config, anchors.shape[1])):
        bands = mining.semi_hard_bands(
            losses.cosine_distances(anchors, candidates, mask),
            relation.similar[number],
            relation.dissimilar[number],
            width=config.loss.band,
        )
        chosen = mining.uniform(bands, drawn[:, number])
        found.append(jax.numpy.where(bands.upper > bands.lower, chosen, -1))
    return jax.numpy.stack(found, axis=1)


embed = track_embeddings.embedder(config)
placed = parallel.replicate(start)
triplets = parallel.to_host(
    parallel.map_over_devices(mined, split=(True, True), mapping=mapping, split_result=True)(
        dealt(embed(placed, batch)), own
    )
).reshape(BATCH, len(config.dimensions), BATCH)
embeddings = track_embeddings.embed_tracks(
    config, data, lambda segments: embed(placed, segments), batch_size=BATCH
)
sampled = sampled_triplets.sample_triplets(data, config, count=300, seed=0)
table = validation.triplet_table(embeddings, [embeddings[::-1]], sampled, data, config.dimensions)
gradients = {
    jax.tree_util.keystr(path): np.asarray(mu) * 10  # the first moment is a tenth of it
    for path, mu in jax.tree_util.tree_leaves_with_path(jax.device_get(state.moments.mu))
}
if processes.first():
    found_terms = jax.device_get(found_terms)
    np.savez(
        out,
        **{f"gradient {name}": value for name, value in gradients.items()},
        loss=found_terms.loss.mean(),
        counted=found_terms.loss.weight,
        active=found_terms.active.mean(),
        spread=found_terms.spread.mean(),
        triplets=triplets,
        embeddings=embeddings,
        scores=np.array(
            [
                [score.value, score.low, score.high]
                for row in table.values()
                for score in row.values()
            ]
        ),
        devices=[jax.process_count(), jax.local_device_count()],
    )
