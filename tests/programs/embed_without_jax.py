"""Embeds with nothing but NumPy: embed_without_jax.py MODEL

Prints the embeddings of `features(2)` from test_numpy_model.py, and any packages loaded that are
allowed here but not needed.
"""

import json
import sys

for name in ("jax", "jaxlib", "flax", "optax", "tensorflow", "librosa", "ml_collections"):
    sys.modules[name] = None  # type: ignore[assignment]  # importing it is an error

import numpy as np  # noqa: E402

from jaxsim.exported import numpy_model  # noqa: E402

random = np.random.default_rng(1)
mel, cens = random.random((2, 129, 128)), random.random((2, 129, 12))
onset = random.gamma(0.5, 1.0, (2, 512))
print(json.dumps(numpy_model.load(sys.argv[1]).embed(mel, cens, onset).tolist()))
# These import nothing else.
own = {"input_pipeline", "input_pipeline.cache", "input_pipeline.errors"}
others = {name for name in sys.modules if name.split(".")[0] in ("scipy", "absl", "input_pipeline")}
print(json.dumps(sorted(others - own)))
