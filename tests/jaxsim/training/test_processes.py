"""Two real processes train one model as one process does; and what happens if one of them goes."""

import json
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxsim.training.machines import processes
from jaxsim.training.saving.checkpoints import restore_for_inference
from tests.helpers import programs

STEPS = 12


def start(
    data: Path, workdir: Path, *, count: int, steps: int = STEPS, pause: float = 0.0
) -> list[subprocess.Popen]:
    """Starts `count` processes that have four devices together, and pause at every step."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = programs.environment() | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={4 // count} "
        "--xla_backend_optimization_level=0",
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": str(count),
        "JAXSIM_CHECK_SHAPES": "",
    }
    arguments = data, workdir, steps, "together" if count > 1 else "alone", pause
    return [
        subprocess.Popen(
            programs.command("train_tiny", *arguments),
            cwd=programs.ROOT,
            env=environment | {"JAX_PROCESS_ID": str(number)},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for number in range(count)
    ]


def end(started: list[subprocess.Popen]) -> tuple[list[int], list[str]]:
    """Exit codes and what was said on standard error."""
    errors = [process.communicate(timeout=400)[1] for process in started]
    return [process.returncode for process in started], errors


def rows(workdir: Path) -> list[dict]:
    log = workdir / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def wait_for_rows(workdir: Path, count: int, started: list[subprocess.Popen]) -> None:
    while len(rows(workdir)) < count:
        assert all(process.poll() is None for process in started), end(started)
        time.sleep(0.05)


def moved(workdir: Path, before: Path) -> np.ndarray:
    """How far training moved every parameter."""
    first, last = (restore_for_inference(path)[1] for path in (before, workdir))
    differences = jax.tree.map(lambda x, y: np.ravel(y - x), first, last)
    return np.concatenate(jax.tree.leaves(differences))


@pytest.mark.slow
def test_two_processes_stopped_and_restarted_equal_one(prepared_directory, tmp_path):
    alone, both, half = (tmp_path / name for name in ("alone", "both", "half"))
    assert end(start(prepared_directory, alone, count=1))[0] == [0]
    shutil.copytree(alone / "checkpoints" / "6", half / "checkpoints" / "6")

    first = start(prepared_directory, both, count=2, pause=0.5)
    wait_for_rows(both, 2, first)
    first[1].send_signal(signal.SIGTERM)  # one process is told, both stop
    codes, errors = end(first)
    assert codes == [75, 75], errors
    assert "saved at step" in errors[0]
    assert "saved" not in errors[1], "one process speaks"
    stopped_at = max(row["step"] for row in rows(both))
    assert 2 <= stopped_at < STEPS

    codes, errors = end(start(prepared_directory, both, count=2))
    assert codes == [0, 0], errors
    for found, expected in zip(rows(both), rows(alone), strict=True):
        assert found["step"] == expected["step"]
        for name in ("loss", "active", "spread", "validation_own", "validation_whole"):
            if name in expected:
                assert found[name] == pytest.approx(expected[name], abs=2e-5), name
    reference = moved(alone, half)
    difference = moved(both, half) - reference
    assert np.linalg.norm(difference) < 1e-2 * np.linalg.norm(reference)
    tables = [json.loads((path / "validation.json").read_text()) for path in (both, alone)]
    assert tables[0] == tables[1]


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others(prepared_directory, tmp_path):
    started = start(prepared_directory, tmp_path / "run", count=2, steps=100_000)
    wait_for_rows(tmp_path / "run", 2, started)
    started[1].kill()
    killed = time.monotonic()
    codes, errors = end(started)
    assert time.monotonic() - killed < 60
    assert codes[0] not in (0, 1, 75, 130), "launchers start it again"
    assert "another task died" in errors[0]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"JAX_NUM_PROCESSES": "2"}, "JAX_NUM_PROCESSES is set but not JAX_COORDINATOR_ADDRESS"),
        (
            {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "two", "JAX_PROCESS_ID": "0"},
            "JAX_NUM_PROCESSES is 'two', expected a number",
        ),
        (
            {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "2"},
            "could not connect",
        ),
        ({}, "could not connect .* set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES"),
    ],
)
def test_processes_that_are_not_known(monkeypatch, variables, message):
    for name in processes.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        processes.join()


def test_one_process_agrees_with_itself():
    assert processes.first()
    assert processes.worst(3) == processes.of_first(3) == 3
    with processes.first_goes_first("alone"):
        pass
