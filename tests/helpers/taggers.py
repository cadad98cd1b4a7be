"""A small MusiCNN with random weights, installed as the package that holds the real one's."""

from pathlib import Path

import numpy as np

LAYERS = {"msd": "MSD_musicnn", "mtt": "MTT_musicnn"}
EMBEDDING = 2 * 3 + 3 * 2 + 3 * 4


def random_weights(
    seed: int,
    *,
    bins: int = 96,
    timbral: int = 3,
    temporal: int = 2,
    middle: int = 4,
    units: int = 5,
    tags: int = 50,
) -> dict[str, np.ndarray]:
    """Weights by the names and with the shapes that TensorFlow 1 gave to MusiCNN's."""
    front = 2 * timbral + 3 * temporal
    joined = front + 3 * middle
    kernels = [
        (7, int(0.4 * bins), 1, timbral),
        (7, int(0.7 * bins), 1, timbral),
        *((frames, 1, 1, temporal) for frames in (128, 64, 32)),
        (7, front, 1, middle),
        (7, middle, 1, middle),
        (7, middle, 1, middle),
    ]
    shapes = {f"conv2d{_suffix(n)}": shape for n, shape in enumerate(kernels)}
    shapes |= {"dense": (2 * joined, units), "dense_1": (units, tags)}
    normalised = [1, *(kernel[-1] for kernel in kernels), 2 * joined, units]
    random = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes.items():
        scale = np.sqrt(2 / np.prod(shape[:-1]))
        weights[f"{name}/kernel"] = random.normal(scale=scale, size=shape)
        weights[f"{name}/bias"] = random.normal(scale=0.2, size=shape[-1])
    for number, size in enumerate(normalised):
        name = f"batch_normalization{_suffix(number)}"
        weights[f"{name}/gamma"] = random.normal(loc=0.3, size=size)  # some are negative
        weights[f"{name}/beta"] = random.normal(scale=0.5, size=size)
        weights[f"{name}/moving_mean"] = random.normal(scale=0.5, size=size)
        weights[f"{name}/moving_variance"] = random.uniform(0.001, 1.5, size=size)
    return {name: np.asarray(value, np.float32) for name, value in weights.items()}


def _suffix(number: int) -> str:
    return f"_{number}" if number else ""


def install(folder: Path, *, seed: int = 0) -> Path:
    """Writes a package `musicnn` into a folder, for a test to put on sys.path.

    Its checkpoints have the files of the real ones: nameless, and with the optimiser's state. It
    cannot be imported.
    """
    package = folder / "musicnn"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('must not be imported')\n")
    for number, name in enumerate(LAYERS.values()):
        write_checkpoint(package / name, random_weights(seed + number))
    return package


def write_checkpoint(folder: Path, weights: dict[str, np.ndarray]) -> None:
    """Writes a checkpoint as TensorFlow 1 does, with Adam's state beside the weights."""
    import tensorflow as tf

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/model/"\n')
    state = {f"{name}/Adam": value for name, value in weights.items()}
    tensors = weights | state | {"beta1_power": np.float32(0.9), "beta2_power": np.float32(0.99)}
    tf.raw_ops.SaveV2(
        prefix=f"{folder}/",
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )
