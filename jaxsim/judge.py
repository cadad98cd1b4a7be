"""Asks a listener which of two tracks is more like a third, and fits the weights to the answers.

python -m jaxsim.judge STORE

Listen to the three files in any player. Every answer is saved at once, so you can stop at any time
and continue later. The weights become a preset of `python -m jaxsim.search`.
"""

import argparse
import sys
from collections.abc import Sequence

import rich.console
import rich.table

from input_pipeline import command_line
from jaxsim.library import store
from jaxsim.library.search import preferences, presets
from jaxsim.library.search.preferences import Answer, Fit, Question

KEYS = {"a": "a", "b": "b", "s": "skip", "skip": "skip"}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line(), store.open(options.store) as library:
        ask(library, options.name, count=options.answers)
        _conclude(library, options.name)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("jaxsim.judge", __doc__)
    add = parser.add_argument
    add("store", metavar="STORE", help="the folder that jaxsim.embed wrote")
    add("--name", default="personal", help="your name, which becomes the name of the preset")
    add(
        "--answers",
        "--count",
        type=command_line.whole_number(0),
        default=20,
        help="stop at this many answers, including those of earlier sessions",
    )
    return parser


def ask(library: store.Store, name: str, *, count: int) -> None:
    """Asks until there are `count` answers, the input ends, or "q" is entered."""
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
            f"; weights fitted to all the others predict {fitted.agreement:.0%} of the answers "
            "correctly (chance: 50%; the questions asked are the hardest)"
        )
    search = command_line.spelled("python -m jaxsim.search")
    return (
        f"{fitted.answers} answers{agreement}\n"
        f"saved: {search} {library.path} --like SONG --preset {name}"
    )


if __name__ == "__main__":
    main()
