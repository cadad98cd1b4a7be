"""Work in steps: generators that ask, and leave it to whoever runs them to wait for the answers.

A search is one. A command runs it in its own thread, which waits (`run`); the service lets many
take turns on its event loop (`jaxsim.library.service.stepping`).
"""

import functools
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, Generic, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# A step ends with a question, whose answer the next one begins with, or with None: then the next
# one may take long.
Question = Callable[[], Future[Any]]
Steps = Generator[Question | None, Any, Result]


class Stepwise(Generic[Arguments, Result]):
    """A function whose work is in steps; `steps` gives these, and a call runs them."""

    def __init__(self, steps: Callable[Arguments, Steps[Result]]):
        self.steps = steps
        functools.update_wrapper(self, steps)

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return run(self.steps(*args, **kwargs))


def run(steps: Steps[Result]) -> Result:
    """Runs steps one after the other, and returns what the last one does."""
    over, found = advance(steps)
    while not over:
        over, found = advance(steps, found().result() if found else None)
    return found


def advance(steps: Steps[Result], answer: Any = None) -> tuple[bool, Any]:
    """Runs one step: whether it was the last one, and what it returned or asks."""
    try:
        return False, steps.send(answer)
    except StopIteration as end:
        return True, end.value
