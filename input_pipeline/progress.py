"""How every command shows how far it is: a bar on a terminal, a line now and then in a log.

Either has the rate, the time that is left, and what is being worked on.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any, TextIO, TypeVar

import tqdm
from tqdm.contrib import DummyTqdmFile
from tqdm.utils import disp_len

Item = TypeVar("Item")

LOG_SECONDS = 30.0  # between two lines in a log
NUMBERS = "{n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]{postfix}"
ON_TERMINAL = "{l_bar}{bar:10}| " + NUMBERS  # a narrow bar leaves room for what is worked on
IN_LOG = "{l_bar} " + NUMBERS


class Bar(tqdm.tqdm):
    """A `tqdm.tqdm` on standard error that a terminal's size, other output and logs agree with.

    It fits itself to the terminal's width whenever it is drawn. What anybody writes to standard
    error meanwhile appears above it.
    """

    def __init__(
        self,
        *,
        total: int,
        desc: str = "",
        unit: str,
        initial: int = 0,
        disable: bool = False,
        smoothing: float = 0.0,
        names: Sequence[str] = (),
    ):
        """Shows the bar.

        Args:
          total: how many there are.
          desc: what is done.
          unit: what is counted.
          initial: how many were done before.
          disable: shows nothing.
          smoothing: weight of the newest in the rate; 0 is the average, which is the best guess at
            the rest where files differ.
          names: of the files or tracks that are worked on, in this order.
        """
        self._names = names
        self._replaced: TextIO | None = None
        on_terminal = sys.stderr.isatty()
        super().__init__(
            total=total,
            desc=desc,
            unit=unit,
            initial=initial,
            disable=disable,
            file=sys.stderr if on_terminal else _Lines(sys.stderr),
            bar_format=ON_TERMINAL if on_terminal else IN_LOG,
            dynamic_ncols=on_terminal,
            mininterval=0.1 if on_terminal else LOG_SECONDS,
            miniters=1,
            smoothing=smoothing,
        )
        self._note()
        if on_terminal and not disable:
            self._replaced = sys.stderr
            sys.stderr = DummyTqdmFile(sys.stderr)  # type: ignore[assignment]

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        """What draws a text over the one before, however many rows that has become meanwhile."""
        if not file.isatty():
            return file.write
        length = 0

        def draw(text: str) -> None:
            nonlocal length
            above = max(length - 1, 0) // os.get_terminal_size(file.fileno()).columns
            file.write(f"\x1b[{above}A" * bool(above) + f"\r\x1b[J{text}")
            file.flush()
            length = disp_len(text)

        return draw

    def step(self, count: int = 1, *, note: str = "") -> None:
        """Counts what is done, and shows a note and what comes next."""
        done = int(self.n) + count
        self._note(note, done)
        self.update(count)

    def _note(self, note: str = "", done: int = 0) -> None:
        name = shown(self._names[done]) if done < len(self._names) else ""
        self.set_postfix_str(", ".join(filter(None, (note, name))), refresh=False)

    def close(self) -> None:
        if self._replaced is not None:
            sys.stderr, self._replaced = self._replaced, None
        super().close()


def over(
    items: Iterable[Item], *, names: Sequence[str], desc: str = "", unit: str
) -> Iterator[Item]:
    """Yields the items, and shows how many have been taken; they bear these names, in order."""
    with Bar(total=len(names), desc=desc, unit=unit, names=names) as bar:
        for item in items:
            yield item
            bar.step()


def shown(path: str) -> str:
    """The last part of a path, or a name, without what would disturb a terminal."""
    return "".join(c if c.isprintable() else "?" for c in PurePath(path).name)


class _Lines:
    """Writes what tqdm draws as lines of a log."""

    def __init__(self, file: TextIO):
        self._file = file

    def write(self, text: str) -> None:
        if line := text.strip():
            self._file.write(f"{line}\n")

    def isatty(self) -> bool:
        return False

    def flush(self) -> None:
        self._file.flush()
