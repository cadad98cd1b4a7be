"""Worker processes that die cost the task that kills them, and nothing else."""

import os
import signal
import time

import pytest

from input_pipeline.datasets import pool


@pytest.fixture(autouse=True)
def _stopped():
    yield
    pool.stop()


def _length(text: str) -> int:
    if text.startswith("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    if text == "wrong":
        raise ValueError("a wrong task")
    if text == "slow":
        time.sleep(0.3)
    return len(text)


def test_results_come_in_order_whoever_dies():
    tasks = ["slow", *"abcd", "deadly 1", *"efgh", "deadly 2", "slow", *"ijklmnop", "deadly 3"]
    found = list(pool.in_order(_length, tasks, processes=2))
    assert [task for task, _ in found] == tasks
    assert found == [(t, None if t.startswith("deadly") else len(t)) for t in tasks]


def test_an_exception_is_raised():
    with pytest.raises(ValueError, match="a wrong task"):
        list(pool.in_order(_length, ["a", "wrong", "b"], processes=2))


def test_tasks_are_taken_as_they_are_needed():
    taken = []

    def tasks():
        for number in range(100):
            taken.append(number)
            yield "a"

    results = pool.in_order(_length, tasks(), processes=2)
    next(results)
    assert len(taken) == 2 * pool.IN_FLIGHT
    results.close()


def test_no_task_at_all():
    assert list(pool.in_order(_length, [], processes=2)) == []
