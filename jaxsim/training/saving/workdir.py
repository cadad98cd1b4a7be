"""The directory of a run: one run at a time, and the same directory for all of its processes."""

import secrets
from pathlib import Path

import filelock

from jaxsim.training.machines import processes


class Claim:
    """Keeps other runs out of `workdir` until it is released or the process ends, however it ends.

    Raises:
      ValueError: another run uses it, or the processes of this one see different directories.
    """

    def __init__(self, workdir: Path):
        workdir.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(workdir / "lock")
        busy = False
        if processes.first():
            try:
                self._lock.acquire(timeout=0)
            except filelock.Timeout:
                busy = True
        if processes.worst(busy):
            raise ValueError(
                f"{workdir}: another run writes there; wait for it to end or use another --workdir"
            )
        _check_shared(workdir)

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _check_shared(workdir: Path) -> None:
    path = workdir / f"shared-{processes.of_first(secrets.randbelow(2**31))}"
    with processes.first_goes_first("shared"):
        if processes.first():
            path.touch()
        missing = not path.exists()
    different = processes.worst(missing)
    if processes.first():
        path.unlink()
    if different:
        raise ValueError(
            f"{workdir}: the processes of the run see different directories there; "
            "--workdir must be on a file system that all machines share"
        )
