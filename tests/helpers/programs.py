"""Runs the programs in tests/programs in their own processes, as from a clean clone."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def command(name: str, *arguments: object) -> list[str]:
    """The command line of `tests/programs/NAME.py`."""
    return [sys.executable, str(ROOT / "tests" / "programs" / f"{name}.py"), *map(str, arguments)]


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, but with the checkout on the path and one device."""
    own = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return own | {"PYTHONPATH": str(ROOT)} | changes
