"""Joining and splitting maps equals concatenating and slicing them, gradients included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.network.forms.channels import join, split

SIZES = (4, 3, 5)


def output_and_gradients(function, *inputs) -> list[jax.Array]:
    """Of a random combination of what `function` returns."""

    @jax.jit
    def everything(*inputs):
        result, pull = jax.vjp(function, *inputs)
        leaves, tree = jax.tree.flatten(result)
        keys = jax.random.split(jax.random.key(1), len(leaves))
        wanted = [jax.random.normal(key, x.shape) for key, x in zip(keys, leaves, strict=True)]
        return leaves, pull(jax.tree.unflatten(tree, wanted))

    return jax.tree.leaves(everything(*inputs))


def assert_same(ours, plain, *inputs) -> None:
    found, expected = output_and_gradients(ours, *inputs), output_and_gradients(plain, *inputs)
    assert len(found) == len(expected) > len(inputs)
    for one, other in zip(found, expected, strict=True):
        assert np.abs(other).max() > 0
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def normal(*shape: int) -> jax.Array:
    return jnp.float32(np.random.default_rng(0).normal(size=shape))


@pytest.mark.usefixtures("forms")
@pytest.mark.parametrize("kept", [0, 1, 2])
def test_joined_maps(kept: int) -> None:
    """Half of the values are negative: a ReLU closes those of the rectified maps only."""
    parts = [normal(2, 3, 4, size) for size in SIZES]
    first = len(parts) - kept

    def plain(*parts):
        return jnp.concatenate([*map(jax.nn.relu, parts[:first]), *parts[first:]], axis=-1)

    assert_same(lambda *parts: join(parts[:first], parts[first:]), plain, *parts)


@pytest.mark.usefixtures("forms")
def test_split_maps() -> None:
    def plain(x):
        return tuple(jnp.split(x, [4, 7], axis=-1))

    assert_same(lambda x: split(x, SIZES), plain, normal(2, 3, 4, sum(SIZES)))
