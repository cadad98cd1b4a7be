"""Calls that come while others are answered wait, and are then answered all at once."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class _Call(Generic[Question, Answer]):
    """A thread that waits for an answer."""

    def __init__(self, question: Question):
        self.question = question
        self.answer: Answer | None = None
        self.is_over = False


class Together(Generic[Question, Answer]):
    """Answers any number of threads; one of those that wait works for all of them.

    Nobody waits for others to come: a call that finds no other running is answered at once.
    """

    def __init__(self, answer_all: Callable[[list[Question]], Sequence[Answer]]):
        """`answer_all` gives an answer, not None, to each of some questions.

        It runs for one thread at a time. If it fails with several questions, the thread of each
        calls it with that one alone, so that only those fail that are the reason.
        """
        self._answer_all = answer_all
        self._turn = threading.Condition()
        self._waiting: list[_Call[Question, Answer]] = []
        self._runs = False

    def __call__(self, question: Question) -> Answer:
        """The answer to a question, or the exception that it leads to."""
        call = _Call[Question, Answer](question)
        with self._turn:
            self._waiting.append(call)
            try:
                self._turn.wait_for(lambda: call.is_over or not self._runs)
            except BaseException:  # interrupted: nobody needs the answer any more
                if call in self._waiting:
                    self._waiting.remove(call)
                raise
            calls = []
            if not call.is_over:
                self._runs = True
                calls, self._waiting = self._waiting, calls
        if calls:
            self._answer_for(calls)
        return self._answer_all([question])[0] if call.answer is None else call.answer

    def _answer_for(self, calls: list[_Call[Question, Answer]]) -> None:
        try:
            answers = self._answer_all([call.question for call in calls])
            for call, answer in zip(calls, answers, strict=True):
                call.answer = answer
        except Exception:
            if len(calls) == 1:
                raise
        finally:  # whatever happened, nobody waits for this thread any longer
            with self._turn:
                for call in calls:
                    call.is_over = True
                self._runs = False
                self._turn.notify_all()
