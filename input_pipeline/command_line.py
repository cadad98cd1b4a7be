"""What all commands share: how they describe and read their options, and how they fail.

`--help` exits with 0 and wrong options with 2. An expected problem prints one line on standard
error and exits with 1.
"""

import argparse
import contextlib
import csv
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator

EXPECTED = (OSError, ValueError, ImportError, sqlite3.Error)
PROGRAM = "jaxsim"  # the command that runs all the others
_runs_as_program = False


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the description's line breaks, and shows only defaults that are informative."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        if default is None or default is False or default in ("", []):
            return action.help
        return super()._get_help_string(action)


def run_as_program() -> None:
    """Has every command spelled `jaxsim COMMAND` from now on, as its user spells it."""
    global _runs_as_program
    _runs_as_program = True


def spelled(text: str) -> str:
    """A text with its commands, such as `python -m jaxsim.embed`, as the user spells commands."""
    if not _runs_as_program:
        return text
    return re.sub(r"python -m (?:jaxsim|input_pipeline)\.", f"{PROGRAM} ", text)


class _Parser(argparse.ArgumentParser):
    def format_help(self) -> str:
        return spelled(super().format_help())


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m MODULE`; the description is the module's docstring."""
    return _Parser(
        prog=spelled(f"python -m {module}"),
        description=description,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """The type of an option that counts something, from `minimum` to `maximum` (if given)."""
    expected = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"

    def read(text: str) -> int:
        value = int(text) if text.isdecimal() else -1
        if value < minimum or (maximum is not None and value > maximum):
            raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number {expected}")
        return value

    return read


positive_integer = whole_number(1)


def number(minimum: float) -> Callable[[str], float]:
    """The type of an option that measures something and is at least `minimum`."""

    def read(text: str) -> float:
        with contextlib.suppress(ValueError):
            value = float(text)
            if value >= minimum:
                return value
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number of at least {minimum:g}")

    return read


def comma_separated(text: str) -> list[str]:
    """The type of an option that is a list; a part in double quotes may contain commas."""
    try:
        parts = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        message = f"{text!r}, expected a comma-separated list ({error})"
        raise argparse.ArgumentTypeError(message) from None
    return [part.strip() for part in parts if part.strip()]


@contextlib.contextmanager
def problems_in_one_line() -> Iterator[None]:
    """Ends the command with one line and exit code 1 on an error that its user can fix."""
    try:
        yield
    except EXPECTED as error:
        sys.exit(spelled(f"error: {error}"))
