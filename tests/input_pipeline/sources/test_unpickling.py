"""Plain data are read, of Python 2 too; whatever could run code is refused by name."""

import datetime
import os
import pickle
import re

import numpy as np
import pytest

from input_pipeline.sources import unpickling

# Written by Python 2.7.18 with NumPy 1.16.6, protocols 0 and 2.
PYTHON_2_BOOLEANS = (
    b"(dp1\nS'TRAAA'\np2\ncnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\nt"
    b"S'b'\ntRp5\n(I1\n(I3\ntcnumpy\ndtype\np6\n(S'b1'\nI0\nI1\ntRp7\n(I3\nS'|'\nNNNI-1\nI-1\nI0\n"
    b"tbI00\nS'\\x01\\x00\\x01'\ntbs."
)
PYTHON_2_MIXED = (
    b"\x80\x02}q\x01(U\x01bcnumpy.core.multiarray\nscalar\nq\x02cnumpy\ndtype\nq\x03U\x02f8K\x00K"
    b"\x01\x87Rq\x04(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbU\x08\x00\x00\x00\x00"
    b"\x00\x00\xf8?\x86Rq\x05U\x05TRAAAq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\n"
    b"ndarray\nq\x08K\x00\x85U\x01b\x87Rq\t(K\x01K\x02\x85h\x04\x89U\x10\x00\x00\x00\x00\x00\x00"
    b"\xf0?\x00\x00\x00\x00\x00\x00\x00\x00tbU\x01nNU\x01sU\x01\xe9U\x01uX\x02\x00\x00\x00\xc3"
    b"\xa9U\x01tK\x01K\x02\x86q\nu."
)


def load(tmp_path, content: bytes):
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    return unpickling.load(path)


def test_python_2(tmp_path):
    found = load(tmp_path, PYTHON_2_BOOLEANS)
    np.testing.assert_array_equal(found.pop("TRAAA"), [True, False, True], strict=True)
    assert found == {}
    found = load(tmp_path, PYTHON_2_MIXED)
    np.testing.assert_array_equal(found.pop("TRAAA"), [1.0, 0.0])
    assert found == {"b": 1.5, "n": None, "s": "\u00e9", "u": "\u00e9", "t": (1, 2)}


@pytest.mark.parametrize("protocol", range(6))
def test_python_3(tmp_path, protocol):
    plain = {"a": [1, 2.5, None, True, "\u00e9", b"\xff\0", (1j, {3}, frozenset("x"))]}
    arrays = [
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(3, 2)),
        np.array(["a", "b\u00e9"]),
        np.zeros((0, 50), bool),
    ]
    found, *found_arrays = load(tmp_path, pickle.dumps([plain, *arrays], protocol))
    assert found == plain
    for array, expected in zip(found_arrays, arrays, strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype.kind == expected.dtype.kind


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"cos\nsystem\n(S'touch ran'\ntR.", "it asks for os.system, which is refused"),
        (pickle.dumps(Call(os.system, "touch ran")), "it asks for posix.system, which is refused"),
        (pickle.dumps(Call(eval, "1")), "it asks for builtins.eval, which is refused"),
        (pickle.dumps(Call(getattr, [], "pop")), "it asks for builtins.getattr, which is refused"),
        (pickle.dumps(datetime.date(2000, 1, 1)), "asks for datetime.date, which is refused"),
        (pickle.dumps(np.array([None, {}])), "it has an array of type 'O8', which is refused"),
        (pickle.dumps(np.zeros(2, "i4,i4")), "it has an array of type 'V8', which is refused"),
        (b"c_codecs\nencode\n(S'a'\nS'zlib'\ntR.", "it has bytes in 'zlib', which is refused"),
        (b"cbuiltins\nbytearray\n(I999999999999\ntR.", "it has bytes of type int"),
        (b"\x80\x05\x96" + b"\xff\xff\xff\xff\xff\0\0\0.", "EOFError"),  # a bytearray
        (b"\x80\x02Nr\xff\xff\xff\x7f", "EOFError"),  # a place in the memory of 2 ** 31
        (b"(d)" + b"2\x86" * 60 + b"Ns.", "it has a key of type tuple"),  # of 2 ** 60 elements
        (b"cbuiltins\nset\n(()" + b"2\x86" * 60 + b"ltR.", "it has a key of type tuple"),
        (b"c_codecs\nencode\n}S'a'\nNsb.", "it sets attributes, which is refused"),
        (pickle.dumps(Call(complex, ())), "not a pickle of plain data"),
        (b"", "EOFError"),
        (b"TRAADIN128F931D672\n", "not a pickle of plain data"),
    ],
)
def test_everything_else_is_refused(tmp_path, monkeypatch, content, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(reason)) as error:
        load(tmp_path, content)
    assert str(error.value).startswith(f"{tmp_path / 'a.pkl'}: not a pickle of plain data: ")
    assert os.listdir(tmp_path) == ["a.pkl"]


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pkl: no such pickle"):
        unpickling.load(tmp_path / "none.pkl")
