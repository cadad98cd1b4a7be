"""The gradient of a batch of 4096 with six dimensions: mine_large_batch.py PICK

Prints the peak memory of the process, in GiB.
"""

import resource
import sys

import jax
import jax.numpy as jnp
import numpy as np

from configs.six_dim import get_config
from jaxsim.objective.terms import objective_terms

SIZE = 4096
config = get_config()
config.loss.pick = sys.argv[1]
random = np.random.default_rng(0)
labels = {name: jnp.asarray(random.random((SIZE, 8)) < 0.2) for name in config.dimensions[:4]}
labels["tempo"] = jnp.float32(random.uniform(60, 200, SIZE))
labels["key"] = jnp.int32(random.integers(0, 24, SIZE))
labels["index"] = jnp.arange(SIZE)
embeddings = jnp.float32(random.normal(size=(SIZE, 384)))


def loss(embeddings, labels):
    return objective_terms(embeddings, {}, labels, jax.random.key(0), config).loss.mean().mean()


gradient = jax.jit(jax.grad(loss))(embeddings, labels)
assert np.isfinite(gradient).all() and np.any(gradient)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
