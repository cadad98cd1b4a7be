"""Asks a listener which of two tracks is more like a third, and fits the weights to the answers.

python -m jaxsim.judge STORE

Listen to the three files in any player. Every answer is saved at once, so it can be stopped at any
time, and goes on where it stopped. The weights become a preset of `python -m jaxsim.search`.
"""

import argparse
import sqlite3
import sys
from collections.abc import Sequence

import rich.console
import rich.table

from jaxsim.library import preferences, presets, store
from jaxsim.library.preferences import Answer, Fit, Question

KEYS = {"a": "a", "b": "b", "s": "skip", "skip": "skip"}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; expected problems are one line on stderr and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        with store.open(options.store) as library:
            ask(library, options.name, count=options.count)
            _conclude(library, options.name)
    except (OSError, ValueError, sqlite3.Error) as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jaxsim.judge",
        description=(__doc__ or "").partition("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("store", metavar="STORE", help="folder of the library")
    parser.add_argument("--name", default="personal", help="of the listener, and of the preset")
    parser.add_argument("--count", type=int, default=20, help="answers in all")
    return parser


def ask(library: store.Store, name: str, *, count: int) -> None:
    """Asks until there are `count` answers, or the input ends, or it says "q"."""
    while len(answers := preferences.answers_of(library, name)) < count:
        question = preferences.next_question(library, answers)
        print(f"\n{len(answers) + 1} of {count}: which is more like the first?")
        tracks = library.metadata([question.anchor, question.a, question.b])
        for label, track in zip(" AB", tracks, strict=True):
            print(f"  {label}  {store.name_of(track)}\n     {track['path']}")
        choice = _read_choice()
        if choice is None:
            return
        preferences.save_answer(library, name, _answer(library, question, choice))


def _read_choice() -> str | None:
    """A choice; None at "q" and at the end of the input."""
    while True:
        try:
            text = input("A, B, s (skip) or q (quit): ").strip().lower()
        except (EOFError, KeyboardInterrupt):
            print()
            return None
        if text in ("q", "quit"):
            return None
        if text in KEYS:
            return KEYS[text]


def _answer(library: store.Store, question: Question, choice: str) -> Answer:
    ids = library.ids
    return Answer(ids[question.anchor], ids[question.a], ids[question.b], choice)


def _conclude(library: store.Store, name: str) -> None:
    """Fits the weights, shows them and saves the preset."""
    fitted = preferences.fit(library, preferences.answers_of(library, name))
    if not fitted.answers:
        print("no answers, so no weights", file=sys.stderr)
        return
    weights, deviations = preferences.preset(fitted, library.dimensions)
    presets.save(library, name, weights, deviations=deviations)
    rich.console.Console().print(_table(weights, deviations))
    print(_summary(fitted, name, library))


def _table(weights: dict[str, float], deviations: dict[str, float]) -> rich.table.Table:
    table = rich.table.Table("dimension", "weight", "± 1 deviation")
    for dimension, weight in weights.items():
        table.add_row(dimension, f"{weight:+.2f}", f"{deviations[dimension]:.2f}")
    return table


def _summary(fitted: Fit, name: str, library: store.Store) -> str:
    agreement = ""
    if fitted.answers > 1:
        agreement = (
            f"; weights fitted to all other answers predict {fitted.agreement:.0%} of the answers "
            "(chance: 50%; the questions are the hardest ones)"
        )
    return (
        f"{fitted.answers} answers{agreement}\n"
        f"saved: python -m jaxsim.search {library.path} --like SONG --preset {name}"
    )


if __name__ == "__main__":
    main()
