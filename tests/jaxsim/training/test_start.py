"""The state before the first step: of the seed, with class vectors as a last layer has them."""

import jax
import numpy as np
import pytest

from jaxsim.training import train_step
from jaxsim.training.example import batch_shapes
from tests.helpers.runs import tiny

TAGS = {"genre": 50, "mood": 50, "instrument": 2, "era": 3}


def states(method: str, seeds: list[int]) -> list[train_step.State]:
    config = tiny("")
    config.loss.method = method
    shapes = batch_shapes(config, TAGS, rows=1)
    found = train_step.initial_states(config, shapes, seeds=seeds)
    config.seed = seeds[0]
    jax.tree.map(
        np.testing.assert_array_equal,
        found[0].params,
        train_step.initial_state(config, shapes).params,
    )
    return found


@pytest.mark.parametrize(("method", "length"), [("proxy", 8), ("classification", 4)])
def test_class_vectors_differ_by_dimension_and_seed(method: str, length: int) -> None:
    """He-uniform over the numbers of a vector, not over the classes."""
    first, second = (state.params["classes"] for state in states(method, [3, 4]))
    each = [first["genre"], first["mood"], second["genre"], second["mood"]]
    for number, vectors in enumerate(each):
        assert vectors.shape == (50, length)
        bound = np.sqrt(6 / length)
        assert 0.9 * bound < np.abs(vectors).max() <= bound
        assert all(np.abs(vectors - other).max() > 0.1 for other in each[:number])


def test_a_state_before_the_first_step_has_no_moments_and_no_class_vectors_of_triplets() -> None:
    first, second = states("triplet", [3, 4])
    assert "classes" not in first.params
    assert first.step == first.moments.count == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves((first.moments.mu, first.moments.nu)))
    kernels = [state.params["embedding"]["kernel"] for state in (first, second)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01
