"""Inner products of queries with every vector of a library: one pass for all queries that wait.

The products are NumKong's: float16 times float16, summed in float32, without holding Python's lock.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numkong
import numpy as np

from jaxsim.library.search.together import Together

ROWS = 8192  # that a thread takes at once
THREADS = min(4, os.cpu_count() or 1)
LARGEST = 15  # the exponent of a query's largest number, so that the others are far from subnormal


def scan(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """float32 inner products [M] of every row of float16 [M, E] with a query [E].

    The query is rounded (`rounded`). Any number of threads may call it: what is asked while a pass
    over the matrix is under way is answered by the next one. Columns before and after those in
    which all queries of a pass are zero are not read.
    """
    blocks, column = _together(_Asked(vectors, query))
    if not blocks:
        return np.zeros(len(vectors), np.float32)
    result = np.concatenate([block[:, column] for block in blocks])
    return np.multiply(result, np.float32(2.0 ** -_shift(query)), out=result)


def rounded(query: np.ndarray) -> np.ndarray:
    """A query as `scan` takes it: to 11 binary digits, or 2^-39 of its largest number."""
    return np.ldexp(_scaled(query).astype(np.float64), -_shift(query))


def _scaled(query: np.ndarray) -> np.ndarray:
    return np.ldexp(query, _shift(query)).astype(np.float16)


def _shift(query: np.ndarray) -> int:
    return LARGEST - int(np.frexp(np.abs(query).max())[1])


class _Asked(NamedTuple):
    vectors: np.ndarray
    query: np.ndarray


class _Found(NamedTuple):
    blocks: list[np.ndarray]  # of inner products of all queries of a pass; none if all are zero
    column: int  # that answers one query


def _answer(asked: list[_Asked]) -> list[_Found]:
    queries: dict[int, list[np.ndarray]] = {}  # of every matrix
    columns = []
    for vectors, query in asked:
        alike = queries.setdefault(id(vectors), [])
        columns.append(len(alike))
        alike.append(_scaled(query))
    matrices = {id(vectors): vectors for vectors, _ in asked}
    found = {key: _pass(matrices[key], np.stack(alike)) for key, alike in queries.items()}
    return [_Found(found[id(a.vectors)], i) for a, i in zip(asked, columns, strict=True)]


_together = Together(_answer)


def _pass(vectors: np.ndarray, queries: np.ndarray) -> list[np.ndarray]:
    """float32 inner products [m, Q] of blocks of rows with float16 queries [Q, E]."""
    used = np.flatnonzero(queries.any(axis=0))
    if not len(used):
        return []
    columns = slice(used[0], used[-1] + 1)
    narrow = np.ascontiguousarray(queries[:, columns])
    packed = numkong.dots_pack(narrow, "float16")

    def block(start: int) -> np.ndarray:
        rows = vectors[start : start + ROWS, columns]
        if len(narrow) > 1:
            return np.asarray(numkong.dots_packed(rows, packed))
        return np.asarray(numkong.cdist(rows, narrow, "dot", out_dtype="float32"))  # is faster

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(block, range(0, len(vectors), ROWS)))
