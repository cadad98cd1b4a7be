"""The factorial design: which factor levels each rendering gets, and their independence.

The deal depends only on counts and a seed, never on the music, so that a rendering's levels reveal
nothing about its piece.
"""

import itertools
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

Cell = tuple[str, str]  # genre, split


def deal(
    pieces: Mapping[Cell, int], levels: Mapping[str, int], *, renderings: int, seed: int
) -> dict[Cell, np.ndarray]:
    """Deals the levels of every factor by minimisation (Pocock and Simon 1975).

    Renderings are served one after another. For each factor in turn, a rendering takes the level
    that is rarest so far: first in its genre and split, then in its piece, then in combination with
    the levels it already has (counted over its split); ties are broken at random.

    Args:
      pieces: number of pieces per genre and split.
      levels: number of levels per factor.
      renderings: number of renderings of each piece.
      seed: of the draws.

    Returns:
      Level numbers [pieces, renderings, factors] per genre and split.
    """
    generator = np.random.default_rng(seed)
    factors = list(levels)
    together = {
        (split, one, other): np.zeros((levels[one], levels[other]), int)
        for split in {split for _, split in pieces}
        for one, other in itertools.combinations(factors, 2)
    }
    hands = {}
    for (genre, split), count in pieces.items():
        hand = np.zeros((count, renderings, len(factors)), int)
        in_cell = {factor: np.zeros(levels[factor], int) for factor in factors}
        for piece in range(count):
            in_piece = {factor: np.zeros(levels[factor], int) for factor in factors}
            for rendering in range(renderings):
                given: dict[str, int] = {}
                for factor in factors:
                    pairs = np.zeros(levels[factor], int)
                    for other, level in given.items():
                        pairs += together[split, other, factor][level]
                    draw = generator.random(levels[factor])
                    order = np.lexsort((draw, pairs, in_piece[factor], in_cell[factor]))
                    given[factor] = int(order[0])
                _count(given, in_cell, in_piece)
                for one, other in itertools.combinations(factors, 2):
                    together[split, one, other][given[one], given[other]] += 1
                hand[piece, rendering] = list(given.values())
        hands[genre, split] = hand
    return hands


def _count(given: Mapping[str, int], *tallies: Mapping[str, np.ndarray]) -> None:
    for tally in tallies:
        for factor, level in given.items():
            tally[factor][level] += 1


def split_sizes(count: int, fractions: Sequence[float]) -> list[int]:
    """Divides `count` pieces by `fractions`; no part is empty if there are enough pieces."""
    bounds = np.round(np.cumsum(fractions) / np.sum(fractions) * count).astype(int)
    sizes = np.diff(bounds, prepend=0)
    while sizes.min() == 0 and sizes.max() > 1:
        sizes[sizes.argmax()] -= 1
        sizes[sizes.argmin()] += 1
    return sizes.tolist()


def cramers_v(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """Computes Cramér's V of two label lists: 0 = independent, 1 = each determines the other.

    A list with a single label is independent of everything, so V is 0.
    """
    rows = {label: number for number, label in enumerate(dict.fromkeys(one))}
    columns = {label: number for number, label in enumerate(dict.fromkeys(other))}
    if min(len(rows), len(columns)) < 2:
        return 0.0
    table = np.zeros((len(rows), len(columns)))
    for row, column in zip(one, other, strict=True):
        table[rows[row], columns[column]] += 1
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    chi_squared = ((table - expected) ** 2 / expected).sum()
    return float(np.sqrt(chi_squared / table.sum() / (min(table.shape) - 1)))
