"""Threads that search at once get what each would get alone, and none waits for ever."""

import functools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from jaxsim.library import store
from jaxsim.library.search import query, scanning
from jaxsim.library.search.together import Together
from jaxsim.library.store import Store
from tests.helpers.libraries import random_vectors

PATIENCE = 20.0  # seconds within which everything must have happened


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.001)


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the exception that it raises."""
    try:
        return call()
    except Exception as error:
        return error


class Gate:
    """Answers questions; the first call of `answer_all` lasts until the gate is opened."""

    def __init__(self, answer: Callable[[Any], Any] = lambda question: question):
        self.answer = answer
        self.calls: list[list[Any]] = []
        self.entered, self.open = threading.Event(), threading.Event()

    def answer_all(self, questions: list[Any]) -> list[Any]:
        self.calls.append(questions)
        self.entered.set()
        assert self.open.wait(PATIENCE)
        return [self.answer(question) for question in questions]


def held(gate: Gate, questions: Sequence[Any]) -> list[Future]:
    """Asks the first question, and all others while it is being answered."""
    together = Together(gate.answer_all, "test")
    first = together.ask(questions[0])
    assert gate.entered.wait(PATIENCE)
    return [first, *map(together.ask, questions[1:])]


def answers(futures: Sequence[Future]) -> list[Any]:
    return [outcome(functools.partial(future.result, PATIENCE)) for future in futures]


def test_a_lone_question_is_answered_at_once_and_the_others_together() -> None:
    gate = Gate(lambda question: question * 2)
    asked = held(gate, range(12))
    gate.open.set()
    assert answers(asked) == [2 * number for number in range(12)]
    assert gate.calls == [[0], list(range(1, 12))]


def test_only_those_fail_that_are_the_reason() -> None:
    gate = Gate(lambda question: 1 / question)
    asked = held(gate, [1, 2, 0, 4, 0, 8])
    gate.open.set()
    found = answers(asked)
    assert [found[number] for number in (0, 1, 3, 5)] == [1, 0.5, 0.25, 0.125]
    assert all(isinstance(found[number], ZeroDivisionError) for number in (2, 4))


def test_who_no_longer_waits_is_not_answered() -> None:
    gate = Gate()
    first, second, third = held(gate, ["first", "second", "third"])
    assert second.cancel()
    gate.open.set()
    assert answers([first, third]) == ["first", "third"]
    assert gate.calls == [["first"], ["third"]]


def test_a_question_after_a_failure_is_answered() -> None:
    together = Together(lambda questions: [1 / question for question in questions], "test")
    assert answers([together.ask(0)])[0].__class__ is ZeroDivisionError
    assert answers([together.ask(4)]) == [0.25]


def searches(library: Store) -> list[Callable[[], list[query.Hit]]]:
    """Queries of every kind; some are refused."""
    random = np.random.default_rng(0)
    asked = []
    for number in range(40):
        seeds: list[query.Seed] = random.choice(library.rows, 1 + number % 3).tolist()
        if number % 5 == 4:
            seeds.append(random.normal(size=12))
        weights = random.uniform(-1, 2, 3) * (random.random(3) < 0.7)
        options = {
            "top": int(random.integers(1, 60)),
            "where": (None, None, f"tempo>{100 + number}", "tempo>", "title='nobody'")[number % 5],
            "max_per_artist": (None, 1, 3)[number % 3],
        }
        asked.append(functools.partial(query.search, library, seeds, weights, **options))
    return asked


def as_bits(found: Any) -> Any:
    if isinstance(found, BaseException):
        return repr(found)
    return [
        (hit.row, hit.score.hex(), hit.contributions.tobytes(), hit.likeness.tobytes())
        for hit in found
    ]


def test_searches_at_once_are_those_alone(
    make_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = random_vectors(9000)
    vectors[4000:4040] = vectors[17]  # ties
    given = [{"artist": f"Artist {i % 50}", "tempo": 60 + i % 120} for i in range(len(vectors))]
    library = make_store(vectors, given)
    other = store.open(library.path)  # another snapshot, with a matrix of its own
    asked = searches(library) + [functools.partial(query.search, other, [i]) for i in range(3)]
    alone = [as_bits(outcome(call)) for call in asked]
    assert sum(isinstance(bits, str) for bits in alone) == 8, "the conditions that are none"
    scanned = sum(isinstance(bits, list) for bits in alone)
    sizes: list[int] = []
    answer = scanning._together._answer_all

    def hold_the_first(questions: list[Any]) -> Sequence[Any]:
        sizes.append(len(questions))
        if len(sizes) == 1:
            wait_until(lambda: len(scanning._together._waiting) == scanned - sizes[0])
        return answer(questions)

    monkeypatch.setattr(scanning._together, "_answer_all", hold_the_first)
    with ThreadPoolExecutor(len(asked)) as threads:
        found = list(threads.map(outcome, asked))
    assert len(sizes) == 2 and sum(sizes) == scanned
    assert list(map(as_bits, found)) == alone
