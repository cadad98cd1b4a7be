"""A machine with fake commands for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    for process in machine.started:
        process.kill()  # of a test that failed
