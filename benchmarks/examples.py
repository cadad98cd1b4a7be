"""A batch of random features, with labels that give every dimension pairs."""

import numpy as np

TAGS = {"genre": 28, "mood": 12, "instrument": 5, "era": 5}  # of the MSD's 50


def batch(size: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """A batch like those of `input_pipeline.datasets.batches`."""
    random = np.random.default_rng(seed)
    tags = {name: random.random((size, count)) < 0.2 for name, count in TAGS.items()}
    return tags | {
        "tempo": random.uniform(60, 180, size).astype(np.float32),
        "key": random.integers(24, size=size).astype(np.int32),
        "mel": random.random((size, 129, 128)).astype(np.float16),
        "cens": random.random((size, 129, 12)).astype(np.float16),
        "onset": random.random((size, 512)).astype(np.float32),
        "index": np.arange(size, dtype=np.int32),
        "track": np.arange(size, dtype=np.int32) // 2,
        "start": np.arange(size, dtype=np.int32) % 2 * 129,
        "drawn_dimension": np.full(size, -1, np.int32),
        "drawn_tag": np.full(size, -1, np.int32),
    }
