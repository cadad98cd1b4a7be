"""Inner products of queries with every vector of a library: one pass for all queries that wait.

The products are NumKong's, float16 times float16, summed in float32 (`scan`), or, many times as
fast, those of whole numbers, summed exactly (`scan_coarse`). Python's lock is free meanwhile.
"""

import functools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numkong
import numpy as np

from jaxsim.library.search.steps import Steps, Stepwise
from jaxsim.library.search.together import Together
from jaxsim.library.store.coarse import LARGEST, Coarse

if TYPE_CHECKING:
    from jaxsim.library.store.whole_numbers import WholeNumbers

ROWS = 4096  # that a thread takes at once
THREADS = min(4, os.cpu_count() or 1)
LONGEST = 1.01  # of a sub-space, rounded to float16
EXPONENT = 15  # of a query's largest number, so that the others are far from subnormal


@Stepwise
def scan(vectors: np.ndarray, query: np.ndarray) -> Steps[np.ndarray]:
    """float32 inner products [M] of every row of float16 [M, E] with a query [E].

    The query is rounded (`rounded`). Any number of threads may call it: what is asked while a pass
    over the matrix is under way is answered by the next one. Columns before and after those in
    which all queries of a pass are zero are not read.
    """
    result = yield functools.partial(_together.ask, _Asked(vectors, _scaled(query)))
    return np.multiply(result, np.float32(2.0 ** -_shift(query)), out=result)


@Stepwise
def scan_coarse(coarse: Coarse, query: np.ndarray) -> Steps[tuple[np.ndarray, float]]:
    """Inner products like `scan`, and how far each can be from the true one.

    With x' and q' for what the numbers of a row and of the query stand for, x q - x' q' is
    x (q - q') + (x - x') q', and in each sub-space both are at most the product of the lengths.
    """
    step = float(np.abs(query).max()) / LARGEST or 1.0
    numbers = np.rint(query / step).clip(-LARGEST, LARGEST).astype(np.int8)
    products = yield functools.partial(_together.ask, _Asked(coarse.numbers, numbers))
    scale = np.float32(coarse.step * step)
    result = np.multiply(products, scale, dtype=np.float32, casting="unsafe")
    parts = (len(coarse.errors), -1)
    lengths = step * np.linalg.norm(numbers.reshape(parts).astype(np.float64), axis=1)
    lost = np.linalg.norm((query - step * numbers).reshape(parts), axis=1)
    bound = lost.sum() * LONGEST + coarse.errors @ lengths
    bound += lengths.sum() * LONGEST * 2.0**-21  # of what follows, in float32
    return result, float(bound) + 2.0**-149


def rounded(query: np.ndarray) -> np.ndarray:
    """A query as `scan` takes it: to 11 binary digits, or 2^-39 of its largest number."""
    return np.ldexp(_scaled(query).astype(np.float64), -_shift(query))


def _scaled(query: np.ndarray) -> np.ndarray:
    return np.ldexp(query, _shift(query)).astype(np.float16)


def _shift(query: np.ndarray) -> int:
    return EXPONENT - int(np.frexp(np.abs(query).max())[1])


class _Asked(NamedTuple):
    """A matrix [M, E] and a query [E], both of float16 or of whole numbers (int8)."""

    vectors: "np.ndarray | WholeNumbers"
    query: np.ndarray


def _answer(asked: list[_Asked]) -> list[np.ndarray]:
    answers: dict[int, np.ndarray] = {}
    for vectors in {id(each.vectors): each.vectors for each in asked}.values():
        alike = [i for i, each in enumerate(asked) if each.vectors is vectors]
        queries = np.stack([asked[i].query for i in alike])
        if isinstance(vectors, np.ndarray):
            found = _pass(vectors, queries)
        else:
            found = vectors.products(queries)
        answers.update(zip(alike, found, strict=True))
    return [answers[i] for i in range(len(asked))]


_together = Together(_answer, "scans")


def _pass(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """float32 inner products [Q, M] of every row with queries [Q, E], both float16."""
    result = np.zeros((len(queries), len(vectors)), np.float32)
    used = np.flatnonzero(queries.any(axis=0))
    if not len(used):
        return result
    columns = slice(used[0], used[-1] + 1)
    narrow = np.ascontiguousarray(queries[:, columns])
    packed = numkong.dots_pack(narrow, "float16")

    def blocks(starts: Iterator[int]) -> None:
        for start in starts:
            rows = slice(start, start + ROWS)
            if len(narrow) > 1:
                found = np.asarray(numkong.dots_packed(vectors[rows, columns], packed))
            else:  # is faster for one
                found = np.asarray(
                    numkong.cdist(vectors[rows, columns], narrow, "dot", out_dtype="float32")
                )
            result[:, rows] = found.T

    starts = iter(range(0, len(vectors), ROWS))  # all threads take from it, this one as well
    others = [_helpers().submit(blocks, starts) for _ in range(THREADS - 1)]
    blocks(starts)
    for other in others:
        if not other.cancel():  # it has begun, and may not have ended
            other.result()
    return result


@functools.cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(THREADS - 1, 1), thread_name_prefix="scan")
