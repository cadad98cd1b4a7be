"""For tests with untrusted files and texts, damaged in many ways.

A reader returns a value or raises the documented error: no other error, no endless loop, and
nothing in the input is executed. Every such test runs with few examples, and as a slow test with
many; always the same ones.
"""

import contextlib
import io
import json
import signal
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FEW, MANY = 40, 200
few_or_many = pytest.mark.parametrize(
    "examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)
LONGEST = 10  # seconds of processor time for one example
# From https://docs.python.org/3/library/audit_events.html: what a reader must never do.
FORBIDDEN = {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect"}

watching = False
forbidden: list[str] = []


def watch(event: str, arguments: tuple) -> None:
    run_text = event == "exec" and getattr(arguments[0], "co_filename", "") == "<string>"
    if watching and (event in FORBIDDEN or run_text):
        forbidden.append(event)


sys.addaudithook(watch)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Fails if the block runs a program or evaluates a text, or does not end."""
    global watching

    def too_long(*_: Any) -> None:
        raise TimeoutError(f"not done after {LONGEST} seconds")

    before = signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    watching = True
    try:
        yield
    finally:
        watching = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    assert not forbidden


def fuzz(examples: int, strategy: st.SearchStrategy, check: Callable[[Any], None]) -> None:
    """Calls `check` with many values from a strategy."""

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,  # `watched` has one that does not depend on the machine's load
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(value: Any) -> None:
        with watched():
            check(value)

    run()


def fuzz_file(
    examples: int,
    path: Path,
    contents: st.SearchStrategy[bytes],
    read: Callable[[Path], Any],
    check: Callable[[Any], None] = lambda value: None,
) -> None:
    """Reads many file contents; the only error is a ValueError that begins with the path."""

    def one(content: bytes) -> None:
        path.write_bytes(content)
        try:
            value = read(path)
        except ValueError as error:
            assert str(error).startswith(str(path)), error
            assert "\n" not in str(error)
            return
        check(value)

    fuzz(examples, contents, one)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Content with bytes replaced, inserted or left out, and perhaps truncated."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(0, 5))):
        place = draw(st.integers(0, len(content)))
        content[place : place + draw(st.integers(0, 6))] = draw(st.binary(max_size=6))
    return bytes(content[: draw(st.none() | st.integers(0, len(content)))])


def scrambled(tokens: list[bytes], *, most: int = 40) -> st.SearchStrategy[bytes]:
    """Tokens of a language in any order."""
    return st.lists(st.sampled_from(tokens) | st.binary(max_size=3), max_size=most).map(b"".join)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, 10**400, -(10**400), 0, -1])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["genre", "train", "120", "A minor", "\ud800", "\0", "a;b"])
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def nested(depths: list[int], before: str = "", after: str = "") -> st.SearchStrategy[bytes]:
    """JSON lists in lists, up to a depth that no recursion survives."""
    return st.sampled_from(depths).map(lambda n: f"{before}{'[' * n}{']' * n}{after}".encode())


DEPTHS = [1, 300, *range(850, 1000, 10), 100_000]


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def archive(members: dict[str, bytes]) -> bytes:
    """A zip file with correct checksums, so that its contents are read."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return file.getvalue()


def fields(tree: dict[str, Any], before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all fields of a tree of dictionaries."""
    found = []
    for name, value in tree.items():
        found.append((*before, name))
        if isinstance(value, dict):
            found += fields(value, (*before, name))
    return found


@st.composite
def changed(draw: st.DrawFn, tree: dict[str, Any]) -> Any:
    """A JSON tree in which something is replaced or left out."""
    tree = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(1, 2))):
        *parents, last = draw(st.sampled_from(fields(tree)))
        place = tree
        for name in parents:
            place = place[name]
        if draw(st.booleans()):
            place[last] = draw(json_values)
        else:
            del place[last]
        if not tree:
            break
    return tree
