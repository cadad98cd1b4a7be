"""The file of an exported network: what is in it, and how it is read and checked. NumPy alone.

An `.npz` archive without pickles, or a safetensors file. The archive's array `metadata` (uint8),
or the text of that name in the header of the other, is UTF-8 JSON:

  format, format_version: "jaxsim-model" and 2.
  jaxsim_version: of the exporting program.
  dimensions: names of the similarity dimensions; each owns an equal slice of the embedding.
  tag_names: per tag dimension, the names of its tags.
  model: config of the model: inputs, embedding_size, width, trunk_width, norm,
    branch_norm, embedding_norm, dtype.
  standardise: per input, mean and deviation of its z-scoring.
  feature_config, feature_version: how the features that it takes are extracted.

Every other array is a parameter under its path in the network (see `expected_shapes`), float32, or
float16 for half the size; either is float32 once read.
All batch normalisation is folded into the kernels and biases around it: `model.norm` and
`model.branch_norm` say only how the network was trained, and an `embedding_norm` "batch_layer" has
become "layer".
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxsim import archives, safetensors_format

FORMAT = "jaxsim-model"
FORMAT_VERSION = 2  # Raise it whenever the metadata, the array names or the network change.
METADATA = "metadata"

# Per input, (bins, frames): strides of the stem's convolution; reduction by the stem's pooling and
# by each block before the inputs meet.
STEM_STRIDES = {"mel": (1, 1), "tempogram": (3, 1), "cens": (1, 1)}
REDUCTION = {"mel": (2, 2), "tempogram": (2, 2), "cens": (1, 2)}
CHROMA_ROWS = 16
DTYPES = ("float32", "float16")  # of parameters in a file
BRANCH_BLOCKS = 2
BLOCKS = 6
EMBEDDING_NORMS = ("layer", "none")
MAX_WIDTH, MAX_SIZE, MAX_NUMBER = 1000, 10**6, 1e9  # far above what any network has

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
    """Reads and checks a file; executes nothing that it says.

    Returns:
      The metadata and the parameters by name.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no export, is of another format version, is damaged, or has missing, extra,
        misshapen or non-finite arrays; the message names the file and the field.
    """
    try:
        if safetensors_format.is_one(path):
            texts, arrays = safetensors_format.read(path)
            metadata = _parsed(texts.get(METADATA, "null"), path)
            return metadata, check(metadata, arrays, path)
        with archives.opened(path, "a jaxsim export") as file:
            if METADATA not in file.files:
                raise ValueError(f"{path}: not a jaxsim export (it has no array {METADATA!r})")
            metadata = _parsed(_read_array(file, METADATA, ("uint8",), path).tobytes(), path)
            return metadata, check(metadata, file, path)
    except RecursionError:
        raise ValueError(f"{path}: {METADATA} is nested too deeply") from None


def _parsed(text: str | bytes, path: str | Path) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: {METADATA} is not JSON ({error})") from None


def check(metadata: Any, arrays: Mapping[str, Any], source: str | Path) -> dict[str, np.ndarray]:
    """Returns the parameters, in the network's order, if all is as it must be.

    Args:
      metadata: as above.
      arrays: the parameters by name; an entry "metadata" is ignored.
      source: where they come from, for the messages.

    Raises:
      ValueError: see `read`.
    """
    _check_metadata(metadata, source)
    expected = expected_shapes(metadata)
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
    return parameters


def _read_array(
    arrays: Mapping[str, Any], name: str, dtypes: tuple[str, ...], source: str | Path
) -> np.ndarray:
    array = archives.array(arrays, name, source)
    if array.dtype not in dtypes:
        raise ValueError(f"{source}: {name} is {array.dtype}, expected {' or '.join(dtypes)}")
    return array


def _check_metadata(metadata: Any, source: str | Path) -> None:
    """Raises ValueError unless every field that the network needs is there and makes sense."""
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError(f"{source}: not a jaxsim export (format is not {FORMAT!r})")
    if metadata.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{source}: format_version is {metadata.get('format_version')}, expected "
            f"{FORMAT_VERSION}; export the model again, or install the jaxsim that wrote it"
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
    """Field, value, what is expected of it, whether it is so; each may rely on those before it."""
    model, dimensions = metadata["model"], metadata["dimensions"]
    yield "dimensions", dimensions, "at least one name", _are_names(dimensions)
    for name, tags in metadata["tag_names"].items():
        yield f"tag_names.{name}", tags, "names", tags == [] or _are_names(tags)
    inputs, known = model["inputs"], list(REDUCTION)
    different = len(set(map(str, inputs))) == len(inputs) > 0
    yield "model.inputs", inputs, f"some of {known}", different and all(i in known for i in inputs)
    size, count = model["embedding_size"], len(dimensions)
    multiple = f"a positive multiple of {count} (the number of dimensions)"
    right = 0 < size < MAX_SIZE and size % count == 0
    yield "model.embedding_size", size, multiple, right
    for field in ("width", "trunk_width"):
        width = model[field]
        yield f"model.{field}", width, "a positive number", 0 < width < MAX_WIDTH
    norm = model["embedding_norm"]
    yield "model.embedding_norm", norm, f"one of {EMBEDDING_NORMS}", norm in EMBEDDING_NORMS
    for kind in inputs:
        pair = metadata["standardise"].get(kind)
        right = isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair))
        yield f"standardise.{kind}", pair, "a mean and a positive deviation", right and pair[1] > 0
    rows = metadata["feature_config"]["n_chroma"]
    yield "feature_config.n_chroma", rows, f"1 to {CHROMA_ROWS}", 1 <= rows <= CHROMA_ROWS
    sizes = {kind: map_size(metadata, kind) for kind in inputs}
    right = len(set(sizes.values())) == 1 and min(sizes[inputs[0]]) > 0
    yield "feature_config", sizes, "maps of one size at the end of the inputs' blocks", right


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < MAX_NUMBER


def own_blocks(inputs: list[str]) -> int:
    """Number of blocks that each input has for itself, before they meet."""
    return BLOCKS if len(inputs) == 1 else BRANCH_BLOCKS


def map_size(metadata: dict[str, Any], kind: str) -> tuple[int, int]:
    """(bins, frames) of the map at the end of an input's own blocks."""
    features = metadata["feature_config"]
    bins = {
        "mel": features["n_mels"],
        "tempogram": features["tempogram_window"],
        "cens": CHROMA_ROWS,
    }

    def reduced(length: int, axis: int) -> int:
        factor = REDUCTION[kind][axis]
        length = -(-length // STEM_STRIDES[kind][axis]) // factor
        for _ in range(own_blocks(metadata["model"]["inputs"])):
            length = -(-length // factor)
        return length

    return reduced(bins[kind], 0), reduced(features["segment_frames"], 1)


def expected_shapes(metadata: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array that the network of this metadata has."""
    model = metadata["model"]
    inputs, embedding = model["inputs"], model["embedding_size"]
    widths = [block_width(i, model["width"], model["trunk_width"]) for i in range(BLOCKS)]
    own = own_blocks(inputs)
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 0
    for kind in inputs:
        branch = scaled(64, model["width"])
        shapes |= _convolution_shapes(f"{kind}_stem", 5, 1, branch)
        for i in range(own):
            branch = _add_block_shapes(shapes, f"{kind}_block_{i + 1}", branch, widths[i])
        channels += branch
    bins, frames = map_size(metadata, inputs[0])
    for i in range(own, BLOCKS):
        channels = _add_block_shapes(shapes, f"block_{i + 1}", channels, widths[i])
        bins, frames = -(-bins // 2), -(-frames // 2)
    shapes["embedding/kernel"] = (bins * frames * channels, embedding)
    shapes["embedding/bias"] = (embedding,)
    if model["embedding_norm"] == "layer":
        shapes |= {f"embedding_norm/{name}": (embedding,) for name in ("scale", "bias")}
    return shapes


def scaled(channels: int, width: float) -> int:
    """Number of channels at a width; at least one."""
    return max(1, round(channels * width))


def block_width(number: int, width: float, trunk_width: float) -> float:
    """The width of block `number` (0 = first): the trunk begins where several inputs meet."""
    return width if number < BRANCH_BLOCKS else width * trunk_width


def reduce_channels(width: float) -> list[int]:
    """Channels of the 1 x 1 convolutions side by side in `reduce`: point, wide, deep, pooled."""
    return [scaled(channels, width) for channels in (64, 48, 64, 32)]


def _convolution_shapes(
    name: str, size: int, inputs: int, outputs: int
) -> dict[str, tuple[int, ...]]:
    return {f"{name}/kernel": (size, size, inputs, outputs), f"{name}/bias": (outputs,)}


def _add_block_shapes(
    shapes: dict[str, tuple[int, ...]], name: str, channels: int, width: float
) -> int:
    """Adds the arrays of a block that reads `channels`; returns how many it gives."""
    c48, c64, c96 = (scaled(size, width) for size in (48, 64, 96))
    point, wide, deep, pooled = reduce_channels(width)
    for path, size, inputs, outputs in (
        ("naive/point", 1, channels, c48),
        ("naive/deep_reduce", 1, channels, c64),
        ("naive/deep_1", 3, c64, c96),
        ("naive/deep_2", 3, c96, c96),
        ("reduction/reduce", 1, c48 + c96 + channels, point + wide + deep + pooled),
        ("reduction/wide", 5, wide, c64),
        ("reduction/deep_1", 3, deep, c96),
        ("reduction/deep_2", 3, c96, c96),
    ):
        shapes |= _convolution_shapes(f"{name}/{path}", size, inputs, outputs)
    return point + c64 + c96 + pooled
