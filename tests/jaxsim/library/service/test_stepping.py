"""Work in steps takes turns on an event loop, and its long steps run elsewhere."""

import asyncio
import threading
from concurrent.futures import Future

import pytest

from jaxsim.library.search import steps
from jaxsim.library.search.steps import Steps, Stepwise
from jaxsim.library.service import stepping


def answered(value: int) -> "Future[int]":
    future = Future[int]()
    future.set_result(value)
    return future


def work(first: int, threads: list[str]) -> Steps[int]:
    """Asks, then takes long, then asks again."""
    total = first
    threads.append(threading.current_thread().name)
    total += yield lambda: answered(10)
    threads.append(threading.current_thread().name)
    nothing = yield None
    assert nothing is None
    threads.append(threading.current_thread().name)
    total += yield lambda: answered(100)
    threads.append(threading.current_thread().name)
    return total


def test_a_thread_runs_all_steps() -> None:
    threads: list[str] = []
    assert Stepwise(work)(1, threads) == steps.run(work(1, [])) == 111
    assert set(threads) == {threading.current_thread().name} and len(threads) == 4


def test_only_the_step_that_may_take_long_leaves_the_event_loop() -> None:
    threads: list[str] = []
    assert asyncio.run(stepping.run(work(2, threads))) == 112
    loop, *_ = threads
    assert [name == loop for name in threads] == [True, True, False, True]


def test_all_that_have_come_ask_before_one_is_answered() -> None:
    """So that one pass answers them."""
    order: list[str] = []

    def ask(name: str) -> Steps[None]:
        order.append(f"{name} begins")
        yield lambda: order.append(f"{name} asks") or answered(0)  # type: ignore[func-returns-value]
        order.append(f"{name} ends")

    async def both() -> None:
        await asyncio.gather(stepping.run(ask("a")), stepping.run(ask("b")))

    asyncio.run(both())
    assert order == ["a begins", "b begins", "a asks", "b asks", "a ends", "b ends"]


def test_failures_arrive() -> None:
    def fail() -> "Future[int]":
        future = Future[int]()
        future.set_exception(ZeroDivisionError())
        return future

    def asking() -> Steps[int]:
        return (yield fail)

    def failing() -> Steps[int]:
        yield None
        raise KeyError("late")

    for one, error in ((asking, ZeroDivisionError), (failing, KeyError)):
        with pytest.raises(error):
            steps.run(one())
        with pytest.raises(error):
            asyncio.run(stepping.run(one()))
