"""Makes everything go wrong that can in a run, and reports what was lost: the fault table.

python -m benchmarks.faults --kills=20 --soak_minutes=120

Every fault strikes tiny runs of `python -m jaxsim.train` on a few tones, which save after every
step, or `python -m jaxsim.embed` while it follows a library. Their results are compared, bit for
bit, with those of an undisturbed run. Needs Linux.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import rich.console
import rich.table
import tqdm

from benchmarks import library_faults
from benchmarks.memory import resident
from benchmarks.tiny_runs import (
    Bench,
    Lost,
    differences,
    ended,
    last_words,
    result,
    said,
    set_up,
    wait_for,
)
from input_pipeline import command_line
from input_pipeline.command_line import comma_separated, whole_number

SAVED_EXIT = 75  # `jaxsim.training.machines.stopping.TERMINATED`


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of a fault: how it was made, how often, and what it cost."""

    how: str
    times: int
    lost: str = "nothing"


def kills(bench: Bench, *, times: int, while_saving: bool = False) -> Outcome:
    """SIGKILL at random moments between claiming the workdir and the end, or during saves."""
    moments, half_written = random.Random(while_saving), 0
    for number in tqdm.trange(times, desc="kill -9", file=sys.stderr):
        workdir = bench.workdir(f"killed-{number}")
        started = bench.start(workdir)
        wait_for(workdir / "checkpoints/1" if while_saving else workdir / "lock", started)
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(moments.uniform(0, bench.seconds / (4 if while_saving else 1)))
        while while_saving and started.poll() is None and not is_saving(workdir):
            pass
        started.kill()
        started.wait()
        half_written += is_saving(workdir)
        bench.finish(workdir)
    how = "once a save has begun" if while_saving else "at random moments of the run"
    return Outcome(f"{how}; {half_written} left a checkpoint half written", times)


def is_saving(workdir: Path) -> bool:
    """Whether a checkpoint is half written at the moment."""
    return any("tmp" in path.name for path in (workdir / "checkpoints").glob("*"))


def sigterm(bench: Bench, *, times: int, seed: int = 2) -> Outcome:
    """SIGTERM at random moments of the training."""
    moments = random.Random(seed)
    for number in tqdm.trange(times, desc="SIGTERM", file=sys.stderr):
        workdir = bench.workdir(f"terminated-{number}")
        started = bench.start(workdir)
        wait_for(workdir / "checkpoints/1", started)
        time.sleep(moments.uniform(0, bench.seconds / 4))
        started.send_signal(signal.SIGTERM)
        if (code := ended(started)) not in (0, SAVED_EXIT):
            raise Lost(f"exit code {code}, expected {SAVED_EXIT}: {last_words(workdir)}")
        bench.finish(workdir)
    return Outcome(f"at random moments of the training; exit code {SAVED_EXIT}", times)


@contextlib.contextmanager
def small_disk(folder: Path, *, size: int) -> Iterator[bool]:
    """Mounts a file system of `size` bytes at `folder`; gives False if that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def disk_full(bench: Bench, *, times: int) -> Outcome:
    """No space left while a checkpoint is written; the run resumes once there is space again."""
    how = "a small tmpfs filled by another file"
    for number in range(times):
        workdir = bench.workdir(f"disk-{number}")
        with small_disk(workdir, size=64 * 2**20) as mounted:
            if mounted:
                started = bench.start(workdir)
                wait_for(workdir / "checkpoints" / str(2 + number), started)
                with contextlib.suppress(OSError), (workdir / "other").open("wb", 0) as other:
                    while other.write(bytes(4096)):
                        pass
                code = ended(started)
                (workdir / "other").unlink()
            else:
                how = "RLIMIT_FSIZE (mounting a tmpfs needs root)"
                limit = 20_000 + 1000 * number  # bytes: less than a checkpoint's arrays
                small = functools.partial(
                    resource.setrlimit, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)
                )
                code = ended(bench.start(workdir, before=small))
            reasons = [why for why in ("No space left", "File too large") if why in said(workdir)]
            if code == 0 or not reasons:
                raise Lost(f"exit code {code}: {last_words(workdir)}")
            bench.finish(workdir)
    return Outcome(how, times)


def copy_of_data(bench: Bench) -> Path:
    """A copy of the data set, to be damaged."""
    copy = bench.folder / "damaged"
    shutil.rmtree(copy, ignore_errors=True)
    return shutil.copytree(bench.folder / "data", copy)


def shard_of(data: Path) -> Path:
    (shard,) = data.glob("*-train.tfrecord-*")
    return shard


def truncate(shard: Path) -> None:
    with shard.open("r+b") as file:
        file.truncate(shard.stat().st_size // 2)


def flip_a_bit(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 16
    shard.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "shard truncated in the middle": truncate,
    "record with a flipped bit": flip_a_bit,
    "missing shard": Path.unlink,
}


def damaged_shard(bench: Bench, what: str) -> Outcome:
    """A damaged shard causes one clear error that names it; nothing is trained or saved."""
    data = copy_of_data(bench)
    shard = shard_of(data)
    DAMAGES[what](shard)
    words = bench.refused(bench.workdir("refused"), data=data)
    if str(shard) not in words:
        raise Lost(f"the error does not name {shard.name}: {words}")
    return Outcome("in a copy of the data; one line names the file", 1)


def feature_of_nan(bench: Bench) -> Outcome:
    """nan in a feature of one track: the run stops and names the track."""
    import tensorflow as tf

    data = copy_of_data(bench)
    shard = shard_of(data)
    records = []
    for number, record in enumerate(tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()):
        example = tf.train.Example.FromString(record)
        if number == 1:
            bad = example.features.feature["track_id"].bytes_list.value[0].decode()
            mel = example.features.feature["mel"].bytes_list
            mel.value[0] = np.full(len(mel.value[0]) // 2, np.nan, np.float16).tobytes()
        records.append(example.SerializeToString())
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in records:
            writer.write(record)
    workdir = bench.workdir("nan")
    code = ended(bench.start(workdir, "--config.checkpoint_minutes=9", data=data))
    report = json.loads((workdir / "non_finite.json").read_text())
    if code != 1 or report["tracks_with_features_that_are_not_finite"] != {bad: ["mel"]}:
        raise Lost(f"exit code {code}: {last_words(workdir)}")
    return Outcome("a record with its checksum; the run names the track", 1)


def no_valid_triplet(bench: Bench) -> Outcome:
    """Batches without any negative in a band: nothing is learned, and everything stays finite."""
    workdir = bench.workdir("no-triplet")
    code = ended(bench.start(workdir, "--config.loss.band=0", "--config.num_steps=3"))
    if code:
        raise Lost(f"exit code {code}: {last_words(workdir)}")
    for _, loss in result(workdir)["losses"]:
        if set(loss.values()) != {0.0}:
            raise Lost(f"the loss without triplets is {loss}")
    return Outcome("a band of width 0", 3, "nothing: loss 0")


BACKWARDS = """
import runpy, sys, time
clock, calls = time.time, 0
def backwards():
    global calls
    calls += 1
    return clock() - 3600.0 * calls
time.time = backwards
sys.argv[0] = "jaxsim/train.py"
runpy.run_module("jaxsim.train", run_name="__main__", alter_sys=True)
"""


def clock_backwards(bench: Bench) -> Outcome:
    """time.time returns an hour earlier at every call; the run is stopped once and resumed."""
    workdir = bench.workdir("backwards")
    started = bench.start(workdir, program=("-c", BACKWARDS))
    wait_for(workdir / "checkpoints/2", started)
    started.send_signal(signal.SIGTERM)
    if (code := ended(started)) != SAVED_EXIT:
        raise Lost(f"exit code {code}: {last_words(workdir)}")
    bench.finish(workdir, program=("-c", BACKWARDS))
    return Outcome("time.time an hour earlier at every call", 1)


def two_runs(bench: Bench) -> Outcome:
    """A second run in the workdir is refused, and the first is not affected."""
    workdir = bench.workdir("shared")
    first = bench.start(workdir)
    wait_for(workdir / "lock", first)
    second = bench.start(workdir)
    if ended(second) != 1 or "another run writes there" not in said(workdir):
        raise Lost(f"the second run ended with {second.returncode}: {last_words(workdir)}")
    if ended(first):
        raise Lost(f"the first run ended with {first.returncode}")
    if difference := differences(result(workdir), bench.expected):
        raise Lost(f"the first run differs in {', '.join(difference)}")
    return Outcome("the second is refused", 1)


def soak(bench: Bench, *, minutes: float) -> Outcome:
    """The memory of a long run: how much it holds after a tenth of the time, and at the end."""
    workdir = bench.workdir("soak")
    epoch = max(round(50 * minutes), 200)  # steps; tens of validations in two hours
    started = bench.start(
        workdir,
        "--config.num_steps=100000000",
        f"--config.steps_per_epoch={epoch}",
        "--config.log_steps=10",
        "--config.checkpoint_minutes=5",
    )
    wait_for(workdir / f"checkpoints/{epoch}", started)
    began, samples, saves = time.monotonic(), [], set()
    with tqdm.tqdm(total=round(60 * minutes), unit="s", desc="soak", file=sys.stderr) as bar:
        while (elapsed := time.monotonic() - began) < 60 * minutes:
            if started.poll() is not None:
                raise Lost(f"exit code {started.returncode}: {last_words(workdir)}")
            samples.append((elapsed, resident(started.pid)))
            saves.update(filter(str.isdecimal, os.listdir(workdir / "checkpoints")))
            time.sleep(min(1.0, minutes))
            bar.update(round(elapsed) - bar.n)
    started.send_signal(signal.SIGTERM)
    if (code := ended(started)) != SAVED_EXIT:
        raise Lost(f"exit code {code}: {last_words(workdir)}")
    seconds, held = np.array(samples).T
    width = 3 * minutes  # seconds on each side: a twentieth of the run each
    early = np.median(held[np.abs(seconds - 6 * minutes) <= width])
    late = np.median(held[seconds >= seconds[-1] - 2 * width])
    steps = json.loads((workdir / "log.jsonl").read_text().splitlines()[-1])["step"]
    told = f"{early / 2**20:.0f} MiB at 10 %, {late / 2**20:.0f} at 100 %, {late / early - 1:+.1%}"
    if abs(late / early - 1) > 0.05:
        raise Lost(f"{told} after {steps:,} steps and {len(saves)} checkpoints")
    made = f"{minutes:g} minutes, {steps:,} steps, {len(saves)} checkpoints"
    return Outcome(made, 1, f"nothing: {told}")


def library(folder: Path, *, times: int) -> Outcome:
    """SIGKILL while a library follows files that were moved and retagged."""
    times, problems = library_faults.kills(folder, times=times)
    if problems:
        raise Lost("; ".join(problems))
    how = "`jaxsim.embed` after 200 tracks were moved and retagged, at random moments"
    return Outcome(how, times, "nothing: ids, vectors and answers are as without a kill")


def make_faults(
    *,
    times_killed: int,
    times_killed_saving: int,
    times_stopped: int,
    full_disks: int,
    soak_minutes: float,
    only: Sequence[str],
) -> None:
    """Makes the faults and prints the table; exits with 1 if anything was lost."""
    table = rich.table.Table(title="Faults", show_lines=True)
    for heading in ("fault", "how it was made", "times", "what was lost"):
        table.add_column(heading, justify="right" if heading == "times" else "left")
    failed = False
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        bench = functools.cache(lambda: set_up(Path(folder)))
        faults: dict[str, Callable[[], Outcome]] = {
            "kill -9": lambda: kills(bench(), times=times_killed),
            "kill -9 during a save": lambda: kills(
                bench(), times=times_killed_saving, while_saving=True
            ),
            "SIGTERM": lambda: sigterm(bench(), times=times_stopped),
            "disk full during a save": lambda: disk_full(bench(), times=full_disks),
            **{what: functools.partial(damaged_shard, bench, what) for what in DAMAGES},
            "nan in one feature": lambda: feature_of_nan(bench),
            "batch without a valid triplet": lambda: no_valid_triplet(bench),
            "clock going backwards": lambda: clock_backwards(bench),
            "two runs in one workdir": lambda: two_runs(bench),
            "library": lambda: library(Path(folder, "library"), times=times_killed),
            "soak": lambda: soak(bench(), minutes=soak_minutes),
        }
        for name, fault in faults.items():
            if only and name not in only:
                continue
            try:
                found = fault()
            except Lost as error:
                failed, found = True, Outcome("", 1, f"FAILED: {error}")
            print(f"{name}: {found.lost}", file=sys.stderr)
            table.add_row(name, found.how, str(found.times), found.lost)
    rich.console.Console(width=110).print(table)
    sys.exit(failed)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        make_faults(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.faults", __doc__)
    add = parser.add_argument
    add(
        "--kills",
        type=whole_number(0),
        default=20,
        dest="times_killed",
        metavar="TIMES",
        help="number of kills at random moments",
    )
    add(
        "--saves",
        type=whole_number(0),
        default=5,
        dest="times_killed_saving",
        metavar="TIMES",
        help="number of kills during a save",
    )
    add(
        "--signals",
        type=whole_number(0),
        default=3,
        dest="times_stopped",
        metavar="TIMES",
        help="SIGTERMs",
    )
    add(
        "--disks",
        type=whole_number(0),
        default=3,
        dest="full_disks",
        metavar="TIMES",
        help="number of full disks",
    )
    add("--soak_minutes", type=command_line.number(0), default=120.0, help="length of the soak")
    add(
        "--only",
        type=comma_separated,
        metavar="FAULT,...",
        default="",
        help="the faults to make, by name as in the table; default: all",
    )
    return parser


if __name__ == "__main__":
    main()
