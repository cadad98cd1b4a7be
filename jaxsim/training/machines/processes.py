"""Several processes that train one model: how they find each other, and what they agree on.

With one process, everything here returns at once.
"""

import contextlib
import os
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def join(*, silence: int = 100) -> None:
    """Joins the processes of this run; each of them calls this before it uses JAX.

    On Cloud TPU, on GKE's TPUs and under Slurm, JAX finds them by itself. Elsewhere `VARIABLES`
    give host:port of process 0, the number of processes and the number of this one.

    Args:
      silence: seconds after which a silent process is taken for dead, and all others end with JAX's
        message about it and SIGABRT.

    Raises:
      ValueError: the processes are not known, or do not answer.
    """
    found = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    if found and len(found) < len(VARIABLES):
        missing = [name for name in VARIABLES if name not in found]
        raise ValueError(f"{', '.join(found)} is set but not {', '.join(missing)}")
    numbers = {name: _number(name, found[name]) for name in found if name != VARIABLES[0]}
    # SIGTERM is ours: see jaxsim.training.machines.stopping.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator_address=found.get(VARIABLES[0]),
            num_processes=numbers.get(VARIABLES[1]),
            process_id=numbers.get(VARIABLES[2]),
            heartbeat_timeout_seconds=silence,
        )
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"--distributed: the processes of the run could not connect ({error}); outside Cloud "
            f"TPU, GKE and Slurm, set {', '.join(VARIABLES)}"
        ) from error


def _number(name: str, value: str) -> int:
    if not value.isdigit():
        raise ValueError(f"{name} is {value!r}, expected a number")
    return int(value)


def first() -> bool:
    """Whether this is the process that writes what only one writes."""
    return jax.process_index() == 0


def wait_for_all(what: str) -> None:
    """Returns once all processes have called it."""
    multihost_utils.sync_global_devices(what)


@contextlib.contextmanager
def first_goes_first(what: str) -> Iterator[None]:
    """The first process runs the block alone, then the others, which find what it made."""
    if not first():
        wait_for_all(what)
    yield
    if first():
        wait_for_all(what)


def worst(value: int) -> int:
    """The largest of all processes' values; the same answer everywhere."""
    return int(np.max(multihost_utils.process_allgather(np.int32(value))))


def of_first(value: int) -> int:
    """The first process's value."""
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))
