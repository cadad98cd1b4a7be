"""A bar that terminals and logs agree with: its size, what is written meanwhile, its numbers."""

import contextlib
import fcntl
import io
import os
import re
import struct
import sys
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest

from input_pipeline import progress
from input_pipeline.datasets import pool
from input_pipeline.progress import Bar

DRAWN = re.compile(r"(?:\x1b\[(\d+)A)?\r\x1b\[J([^\r\x1b\n]*)")


class Terminal:
    """A pseudo-terminal whose size can be changed, and what was written to it."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        self.file: TextIO = os.fdopen(slave, "w", encoding="utf-8")
        os.set_blocking(self._master, False)
        self.resize(90)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.file.fileno(), termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))

    def read(self) -> str:
        """What was written since the last time."""
        self.file.flush()
        found = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                found += os.read(self._master, 1 << 16)
        return found.decode()


@contextlib.contextmanager
def on_terminal() -> Iterator[Terminal]:
    found = Terminal()
    with contextlib.redirect_stderr(found.file), found.file:
        yield found


def log(monkeypatch: pytest.MonkeyPatch, seconds: float = progress.LOG_SECONDS) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    monkeypatch.setattr(progress, "LOG_SECONDS", seconds)
    return file


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    file = log(monkeypatch)
    with Bar(total=5000, desc="embedding", unit="track") as bar:
        for _ in range(5000):
            bar.step(note="7 skipped")
    first, last = file.getvalue().splitlines()
    assert first.startswith("embedding:   0%| 0/5000 [")
    assert re.fullmatch(
        r"embedding: 100%\| 5000/5000 \[\d\d:\d\d<00:00, [\d.]+track/s\], 7 skipped", last
    )
    assert "\r" not in file.getvalue() and "\x1b" not in file.getvalue()


def test_a_line_says_what_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    file = log(monkeypatch, seconds=0)
    taken = list(progress.over("ab", names=["/x/one.mp3", "/x/two.mp3"], desc="d", unit="file"))
    assert taken == ["a", "b"]
    lines = file.getvalue().splitlines()
    assert [line.rpartition("]")[2] for line in lines] == ["", ", two.mp3", "", ""]
    assert [re.search(r"(\d)/2", line)[1] for line in lines] == ["0", "1", "2", "2"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/music/Ænima.flac", "Ænima.flac"),
        ("a\n\x1b[31mb\r.mp3", "a??[31mb?.mp3"),
        (os.fsdecode(b"\xff.mp3"), "?.mp3"),
        ("track 1", "track 1"),
    ],
)
def test_names_do_not_disturb_a_terminal(name: str, expected: str) -> None:
    assert progress.shown(name) == expected


def test_it_fits_a_terminal_that_is_resized() -> None:
    texts, widths = [], (90, 40, 70, 25)
    names = ["a long name of a song.flac"] * 4
    with on_terminal() as terminal, Bar(total=4, desc="embedding", unit="track", names=names) as b:
        length = len(DRAWN.findall(terminal.read())[0][1])
        for width in widths:
            terminal.resize(width)
            b.last_print_t = 0  # it is drawn now
            b.step(note="200 x real time, 0 skipped")
            ((above, text),) = DRAWN.findall(terminal.read())
            texts.append((int(above or 0), text))
    for (above, text), width in zip(texts, widths, strict=True):
        assert len(text) <= width
        assert above == (length - 1) // width  # the rows that the one before fills by now
        length = len(text)
    assert "200 x real time" in texts[0][1]


def test_what_is_written_meanwhile_is_above_it() -> None:
    with on_terminal() as terminal:
        with Bar(total=2, unit="track") as bar:
            terminal.read()
            print("a library says so", file=sys.stderr)
            said = terminal.read()
            bar.step()
        print("the end", file=sys.stderr)
        assert terminal.read().endswith("the end\r\n")
        assert sys.stderr is terminal.file
    erased, drawn_again = said.split("a library says so")
    assert re.fullmatch(r"(\x1b\[\d+A)?\r\x1b\[J\r", erased), repr(said)
    assert re.fullmatch(r"\s*\r\x1b\[J +0%\|.*", drawn_again), repr(said)


def test_a_disabled_bar_shows_nothing() -> None:
    with on_terminal() as terminal:
        with Bar(total=2, unit="track", disable=True) as bar:
            bar.step()
            assert sys.stderr is terminal.file
        print("this", file=sys.stderr)
        assert terminal.read() == "this\r\n"


def warn(_: int) -> str:
    import subprocess

    code = "import warnings; warnings.warn('of a library')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr


def test_workers_do_not_warn() -> None:
    ((_, found),) = pool.in_order(warn, [1], processes=1)
    pool.stop()
    assert found == "" and "of a library" in warn(1)
