"""What a run reports while it runs: a progress line, TensorBoard scalars and a JSON-lines log."""

import json
import math
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event

from input_pipeline.files import write_text
from input_pipeline.progress import Bar
from jaxsim.objective.terms import LOW_RANK, Terms

MIB = 2**20
FLUSH_SECONDS = 60  # between flushes for TensorBoard, which wait for the disk


class Monitor:
    """Writes `log.jsonl`, TensorBoard events and the progress line of one run.

    Rows of steps that a resumed run will repeat are dropped from `log.jsonl`. A silent monitor does
    nothing: of several processes, only one reports.
    """

    def __init__(self, workdir: Path, *, first_step: int, num_steps: int, silent: bool = False):
        self._silent = silent
        self._warned: set[str] = set()  # sub-spaces
        if silent:
            return
        self._path = workdir / "log.jsonl"
        if self._path.exists():
            kept = [row for row in rows(self._path) if row["step"] <= first_step]
            write_text(self._path, "".join(json.dumps(row) + "\n" for row in kept))
        self._log = self._path.open("a")
        # Not SummaryWriter: if its thread fails (a full disk, a clock that jumps), later calls wait
        # for it forever. Here a failure raises an error.
        folder = workdir / "tensorboard"
        folder.mkdir(exist_ok=True)
        self._events = EventsWriter(str(folder / "events"), f".{first_step}")
        self._flushed = -math.inf  # seconds, of a clock that never goes back
        # Not the average rate: the first step is compiled, which takes as long as many others.
        self._bar = Bar(total=num_steps, initial=first_step, unit="step", smoothing=0.3)

    def step(self) -> None:
        """Counts one step."""
        if self._silent:
            return
        self._bar.update()

    def write(self, step: int, row: Mapping[str, Any], *, line: str = "") -> None:
        """Logs numbers (flat, or one level of dictionaries) at a step, and shows `line`."""
        if self._silent:
            return
        now = time.time()
        self._log.write(json.dumps({"step": step, "time": now, **row}) + "\n")
        self._log.flush()
        for name, value in row.items():
            values = value if isinstance(value, Mapping) else {"": value}
            for part, number in values.items():
                scalar = summary.scalar(f"{name}/{part}" if part else name, number)
                self._events.write_event(Event(step=step, wall_time=now, summary=scalar))
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self._events.flush()
            self._flushed = time.monotonic()
        if line:
            self._bar.set_postfix_str(line, refresh=False)

    def say(self, text: str) -> None:
        """Prints above the progress line."""
        if not self._silent:
            print(text, file=sys.stderr)

    def warn_of_low_rank(self, step: int, row: Mapping[str, Any]) -> None:
        """Says which sub-spaces use few directions by a row of `step_numbers`, once for each."""
        ranks = row["effective_rank"]
        low = [name for name in ranks if ranks[name] < LOW_RANK and name not in self._warned]
        if low:
            self._warned.update(low)
            named = ", ".join(f"{name} {ranks[name]:.1f}" for name in low)
            self.say(
                f"step {step}: sub-spaces that vary in few directions (effective rank below "
                f"{LOW_RANK:.0f}): {named}"
            )

    def close(self) -> None:
        """Writes what is left; a second call does nothing."""
        if self._silent or self._log.closed:
            return
        self._bar.close()
        self._log.close()
        self._events.close()


def step_numbers(config: ConfigDict, terms: Terms) -> dict[str, Any]:
    """A row of a step's `Terms`: per dimension, and for the track regularisation."""
    row: dict[str, Any] = {
        name: dict(zip(config.dimensions, np.round(total.mean(), 5).tolist(), strict=True))
        for name, total in (
            ("loss", terms.loss),
            ("active", terms.active),
            ("spread", terms.spread),
            ("effective_rank", terms.rank),
        )
    }
    if config.loss.track_weight:
        row["track_loss"] = round(float(terms.track.mean()), 5)
    if config.loss.soft_weight:
        row["soft_loss"] = round(float(terms.soft.mean()), 5)
    if config.loss.tag_weight:
        row["tag_loss"] = round(float(terms.of_tags.mean()), 5)
    if config.loss.decorrelation_weight:
        row["correlation_loss"] = round(float(terms.correlation.mean()), 5)
    return row


def peak_memory() -> dict[str, float]:
    """The most memory used so far [MiB]: on the fullest own device, or by the process on CPUs.

    The name of the number says which; JAX reports no memory for CPU devices.
    """
    told = [device.memory_stats() or {} for device in jax.local_devices()]
    peaks = [stats["peak_bytes_in_use"] for stats in told if "peak_bytes_in_use" in stats]
    if peaks:
        return {"device_peak_mib": round(max(peaks) / MIB, 1)}
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"process_peak_mib": round(peak / MIB, 1)}


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a `log.jsonl`; none if the file does not exist.

    The last row is left out if it is cut off, as when a run is killed while writing.
    """
    if not path.is_file():
        return []
    found = []
    for line in path.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found
