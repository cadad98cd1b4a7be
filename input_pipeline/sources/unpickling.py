"""Reads pickles of plain data, and nothing else.

A pickle can call anything that can be imported. This reader knows built-in containers, scalars,
texts, and NumPy arrays of numbers and texts, and refuses a file that asks for anything else.
"""

import codecs
import io
import pickle
import re
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np


def load(path: str | Path) -> Any:
    """Reads a pickle from Python 2 or 3; texts from Python 2 are taken to be Latin-1.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is not a pickle, or asks for something that plain data never needs.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such pickle")
    try:
        return _Unpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except Exception as error:  # a broken pickle can raise anything
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path}: not a pickle of plain data: {reason}") from None


# Where on the stack an opcode finds the keys of a dictionary or the elements of a set.
_KEYS = {
    pickle.SETITEM: slice(-2, -1),
    pickle.SETITEMS: slice(None, None, 2),
    pickle.DICT: slice(None, None, 2),
    pickle.ADDITEMS: slice(None),
    pickle.FROZENSET: slice(None),
}


def _with_plain_keys(opcode: bytes) -> Callable[[Any], None]:
    load = pickle._Unpickler.dispatch[opcode[0]]

    def checked(unpickler: Any) -> None:
        _check_keys(unpickler.stack[_KEYS[opcode]])
        load(unpickler)

    return checked


def _check_keys(keys: Iterable[Any]) -> None:
    """Refuses containers: a short file of nested tuples can make keys that never finish hashing."""
    for key in keys:
        if isinstance(key, tuple | frozenset):
            raise pickle.UnpicklingError(f"it has a key of type {type(key).__name__}")


def _build(unpickler: Any) -> None:
    if not isinstance(unpickler.stack[-2], _Type | _Array):
        raise pickle.UnpicklingError("it sets attributes, which is refused")
    pickle._Unpickler.dispatch[pickle.BUILD[0]](unpickler)


def _bytearray8(unpickler: Any) -> None:
    (length,) = struct.unpack("<Q", unpickler.read(8))
    unpickler.append(bytearray(unpickler.read(length)))


class _Unpickler(pickle._Unpickler):
    """The unpickler written in Python: the one in C allocates as much memory as a file says."""

    dispatch: ClassVar = {
        **pickle._Unpickler.dispatch,
        **{key[0]: _with_plain_keys(key) for key in _KEYS},
        pickle.BUILD[0]: _build,
        pickle.BYTEARRAY8[0]: _bytearray8,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[_MODERN.get(module, module), name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused") from None


class _Type:
    """An element type as pickles build it: first its code, then its byte order."""

    def __init__(self, code: str, *_: Any):
        # Only plain types: others have pointers, or fields that a file could place anywhere.
        if not re.fullmatch(r"[biufcSU][1-9]\d*", code):
            raise pickle.UnpicklingError(f"it has an array of type {code!r}, which is refused")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array as pickles build it: first empty, then its contents."""

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
    return text.encode("latin1") if isinstance(text, str) else _bytes(text)


def _bytes(content: bytes | bytearray = b"") -> bytes:
    if not isinstance(content, bytes | bytearray):  # a number would be taken as a length
        raise pickle.UnpicklingError(f"it has bytes of type {type(content).__name__}")
    return bytes(content)


def _bytearray(content: str | bytes = b"", encoding: str = "latin1") -> bytearray:
    return bytearray(_encode(content, encoding))


def _set(items: Iterable[Any] = ()) -> set[Any]:
    items = list(items)
    _check_keys(items)
    return set(items)


def _frozenset(items: Iterable[Any] = ()) -> frozenset[Any]:
    return frozenset(_set(items))


_MODERN = {
    "__builtin__": "builtins",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
}
_ALLOWED: dict[tuple[str, str], Callable | str] = {
    ("builtins", "set"): _set,
    ("builtins", "frozenset"): _frozenset,
    ("builtins", "complex"): complex,
    ("builtins", "bytes"): _bytes,
    ("builtins", "bytearray"): _bytearray,
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): "numpy.ndarray",  # an argument to `_array`, which does not need it
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
}
