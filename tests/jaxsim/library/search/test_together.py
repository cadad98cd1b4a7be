"""Threads that search at once get what each would get alone, and none waits for ever."""

import functools
import threading
import time
from collections.abc import Callable, Sequence
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
    except BaseException as error:
        return error


def start(calls: Sequence[Callable[[], Any]]) -> tuple[list[threading.Thread], dict[int, Any]]:
    """Starts a thread for each call; the outcomes by the calls' numbers appear in the dict."""
    outcomes: dict[int, Any] = {}

    def run(number: int) -> None:
        outcomes[number] = outcome(calls[number])

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    return threads, outcomes


def finish(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "it waits for ever"


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


def held(gate: Gate, questions: Sequence[Any]) -> tuple[list[threading.Thread], dict[int, Any]]:
    """Asks the first question, and all others once it is being answered; then opens the gate."""
    together = Together(gate.answer_all)
    asks = [functools.partial(together, question) for question in questions]
    leader, first = start(asks[:1])
    assert gate.entered.wait(PATIENCE)
    followers, others = start(asks[1:])
    wait_until(lambda: len(together._waiting) == len(followers))
    gate.open.set()
    finish([*leader, *followers])
    return [*leader, *followers], first | {number + 1: value for number, value in others.items()}


def test_a_lone_question_is_answered_at_once_and_the_others_together() -> None:
    gate = Gate(lambda question: question * 2)
    _, outcomes = held(gate, range(12))
    assert gate.calls[0] == [0]
    assert [sorted(call) for call in gate.calls[1:]] == [list(range(1, 12))]
    assert outcomes == {number: number * 2 for number in range(12)}


def test_only_those_fail_that_are_the_reason() -> None:
    gate = Gate(lambda question: 1 / question)
    _, outcomes = held(gate, [1, 2, 0, 4, 0, 8])
    assert [outcomes[number] for number in (0, 1, 3, 5)] == [1, 0.5, 0.25, 0.125]
    assert all(isinstance(outcomes[number], ZeroDivisionError) for number in (2, 4))


@pytest.mark.parametrize("interrupted", [1, 3])
def test_who_is_interrupted_while_working_leaves_nobody_waiting(interrupted: int) -> None:
    """The thread that answers the others, too."""
    calls = []

    def answer(question: int) -> int:
        calls.append(question)
        if calls.count(interrupted) == 1 and question == interrupted:
            raise KeyboardInterrupt
        return question

    _, outcomes = held(Gate(answer), range(6))
    failed = [number for number, value in outcomes.items() if value != number]
    assert len(failed) == 1
    assert isinstance(outcomes[failed[0]], KeyboardInterrupt)


def test_who_is_interrupted_while_waiting_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    together = Together(gate.answer_all)
    leader, first = start([functools.partial(together, "first")])
    assert gate.entered.wait(PATIENCE)

    def interrupt(_: Callable[[], bool]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(together._turn, "wait_for", interrupt)
        with pytest.raises(KeyboardInterrupt):
            together("interrupted")
    gate.open.set()
    finish(leader)
    assert first == {0: "first"}
    assert together("second") == "second"
    assert gate.calls == [["first"], ["second"]]


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
    sizes = []

    def hold_the_first(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
        sizes.append(len(queries))
        if len(sizes) == 1:
            wait_until(lambda: len(scanning._together._waiting) == scanned - 1)
        return one_pass(vectors, queries)

    one_pass = scanning._pass
    monkeypatch.setattr(scanning, "_pass", hold_the_first)
    threads, outcomes = start(asked)
    finish(threads)
    assert sizes[0] == 1 and sorted(sizes[1:]) in ([2, scanned - 3], [3, scanned - 4])
    assert [as_bits(outcomes[number]) for number in range(len(asked))] == alone
