"""A matrix in eight bits, which the first pass of a search reads in place of its sixteen.

It takes half the memory, products of its numbers are exact, and how far it is from the matrix is
known, so that a search that ranks all promising rows by the matrix itself is as exact as without.
"""

from typing import NamedTuple

import numpy as np

from jaxsim.network import subspaces

LARGEST = 127  # of the numbers
ROWS = 8192  # that are rounded at once


class Coarse(NamedTuple):
    """A matrix as whole numbers; a row is about `step` times its numbers.

    Attributes:
      numbers: int8 [M, E].
      step: what 1 stands for.
      errors: float64 [S], the largest distance, over all rows, of a sub-space from what its numbers
        stand for.
    """

    numbers: np.ndarray
    step: float
    errors: np.ndarray


def of(vectors: np.ndarray, dimensions: int) -> Coarse:
    """The coarse form of a matrix, float16 [M, E], of so many sub-spaces."""
    parts = [slice(start, start + ROWS) for start in range(0, len(vectors), ROWS)]
    # Without their signs, float16 are in the order of the same bits as whole numbers.
    most = [(vectors[part].view(np.uint16) & 0x7FFF).max() for part in parts]
    largest = float(max(most, default=np.uint16(0)).view(np.float16))
    step = float(np.float32(largest / LARGEST or 1.0))
    numbers = np.empty(vectors.shape, np.int8)
    errors = np.zeros(dimensions)
    for part in parts:
        exact = np.asarray(vectors[part], np.float32)
        numbers[part] = np.rint(exact * np.float32(1 / step)).clip(-LARGEST, LARGEST)
        rest = exact - np.float32(step) * numbers[part]
        squares = subspaces.split(np.square(rest), dimensions).sum(axis=2)
        errors = np.maximum(errors, np.sqrt(squares.max(axis=0)))
    return Coarse(numbers, step, 1.001 * errors + 1e-6)  # and the rounding of `rest`
