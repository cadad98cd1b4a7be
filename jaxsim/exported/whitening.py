"""Whitening of an exported model's sub-spaces, so that a search uses all their directions.

Trained sub-spaces vary in few directions. Whitening divides each principal component by its
deviation over tracks; it is linear, becomes the last layer of the exported network, and commutes
with the mean over segments. NumPy alone.
"""

import numpy as np

KERNEL, BIAS = "whitening/kernel", "whitening/bias"


def fit(embeddings: np.ndarray, count: int, *, strength: float) -> dict[str, np.ndarray]:
    """The arrays of the layer that whitens every sub-space.

    Component k of a sub-space is divided by d_k + r max(d), with its deviation d_k: a small r makes
    all components equal, a large one leaves them as they are.

    Args:
      embeddings: of tracks [N, E], as the network gives them.
      count: S, the number of sub-spaces.
      strength: r.

    Returns:
      "whitening/kernel" [S, E / S, E / S] and "whitening/bias" [E], float32.

    Raises:
      ValueError: there are fewer than two tracks, the strength is not positive, or a sub-space is
        the same for all tracks.
    """
    if len(embeddings) < 2 or strength <= 0:
        raise ValueError(
            f"whitening has {len(embeddings)} tracks and the strength {strength}, expected at "
            "least 2 tracks and a positive strength"
        )
    size = embeddings.shape[1] // count
    kernel, bias = np.zeros((count, size, size)), np.zeros((count, size))
    for number in range(count):
        own = embeddings[:, number * size : (number + 1) * size].astype(np.float64)
        mean = own.mean(axis=0)
        variance, directions = np.linalg.eigh(np.cov(own.T, bias=True).reshape(size, size))
        deviation = np.sqrt(np.maximum(variance, 0.0))
        if not deviation.max() > 0:
            raise ValueError(f"whitening: sub-space {number} is the same for all tracks")
        kernel[number] = directions / (deviation + strength * deviation.max())
        bias[number] = -mean @ kernel[number]
    return {KERNEL: kernel.astype(np.float32), BIAS: bias.reshape(-1).astype(np.float32)}
