"""Products of whole numbers are exact, whatever the numbers, on this machine's processors."""

import numpy as np
import pytest

from jaxsim.library.store import whole_numbers
from jaxsim.library.store.whole_numbers import WholeNumbers

SIZE = 384


def filled(*parts: np.ndarray) -> WholeNumbers:
    whole = WholeNumbers()
    for part in parts:
        whole.append(part)
    return whole


def numbers(kind: str, rows: int) -> np.ndarray:
    """int8 [rows, 384]."""
    if kind == "random":
        random = np.random.default_rng(rows)
        return random.integers(-127, 128, (rows, SIZE), dtype=np.int8)
    sign = {"largest": 1, "smallest": -1}[kind]
    return np.full((rows, SIZE), sign * 127, np.int8)


def exact(vectors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return vectors.astype(np.int64) @ matrix.astype(np.int64).T


@pytest.mark.parametrize("count", [1, 3, 16, 40])
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_products_are_exact(rows: int, count: int) -> None:
    for first in ("random", "largest", "smallest"):
        for second in ("random", "largest", "smallest"):
            matrix, vectors = numbers(first, rows), numbers(second, count)
            found = filled(matrix).products(vectors)
            np.testing.assert_array_equal(found, exact(vectors, matrix))


def test_parts_follow_each_other() -> None:
    parts = [numbers("random", rows) for rows in (5, 1, 300)]
    vectors = numbers("random", 4)
    expected = exact(vectors, np.concatenate(parts))
    np.testing.assert_array_equal(filled(*parts).products(vectors), expected)
    assert filled().products(vectors).shape == (4, 0)


def test_it_does_not_keep_what_it_was_given() -> None:
    part = numbers("random", 50)
    whole, before = filled(part), part.copy()
    part[:] = 0
    vectors = numbers("random", 2)
    np.testing.assert_array_equal(whole.products(vectors), exact(vectors, before))


def test_a_processor_that_saturates_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole_numbers._precision.cache_clear()
    own = whole_numbers._precision()
    assert own in ("0", "1")

    def saturated(session: object, vectors: np.ndarray) -> np.ndarray:
        """What AVX2 makes of the largest numbers: pairs of products end at 32,767."""
        return np.full((len(vectors), 64), 32 * 32767 - 128 * 64 * 127, np.int32)

    with monkeypatch.context() as patched:
        patched.setattr(whole_numbers, "_multiply", saturated)
        whole_numbers._precision.cache_clear()
        assert whole_numbers._precision() == "1"
    whole_numbers._precision.cache_clear()
    vectors, matrix = numbers("largest", 3), numbers("largest", 64)
    session = whole_numbers._session(matrix, "1")
    found = whole_numbers._multiply(session, vectors)
    np.testing.assert_array_equal(found, exact(vectors, matrix))
