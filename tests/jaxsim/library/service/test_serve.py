"""The command as users run it: where it listens, how it fails and ends, and how it bears load."""

import contextlib
import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from jaxsim.library.store import writing
from jaxsim.network import subspaces
from tests.helpers.libraries import DIMENSIONS, describe, entry, random_vectors

CLIENTS = 16
SECONDS = float(os.environ.get("JAXSIM_LOAD_SECONDS", "8"))
TRACKS = 20_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of many tracks that are all the same file."""
    path = tmp_path_factory.mktemp("serve").resolve()
    soundfile.write(path / "a.wav", np.zeros(100_000), 8000)
    vectors = np.random.default_rng(0).normal(size=(TRACKS, 12))
    unit = subspaces.normalised(vectors, len(DIMENSIONS))
    entries = [entry(i, vector, title=f"Song {i}") for i, vector in enumerate(unit)]
    entries[0] = dataclasses.replace(entries[0], path=str(path / "a.wav"))
    with writing.open(path / "store", describe(), b"model") as writer:
        writer.add(entries)
        writer.measure_cosines()
    return path / "store"


@contextlib.contextmanager
def serving(
    folder: Path, *options: str, tracks: int = TRACKS
) -> Iterator[tuple[subprocess.Popen, str]]:
    """A server, and its address as it says it."""
    command = [sys.executable, "-m", "jaxsim.serve", str(folder), "--port=0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith(f"{tracks} tracks of {folder}: http://"), said
        yield process, said.split(": ", 1)[1].strip()
    finally:
        process.kill()
        process.communicate()


def ask(url: str, body: object = None, **headers: str) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    if body is not None:
        headers["content-type"] = "application/json"
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
        return answer.read()


def test_it_serves_until_it_is_interrupted(folder: Path) -> None:
    with serving(folder) as (process, address):
        assert address.startswith("http://127.0.0.1:")
        assert b"<title>jaxsim</title>" in ask(address)
        port = int(address.rstrip("/").rsplit(":", 1)[1])
        if Path("/proc/net/tcp").exists():
            lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            listening = [line[1] for line in lines if line[3] == "0A"]
            assert f"0100007F:{port:04X}" in listening and f"00000000:{port:04X}" not in listening
        process.send_signal(signal.SIGINT)
        _, problems = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Traceback" not in problems


def test_it_warns_where_others_can_come_in(folder: Path) -> None:
    with serving(folder, "--host=0.0.0.0") as (process, address):
        port = address.rstrip("/").rsplit(":", 1)[1]
        ask(f"http://127.0.0.1:{port}/api/library")
        process.send_signal(signal.SIGINT)
        _, problems = process.communicate(timeout=60)
        assert "anyone who can reach this address can play these files" in problems


@pytest.mark.parametrize("kind", ["no store", "port", "host"])
def test_what_cannot_be_served_is_one_line(folder: Path, tmp_path: Path, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options, message = {
            "no store": ([str(tmp_path)], f"error: {tmp_path}: not a library"),
            "port": (
                [str(folder), f"--port={port}"],
                f"error: cannot listen on 127.0.0.1, port {port}: ",
            ),
            "host": ([str(folder), "--host=no.such.host.invalid"], "error: cannot listen on no.su"),
        }[kind]
        command = [sys.executable, "-m", "jaxsim.serve", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "code", "message"),
    [
        ("--port=99999", 2, "'99999', expected a whole number from 0 to 65535"),
        ("--allow_origin=*", 1, "error: --allow_origin: '*', expected an origin such as"),
        ("--root_path=jaxsim", 1, "error: --root_path: 'jaxsim', expected a path such as"),
        ("--trusted_proxy=caddy", 1, "error: --trusted_proxy: 'caddy', expected an address"),
    ],
)
def test_a_wrong_option_says_what_was_expected(
    folder: Path, option: str, code: int, message: str
) -> None:
    command = [sys.executable, "-m", "jaxsim.serve", str(folder), option]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("times", [1, 3])
def test_interrupts_end_it_quietly(folder: Path, times: int) -> None:
    """While a listener is still receiving a file that does not fit into the network's buffers."""
    large = folder.parent / "a.wav"
    before = large.read_bytes()
    soundfile.write(large, np.zeros(30_000_000), 8000)
    try:
        with serving(folder) as (process, address):
            answer = urllib.request.urlopen(f"{address}api/audio/0", timeout=60)
            answer.read(1000)
            for _ in range(times):
                process.send_signal(signal.SIGINT)
                time.sleep(0.3)
            _, problems = process.communicate(timeout=60)
            answer.close()
        assert process.returncode == 0
        # The library's model is none, which may be found before or after the interrupt.
        assert not [line for line in problems.splitlines() if not line.startswith("uploads:")]
    finally:
        large.write_bytes(before)


def resident(process: subprocess.Popen) -> int:
    """Bytes of memory of a process."""
    pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_many_clients_are_served_in_flat_memory(folder: Path) -> None:
    """`JAXSIM_LOAD_SECONDS` says for how long; 8 seconds if it is not set."""
    failures: list[BaseException] = []
    counts = [0] * CLIENTS

    def client(number: int, address: str, until: float) -> None:
        dice = random.Random(number)
        while time.monotonic() < until and not failures:
            track = f"{dice.randrange(TRACKS):04d}"
            weights = {name: dice.uniform(-2, 2) for name in DIMENSIONS}
            try:
                found = ask(f"{address}api/search", {"like": [track], "weights": weights})
                assert len(json.loads(found)["hits"]) == 20
                ask(f"{address}api/tracks?text=song+{dice.randrange(100)}")
                assert len(ask(f"{address}api/audio/0", range="bytes=1000-1999")) == 1000
                ask(f"{address}api/map/values?by=title")
                likeness = {"like": [track], "by": "tempo"}
                assert len(json.loads(ask(f"{address}api/map/likeness", likeness))["values"]) > 1
            except BaseException as error:
                failures.append(error)
            counts[number] += 1

    def run(address: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        clients = [
            threading.Thread(target=client, args=(n, address, until)) for n in range(CLIENTS)
        ]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()

    with serving(folder) as (process, address):
        before = resident(process)
        for _ in range(8):  # until caches are full and all threads have begun
            run(address, SECONDS / 2)
            grown, before = resident(process) - before, resident(process)
            if grown < 4 << 20:
                break
        run(address, SECONDS)
        after = resident(process)
    assert not failures
    assert min(counts) > 0
    print(f"{sum(counts)} rounds, memory {before >> 20} to {after >> 20} MB")
    assert after < before + (40 << 20)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_a_killed_server_leaves_no_process(folder: Path) -> None:
    with serving(folder) as (process, address):
        ask(address)
        deadline = time.monotonic() + 60
        while not (children := decoders_of(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert children
        process.kill()
        process.wait()
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < deadline + 120
            time.sleep(0.2)


def decoders_of(parent: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) == parent and b"decoding" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


@pytest.mark.slow
def test_a_fuzzer_finds_nothing(tmp_path: Path) -> None:
    """Schemathesis against the server's own OpenAPI, for `JAXSIM_FUZZ_SECONDS` (60)."""
    names = ("0", "a", "00", "null", *map(str, range(1, 20)))  # that a fuzzer tries as well
    vectors = subspaces.normalised(random_vectors(len(names)), len(DIMENSIONS))
    with writing.open(tmp_path / "store", describe(), b"model") as writer:
        pairs = enumerate(zip(names, vectors, strict=True))
        writer.add([entry(i, vector, id=name, artist=name) for i, (name, vector) in pairs])
        writer.measure_cosines()
    with serving(tmp_path / "store", tracks=len(names)) as (_, address):
        ask(f"{address}openapi.json")  # the first time, it takes longer than Schemathesis waits
        settings = Path(__file__).with_name("schemathesis.toml")
        command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={settings}", "run"]
        command += [f"{address}openapi.json", "--continue-on-failure"]
        command += [f"--max-time={os.environ.get('JAXSIM_FUZZ_SECONDS', '60')}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
