"""Writes a trained network as one file that `jaxsim.numpy_model` reads without JAX.

python -m jaxsim.export --checkpoint=runs/demo --out=model.npz
"""

import importlib.metadata
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from input_pipeline.features import FEATURE_VERSION
from jaxsim import model_format

BATCH_NORM_EPSILON = 1e-5  # the default of `flax.linen.BatchNorm`


def export(
    params: Mapping[str, Any],
    batch_stats: Mapping[str, Any],
    config: ConfigDict,
    *,
    tag_names: Mapping[str, Sequence[str]],
    feature_config: Mapping[str, Any],
    path: str | Path,
) -> None:
    """Writes the network of `params` to `path` (an `.npz`), whole or not at all.

    Batch normalisation is folded into the kernels and biases with its running statistics: the norm
    follows its convolution directly, before ReLU and pooling, so that the network stays the same.

    Args:
      params, batch_stats: of `jaxsim.model.Inception`; batch_stats may be empty without norm.
      config: of the training, with `model`, `dimensions` and `features`.
      tag_names: per tag dimension, the names of its tags.
      feature_config: the fields of the data set's `input_pipeline.features.FeatureConfig`.
      path: a file there is replaced.

    Raises:
      ValueError: the parameters are not those of this config's network or are not finite, or
        config and feature_config contradict each other.
    """
    metadata = _metadata(config, tag_names, feature_config, path)
    arrays = parameters(params, batch_stats, config.model.norm, path)
    model_format.check(metadata, arrays, path)
    text = json.dumps(metadata, sort_keys=True).encode()
    _save(Path(path), {model_format.METADATA: np.frombuffer(text, np.uint8), **arrays})


def parameters(
    params: Mapping[str, Any], batch_stats: Mapping[str, Any], norm: str, source: str | Path
) -> dict[str, np.ndarray]:
    """Float32 parameters by their path joined with "/", in sorted order, batch norm folded."""
    arrays = {k: np.asarray(v, np.float32) for k, v in flatten_dict(params, sep="/").items()}
    if norm == "batch":
        statistics = flatten_dict(batch_stats, sep="/")
        # The embedding's dense layer is the only one without a norm.
        for kernel in [k for k in arrays if k.endswith("/kernel") and k != "embedding/kernel"]:
            _fold(kernel.removesuffix("/kernel"), arrays, statistics, source)
    return dict(sorted(arrays.items()))


def _fold(
    name: str, arrays: dict[str, np.ndarray], statistics: Mapping[str, Any], source: str | Path
) -> None:
    """Replaces a convolution and its norm by one convolution, in `arrays`."""
    try:
        scale, shift = arrays.pop(f"{name}/norm/scale"), arrays.pop(f"{name}/norm/bias")
        mean, variance = statistics[f"{name}/norm/mean"], statistics[f"{name}/norm/var"]
    except KeyError as error:
        raise ValueError(
            f"{source}: model.norm is 'batch', but the network has no {error}"
        ) from None
    factor = np.float64(scale) / np.sqrt(np.float64(variance) + BATCH_NORM_EPSILON)
    kernel, bias = f"{name}/kernel", f"{name}/bias"
    arrays[kernel] = np.asarray(arrays[kernel] * factor, np.float32)
    arrays[bias] = np.asarray((arrays[bias] - np.float64(mean)) * factor + shift, np.float32)


def _metadata(
    config: ConfigDict,
    tag_names: Mapping[str, Sequence[str]],
    feature_config: Mapping[str, Any],
    source: str | Path,
) -> dict[str, Any]:
    """The metadata that `model_format` describes, as JSON gives it back."""
    window, extracted = config.features.tempogram_window, feature_config["tempogram_window"]
    if window != extracted:
        raise ValueError(
            f"{source}: config.features.tempogram_window is {window}, expected {extracted} "
            "as in feature_config"
        )
    metadata = {
        "format": model_format.FORMAT,
        "format_version": model_format.FORMAT_VERSION,
        "jaxsim_version": _version(),
        "dimensions": list(config.dimensions),
        "tag_names": {name: list(tags) for name, tags in tag_names.items()},
        "model": config.model.to_dict(),
        "standardise": {name: list(pair) for name, pair in config.features.standardise.items()},
        "feature_config": dict(feature_config),
        "feature_version": FEATURE_VERSION,
    }
    return json.loads(json.dumps(metadata))


def _version() -> str:
    try:
        return importlib.metadata.version("jaxsim")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"  # run from a checkout


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def main(checkpoint: str, out: str) -> None:
    """Exports a checkpoint; expected problems are one line on stderr and exit code 1."""
    from jaxsim.checkpoints import restore_for_inference

    try:
        config, params, batch_stats, record = restore_for_inference(checkpoint)
        export(
            params,
            batch_stats,
            config,
            tag_names=record["tag_names"],
            feature_config=record["feature_config"],
            path=out,
        )
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"model: {out}")


if __name__ == "__main__":
    # Defined here only, so that other programs can import this module and have such flags too.
    _CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A run's directory.", required=True)
    _OUT = flags.DEFINE_string("out", None, "The .npz file to write.", required=True)

    def _main(arguments: list[str]) -> None:
        if len(arguments) > 1:
            raise app.UsageError(f"unexpected argument {arguments[1]!r}")
        main(_CHECKPOINT.value, _OUT.value)

    app.run(_main)
