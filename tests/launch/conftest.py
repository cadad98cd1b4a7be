"""A machine with fake commands for every test."""

from pathlib import Path

import pytest

from tests.launch.fake_machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)
