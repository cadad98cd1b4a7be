"""Reads safetensors files with NumPy alone.

The format: the length of the header (8 bytes, little-endian), the header (JSON), then the arrays'
bytes without gaps. The header gives the dtype, shape and byte range of every array, and texts by
name under "__metadata__". https://github.com/huggingface/safetensors#format
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

SUFFIX = ".safetensors"
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
}  # that models use
MAX_HEADER = 100_000_000  # bytes, as in the format's own reader
FIELDS = {"dtype", "shape", "data_offsets"}


def is_one(path: str | Path) -> bool:
    """Whether a file looks like a safetensors file: its header is an object."""
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{"


def read(path: str | Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Reads the metadata and all arrays of a file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not a safetensors file, is shorter or longer than its header says, or has an
        array whose type is not in `DTYPES`; the message names the file and the array.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, MAX_HEADER):
            raise ValueError(
                f"{path}: not a safetensors file (a header of {length} bytes in a file of {size})"
            )
        header = file.read(length)
        content = file.read()
    try:
        entries = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: not a safetensors file (the header is not JSON: {error})"
        ) from None
    if not isinstance(entries, dict):
        raise ValueError(f"{path}: not a safetensors file (the header is not an object)")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
        raise ValueError(f"{path}: __metadata__ is {metadata!r:.100}, expected texts by name")
    spans = {name: _span(name, entry, path) for name, entry in entries.items()}
    end = 0
    for name, (first, last) in sorted(spans.items(), key=lambda item: item[1]):
        if first != end:
            raise ValueError(f"{path}: {name} begins at byte {first}, expected {end}")
        end = last
    if end != len(content):
        raise ValueError(f"{path}: has {len(content)} bytes of arrays, expected {end}")
    return metadata, {name: _array(entry, content) for name, entry in entries.items()}


def _span(name: str, entry: Any, path: str | Path) -> tuple[int, int]:
    """First byte of an array and the one after its last, checked against its shape."""
    if not isinstance(entry, dict) or set(entry) != FIELDS or entry["dtype"] not in [*DTYPES]:
        raise ValueError(
            f"{path}: {name} is {entry!r:.100}, expected dtype ({' or '.join(DTYPES)}), shape and "
            "data_offsets"
        )
    shape, span = entry["shape"], entry["data_offsets"]
    if not _are_sizes(shape) or not _are_sizes(span) or len(span) != 2:
        raise ValueError(f"{path}: {name} has shape {shape!r:.100} and data_offsets {span!r:.100}")
    expected = math.prod(shape) * DTYPES[entry["dtype"]].itemsize
    if span[1] - span[0] != expected:
        raise ValueError(f"{path}: {name} has {span[1] - span[0]} bytes, expected {expected}")
    return span[0], span[1]


def _are_sizes(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 32  # dimensions that any NumPy array can have
        and all(type(size) is int and 0 <= size < 2**48 for size in value)
    )


def _array(entry: dict[str, Any], content: bytes) -> np.ndarray:
    first, last = entry["data_offsets"]
    array = np.frombuffer(content[first:last], DTYPES[entry["dtype"]])
    return array.reshape(entry["shape"]).copy()
