"""Both mappings run a function once per device and give the same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.network.shapes import DEVICE_AXIS
from jaxsim.training.machines.parallel import (
    MAPPINGS,
    map_over_devices,
    mesh,
    replicate,
    to_devices,
)


def test_there_are_eight_devices() -> None:
    assert jax.local_device_count() == 8


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_split_and_common_arguments(mapping: str) -> None:
    def center_and_sum(common, own):
        total = jax.lax.psum({"sum": own["x"].sum(0), "count": own["x"].shape[0]}, DEVICE_AXIS)
        return {"mean": common["scale"] * total["sum"] / total["count"]}

    x = np.random.default_rng(0).normal(size=(24, 5)).astype(np.float32)
    mapped = map_over_devices(center_and_sum, split=(False, True), mapping=mapping)
    found = mapped(replicate({"scale": np.float32(3)}), to_devices({"x": x}, local_devices=8))
    assert found["mean"].shape == (5,)
    np.testing.assert_allclose(found["mean"], 3 * x.mean(axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_split_result_keeps_every_devices_own(mapping: str) -> None:
    x = np.arange(16, dtype=np.float32).reshape(16, 1)
    mapped = map_over_devices(
        lambda own: own + 100 * jax.lax.axis_index(DEVICE_AXIS),
        split=(True,),
        mapping=mapping,
        split_result=True,
    )
    found = np.asarray(mapped(to_devices(x, local_devices=8)))
    expected = x.reshape(8, 2, 1) + 100 * np.arange(8)[:, None, None]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_fewer_devices_on_request(mapping: str) -> None:
    mapped = map_over_devices(
        lambda own: jax.lax.psum(own.sum(), DEVICE_AXIS),
        split=(True,),
        mapping=mapping,
        devices=jax.devices()[:2],
    )
    assert mapped(np.ones((2, 3), np.float32)) == 6


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_gradients_through_a_gather_are_those_of_the_whole(mapping: str) -> None:
    """Each device's gradient is its own part; psum adds them up."""

    def gradient(weight, own):
        def part(weight):
            everything = jax.lax.all_gather(own * weight, DEVICE_AXIS, tiled=True)
            return jnp.sum((own * weight)[:, None] * everything**2)

        return jax.lax.psum(jax.grad(part)(weight), DEVICE_AXIS)

    x = np.random.default_rng(0).normal(size=16).astype(np.float32)
    mapped = map_over_devices(gradient, split=(False, True), mapping=mapping)
    found = mapped(replicate(np.float32(0.7)), to_devices(x, local_devices=8))
    expected = 3 * 0.7**2 * x.sum(dtype=np.float64) * (x.astype(np.float64) ** 2).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_a_donated_argument_is_used_up(mapping: str) -> None:
    mapped = map_over_devices(
        lambda state, own: state + jax.lax.psum(own.sum(), DEVICE_AXIS),
        split=(False, True),
        mapping=mapping,
        donate=True,
    )
    state = replicate(np.zeros(1000, np.float32))
    result = mapped(state, to_devices(np.ones(8, np.float32), local_devices=8))
    np.testing.assert_array_equal(result, 8)
    assert state.is_deleted()


def test_rows_are_dealt_out_in_order() -> None:
    placed = to_devices(np.arange(24), local_devices=8)
    assert placed.shape == (8, 3)
    for shard in placed.addressable_shards:
        position = list(mesh().devices).index(shard.device)
        np.testing.assert_array_equal(shard.data, [3 * position + np.arange(3)])


def test_an_unknown_mapping_is_refused() -> None:
    with pytest.raises(ValueError, match=r"parallel.mapping is 'pjit', expected one of"):
        map_over_devices(lambda x: x, split=(True,), mapping="pjit")
