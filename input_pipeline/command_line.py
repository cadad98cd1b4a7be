"""What all commands have in common: how they describe and read their options, and how they fail.

`--help` exits with 0, wrong options with 2, and an expected problem is one line on standard error
and exit code 1.
"""

import argparse
import contextlib
import sqlite3
import sys
from collections.abc import Iterator

EXPECTED = (OSError, ValueError, ImportError, sqlite3.Error)


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the description's lines, and shows defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, "", [], ()):
            return action.help
        return super()._get_help_string(action)


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """The parser of `python -m MODULE`; the description is the module's docstring."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )


def positive_integer(text: str) -> int:
    """The type of an option that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number of at least 1")
    return int(text)


def comma_separated(text: str) -> list[str]:
    """The type of an option that is a list."""
    return [part for part in (part.strip() for part in text.split(",")) if part]


@contextlib.contextmanager
def problems_in_one_line() -> Iterator[None]:
    """Ends the command with one line and exit code 1 at an error that its user can mend."""
    try:
        yield
    except EXPECTED as error:
        sys.exit(f"error: {error}")
