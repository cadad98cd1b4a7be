"""One device with one mapping = two processes of four with the other: a step and its evaluation.

test_train_step.py has eight devices of one process, test_processes.py the first mapping with two
processes.
"""

import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import programs


def results(mapping: str, folder: Path, *, processes: int, devices: int) -> dict[str, np.ndarray]:
    """What the program finds with so many processes of so many devices each."""
    out = folder / f"{mapping}.npz"
    own = programs.environment().items()
    environment = {name: value for name, value in own if "JAX_NUM_" not in name} | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} "
        "--xla_backend_optimization_level=0",
        "JAXSIM_CHECK_SHAPES": "",
        "JAX_ENABLE_X64": "1",
    }
    if processes > 1:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        environment |= {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": str(processes),
        }
    started = [
        subprocess.Popen(
            programs.command("step_and_evaluate", mapping, out),
            cwd=programs.ROOT,
            env=environment | {"JAX_PROCESS_ID": str(number)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    errors = [process.communicate(timeout=600)[1] for process in started]
    assert [process.returncode for process in started] == [0] * processes, errors
    with np.load(out) as file:
        found = dict(file)
    assert found.pop("devices").tolist() == [processes, devices]
    return found


@pytest.mark.slow
def test_layouts_agree(tmp_path):
    expected = results("pmap", tmp_path, processes=1, devices=1)
    assert (expected["counted"] > 5).all(), "every dimension has triplets"
    assert len(np.unique(expected["triplets"])) > 10
    largest = max(np.abs(x).max() for name, x in expected.items() if name.startswith("gradient"))
    assert largest > 1e-3
    found = results("shard_map", tmp_path, processes=2, devices=4)
    assert found.keys() == expected.keys()
    for name in ("triplets", "counted", "scores"):
        np.testing.assert_array_equal(found[name], expected[name], name)
    for name in expected.keys() - {"triplets", "counted", "scores"}:
        tolerance = 1e-5 * largest if name.startswith("gradient") else 1e-5
        np.testing.assert_allclose(
            found[name], expected[name], rtol=0, atol=tolerance, err_msg=name
        )
