"""Training states without any training, and a batch for a step."""

import jax
import numpy as np
import optax

from jaxsim.training import train_step
from jaxsim.training.machines import parallel
from jaxsim.training.train_step import State

BATCH = 16
FRAMES = 33


def batch() -> dict[str, np.ndarray]:
    """Examples that sound different, so that their embeddings are far apart."""
    random = np.random.default_rng(0)
    envelope = random.random((BATCH, 1, 128)) ** 4 * random.random((BATCH, 129, 1))
    return {
        "mel": (envelope + 0.1 * random.random((BATCH, 129, 128))).astype(np.float16),
        "genre": random.random((BATCH, 4)) < 0.4,
        "key": random.integers(-1, 6, BATCH).astype(np.int32),
        "tempo": random.choice([0, 60, 100, 150], BATCH).astype(np.float32),
        "index": np.arange(BATCH, dtype=np.int32),
    }


def full_batch() -> dict[str, np.ndarray]:
    """Examples of three inputs, 33 frames, all six dimensions, two segments of every track."""
    random = np.random.default_rng(0)
    envelope = random.random((BATCH, 1, 128)) ** 4 * random.random((BATCH, FRAMES, 1))
    tags = {"genre": 4, "mood": 3, "instrument": 5, "era": 2}
    return {
        "mel": (envelope + 0.1 * random.random((BATCH, FRAMES, 128))).astype(np.float16),
        "cens": (random.random((BATCH, 1, 12)) ** 4).repeat(FRAMES, axis=1).astype(np.float16),
        "onset": random.gamma(0.5, 1.0, (BATCH, FRAMES + 383)).astype(np.float32),
        **{name: random.random((BATCH, count)) < 0.5 for name, count in tags.items()},
        "tempo": random.choice([0, 60, 100, 150], BATCH).astype(np.float32),
        "key": random.integers(-1, 6, BATCH).astype(np.int32),
        "index": np.arange(BATCH, dtype=np.int32),
        "track": np.arange(BATCH, dtype=np.int32) // 2,
        "start": np.arange(BATCH, dtype=np.int32) % 2 * 100,
        "drawn_dimension": np.full(BATCH, -1, np.int32),
        "drawn_tag": np.full(BATCH, -1, np.int32),
    }


def drawn_state(config, examples):
    """A state with random parameters, without compiling."""
    shapes = train_step.state_shapes(config, examples)
    random = np.random.default_rng(1)

    def draw(leaf):
        scale = np.sqrt(2 / np.prod(leaf.shape[:-1])) if len(leaf.shape) > 1 else 0.3
        return (scale * random.normal(size=leaf.shape)).astype(np.float32)

    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    return zeros.replace(params=jax.tree.map(draw, shapes.params))


def state(step: int, *, channels: int = 30) -> State:
    """A small state on all devices, with different numbers for every step."""
    random = np.random.default_rng(step)
    params = {
        "stem": {"kernel": random.normal(size=(50, channels)).astype(np.float32)},
        "head": {"bias": random.normal(size=7).astype(np.float32)},
    }
    moments = optax.scale_by_adam().init(params)
    return parallel.replicate(State(np.int32(step), params, {}, moments))
