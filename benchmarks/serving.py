"""Many clients of `python -m jaxsim.serve` at once: searches per second, their times, memory.

python -m benchmarks.serving --tracks=100000 --clients=16 --duration=60

As soon as its last request is answered, every client asks for music like a random track of a
synthetic library (benchmarks.library), with random weights, some of them negative.
"""

import argparse
import contextlib
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import library
from benchmarks.memory import resident
from input_pipeline import command_line
from input_pipeline.command_line import number, positive_integer
from input_pipeline.tracks import DIMENSIONS

HITS = 20


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[int, str]]:
    """Serves the library; gives the process and its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jaxsim.serve", str(folder), f"--port={port}"]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as run:
        try:
            while not answers(address):
                if run.poll() is not None:
                    log.seek(0)
                    sys.exit(f"error: the server ended: {log.read().decode()[-2000:]}")
                time.sleep(0.2)
            yield run.pid, address
        finally:
            run.terminate()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/api/library", timeout=10):
            return True
    except OSError:
        return False


def search(address: str, numbers: random.Random, tracks: int) -> None:
    """Searches once and counts the hits.

    Raises:
      OSError: the server did not answer, or answered with an error.
      ValueError: there are not 20 hits.
    """
    question = {
        "like": [library.track_id(numbers.randrange(tracks))],
        "weights": {dimension: numbers.uniform(-1, 2) for dimension in DIMENSIONS},
    }
    request = urllib.request.Request(
        f"{address}/api/search", json.dumps(question).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        hits = json.load(answer)["hits"]
    if len(hits) != HITS:
        raise ValueError(f"{len(hits)} hits, expected {HITS}")


def measure(*, tracks: int, clients: int, duration: float) -> None:
    """Serves a library to clients that search, and prints what they experienced."""
    times: list[float] = []
    errors: list[str] = []

    def client(number: int, address: str, end: float) -> None:
        numbers = random.Random(number)
        while (began := time.monotonic()) < end:
            try:
                search(address, numbers, tracks)
            except (OSError, ValueError) as error:
                errors.append(str(error))
            else:
                times.append(time.monotonic() - began)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "library")
        library.write(folder, tracks)
        with served(folder) as (process, address):
            end = time.monotonic() + duration
            threads = [
                threading.Thread(target=client, args=(number, address, end))
                for number in range(clients)
            ]
            for each in threads:
                each.start()
            time.sleep(duration / 10)
            early = resident(process)
            for each in threads:
                each.join()
            late = resident(process)
    half, most = np.percentile(times, (50, 99)) if times else (np.nan, np.nan)
    print(
        f"{tracks:,} tracks, {clients} clients, {duration:g} s: {len(times):,} searches "
        f"({len(times) / duration:.1f}/s), {len(errors)} errors; "
        f"p50 {1e3 * half:.0f} ms, p99 {1e3 * most:.0f} ms; "
        f"memory {early / 2**20:.0f} MiB after a tenth, {late / 2**20:.0f} at the end"
    )
    for message in sorted(set(errors)):
        print(f"{errors.count(message)} x {message}")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        measure(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.serving", __doc__)
    add = parser.add_argument
    add("--tracks", type=positive_integer, default=100_000, help="tracks in the library")
    add("--clients", type=positive_integer, default=16, help="clients that search at once")
    add(
        "--duration",
        "--seconds",
        type=number(0),
        default=60.0,
        help="seconds to search",
    )
    return parser


if __name__ == "__main__":
    main()
