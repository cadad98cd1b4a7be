"""The log as it is read again, and memory as the devices or the process tell it."""

from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import tensorflow as tf

from jaxsim.objective.losses import Total
from jaxsim.objective.terms import Terms
from jaxsim.training import monitor, progress

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


def test_tensorboard_has_every_number(tmp_path):
    for first, last in ((0, 2), (2, 3)):  # a run, and the same resumed
        writer = monitor.Monitor(tmp_path, first_step=first, num_steps=3)
        for step in range(first + 1, last + 1):
            writer.write(step, {"rate": 0.25 * step, "loss": {"genre": 0.5, "key": -step}})
        writer.close()
        writer.close()
    found = {}
    for file in (tmp_path / "tensorboard").iterdir():
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                found[event.step, value.tag] = value.simple_value
    assert found == {
        (step, tag): value
        for step in (1, 2, 3)
        for tag, value in (("rate", 0.25 * step), ("loss/genre", 0.5), ("loss/key", -step))
    }


def test_a_sub_space_of_low_rank_is_named_once(tmp_path, capsys):
    writer = monitor.Monitor(tmp_path, first_step=0, num_steps=3)
    row = {"effective_rank": {"genre": 3.0, "key": 2.94, "era": 1.31}}
    for step in (4, 5):
        writer.warn_of_low_rank(step, row)
    writer.warn_of_low_rank(6, {"effective_rank": {"genre": 0.0, "key": 9.0, "era": 1.0}})
    writer.close()
    said = [line for line in capsys.readouterr().err.splitlines() if "directions" in line]
    beginning = "sub-spaces that vary in few directions (effective rank below 3): "
    assert said == [f"step 4: {beginning}key 2.9, era 1.3", f"step 6: {beginning}genre 0.0"]


def test_the_rank_is_looked_at_after_the_first_epoch(config):
    """And its numbers are in the log, by dimension."""
    config.update(dimensions=("genre", "key"), log_steps=2, steps_per_epoch=4)
    written, warned = [], []
    fake = SimpleNamespace(
        write=lambda step, row, *, line: written.append((step, row)),
        warn_of_low_rank=lambda step, row: warned.append(step),
    )
    steps = progress.Progress(
        config, fake, first_step=0, learning_rate=lambda step: 0.1, at_non_finite=lambda *_: None
    )
    one = Total(np.ones(2), np.ones(2))
    ranks, track = (
        Total(np.array([8.0, 20.0]), np.array([2.0, 8.0])),
        Total(np.ones(()), np.ones(())),
    )
    terms = Terms(one, one, one, ranks, track, track, track, track)
    for step in range(8):
        steps.add(step, terms)
        steps.report()
    assert [step for step, _ in written] == [2, 4, 6, 8] and warned == [6, 8]
    assert written[0][1]["effective_rank"] == {"genre": 4.0, "key": 2.5}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_an_error_and_not_a_wait(tmp_path, monkeypatch):
    writer = monitor.Monitor(tmp_path, first_step=0, num_steps=1)
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(writer._events._py_recordio_writer, "_writer", full)
        with pytest.raises(OSError, match="No space left"):
            writer.write(1, {"rate": 1.0})


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
