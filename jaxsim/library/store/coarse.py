"""A matrix in eight bits, which the first pass of a search reads in place of its sixteen.

It takes half the memory, products of its numbers are exact, and how far it is from the matrix is
known, so that a search that ranks all promising rows by the matrix itself is as exact as without.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxsim.network import subspaces

if TYPE_CHECKING:
    from jaxsim.library.store.whole_numbers import WholeNumbers

LARGEST = 127  # of the numbers
ROWS = 8192  # that are rounded at once
PASS = 1 << 17  # rows that are multiplied at once; a million tracks are eight such parts


class Coarse(NamedTuple):
    """A matrix as whole numbers; a row is about `step` times its numbers.

    Attributes:
      numbers: [M, E].
      step: what 1 stands for.
      errors: float64 [S], the largest distance, over all rows, of a sub-space from what its numbers
        stand for.
    """

    numbers: "WholeNumbers"
    step: float
    errors: np.ndarray


def of(vectors: np.ndarray, dimensions: int) -> Coarse:
    """The coarse form of a matrix, float16 [M, E], of so many sub-spaces."""
    from jaxsim.library.store.whole_numbers import WholeNumbers  # only servers wait for its import

    # Without their signs, float16 are in the order of the same bits as whole numbers.
    most = [(vectors[part].view(np.uint16) & 0x7FFF).max() for part in _parts(len(vectors), ROWS)]
    largest = float(max(most, default=np.uint16(0)).view(np.float16))
    step = float(np.float32(largest / LARGEST or 1.0))
    whole, errors = WholeNumbers(), np.zeros(dimensions)
    for part in _parts(len(vectors), PASS):
        numbers = np.empty(vectors[part].shape, np.int8)
        for rows in _parts(len(numbers), ROWS):
            exact = np.asarray(vectors[part][rows], np.float32)
            numbers[rows] = np.rint(exact * np.float32(1 / step)).clip(-LARGEST, LARGEST)
            rest = exact - np.float32(step) * numbers[rows]
            squares = subspaces.split(np.square(rest), dimensions).sum(axis=2)
            errors = np.maximum(errors, np.sqrt(squares.max(axis=0)))
        whole.append(numbers)
    return Coarse(whole, step, 1.001 * errors + 1e-6)  # and the rounding of `rest`


def _parts(size: int, rows: int) -> list[slice]:
    return [slice(start, start + rows) for start in range(0, size, rows)]
