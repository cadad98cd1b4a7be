"""The network of MusiCNN (Pons and Serra, "musicnn", 2019) in Flax, for inference alone.

This is the only module of the input pipeline that imports JAX. `tagging` imports it when the first
track is tagged, so that nobody else waits for JAX; and its workers see one processor each.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

BATCH_SIZE = 2  # patches; more are no faster, and a track's last batch is padded
EPSILON = 1e-3  # of TensorFlow 1's batch normalisation
TEMPORAL_FRAMES = (128, 64, 32)
WEIGHT = re.compile(
    r"(?P<layer>(?:batch_normalization|conv2d|dense)(?:_\d+)?)/"
    r"(?P<field>kernel|bias|gamma|beta|moving_mean|moving_variance)"
)
FLAX_NAMES = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}


class MusiCNN(nn.Module):
    """From a log mel spectrogram [N, T, M] to logits of tags [N, C].

    Layers bear the names that TensorFlow gave them. The ReLU comes before the normalisation.

    Attributes:
      timbral: filters of each of two timbral convolutions, 7 frames high.
      temporal: filters of each of three temporal convolutions, 1 bin wide.
      middle: filters of each of three convolutions over time.
      units: of the dense layer.
      tags: number of tags, C.
    """

    timbral: int = 204
    temporal: int = 51
    middle: int = 64
    units: int = 200
    tags: int = 50

    @nn.compact
    def __call__(self, mel: Array) -> tuple[Array, Array]:
        """Returns the logits [N, C] and the mean over time of the layer before pooling [N, E]."""
        image = _normalise(mel[..., None], 0)  # [N, T, M, 1]
        bins = mel.shape[2]
        front = [self._timbral(image, 0, int(0.4 * bins)), self._timbral(image, 1, int(0.7 * bins))]
        front += [self._temporal(image, 2 + i, frames) for i, frames in enumerate(TEMPORAL_FRAMES)]
        layers = [jnp.concatenate(front, axis=-1)]  # [N, T, 2 timbral + 3 temporal]
        layers.append(self._middle(layers[0], 5))
        layers.append(self._middle(layers[1], 6) + layers[1])
        layers.append(self._middle(layers[2], 7) + layers[2])
        joined = jnp.concatenate(layers, axis=-1)  # [N, T, E]
        mean = joined.mean(axis=1)
        # Maximum and mean of one feature are neighbours.
        pooled = jnp.stack([joined.max(axis=1), mean], axis=-1).reshape(len(mel), -1)
        hidden = nn.relu(nn.Dense(self.units, name="dense")(_normalise(pooled, 9)))
        return nn.Dense(self.tags, name="dense_1")(_normalise(hidden, 10)), mean

    def _timbral(self, image: Array, number: int, bins: int) -> Array:
        """Convolves over 7 frames and so many bins, and takes the largest value of all bins."""
        padding = ((3, 3), (0, 0))
        name = _numbered("conv2d", number)
        found = nn.Conv(self.timbral, (7, bins), padding=padding, name=name)(image)
        return _normalise(nn.relu(found), number + 1).max(axis=2)

    def _temporal(self, image: Array, number: int, frames: int) -> Array:
        name = _numbered("conv2d", number)
        found = nn.Conv(self.temporal, (frames, 1), padding="SAME", name=name)(image)
        return _normalise(nn.relu(found), number + 1).max(axis=2)

    def _middle(self, features: Array, number: int) -> Array:
        name = _numbered("conv2d", number)
        found = nn.Conv(self.middle, (7,), padding="SAME", name=name)(features)
        return _normalise(nn.relu(found), number + 1)


def _normalise(x: Array, number: int) -> Array:
    name = _numbered("batch_normalization", number)
    return nn.BatchNorm(use_running_average=True, epsilon=EPSILON, name=name)(x)


def _numbered(name: str, number: int) -> str:
    """How TensorFlow 1 names the layers of a kind."""
    return f"{name}_{number}" if number else name


def predictor(
    weights: Mapping[str, np.ndarray],
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """A compiled network with the given weights.

    Args:
      weights: by their names in the checkpoint; numbers of filters and tags are read off them.

    Returns:
      A function of patches, float32 [P, T, M], that gives their logits, float32 [P, C], and their
      embeddings, float32 [P, E]: the mean over time of the layer before pooling.
    """
    network = MusiCNN(
        timbral=weights["conv2d/bias"].size,
        temporal=weights["conv2d_2/bias"].size,
        middle=weights["conv2d_5/bias"].size,
        units=weights["dense/bias"].size,
        tags=weights["dense_1/bias"].size,
    )
    # On the processor even where there is an accelerator, which many workers would have to share.
    variables = jax.device_put(_variables(weights), jax.local_devices(backend="cpu")[0])

    def predict(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        missing = -len(patches) % BATCH_SIZE
        padded = np.pad(patches, ((0, missing), (0, 0), (0, 0)))
        batches = padded.reshape(-1, BATCH_SIZE, *patches.shape[1:])
        results = [_apply(network, variables, batch) for batch in batches]
        logits, means = (
            np.concatenate(parts)[: len(patches)] for parts in zip(*results, strict=True)
        )
        return logits, means

    return predict


@functools.partial(jax.jit, static_argnums=0)  # compiled once for all networks of these sizes
def _apply(network: MusiCNN, variables: Mapping, patches: Array) -> tuple[Array, Array]:
    found: Any = network.apply(variables, patches)  # Flax's type allows for changed variables
    return found


def _variables(weights: Mapping[str, np.ndarray]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Weights as Flax arranges them."""
    variables: dict[str, dict[str, dict[str, np.ndarray]]] = {"params": {}, "batch_stats": {}}
    for name, value in weights.items():
        match = WEIGHT.fullmatch(name)
        if match is None:
            continue
        layer, field = match["layer"], match["field"]
        if field == "kernel" and layer in ("conv2d_5", "conv2d_6", "conv2d_7"):
            value = value[:, :, 0]  # these see all features at once: convolutions over time alone
        kind = "batch_stats" if field.startswith("moving") else "params"
        variables[kind].setdefault(layer, {})[FLAX_NAMES.get(field, field)] = value
    return variables
