"""Reads pickles of plain data, and nothing else.

A pickle can call whatever can be imported. This reader knows built-in containers, scalars, texts
and NumPy arrays of numbers and texts, and refuses a file that asks for anything more.
"""

import codecs
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np


def load(path: str | Path) -> Any:
    """Reads a pickle, of Python 2 or 3; texts of Python 2 are taken as Latin-1.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is no pickle, or asks for something that plain data never needs.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such pickle")
    try:
        with path.open("rb") as file:
            return _Unpickler(file, encoding="latin1").load()
    except Exception as error:  # a broken pickle can raise anything
        raise ValueError(f"{path}: no pickle of plain data: {error}") from None


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[_MODERN.get(module, module), name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused") from None


class _Type:
    """An element type as pickles make it: first its code, then its byte order."""

    def __init__(self, code: str, *_: Any):
        # Only plain types: others hold pointers, or fields that a file could place anywhere.
        if not re.fullmatch(r"[biufcSU]\d+", code):
            raise pickle.UnpicklingError(f"it has an array of type {code!r}, which is refused")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array as pickles make it: first an empty one, then its contents."""

    def __setstate__(self, state: tuple) -> None:
        version, shape, element, is_fortran, data = state
        if not isinstance(element, _Type):
            raise pickle.UnpicklingError("it has an array without a type")
        super().__setstate__((version, shape, element.dtype, is_fortran, data))


def _array(*_: Any) -> np.ndarray:
    return np.ndarray.__new__(_Array, (0,), np.int8)


def _scalar(element: _Type, data: str | bytes) -> Any:
    return np.frombuffer(_encode(data), element.dtype)[0]


def _from_buffer(
    data: bytes, element: _Type, shape: tuple[int, ...], order: Literal["C", "F"]
) -> np.ndarray:
    return np.frombuffer(data, element.dtype).reshape(shape, order=order)


def _encode(text: str | bytes, encoding: str = "latin1") -> bytes:
    if codecs.lookup(encoding).name != "iso8859-1":
        raise pickle.UnpicklingError(f"it has bytes in {encoding!r}, which is refused")
    return text.encode("latin1") if isinstance(text, str) else text


_MODERN = {
    "__builtin__": "builtins",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
}
_ALLOWED: dict[tuple[str, str], Callable | str] = {
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "complex"): complex,
    ("builtins", "bytes"): bytes,
    ("builtins", "bytearray"): bytearray,
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): "numpy.ndarray",  # `_array` is given it, and knows already
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
}
