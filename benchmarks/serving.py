"""Many clients of `python -m jaxsim.serve` at once: searches per second, their times, memory.

python -m benchmarks.serving --tracks=100000 --clients=16 --duration=60

As soon as its last request is answered, every client asks for music like a random track of a
synthetic library (benchmarks.library), with random weights, some of them negative. All clients are
one process of its own that reads as little of the answers as it can. Kinds other than
plain ask for a condition, for at most one track per artist, by one dimension only, or for music
like three tracks. --beside=FOLDER measures another checkout's server in turns with this one's.
"""

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import os
import random
import re
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
HERE = Path(__file__).parents[1]
KINDS = ("plain", "where", "artists", "dimension", "seeds")


@contextlib.contextmanager
def served(folder: Path, code: Path) -> Iterator[tuple[int, int]]:
    """Serves the library by the code in a checkout; gives process and port once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jaxsim.serve", str(folder), f"--port={port}"]
    environment = os.environ | {"PYTHONPATH": str(code)}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=code, env=environment) as run,
    ):
        try:
            while not answers(port):
                if run.poll() is not None:
                    log.seek(0)
                    sys.exit(f"error: the server ended: {log.read().decode()[-2000:]}")
                time.sleep(0.05)
            yield run.pid, port
        finally:
            run.terminate()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/library", timeout=60):
            return True
    except OSError:
        return False


def question(kind: str, numbers: random.Random, tracks: int) -> dict:
    """The body of a request."""
    seeds = [
        library.track_id(numbers.randrange(tracks)) for _ in range(3 if kind == "seeds" else 1)
    ]
    weights = {dimension: numbers.uniform(-1, 2) for dimension in DIMENSIONS}
    asked = {"like": seeds, "weights": weights, "top": HITS}
    if kind == "dimension":
        asked["weights"] = {numbers.choice(DIMENSIONS): 1}
    elif kind == "where":
        asked["where"] = f"tempo > {numbers.randrange(60, 170, 10)}"
    elif kind == "artists":
        asked["max_per_artist"] = 1
    return asked


def search(server: socket.socket, body: bytes) -> None:
    """Searches once and counts the hits.

    Raises:
      OSError: the server closed the connection.
      ValueError: it did not answer with 20 hits.
    """
    server.sendall(
        b"POST /api/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )
    received, length = b"", None
    while length is None or len(received) < length:
        part = server.recv(1 << 16)
        if not part:
            raise OSError("the server closed the connection")
        received += part
        head = received.find(b"\r\n\r\n")
        if length is None and head > 0:
            announced = re.search(rb"content-length: (\d+)", received[:head], re.IGNORECASE)
            length = head + 4 + int(announced[1]) if announced else None
    if (found := received.count(b'"score"')) != HITS:
        raise ValueError(f"{found} hits, expected {HITS}: {received[:80]!r}")


def ask(
    out: multiprocessing.Queue, port: int, kind: str, tracks: int, clients: int, duration: float
) -> None:
    """What the process of the clients does: puts the seconds of every search, and errors."""
    times: list[float] = []
    errors: list[str] = []
    end = time.monotonic() + duration

    def client(seed: int) -> None:
        numbers = random.Random(seed)
        with socket.create_connection(("127.0.0.1", port), timeout=60) as server:
            while (began := time.monotonic()) < end:
                try:
                    search(server, json.dumps(question(kind, numbers, tracks)).encode())
                except (OSError, ValueError) as error:
                    errors.append(str(error))
                else:
                    times.append(time.monotonic() - began)

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(clients)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    out.put((times, errors))


@dataclasses.dataclass(frozen=True)
class Server:
    name: str
    process: int
    port: int

    def experience(self, kind: str, tracks: int, clients: int, duration: float) -> float:
        """Prints what clients experience, and returns searches per second."""
        context = multiprocessing.get_context("spawn")
        out = context.Queue()
        asking = context.Process(target=ask, args=(out, self.port, kind, tracks, clients, duration))
        asking.start()
        time.sleep(duration / 10)
        early, before = resident(self.process), processor_seconds(self.process)
        times, errors = out.get()
        late, after = resident(self.process), processor_seconds(self.process)
        asking.join()
        half, most = 1e3 * np.percentile(times, (50, 99)) if times else (np.nan, np.nan)
        print(
            f"{self.name}, {kind}, {tracks:,} tracks, {clients} clients, {duration:g} s: "
            f"{len(times):,} searches ({len(times) / duration:.1f}/s), {len(errors)} errors; "
            f"p50 {half:.0f} ms, p99 {most:.0f} ms; {(after - before) / duration:.2f} cores; "
            f"memory {early / 2**20:.0f} MiB after a tenth, {late / 2**20:.0f} at the end",
            flush=True,
        )
        for message in sorted(set(errors)):
            print(f"{errors.count(message)} x {message}")
        return len(times) / duration


def processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(
    *,
    tracks: int,
    clients: int,
    duration: float,
    kinds: Sequence[str],
    library_folder: Path | None,
    beside: Path | None,
    rounds: int,
    warm: float,
) -> None:
    """Writes a library unless there is one, and measures one server or two in turns."""
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = library_folder or Path(temporary, "library")
        if not folder.exists():
            library.write(folder, tracks)
        servers = []
        for code in filter(None, (HERE, beside)):
            began = time.monotonic()
            process, port = stack.enter_context(served(folder.resolve(), code.resolve()))
            print(f"{code.name} answers after {time.monotonic() - began:.1f} s", flush=True)
            servers.append(Server(code.name, process, port))
            time.sleep(warm)
        for kind in kinds:
            for _ in range(rounds):
                rates = [each.experience(kind, tracks, clients, duration) for each in servers]
                if beside:
                    print(f"{kind}: {rates[0] / rates[1]:.2f} x as many searches", flush=True)


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
    add("--kinds", nargs="+", choices=KINDS, default=["plain"], help="what is asked for, in turn")
    add("--library_folder", type=Path, help="where the library is, or is to be kept")
    add("--beside", type=Path, help="another checkout to be measured in turns")
    add("--rounds", type=positive_integer, default=1, help="turns")
    add(
        "--warm",
        type=number(0),
        default=12.0,
        help="seconds that a server is given to read the rest; a million tracks need 60",
    )
    return parser


if __name__ == "__main__":
    main()
