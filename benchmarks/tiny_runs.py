"""Tiny runs of `python -m jaxsim.train` on a few tones, in which faults can strike."""

import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.tracks import Track

ROOT = Path(__file__).parent.parent
SAMPLE_RATE = 22050
STEPS, EPOCH = 40, 10
RUN = (
    "--config=configs/six_dim.py:demo",
    "--config.dimensions=('genre', 'mood')",
    "--config.model.inputs=('mel',)",
    "--config.model.width=0.02",
    "--config.model.embedding_size=8",
    "--config.batch_size=8",
    "--config.evaluation.batch_size=8",
    "--config.evaluation.triplets=20",
    f"--config.num_steps={STEPS}",
    f"--config.steps_per_epoch={EPOCH}",
    "--config.log_steps=1",
    "--config.checkpoint_minutes=0",  # a checkpoint after every step
)
PATIENCE = 1200  # seconds to wait for a run to end: twenty times what it takes


class Lost(Exception):
    """A fault cost something; the message says what."""


def tone(seed: int, *, beats_per_minute: float) -> np.ndarray:
    """Six seconds of a tone that decays after every beat; float32 [n]."""
    noise = np.random.default_rng(seed)
    seconds = np.arange(6 * SAMPLE_RATE) / SAMPLE_RATE
    since_beat = seconds % (60 / beats_per_minute)
    samples = np.sin(2 * np.pi * 220 * 2 ** (seed / 12) * seconds) * np.exp(-8 * since_beat)
    return (0.4 * samples + 0.01 * noise.normal(size=len(seconds))).astype(np.float32)


def make_data(directory: Path) -> Path:
    """A data set of 18 tones, whose validation split has triplets."""
    from input_pipeline.datasets.builder import prepare

    tracks = [
        Track(
            track_id=f"tone-{number:02d}",
            split=("train", "train", "validation")[number % 3],
            audio=functools.partial(tone, number, beats_per_minute=80 + 5 * number),
            tags={"genre": (("rock", "jazz")[number // 3 % 2],), "mood": (("a", "b")[number % 2],)},
        )
        for number in range(18)
    ]
    prepare(tracks, directory, name="tones", description="tones", estimate=(), workers=1)
    return directory


@dataclasses.dataclass(frozen=True)
class Bench:
    """Where the runs are, and their result when undisturbed.

    Attributes:
      folder: for the data set "data", the runs, and what they compile.
      expected: the `result` of the undisturbed run "whole".
      seconds: how long it took from claiming the workdir to its end.
    """

    folder: Path
    expected: dict[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    def workdir(self, name: str) -> Path:
        """A new directory for a run."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        return path

    def start(
        self,
        workdir: Path,
        *more: str,
        data: Path | None = None,
        program: Sequence[str] = ("-m", "jaxsim.train"),
        before: Callable[[], None] | None = None,
    ) -> subprocess.Popen:
        """Starts a run; its output goes to `workdir`.said.

        Args:
          more: further options.
          data: a different data set.
          program: what Python runs.
          before: called first in the new process.
        """
        environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
        environment |= {
            "JAXSIM_DATA": str(self.folder / "cache"),
            "JAXSIM_COMMIT": "of the benchmark",
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(ROOT),
        }
        options = [f"--workdir={workdir}", f"--config.data.dir={data or self.folder / 'data'}"]
        with workdir.with_suffix(".said").open("a") as said:
            return subprocess.Popen(
                [sys.executable, *program, *RUN, *options, *more],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=said,
                preexec_fn=before,
            )

    def finish(self, workdir: Path, *more: str, **options: Any) -> None:
        """Runs to the end; raises Lost if it does not get there or the result differs."""
        code = ended(self.start(workdir, *more, **options))
        if code:
            raise Lost(f"exit code {code}: {last_words(workdir)}")
        if self.expected and (difference := differences(result(workdir), self.expected)):
            raise Lost(f"the run differs in {', '.join(difference)}")

    def refused(self, workdir: Path, *more: str, **options: Any) -> str:
        """Runs what must fail with one line, before anything is saved; returns the line."""
        code = ended(self.start(workdir, *more, **options))
        words = last_words(workdir)
        saved = [path.name for path in (workdir / "checkpoints").glob("*")]
        if code != 1 or not words.startswith("error: ") or "Traceback" in said(workdir):
            raise Lost(f"not a clear error, but exit code {code}: {words}")
        if saved or (workdir / "model.npz").exists():
            raise Lost(f"a run that failed left {saved}")
        return words


def set_up(folder: Path) -> Bench:
    """Makes the data set and the undisturbed run, twice: the second compiles nothing."""
    make_data(folder / "data")
    bench = Bench(folder)
    bench.finish(bench.workdir("first"))
    whole = bench.workdir("whole")
    started = bench.start(whole)
    wait_for(whole / "lock", started)
    began = time.monotonic()
    if ended(started):
        raise Lost(f"the undisturbed run ended with {started.returncode}: {last_words(whole)}")
    bench = dataclasses.replace(bench, expected=result(whole), seconds=time.monotonic() - began)
    if difference := differences(result(folder / "first"), bench.expected):
        raise Lost(f"two undisturbed runs differ in {', '.join(difference)}")
    return bench


def ended(started: subprocess.Popen) -> int:
    """The exit code of a run; if the run does not end, it is killed and Lost is raised."""
    try:
        return started.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        started.kill()
        raise Lost(f"the run hangs: it had not ended after {PATIENCE} s") from None


def result(workdir: Path) -> dict[str, Any]:
    """The result of a run: the digest of its last state, its model, its table and its losses."""
    steps = sorted(int(path.name) for path in (workdir / "checkpoints").glob("[0-9]*"))
    record = json.loads((workdir / "checkpoints" / str(steps[-1]) / "record/metadata").read_text())
    rows = [json.loads(line) for line in (workdir / "log.jsonl").read_text().splitlines()]
    return {
        "steps": steps[-1],
        "parameters and moments": record["digest"],
        "plateau": record["plateau"],
        "exported model": (workdir / "model.npz").read_bytes(),
        "validation table": json.loads((workdir / "validation.json").read_text()),
        "losses": [(row["step"], row["loss"]) for row in rows if "loss" in row],
    }


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """The names of what differs."""
    return [name for name in expected if found.get(name) != expected[name]]


def said(workdir: Path) -> str:
    return workdir.with_suffix(".said").read_text()


def last_words(workdir: Path) -> str:
    """The last line that a run printed."""
    return (said(workdir).strip() or "nothing").splitlines()[-1]


def wait_for(path: Path, started: subprocess.Popen) -> None:
    """Waits until a run has created a file."""
    while not path.exists():
        if started.poll() is not None:
            raise Lost(f"the run ended with {started.returncode} before {path.name} existed")
        time.sleep(0.02)
