"""A library that is served while it changes: are requests lost, is another track played?

python -m benchmarks.soak --minutes=15

Clips are embedded, and served to clients that search, play ranges of what they find, and upload.
Meanwhile `jaxsim.embed --prune` adds some and forgets others, again and again, so that rows are
renumbered under the clients. Every played range is compared with the file of the track whose
address it was. A track that has gone since may be answered with 403, 404 or 410; whatever else is
not answered as it should be is a failure, and the exit code is then 1.
"""

import argparse
import collections
import http.client
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.memory import resident
from benchmarks.serving import HERE, processor_seconds, served
from input_pipeline import command_line
from input_pipeline.command_line import number, positive_integer

SAMPLE_RATE, SECONDS = 22050, 12  # of a clip
GONE = (403, 404, 410)  # what a client may hear of a track that is no longer there
RANGE = 4096  # bytes that a player asks for
PLAYERS, UPLOADS_EVERY = 2, 10.0  # clients that only play; seconds between two uploads


def write_clip(file: Path, seed: int) -> None:
    """A chord that pulses, different for each seed."""
    numbers = np.random.default_rng(seed)
    times = np.arange(SAMPLE_RATE * SECONDS) / SAMPLE_RATE
    notes = sum(np.sin(2 * np.pi * f * times) for f in numbers.uniform(80, 800, 4))
    pulse = np.sign(np.sin(2 * np.pi * times * numbers.uniform(1, 3)))
    noise = numbers.normal(size=len(times))
    soundfile.write(file, 0.1 * notes * (0.6 + 0.4 * pulse) + 0.002 * noise, SAMPLE_RATE)


class Failed(Exception):
    """A request was not answered as it should be."""


class Client:
    """What one client asks, and how it was answered."""

    def __init__(self, port: int, music: Path, seed: int):
        self.counts: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self.music = music
        self._port = port
        self._numbers = random.Random(seed)
        self._tracks: list[dict[str, Any]] = []

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        """Status and content of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def search(self) -> None:
        """Searches for music like one of the tracks that are known, or like a random one."""
        if not self._tracks or self._numbers.random() < 0.1:
            status, found = self.ask("GET", "/api/tracks/random?count=20")
            self._expect(status == 200, f"random tracks: {status}")
            self._tracks = json.loads(found)
        like = self._numbers.choice(self._tracks)["id"]
        self._search(like, gone=(404,))

    def _search(self, like: str, gone: Sequence[int] = ()) -> None:
        body = {"like": [like], "top": 10, "where": f"seconds>{self._numbers.randrange(10)}"}
        kind = {"content-type": "application/json"}
        status, found = self.ask("POST", "/api/search", json.dumps(body).encode(), **kind)
        if status in gone:
            self._tracks = []
        else:
            self._expect(status == 200, f"search: {status} {found[:200]!r}")
            self._tracks = [hit["track"] for hit in json.loads(found)["hits"]]
            self._expect(len(self._tracks) > 0, "search: no hits")

    def play(self) -> None:
        """Plays part of a track found some time ago, and compares it with the file."""
        if not self._tracks or self._numbers.random() < 0.05:
            self.search()
            return
        track = self._numbers.choice(self._tracks)
        start = self._numbers.randrange(RANGE)
        part = f"bytes={start}-{start + RANGE - 1}"
        status, found = self.ask("GET", track["audio"], range=part)
        if status in GONE:
            self.counts["gone"] += 1
            return
        self._expect(status == 206, f"play: {status} {found[:200]!r}")
        file = self.music / f"{track['title']}.flac"
        expected = (self.music.with_name("all") / file.name).read_bytes()[start : start + RANGE]
        self._expect(found == expected, f"play: not {track['title']}")

    def upload(self) -> None:
        """Uploads a clip, and searches for music like it."""
        clip = self._numbers.choice(sorted(self.music.with_name("all").iterdir()))
        status, found = self.ask("POST", "/api/embed?name=a.flac", clip.read_bytes())
        self._expect(status == 200, f"upload: {status} {found[:200]!r}")
        self._search(json.loads(found)["id"])

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise Failed(otherwise)

    def run(self, action: Callable[[], None], until: float, pause: float) -> None:
        while time.monotonic() < until:
            self.counts[action.__name__] += 1
            try:
                action()
            except (Failed, OSError, ValueError, http.client.HTTPException) as error:
                self.failures.append(f"{action.__name__}: {error!r}")
            time.sleep(pause)


def embed(store: Path, music: Path) -> None:
    command = [sys.executable, "-m", "jaxsim.embed", f"--store={store}", "--prune"]
    command += ["--confirm_gone", str(music)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE)
    if done.returncode:
        raise SystemExit(f"error: embedding ended with {done.returncode}: {done.stderr[-1000:]}")


def change(music: Path, everything: Sequence[Path], numbers: random.Random) -> None:
    """Takes some clips away, and puts in others."""
    there = {file.name for file in music.iterdir()}
    for file in everything:
        if file.name in there and numbers.random() < 0.2:
            (music / file.name).unlink()
        elif file.name not in there and numbers.random() < 0.3:
            (music / file.name).write_bytes(file.read_bytes())


def soak(folder: Path, *, minutes: float, clips: int, clients: int) -> list[str]:
    """Serves for so many minutes, prints what happened, and returns what failed."""
    music, store = folder / "music", folder / "store"
    for each in (music, music.with_name("all")):
        each.mkdir()
    everything = [music.with_name("all") / f"clip {i:03d}.flac" for i in range(clips)]
    for seed, file in enumerate(everything):
        write_clip(file, seed)
        (music / file.name).write_bytes(file.read_bytes())
    embed(store, music)
    numbers, changes = random.Random(0), 0
    with served(store, HERE) as (process, port):
        until = time.monotonic() + 60 * minutes
        asking = [Client(port, music, seed) for seed in range(clients + PLAYERS + 1)]
        actions = [*(c.search for c in asking[:clients]), *(c.play for c in asking[clients:-1])]
        pauses = [0.05] * len(actions) + [UPLOADS_EVERY]
        jobs = zip(asking, [*actions, asking[-1].upload], pauses, strict=True)
        threads = [threading.Thread(target=c.run, args=(a, until, p)) for c, a, p in jobs]
        for thread in threads:
            thread.start()
        memory = []
        while time.monotonic() < until:
            change(music, everything, numbers)
            embed(store, music)
            changes += 1
            memory.append(resident(process) / 2**20)
            print(f"{changes} changes, {memory[-1]:.0f} MiB", flush=True)
        for thread in threads:
            thread.join()
        _, found = asking[0].ask("GET", "/api/library")
        counts = sum((client.counts for client in asking), collections.Counter())
        done = ", ".join(f"{counts[name]:,} x {name}" for name in ("search", "play", "upload"))
        print(
            f"{minutes:g} minutes, {changes} changes ({json.loads(found)['version']} snapshots "
            f"after the first): {done} ({counts['gone']} gone since); "
            f"{processor_seconds(process):.0f} s of processor time; memory "
            f"{memory[len(memory) // 4]:.0f} MiB after a quarter, {memory[-1]:.0f} at the end, "
            f"{max(memory):.0f} at most"
        )
    return [failure for client in asking for failure in client.failures]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line(), tempfile.TemporaryDirectory() as temporary:
        failures = soak(Path(temporary).resolve(), **vars(options))
    for failure, count in collections.Counter(failures).most_common():
        print(f"{count} x {failure}")
    print(f"{len(failures)} failures")
    sys.exit(1 if failures else 0)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.soak", __doc__)
    add = parser.add_argument
    add("--minutes", type=number(0), default=15.0, help="how long to serve")
    add("--clips", type=positive_integer, default=40, help="clips, of which most are in at a time")
    add("--clients", type=positive_integer, default=4, help="clients that search at once")
    return parser


if __name__ == "__main__":
    main()
