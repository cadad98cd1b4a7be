"""The reader agrees with the format's own library, and refuses what does not fit together."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from jaxsim.exported import model_format, safetensors_format


def test_agrees_with_the_library(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays = {
        "a/kernel": random.normal(size=(3, 1, 4, 2)).astype(np.float32),
        "half": random.normal(size=(5, 3)).astype(np.float16),
        "one number": np.array(3, np.float32),
        "none": np.zeros((0, 7), np.float32),
        "b": random.normal(size=2).astype(np.float32),
    }
    texts = {"metadata": '{"é": 1}', "other": ""}
    path = tmp_path / "file.safetensors"
    safetensors.numpy.save_file(arrays, path, texts)
    metadata, found = safetensors_format.read(path)
    assert metadata == texts
    expected = safetensors.numpy.load_file(path)
    assert found.keys() == expected.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(expected[name], array, strict=True)
        np.testing.assert_array_equal(found[name], array, strict=True)
        assert found[name].flags.writeable


def header() -> dict[str, Any]:
    """Of two arrays: a [2, 3], of bytes 0 to 24, and b [2] in half the size, to 28."""
    return {
        "__metadata__": {"x": "y"},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "F16", "shape": [2], "data_offsets": [24, 28]},
    }


def write(path: Path, text: str, content: bytes = b"\1" * 28, length: int | None = None) -> Path:
    encoded = text.encode()
    length = len(encoded) if length is None else length
    path.write_bytes(length.to_bytes(8, "little") + encoded + content)
    return path


def changed(name: str, **fields: Any) -> str:
    entries = header()
    entries[name] |= fields
    return json.dumps(entries)


RIGHT = json.dumps(header())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b""), "not a safetensors file (a header of 0 bytes"),
        (lambda path: path.write_bytes(b"\2\0\0\0\0\0\0\0{"), "a header of 2 bytes in a file of 9"),
        (lambda path: write(path, RIGHT, length=2**63), "not a safetensors file (a header of 9223"),
        (lambda path: write(path, RIGHT[:-1]), "not a safetensors file (the header is not JSON"),
        (lambda path: write(path, "[" * 100_000), "not a safetensors file (the header is not JSON"),
        (lambda path: write(path, "[]", b""), "not a safetensors file (the header is not an obj"),
        (lambda path: write(path, RIGHT, b"\1" * 27), "has 27 bytes of arrays, expected 28"),
        (lambda path: write(path, RIGHT, b"\1" * 29), "has 29 bytes of arrays, expected 28"),
        (lambda path: write(path, changed("__metadata__", x=1)), "__metadata__ is {'x': 1}"),
        (lambda path: write(path, changed("a", dtype="I64")), "a is {'dtype': 'I64'"),
        (lambda path: write(path, changed("a", dtype=[])), "a is {'dtype': []"),
        (lambda path: write(path, changed("a", other=1)), "a is {'dtype': 'F32'"),
        (lambda path: write(path, changed("a", shape=[2, 2])), "a has 24 bytes, expected 16"),
        (lambda path: write(path, changed("a", shape=[-2, -3])), "a has shape [-2, -3]"),
        (lambda path: write(path, changed("a", shape=[True, 6])), "a has shape [True, 6]"),
        (lambda path: write(path, changed("a", shape=[2.0, 3])), "a has shape [2.0, 3]"),
        (lambda path: write(path, changed("a", shape=[0] * 99)), "a has shape [0, 0"),
        (lambda path: write(path, changed("a", data_offsets=[0])), "and data_offsets [0]"),
        (lambda path: write(path, changed("a", data_offsets=[24, 0])), "has -24 bytes, expected"),
        (lambda path: write(path, changed("b", data_offsets=[20, 24])), "b begins at byte 20, exp"),
        (lambda path: write(path, changed("b", data_offsets=[26, 30])), "b begins at byte 26, exp"),
    ],
)
def test_refuses(tmp_path: Path, make: Callable[[Path], Any], message: str) -> None:
    path = tmp_path / "file.safetensors"
    make(path)
    with pytest.raises(ValueError) as error:
        safetensors_format.read(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)
    assert len(str(error.value)) < 400 + len(str(path))


def test_a_right_file_is_read(tmp_path: Path) -> None:
    metadata, arrays = safetensors_format.read(write(tmp_path / "file.safetensors", RIGHT))
    assert metadata == {"x": "y"}
    assert {name: array.shape for name, array in arrays.items()} == {"a": (2, 3), "b": (2,)}


def test_of_something_else_it_is_no_model(tmp_path: Path) -> None:
    path = write(tmp_path / "file.safetensors", RIGHT)
    with pytest.raises(ValueError, match=r"file\.safetensors: not a jaxsim export \(format is not"):
        model_format.read(path)
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        model_format.read(tmp_path / "none.safetensors")
