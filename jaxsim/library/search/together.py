"""Questions that come while others are answered wait, and are then answered all at once."""

import collections
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Together(Generic[Question, Answer]):
    """Answers any number of threads, in one of its own: at each turn all questions that wait.

    Nobody waits for others to ask: a question that finds no other is answered at once.
    """

    def __init__(self, answer_all: Callable[[list[Question]], Sequence[Answer]], name: str):
        """`answer_all` gives an answer to each of some questions; `name` is its thread's.

        If it fails with several questions, it is called with each of them alone, so that only
        those fail that are the reason.
        """
        self._answer_all = answer_all
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting: collections.deque[tuple[Question, Future[Answer]]] = collections.deque()

    def ask(self, question: Question) -> "Future[Answer]":
        """What will hold the answer to a question, or the exception that it leads to."""
        future = Future[Answer]()
        self._waiting.append((question, future))
        self._thread.submit(self._answer)
        return future

    def _answer(self) -> None:
        calls = []
        while self._waiting:
            question, future = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                calls.append((question, future))
        if not calls:  # the turn before has answered
            return
        try:
            answers = self._answer_all([question for question, _ in calls])
            for (_, future), answer in zip(calls, answers, strict=True):
                future.set_result(answer)
        except Exception:
            for question, future in calls:
                self._answer_alone(question, future)

    def _answer_alone(self, question: Question, future: "Future[Answer]") -> None:
        try:
            future.set_result(self._answer_all([question])[0])
        except Exception as error:
            future.set_exception(error)
