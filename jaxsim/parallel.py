"""Maps a function of one device over all devices; the only module that knows how it is done."""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "data"
MAPPINGS = ("pmap", "shard_map")


def mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """One axis over `devices`, by default all devices of all processes."""
    return Mesh(np.array(jax.devices() if devices is None else devices), (AXIS,))


def map_over_devices(
    function: Callable,
    *,
    split: Sequence[bool],
    mapping: str,
    split_result: bool = False,
    donate: bool = False,
    devices: Sequence[jax.Device] | None = None,
) -> Callable:
    """Compiles `function`, written for one device with the named axis `AXIS`, for all devices.

    Args:
      function: of positional arguments that are trees of arrays.
      split: for every argument whether it has a leading axis [devices, ...] that is dealt out, or
        is the same on every device.
      mapping: "pmap" or "shard_map"; both give the same numbers.
      split_result: whether the result gets a leading device axis, or is equal on all devices.
      donate: whether the first argument's memory may be reused for the result.
      devices: by default all of them.
    """
    donated = (0,) if donate else ()
    if mapping == "pmap":
        return jax.pmap(
            function,
            axis_name=AXIS,
            in_axes=tuple(0 if is_split else None for is_split in split),
            out_axes=0 if split_result else None,
            donate_argnums=donated,
            devices=devices,
        )
    if mapping != "shard_map":
        raise ValueError(f"parallel.mapping is {mapping!r}, expected one of {MAPPINGS}")

    def per_device(*arguments):
        own = [
            jax.tree.map(lambda x: x[0], argument) if is_split else argument
            for argument, is_split in zip(arguments, split, strict=True)
        ]
        result = function(*own)
        return jax.tree.map(lambda x: x[None], result) if split_result else result

    def spec(is_split: bool) -> PartitionSpec:
        return PartitionSpec(AXIS) if is_split else PartitionSpec()

    mapped = jax.shard_map(
        per_device,
        mesh=mesh(devices),
        in_specs=tuple(spec(is_split) for is_split in split),
        out_specs=spec(split_result),
        check_vma=False,  # as in pmap, each device's gradient is its own until psum adds them
    )
    return jax.jit(mapped, donate_argnums=donated)


def to_devices(batch, *, local_devices: int):
    """Splits the leading axis of every array of a host batch over this process's devices."""
    sharding = NamedSharding(mesh(), PartitionSpec(AXIS))

    def place(x: np.ndarray) -> jax.Array:
        split = x.reshape(local_devices, x.shape[0] // local_devices, *x.shape[1:])
        return jax.make_array_from_process_local_data(sharding, split)

    return jax.tree.map(place, batch)


def replicate(tree):
    """Copies a tree of host arrays to every device."""
    return jax.device_put(tree, NamedSharding(mesh(), PartitionSpec()))
