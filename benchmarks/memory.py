"""How much memory a running process holds. Linux only."""

import resource
from pathlib import Path


def resident(process: int) -> int:
    """The resident memory of a process, in bytes."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize()
