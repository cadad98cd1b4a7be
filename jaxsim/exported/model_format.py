"""The file of an exported network: what is in it, and how it is read and checked. NumPy alone.

An `.npz` archive without pickles, or a safetensors file. The archive's array `metadata` (uint8),
or the text of that name in the safetensors header, is UTF-8 JSON:

  format, format_version: "jaxsim-model"; and 2, or 3 to 5 if the model has what is marked so below.
  jaxsim_version: of the exporting program.
  dimensions: names of the similarity dimensions; each owns an equal slice of the embedding.
  tag_names: per tag dimension, the names of its tags.
  model: config of the model: the fields of `jaxsim.network.plan.Plan` and how it was trained;
    blocks and branch_blocks are absent where they equal the papers', and embedding_relu (3),
    whitened (3) and statistics (5) where they are false, 0 or empty.
  standardise: per input, mean and deviation of its z-scoring.
  feature_config, feature_version: how the features that the model takes are extracted.
  tempogram (3): "cyclic" if the tempogram's rows are tempi within an octave; else absent.
  readings (4): per dimension that can be read from an embedding, the names that are read.

For each of these dimensions there are arrays "readings/<dimension>/prototypes" [C, D], "slope" and
"offset" [C]; see `jaxsim.exported.readings`. Every other array is a parameter, named by its path in
the network (see `expected_shapes`): float32, or float16 for half the size. Both become float32 when
read.
Batch normalisation is folded into the kernels and biases around it: `model.norm` and
`model.branch_norm` say only how the network was trained, and an `embedding_norm` "batch_layer" has
become "layer". That of statistics alone is kept, as "statistics_centre/mean" and "var", because
they are limited before their layer.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxsim.exported import archives, readings, safetensors_format, whitening
from jaxsim.network.plan import (
    CENTRE,
    CHROMA_ROWS,
    EMBEDDING_NORMS,
    INPUTS,
    MAX_BLOCKS,
    MAX_WIDTH,
    PUBLISHED_DEPTH,
    Plan,
    plan_of,
)

FORMAT = "jaxsim-model"
FORMAT_VERSIONS = (
    2,
    3,
    4,
    5,
)  # Raise it whenever the metadata, the array names or the network change.
METADATA = "metadata"

TEMPOGRAMS = ("autocorrelation", "cyclic")
DTYPES = ("float32", "float16")  # of parameters in a file
MAX_SIZE, MAX_NUMBER = 10**6, 1e9  # far above any real network's

_FIELDS: dict[str, tuple[type, ...]] = {
    "dimensions": (list,),
    "tag_names": (dict,),
    "feature_version": (int,),
    "feature_config": (dict,),
    "feature_config.segment_frames": (int,),
    "feature_config.n_mels": (int,),
    "feature_config.n_chroma": (int,),
    "feature_config.tempogram_window": (int,),
    "standardise": (dict,),
    "model": (dict,),
    "model.inputs": (list,),
    "model.embedding_size": (int,),
    "model.width": (int, float),
    "model.trunk_width": (int, float),
    "model.embedding_norm": (str,),
}


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Reads and checks a file; executes nothing in it.

    Returns:
      The metadata, and the parameters and the arrays of readings by name, all in float32.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not an export, has another format version, is damaged, or has missing,
        extra, misshapen or non-finite arrays; the message names the file and the field.
    """
    metadata, arrays = stored(path)
    return metadata, check(metadata, arrays, path)


def stored(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The metadata and the arrays of a file as they are stored; raises as `read` does."""
    try:
        if safetensors_format.is_one(path):
            texts, arrays = safetensors_format.read(path)
            metadata = _parsed(texts.get(METADATA, "null"), path)
            return metadata, {name: arrays[name] for name in check(metadata, arrays, path)}
        with archives.opened(path, "a jaxsim export") as file:
            if METADATA not in file.files:
                raise ValueError(f"{path}: not a jaxsim export (it has no array {METADATA!r})")
            metadata = _parsed(_read_array(file, METADATA, ("uint8",), path).tobytes(), path)
            return metadata, {name: file[name] for name in check(metadata, file, path)}
    except RecursionError:
        raise ValueError(f"{path}: {METADATA} is nested too deeply") from None


def _parsed(text: str | bytes, path: str | Path) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: {METADATA} is not JSON ({error})") from None


def check(metadata: Any, arrays: Mapping[str, Any], source: str | Path) -> dict[str, np.ndarray]:
    """Returns the parameters, in the network's order, and readings, if everything is valid.

    Args:
      metadata: as described above.
      arrays: the parameters by name; an entry "metadata" is ignored.
      source: where they come from, for the messages.

    Raises:
      ValueError: see `read`.
    """
    _check_metadata(metadata, source)
    expected = expected_shapes(metadata) | reading_shapes(metadata)
    found = set(arrays) - {METADATA}
    for problem, names in (("lacks", set(expected) - found), ("has extra", found - set(expected))):
        if names:
            raise ValueError(f"{source}: {problem} arrays: {len(names)}, first {min(names)!r}")
    parameters = {
        name: _read_array(arrays, name, DTYPES, source).astype(np.float32, copy=False)
        for name in expected
    }
    for name, array in parameters.items():
        if array.shape != expected[name]:
            raise ValueError(f"{source}: {name} has shape {array.shape}, expected {expected[name]}")
        if not np.isfinite(array).all():
            raise ValueError(f"{source}: {name} has values that are not finite")
        if name == f"{CENTRE}/var" and array.min() < 0:
            raise ValueError(f"{source}: {name} has {array.min()}, expected at least 0")
    return parameters


def _read_array(
    arrays: Mapping[str, Any], name: str, dtypes: tuple[str, ...], source: str | Path
) -> np.ndarray:
    array = archives.array(arrays, name, source)
    if array.dtype not in dtypes:
        raise ValueError(f"{source}: {name} is {array.dtype}, expected {' or '.join(dtypes)}")
    return array


def _check_metadata(metadata: Any, source: str | Path) -> None:
    """Raises ValueError unless every field that the network needs is present and valid."""
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError(f"{source}: not a jaxsim export (format is not {FORMAT!r})")
    if metadata.get("format_version") not in FORMAT_VERSIONS:
        raise ValueError(
            f"{source}: format_version is {metadata.get('format_version')}, expected "
            f"{' or '.join(map(str, FORMAT_VERSIONS))}; export the model again, or install the "
            "jaxsim that wrote it"
        )
    for field, kinds in _FIELDS.items():
        value: Any = metadata
        for part in field.split("."):
            value = value.get(part)
        if not isinstance(value, kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"{source}: {field} is {value!r}, expected {names}")
    for field, value, expected, right in _conditions(metadata):
        if not right:
            raise ValueError(f"{source}: {field} is {value!r}, expected {expected}")


def _conditions(metadata: dict[str, Any]) -> Iterator[tuple[str, Any, str, bool]]:
    """Field, value, what is expected, whether it holds; each may rely on those before it."""
    model, dimensions = metadata["model"], metadata["dimensions"]
    yield "dimensions", dimensions, "at least one name", _are_names(dimensions)
    for name, tags in metadata["tag_names"].items():
        yield f"tag_names.{name}", tags, "names", tags == [] or _are_names(tags)
    inputs, known = model["inputs"], list(INPUTS)
    different = len(set(map(str, inputs))) == len(inputs) > 0
    yield "model.inputs", inputs, f"some of {known}", different and all(i in known for i in inputs)
    size, count = model["embedding_size"], len(dimensions)
    multiple = f"a positive multiple of {count} (the number of dimensions)"
    right = 0 < size < MAX_SIZE and size % count == 0
    yield "model.embedding_size", size, multiple, right
    for field in ("width", "trunk_width"):
        width = model[field]
        yield f"model.{field}", width, "a positive number", 0 < width < MAX_WIDTH
    yield from _depth_conditions(model)
    relu = model.get("embedding_relu", False)
    yield "model.embedding_relu", relu, "true or false", isinstance(relu, bool)
    whitened = model.get("whitened", 0)
    yield "model.whitened", whitened, f"0 or {count}", whitened in (0, count)
    read = model.get("statistics", [])
    right = isinstance(read, list) and all(kind in inputs for kind in read)
    right = right and len(set(read)) == len(read)
    yield "model.statistics", read, f"some of {inputs}, each at most once", right
    norm, norms = model["embedding_norm"], tuple(dict.fromkeys(EMBEDDING_NORMS.values()))
    yield "model.embedding_norm", norm, f"one of {norms}", norm in norms
    for kind in inputs:
        pair = metadata["standardise"].get(kind)
        right = isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair))
        yield f"standardise.{kind}", pair, "a mean and a positive deviation", right and pair[1] > 0
    rows = metadata["feature_config"]["n_chroma"]
    yield "feature_config.n_chroma", rows, f"1 to {CHROMA_ROWS}", 1 <= rows <= CHROMA_ROWS
    yield from _tempogram_conditions(metadata)
    yield from _reading_conditions(metadata)
    plan, images = _plan(metadata), image_sizes(metadata["feature_config"])
    sizes = {kind: plan.branch_map(kind, images[kind]) for kind in inputs}
    right = len(set(sizes.values())) == 1 and min(sizes[inputs[0]]) > 0
    yield "feature_config", sizes, "maps of equal size at the end of the inputs' blocks", right


def _tempogram_conditions(metadata: dict[str, Any]) -> Iterator[tuple[str, Any, str, bool]]:
    kind = metadata.get("tempogram", "autocorrelation")
    yield "tempogram", kind, f"one of {TEMPOGRAMS}", kind in TEMPOGRAMS
    if kind == "cyclic":
        for field in ("sample_rate", "hop_length"):
            value = metadata["feature_config"].get(field)
            right = _is_number(value) and value > 0
            yield f"feature_config.{field}", value, "a positive number", right


def _reading_conditions(metadata: dict[str, Any]) -> Iterator[tuple[str, Any, str, bool]]:
    found = metadata.get("readings", {})
    yield "readings", found, "names by dimension", isinstance(found, dict)
    for dimension, names in found.items():
        known = dimension in metadata["dimensions"]
        yield "readings", dimension, f"one of {metadata['dimensions']}", known
        right = _are_names(names) and len(set(names)) == len(names) < MAX_SIZE
        yield f"readings.{dimension}", names, "different names", right
    if "tempo" in found:
        tempi = list(readings.TEMPI)
        yield "readings.tempo", found["tempo"], f"{tempi}", found["tempo"] == tempi


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < MAX_NUMBER


def _depth_conditions(model: dict[str, Any]) -> Iterator[tuple[str, Any, str, bool]]:
    depth = PUBLISHED_DEPTH | {name: model[name] for name in PUBLISHED_DEPTH if name in model}
    yield _count("branch_blocks", depth["branch_blocks"], 1)
    # Several inputs meet in at least one block.
    least = depth["branch_blocks"] + 1 if len(model["inputs"]) > 1 else 1
    yield _count("blocks", depth["blocks"], least)


def _count(field: str, value: Any, least: int) -> tuple[str, Any, str, bool]:
    right = isinstance(value, int) and least <= value <= MAX_BLOCKS
    return f"model.{field}", value, f"a number from {least} to {MAX_BLOCKS}", right


def _plan(metadata: dict[str, Any]) -> Plan:
    """The plan of the exported network, which has no batch normalisation."""
    return plan_of(metadata["model"]).folded()


def image_sizes(features: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """(bins, frames) of every input image, for the fields of a `FeatureConfig`."""
    bins = {
        "mel": features["n_mels"],
        "tempogram": features["tempogram_window"],
        "cens": CHROMA_ROWS,
    }
    return {kind: (bins[kind], features["segment_frames"]) for kind in bins}


def expected_shapes(metadata: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array in the network that this metadata describes."""
    plan = _plan(metadata)
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in plan.layers(image_sizes(metadata["feature_config"])):
        shapes |= {f"{layer.path}/kernel": layer.kernel, f"{layer.path}/bias": layer.kernel[-1:]}
    if plan.statistics:
        read = shapes["statistics/kernel"][:1]
        shapes |= {f"{CENTRE}/{name}": read for name in ("mean", "var")}
    if plan.embedding_norm == "layer":
        shapes |= {f"embedding_norm/{name}": (plan.embedding_size,) for name in ("scale", "bias")}
    if plan.whitened:
        size = plan.embedding_size // plan.whitened
        shapes |= {whitening.KERNEL: (plan.whitened, size, size)}
        shapes |= {whitening.BIAS: (plan.embedding_size,)}
    return shapes


def reading_shapes(metadata: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array of the readings that this metadata describes."""
    size = metadata["model"]["embedding_size"] // len(metadata["dimensions"])
    shapes: dict[str, tuple[int, ...]] = {}
    for dimension, names in metadata.get("readings", {}).items():
        count = len(names)
        sizes = {"prototypes": (count, size), "slope": (count,), "offset": (count,)}
        shapes |= {f"{readings.PREFIX}{dimension}/{part}": sizes[part] for part in readings.PARTS}
    return shapes
