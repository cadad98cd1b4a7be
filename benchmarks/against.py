"""Speed and memory of feature extraction in two checkouts, in turns on one machine.

Each checkout has a process of its own, and the two take turns at the same samples. Only processor
time counts, which other work on the machine changes less than the clock's. Linux only.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).parents[1]
LONG = 30  # minutes of the track whose memory is measured
SETTINGS = {
    "as it is": {},
    "at one loudness, without silence": {"loudness": "track", "silence": "left_out"},
}

# What a process runs in its checkout: for every line with the path of samples and the fields of a
# FeatureConfig, the seconds of processor time that extraction took and the most memory ever held.
TAKE_TURNS = """
import json, sys, time
import numpy as np
from input_pipeline.hearing.features import FeatureConfig, extract
for line in sys.stdin:
    path, fields = json.loads(line)
    samples, config = np.load(path), FeatureConfig(**fields)
    began = time.process_time()
    extract(samples, config)
    took = time.process_time() - began
    # getrusage's ru_maxrss would count the parent too, from which a process is forked
    with open("/proc/self/status") as status:
        (peak,) = (1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print(json.dumps([took, peak]), flush=True)
"""


class Checkout:
    """A process that extracts features with the code of one checkout."""

    def __init__(self, folder: Path):
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TURNS],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Checkout":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def extract(self, path: Path, fields: dict[str, str]) -> tuple[float, int]:
        """Seconds of processor time, and the most memory that the process ever held in bytes."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([str(path), fields]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise ValueError("a checkout's process ended: see its error above")
        seconds, peak = json.loads(line)
        return seconds, peak


def compare(other: Path, paths: Sequence[Path], *, sample_rate: int, rounds: int) -> None:
    """Prints how fast this checkout extracts features beside another one, and their memory.

    Args:
      other: the other checkout.
      paths: .npy files of samples at `sample_rate` Hz; each is one turn of a round.
      sample_rate: that of the features.
      rounds: of timing.
    """
    minutes = sum(len(np.load(path, mmap_mode="r")) for path in paths) / sample_rate / 60
    with Checkout(other) as old, Checkout(HERE) as new:
        for name, fields in SETTINGS.items():
            times = [[], []]
            for _ in range(rounds + 1):
                turns = [[each.extract(path, fields)[0] for each in (old, new)] for path in paths]
                for column, total in zip(times, map(sum, zip(*turns, strict=True)), strict=True):
                    column.append(1000 * total / minutes)
            before, after = (column[1:] for column in times)  # the first round compiles
            ratios = [slow / fast for slow, fast in zip(before, after, strict=True)]
            print(
                f"features {name}, ms per minute of audio: {statistics.median(before):.0f} there, "
                f"{statistics.median(after):.0f} here; ratio {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f}, {rounds} rounds of {len(paths)} tracks)"
            )
    _compare_memory(other, paths, sample_rate)


def _compare_memory(other: Path, paths: Sequence[Path], sample_rate: int) -> None:
    """Fresh processes, with one long track each."""
    whole = np.resize(np.concatenate([np.load(path) for path in paths]), LONG * 60 * sample_rate)
    path = paths[0].with_name("long.npy")
    np.save(path, whole)
    for name, fields in SETTINGS.items():
        peaks = []
        for folder in (other, HERE):
            with Checkout(folder) as checkout:
                peaks.append(checkout.extract(path, fields)[1] / 1e6)
        print(
            f"features {name}, {LONG} minutes in a fresh process, at most {peaks[0]:.0f} MB there, "
            f"{peaks[1]:.0f} MB here; {whole.nbytes / 1e6:.0f} MB of it are the samples"
        )
