"""Maps a function of one device over all devices; the only module that knows how."""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxsim.network.shapes import DEVICE_AXIS

MAPPINGS = ("pmap", "shard_map")


def all_devices() -> list[jax.Device]:
    """The devices of all processes; those of one process are neighbours, as its rows are."""
    return sorted(jax.devices(), key=lambda device: (device.process_index, device.id))


def mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """One axis over `devices`, by default `all_devices`."""
    return Mesh(np.array(all_devices() if devices is None else devices), (DEVICE_AXIS,))


def map_over_devices(
    function: Callable,
    *,
    split: Sequence[bool],
    mapping: str,
    split_result: bool = False,
    donate: bool = False,
    devices: Sequence[jax.Device] | None = None,
) -> Callable:
    """Compiles `function`, written for one device of the axis `DEVICE_AXIS`, for all devices.

    Args:
      function: takes positional arguments that are trees of arrays.
      split: for every argument, whether it has a leading axis [devices, ...] that is dealt out;
        otherwise it is the same on every device.
      mapping: "pmap" or "shard_map"; both give the same numbers.
      split_result: whether the result gets a leading device axis, or is equal on all devices.
      donate: whether the first argument's memory may be reused for the result.
      devices: by default all of them.
    """
    donated = (0,) if donate else ()
    if mapping == "pmap":
        return jax.pmap(
            function,
            axis_name=DEVICE_AXIS,
            in_axes=tuple(0 if is_split else None for is_split in split),
            out_axes=0 if split_result else None,
            donate_argnums=donated,
            devices=all_devices() if devices is None else devices,
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
        return PartitionSpec(DEVICE_AXIS) if is_split else PartitionSpec()

    mapped = jax.shard_map(
        per_device,
        mesh=mesh(devices),
        in_specs=tuple(spec(is_split) for is_split in split),
        out_specs=spec(split_result),
        check_vma=False,  # as in pmap, each device's gradient is its own until psum adds them
    )
    return jax.jit(mapped, donate_argnums=donated)


def to_devices(batch, *, local_devices: int):
    """Splits the leading axis of every array, this process's rows, over its devices."""
    sharding = NamedSharding(mesh(), PartitionSpec(DEVICE_AXIS))

    def place(x: np.ndarray) -> jax.Array:
        split = x.reshape(local_devices, x.shape[0] // local_devices, *x.shape[1:])
        with jax.transfer_guard("allow"):  # with several processes JAX takes it for implicit
            return jax.make_array_from_process_local_data(sharding, split)

    return jax.tree.map(place, batch)


def replicate(tree):
    """Copies a tree of host arrays to every device."""
    with jax.transfer_guard("allow"):  # as in to_devices
        return jax.device_put(tree, NamedSharding(mesh(), PartitionSpec()))


def own_rows(batch):
    """This process's rows of a batch that all processes have."""

    def own(x: np.ndarray) -> np.ndarray:
        index, count = jax.process_index(), jax.process_count()
        return x[len(x) * index // count : len(x) * (index + 1) // count]

    return jax.tree.map(own, batch)


def to_host(x: jax.Array) -> np.ndarray:
    """All of an array that `map_over_devices` split over all devices, in every process."""
    if jax.process_count() == 1:
        return np.asarray(x)
    # pmap gives each process its own part, shard_map the whole; both are gathered the same way.
    return np.asarray(multihost_utils.process_allgather(x, tiled=True))


def of_all_processes(tree):
    """A tree that is equal on all devices, as arrays that span all processes: what orbax saves.

    With several processes, pmap gives each of them arrays on its own devices only.
    """
    if jax.process_count() == 1:
        return tree
    return multihost_utils.host_local_array_to_global_array(tree, mesh(), PartitionSpec())
