"""Writes a trained network as one file that `numpy_model` reads without JAX. NumPy alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import jaxsim
from input_pipeline import extras
from input_pipeline.files import replacing
from jaxsim.exported import model_format, safetensors_format
from jaxsim.exported.readings import PREFIX, Prototypes
from jaxsim.exported.readings import arrays as readings_arrays
from jaxsim.network.plan import BATCH_NORM_EPSILON, CENTRE, PUBLISHED_DEPTH, Plan, plan_of

if TYPE_CHECKING:
    from ml_collections import ConfigDict

# Left out of files.
PUBLISHED = PUBLISHED_DEPTH | {"embedding_relu": False, "statistics": (), "dropout": 0.0}
DENSE = ("embedding", "statistics")  # layers without the batch normalisation of convolutions


def write(
    params: Mapping[str, Any],
    batch_stats: Mapping[str, Any],
    config: "ConfigDict",
    *,
    tag_names: Mapping[str, Sequence[str]],
    feature_config: Mapping[str, Any],
    feature_version: int,
    path: str | Path,
    dtype: str = "float32",
    whitening: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes the network of `params` to `path`, whole or not at all.

    Batch normalisation is folded into kernels and biases with its running statistics. It directly
    follows its layer, before ReLU and maximum, so the network stays the same. That of the branches
    precedes 1 x 1 convolutions, directly or with a maximum in between, with which it commutes. That
    of the inputs' statistics, which are limited after it, is written as it is.

    Args:
      params, batch_stats: of `jaxsim.network.inception.Inception`; without any batch normalisation
        batch_stats may be empty.
      config: of the training, with `model`, `dimensions` and `features`.
      tag_names: per tag dimension, the names of its tags.
      feature_config: the fields of the data set's `input_pipeline.hearing.features.FeatureConfig`.
      feature_version: the `input_pipeline.hearing.features.FEATURE_VERSION` of the data set.
      path: ends in .safetensors for a file of that format (needs the extra safetensors), else it
        is an `.npz`. An existing file is replaced; the folder is created if it does not exist.
      dtype: of the parameters in the file: "float32", or "float16" for half the size.
      whitening: of `whitening.fit`, if the model whitens its sub-spaces.

    Raises:
      ValueError: the parameters are not those of this config's network or are not finite in this
        dtype, or config and feature_config contradict each other; or safetensors is missing.
    """
    metadata = _metadata(
        config, tag_names, feature_config, feature_version, path, whitened=whitening is not None
    )
    with np.errstate(over="ignore"):  # float16 overflows to infinity; the check below reports it
        arrays = {
            name: array.astype(dtype)
            for name, array in (
                parameters(params, batch_stats, config) | dict(whitening or {})
            ).items()
        }
    _write(metadata, arrays, Path(path))


def add_readings(path: str | Path, readings: Mapping[str, Prototypes], out: str | Path) -> None:
    """Writes the model of a file with these readings to `out`; its network stays bit by bit.

    Raises:
      FileNotFoundError, ValueError: as `model_format.read`; or the readings are not of this model.
    """
    metadata, arrays = model_format.stored(path)
    network = {name: array for name, array in arrays.items() if not name.startswith(PREFIX)}
    metadata |= {"format_version": max(4, metadata["format_version"])}
    metadata["readings"] = {dimension: list(one.names) for dimension, one in readings.items()}
    _write(metadata, network | readings_arrays(readings), Path(out))


def _write(metadata: dict[str, Any], arrays: Mapping[str, np.ndarray], path: Path) -> None:
    model_format.check(metadata, arrays, path)
    text = json.dumps(metadata, sort_keys=True)
    if path.suffix == safetensors_format.SUFFIX:
        content = _safetensors(text, arrays)
    stored = {model_format.METADATA: np.frombuffer(text.encode(), np.uint8), **arrays}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        if path.suffix == safetensors_format.SUFFIX:
            file.write(content)
        else:
            np.savez(file, allow_pickle=False, **stored)


def parameters(
    params: Mapping[str, Any], batch_stats: Mapping[str, Any], config: "ConfigDict"
) -> dict[str, np.ndarray]:
    """Float32 parameters by their path joined with "/", all batch normalisation folded.

    Raises:
      ValueError: a norm that this config needs is missing.
    """
    plan = plan_of(config.model)
    network = {name: layer for name, layer in params.items() if name != "classes"}
    arrays = {k: np.asarray(v, np.float32) for k, v in _flat(network).items()}
    statistics = _flat(batch_stats)
    layers = [name.removesuffix("/kernel") for name in arrays if name.endswith("/kernel")]
    if plan.norm == "batch":
        for layer in layers:
            if layer not in DENSE:
                scale, shift = (_norm(arrays, f"{layer}/norm/{name}") for name in ("scale", "bias"))
                _fold(arrays, statistics, layer, f"{layer}/norm", scale=scale, shift=shift)
        arrays = {name: array for name, array in arrays.items() if "/norm/" not in name}
    if plan.normalises_branches:
        _fold_branches(arrays, statistics, plan)
    if plan.statistics:
        for name in (f"{CENTRE}/mean", f"{CENTRE}/var"):
            arrays[name] = _norm(statistics, name).astype(np.float32)
    if plan.embedding_norm == "batch_layer":
        _fold_embedding(arrays, statistics, plan)
    return arrays


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of a tree of mappings by their path joined with "/"."""
    leaves: dict[str, Any] = {}
    for name, branch in tree.items():
        own = isinstance(branch, Mapping)
        leaves |= _flat(branch, f"{prefix}{name}/") if own else {prefix + name: branch}
    return leaves


def _fold(
    arrays: dict[str, np.ndarray],
    statistics: Mapping[str, Any],
    layer: str,
    norm: str,
    *,
    scale: Any = 1.0,
    shift: Any = 0.0,
) -> None:
    """Merges a layer, in `arrays`, with the batch normalisation that follows it."""
    mean, variance = (_norm(statistics, f"{norm}/{name}") for name in ("mean", "var"))
    factor = scale / np.sqrt(variance + BATCH_NORM_EPSILON)
    kernel, bias = arrays[f"{layer}/kernel"], arrays[f"{layer}/bias"]
    arrays[f"{layer}/kernel"] = (kernel * factor).astype(np.float32)
    arrays[f"{layer}/bias"] = ((bias - mean) * factor + shift).astype(np.float32)


def _fold_branches(
    arrays: dict[str, np.ndarray], statistics: Mapping[str, Any], plan: Plan
) -> None:
    """Turns 1 x 1 convolutions of normalised maps into convolutions of raw maps."""
    mean, variance = (
        np.concatenate([_norm(statistics, f"{kind}_centre/{name}") for kind in plan.inputs])
        for name in ("mean", "var")
    )
    block = plan.trunk()[0].name
    for layer in ("naive/point", "naive/deep_reduce", "reduction/reduce"):
        kernel, bias = arrays[f"{block}/{layer}/kernel"], arrays[f"{block}/{layer}/bias"]
        # The pooled map comes last in what the reduction reads.
        reads = slice(kernel.shape[2] - len(mean), None)
        scaled = kernel[:, :, reads] / np.sqrt(variance + BATCH_NORM_EPSILON)[:, None]
        arrays[f"{block}/{layer}/bias"] = (bias - mean @ scaled[0, 0]).astype(np.float32)
        kernel = kernel.copy()
        kernel[:, :, reads] = scaled
        arrays[f"{block}/{layer}/kernel"] = kernel


def _fold_embedding(
    arrays: dict[str, np.ndarray], statistics: Mapping[str, Any], plan: Plan
) -> None:
    """Merges the normalisation of the embedding with the dense layers whose sum it is."""
    _fold(arrays, statistics, "embedding", "embedding_centre")
    if plan.statistics:  # the mean is taken off the other layer
        factor = 1 / np.sqrt(_norm(statistics, "embedding_centre/var") + BATCH_NORM_EPSILON)
        for name in ("statistics/kernel", "statistics/bias"):
            arrays[name] = (arrays[name] * factor).astype(np.float32)


def _norm(arrays: Mapping[str, Any], name: str) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"batch normalisation: the network lacks {name}, which this config needs")
    return np.asarray(arrays[name], np.float64)


def _metadata(
    config: "ConfigDict",
    tag_names: Mapping[str, Sequence[str]],
    feature_config: Mapping[str, Any],
    feature_version: int,
    source: str | Path,
    *,
    whitened: bool,
) -> dict[str, Any]:
    """The metadata that `model_format` describes, as read back from JSON."""
    for name, extracted in feature_config.items():
        if config.features.get(name, extracted) != extracted:
            raise ValueError(
                f"{source}: config.features.{name} is {config.features[name]}, expected "
                f"{extracted} as in feature_config"
            )
    kind = config.features.get("tempogram", "autocorrelation")
    model = _described(config.model.to_dict())
    if whitened:
        model["whitened"] = len(config.dimensions)
    new = kind != "autocorrelation" or model.get("embedding_relu") or whitened
    metadata = {
        "format": model_format.FORMAT,
        "format_version": 5 if model.get("statistics") else 3 if new else 2,
        "jaxsim_version": jaxsim.__version__,
        "dimensions": list(config.dimensions),
        "tag_names": {name: list(tags) for name, tags in tag_names.items()},
        "model": model,
        "standardise": {name: list(pair) for name, pair in config.features.standardise.items()},
        "feature_config": dict(feature_config),
        "feature_version": feature_version,
        **({} if kind == "autocorrelation" else {"tempogram": kind}),
    }
    return json.loads(json.dumps(metadata))


def _described(model: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a model, as its file stores it."""
    model = model | {"statistics": tuple(model.get("statistics", ()))}
    described = {name: value for name, value in model.items() if PUBLISHED.get(name) != value}
    return described | {"embedding_norm": plan_of(model).folded().embedding_norm}


def _safetensors(metadata: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    extras.need("safetensors")
    import safetensors.numpy

    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return safetensors.numpy.save(contiguous, {model_format.METADATA: metadata})
