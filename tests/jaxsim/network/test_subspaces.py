"""The layout of the embedding, against loops."""

import numpy as np
import pytest

from jaxsim.network import subspaces


def test_every_dimension_owns_its_slice_and_nothing_else() -> None:
    slices = subspaces.slices(("genre", "tempo", "key"), 12)
    assert slices == {"genre": slice(0, 4), "tempo": slice(4, 8), "key": slice(8, 12)}
    for mask, own in zip(subspaces.masks(3, 12), slices.values(), strict=True):
        expected = np.zeros(12)
        expected[own] = 1
        np.testing.assert_array_equal(mask, expected)
    assert subspaces.masks(3, 12).dtype == np.float32


def test_vectors_are_divided_and_brought_to_length_one() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    vectors[1, 4:8] = 0
    divided, normalised = subspaces.divided(vectors, 3), subspaces.normalised(vectors, 3)
    assert divided.shape == (5, 3, 4) and divided.dtype == np.float64
    for row, number in np.ndindex(5, 3):
        own = vectors[row, 4 * number : 4 * number + 4].astype(np.float64)
        expected = own if (row, number) == (1, 1) else own / np.sqrt(own @ own)
        np.testing.assert_allclose(divided[row, number], expected, rtol=1e-12)
        np.testing.assert_allclose(
            normalised[row, 4 * number : 4 * number + 4], expected, rtol=1e-12
        )
        np.testing.assert_array_equal(subspaces.split(vectors, 3)[row, number], own)
    assert subspaces.divided(vectors[:0], 3).shape == (0, 3, 4)
    assert subspaces.normalised(vectors[:0], 3).shape == (0, 12)


def test_sub_spaces_of_different_sizes_are_refused() -> None:
    for use in (
        lambda: subspaces.masks(5, 12),
        lambda: subspaces.slices(tuple("abcde"), 12),
        lambda: subspaces.check(12, 5),
    ):
        with pytest.raises(ValueError, match=r"is 12, expected a multiple of 5 \(the number of"):
            use()
