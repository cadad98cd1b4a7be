"""The log as it is read again, and memory as the devices or the process tell it."""

from pathlib import Path

import jax
import pytest

from jaxsim import monitor

STATUS = Path("/proc/self/status")


class Device:
    def __init__(self, peak: int | None):
        self._peak = peak

    def memory_stats(self):
        return None if self._peak is None else {"bytes_in_use": 1, "peak_bytes_in_use": self._peak}


def test_rows_of_a_run_that_was_killed_while_it_wrote(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo')
    assert monitor.rows(tmp_path / "log.jsonl") == [{"step": 1, "loss": 0.5}]
    assert monitor.rows(tmp_path / "none.jsonl") == []


def test_the_fullest_device_is_told(monkeypatch):
    devices = [Device(peak) for peak in (2**20, None, 5 * 2**19, 0)]
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    assert monitor.peak_memory() == {"device_peak_mib": 2.5}


@pytest.mark.skipif(not STATUS.exists(), reason="needs Linux's /proc")
def test_without_such_devices_it_is_the_process(monkeypatch):
    monkeypatch.setattr(jax, "local_devices", lambda: [Device(None)])
    (line,) = [each for each in STATUS.read_text().splitlines() if each.startswith("VmHWM:")]
    assert monitor.peak_memory() == {
        "process_peak_mib": pytest.approx(int(line.split()[1]) / 1024, abs=1)
    }
