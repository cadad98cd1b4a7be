"""One device = eight virtual devices = two processes of four: one step and its evaluation.

Each layout with one mapping. test_train_step.py has eight devices with the other, and
test_processes.py two processes.
"""

import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import programs

LAYOUTS = {"one device": (1, 1), "eight devices": (1, 8), "two processes of four": (2, 4)}


def results(layout: str, mapping: str, folder: Path) -> dict[str, np.ndarray]:
    """What the program finds in a layout."""
    processes, devices = LAYOUTS[layout]
    out = folder / f"{layout}, {mapping}.npz"
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
    expected = results("one device", "pmap", tmp_path)
    assert (expected["counted"] > 5).all(), "every dimension has triplets"
    assert len(np.unique(expected["triplets"])) > 10
    largest = max(np.abs(x).max() for name, x in expected.items() if name.startswith("gradient"))
    assert largest > 1e-3
    for layout, mapping in (
        ("eight devices", "pmap"),
        ("two processes of four", "shard_map"),
    ):
        found = results(layout, mapping, tmp_path)
        assert found.keys() == expected.keys()
        for name in ("triplets", "counted", "scores"):
            np.testing.assert_array_equal(found[name], expected[name], f"{layout}: {name}")
        for name in expected.keys() - {"triplets", "counted", "scores"}:
            tolerance = 1e-5 * largest if name.startswith("gradient") else 1e-5
            np.testing.assert_allclose(
                found[name], expected[name], rtol=0, atol=tolerance, err_msg=f"{layout}: {name}"
            )
