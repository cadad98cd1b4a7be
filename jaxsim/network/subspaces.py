"""How the similarity dimensions share an embedding: S disjoint sub-spaces of equal size, in order.

The only place that knows the layout. Needs NumPy alone.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

SHORTEST = 1e-12  # of a vector that has a direction; shorter ones do not reach length 1


def check(embedding_size: int, count: int) -> None:
    """Raises ValueError unless `count` sub-spaces of equal size make up the embedding."""
    if embedding_size % count:
        raise ValueError(
            f"model.embedding_size is {embedding_size}, expected a multiple of {count} (the number "
            "of dimensions)"
        )


def slices(dimensions: Sequence[str], embedding_size: int) -> dict[str, slice]:
    """The slice of the embedding that each dimension owns."""
    check(embedding_size, len(dimensions))
    size = embedding_size // len(dimensions)
    return {name: slice(i * size, (i + 1) * size) for i, name in enumerate(dimensions)}


def masks(count: int, embedding_size: int) -> np.ndarray:
    """The dimensions' disjoint masks, float32 [S, E]."""
    check(embedding_size, count)
    ones = np.ones(embedding_size // count, np.float32)
    return np.kron(np.eye(count, dtype=np.float32), ones)


def split(vectors: ArrayLike, count: int) -> np.ndarray:
    """Embeddings [N, E] by sub-space, float64 [N, S, E / S]."""
    vectors = np.asarray(vectors, np.float64)
    return vectors.reshape(len(vectors), count, vectors.shape[1] // count)


def divided(vectors: ArrayLike, count: int) -> np.ndarray:
    """Embeddings [N, E] by sub-space, each at length 1: float64 [N, S, E / S]; zeros stay zeros."""
    parts = split(vectors, count)
    lengths = np.linalg.norm(parts, axis=2, keepdims=True)
    return parts / np.maximum(lengths, SHORTEST)


def normalised(vectors: ArrayLike, count: int) -> np.ndarray:
    """Embeddings [N, E] with every sub-space at length 1, float64 [N, E]; zeros stay zeros."""
    return divided(vectors, count).reshape(np.shape(vectors))
