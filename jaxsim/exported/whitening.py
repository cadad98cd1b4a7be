"""Whitening of an exported model's sub-spaces, so that a search uses all their directions.

Trained sub-spaces vary in few directions. Whitening divides each principal component by its
deviation over tracks; it is linear, becomes the last layer of the exported network, and commutes
with the mean over segments. NumPy alone.
"""

from collections.abc import Sequence

import numpy as np

KERNEL, BIAS = "whitening/kernel", "whitening/bias"


def fit(embeddings: np.ndarray, strengths: Sequence[float | None]) -> dict[str, np.ndarray]:
    """The arrays of the layer that whitens sub-spaces.

    Component k of a sub-space is divided by d_k + r max(d), with its deviation d_k: a small r makes
    all components equal, a large one leaves them as they are. The sum of their variances stays the
    same. The columns of a whitened sub-space are its components, the largest first.

    Args:
      embeddings: of tracks [N, E], as the network gives them.
      strengths: r of each of the S sub-spaces; None leaves it as it is.

    Returns:
      "whitening/kernel" [S, E / S, E / S] and "whitening/bias" [E], float32.

    Raises:
      ValueError: there are fewer than two tracks, a strength is not positive, or a sub-space that
        is to be whitened is the same for all tracks.
    """
    if len(embeddings) < 2 or any(each is not None and each <= 0 for each in strengths):
        raise ValueError(
            f"whitening has {len(embeddings)} tracks and the strengths {tuple(strengths)}, "
            "expected at least 2 tracks and positive strengths"
        )
    size = embeddings.shape[1] // len(strengths)
    kernel, bias = np.tile(np.eye(size), (len(strengths), 1, 1)), np.zeros((len(strengths), size))
    for number, strength in enumerate(strengths):
        if strength is None:
            continue
        own = embeddings[:, number * size : (number + 1) * size].astype(np.float64)
        mean = own.mean(axis=0)
        variance, directions = np.linalg.eigh(np.cov(own.T, bias=True).reshape(size, size))
        deviation = np.sqrt(np.maximum(variance, 0.0))
        if not deviation.max() > 0:
            raise ValueError(f"whitening: sub-space {number} is the same for all tracks")
        factors = 1 / (deviation + strength * deviation.max())
        factors *= np.linalg.norm(deviation) / np.linalg.norm(deviation * factors)
        kernel[number] = (directions * factors)[:, ::-1]
        bias[number] = -mean @ kernel[number]
    return {KERNEL: kernel.astype(np.float32), BIAS: bias.reshape(-1).astype(np.float32)}
