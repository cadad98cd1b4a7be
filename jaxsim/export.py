"""Writes a trained network as one file that `jaxsim.numpy_model` reads without JAX.

python -m jaxsim.export --checkpoint=runs/demo --out=model.npz
python -m jaxsim.export --checkpoint=runs/demo --out=model.safetensors
"""

import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from absl import app, flags
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

import jaxsim
from jaxsim import model_format, safetensors_format

# Embedding norms once batch normalisation is folded away.
EXPORTED_NORM = {"layer": "layer", "batch_layer": "layer", "none": "none"}
BATCH_NORM_EPSILON = 1e-5  # the default of `flax.linen.BatchNorm`


def export(
    params: Mapping[str, Any],
    batch_stats: Mapping[str, Any],
    config: ConfigDict,
    *,
    tag_names: Mapping[str, Sequence[str]],
    feature_config: Mapping[str, Any],
    feature_version: int,
    path: str | Path,
    dtype: str = "float32",
) -> None:
    """Writes the network of `params` to `path`, whole or not at all.

    Batch normalisation is folded into kernels and biases with its running statistics. It follows
    its layer directly, before ReLU and maximum, so that the network stays the same; that of the
    branches precedes 1 x 1 convolutions, alone or with a maximum between, which it does not change.

    Args:
      params, batch_stats: of `jaxsim.model.Inception`; batch_stats may be empty without norm.
      config: of the training, with `model`, `dimensions` and `features`.
      tag_names: per tag dimension, the names of its tags.
      feature_config: the fields of the data set's `input_pipeline.features.FeatureConfig`.
      feature_version: the `input_pipeline.features.FEATURE_VERSION` of the data set.
      path: ends in .safetensors for a file of that format (needs the extra safetensors), else it
        is an `.npz`; a file there is replaced, and its folder is made if there is none.
      dtype: of the parameters in the file: "float32", or "float16" for half the size.

    Raises:
      ValueError: the parameters are not those of this config's network or are not finite in this
        dtype, or config and feature_config contradict each other; or safetensors is missing.
    """
    metadata = _metadata(config, tag_names, feature_config, feature_version, path)
    with np.errstate(over="ignore"):  # what float16 cannot hold is not finite, and told below
        arrays = {
            name: array.astype(dtype)
            for name, array in parameters(params, batch_stats, config).items()
        }
    model_format.check(metadata, arrays, path)
    text = json.dumps(metadata, sort_keys=True)
    path = Path(path)
    if path.suffix == safetensors_format.SUFFIX:
        content = _safetensors(text, arrays)
        _save(path, lambda file: file.write(content))
    else:
        stored = {model_format.METADATA: np.frombuffer(text.encode(), np.uint8), **arrays}
        _save(path, lambda file: np.savez(file, allow_pickle=False, **stored))


def export_checkpoint(directory: str | Path, path: str | Path, *, dtype: str = "float32") -> None:
    """Writes the network of a run's newest checkpoint; see `export`.

    Raises:
      FileNotFoundError: there is no checkpoint.
      ValueError: as `export`; or there are only damaged checkpoints, or what the checkpoint says of
        its run is not complete.
    """
    from jaxsim.checkpoints import restore_for_inference

    config, params, batch_stats, record = restore_for_inference(directory)
    try:
        export(
            params,
            batch_stats,
            config,
            tag_names=record["tag_names"],
            feature_config=record["feature_config"],
            feature_version=record["feature_version"],
            path=path,
            dtype=dtype,
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{directory}: the checkpoint does not say all that an export needs ({error})"
        ) from error


def parameters(
    params: Mapping[str, Any], batch_stats: Mapping[str, Any], config: ConfigDict
) -> dict[str, np.ndarray]:
    """Float32 parameters by their path joined with "/", all batch normalisation folded.

    Raises:
      ValueError: a norm of this config is not there.
    """
    network = {name: layer for name, layer in params.items() if name != "classes"}
    arrays = {k: np.asarray(v, np.float32) for k, v in flatten_dict(network, sep="/").items()}
    statistics = flatten_dict(batch_stats, sep="/")
    layers = [name.removesuffix("/kernel") for name in arrays if name.endswith("/kernel")]
    if config.model.norm == "batch":
        for layer in layers:
            if layer != "embedding":
                scale, shift = (_norm(arrays, f"{layer}/norm/{name}") for name in ("scale", "bias"))
                _fold(arrays, statistics, layer, f"{layer}/norm", scale=scale, shift=shift)
        arrays = {name: array for name, array in arrays.items() if "/norm/" not in name}
    if config.model.branch_norm == "batch" and len(config.model.inputs) > 1:
        _fold_branches(arrays, statistics, config.model.inputs)
    if config.model.embedding_norm == "batch_layer":
        _fold(arrays, statistics, "embedding", "embedding_centre")
    return arrays


def _fold(
    arrays: dict[str, np.ndarray],
    statistics: Mapping[str, Any],
    layer: str,
    norm: str,
    *,
    scale: Any = 1.0,
    shift: Any = 0.0,
) -> None:
    """Makes one layer, in `arrays`, of a layer and the batch normalisation that follows it."""
    mean, variance = (_norm(statistics, f"{norm}/{name}") for name in ("mean", "var"))
    factor = scale / np.sqrt(variance + BATCH_NORM_EPSILON)
    kernel, bias = arrays[f"{layer}/kernel"], arrays[f"{layer}/bias"]
    arrays[f"{layer}/kernel"] = (kernel * factor).astype(np.float32)
    arrays[f"{layer}/bias"] = ((bias - mean) * factor + shift).astype(np.float32)


def _fold_branches(
    arrays: dict[str, np.ndarray], statistics: Mapping[str, Any], inputs: Sequence[str]
) -> None:
    """Makes 1 x 1 convolutions of raw maps of those of normalised maps."""
    mean, variance = (
        np.concatenate([_norm(statistics, f"{kind}_centre/{name}") for kind in inputs])
        for name in ("mean", "var")
    )
    block = f"block_{model_format.BRANCH_BLOCKS + 1}"
    for layer in ("naive/point", "naive/deep_reduce", "reduction/reduce"):
        kernel, bias = arrays[f"{block}/{layer}/kernel"], arrays[f"{block}/{layer}/bias"]
        # The pooled map comes last in what the reduction reads.
        reads = slice(kernel.shape[2] - len(mean), None)
        scaled = kernel[:, :, reads] / np.sqrt(variance + BATCH_NORM_EPSILON)[:, None]
        arrays[f"{block}/{layer}/bias"] = (bias - mean @ scaled[0, 0]).astype(np.float32)
        kernel = kernel.copy()
        kernel[:, :, reads] = scaled
        arrays[f"{block}/{layer}/kernel"] = kernel


def _norm(arrays: Mapping[str, Any], name: str) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"batch normalisation: the network lacks {name}, which this config needs")
    return np.asarray(arrays[name], np.float64)


def _metadata(
    config: ConfigDict,
    tag_names: Mapping[str, Sequence[str]],
    feature_config: Mapping[str, Any],
    feature_version: int,
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
        "jaxsim_version": jaxsim.__version__,
        "dimensions": list(config.dimensions),
        "tag_names": {name: list(tags) for name, tags in tag_names.items()},
        "model": config.model.to_dict()
        | {"embedding_norm": EXPORTED_NORM[config.model.embedding_norm]},
        "standardise": {name: list(pair) for name, pair in config.features.standardise.items()},
        "feature_config": dict(feature_config),
        "feature_version": feature_version,
    }
    return json.loads(json.dumps(metadata))


def _safetensors(metadata: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    try:
        import safetensors.numpy
    except ModuleNotFoundError:
        raise ValueError(
            "a .safetensors file needs the package safetensors: pip install '.[safetensors]'"
        ) from None
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return safetensors.numpy.save(contiguous, {model_format.METADATA: metadata})


def _save(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            write(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def main(checkpoint: str, out: str, dtype: str = "float32") -> None:
    """Exports a checkpoint; expected problems are one line on stderr and exit code 1."""
    try:
        export_checkpoint(checkpoint, out, dtype=dtype)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"model: {out}")


if __name__ == "__main__":
    # Defined here only, so that other programs can import this module and have such flags too.
    _CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A run's directory.", required=True)
    _OUT = flags.DEFINE_string(
        "out", None, "The .npz or .safetensors file to write.", required=True
    )
    _DTYPE = flags.DEFINE_enum("dtype", "float32", model_format.DTYPES, "Of its parameters.")

    def _main(arguments: list[str]) -> None:
        if len(arguments) > 1:
            raise app.UsageError(f"unexpected argument {arguments[1]!r}")
        main(_CHECKPOINT.value, _OUT.value, _DTYPE.value)

    app.run(_main)
