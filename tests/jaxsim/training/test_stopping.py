"""Signals become requests, and exit codes."""

import os
import signal
import sys
from types import SimpleNamespace

import jax
import pytest

from jaxsim.training.machines import stopping


@pytest.fixture(autouse=True)
def handlers():
    """Leaves the signals as they were."""
    before = {number: signal.getsignal(number) for number in stopping.CODES}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_a_signal_is_a_request_to_stop(number, code):
    requests = stopping.Requests()
    assert requests.exchange(save=False) == stopping.FINISHED
    os.kill(os.getpid(), number)
    assert requests.stop == stopping.FINISHED, "nothing changes between two exchanges"
    assert requests.exchange(save=False) == code == requests.stop


def test_time_to_save():
    requests = stopping.Requests()
    for due in (True, False):
        assert requests.exchange(save=due) == stopping.FINISHED
        assert requests.save is due


@pytest.mark.parametrize(
    ("processes", "code", "at_once"),
    [(1, code, False) for code in (0, 1, 70, 75, 130)]
    + [(2, 0, False), (2, 75, False), (2, 130, False), (2, 1, True), (2, 70, True)],
)
def test_only_an_error_among_several_processes_leaves_at_once(
    monkeypatch, processes, code, at_once
):
    """A normal end waits for the other processes; after an error they may wait for this one."""
    did = []

    class Gone(BaseException):
        """Stands for the end of the process, from which nothing returns."""

    def exit_at_once(code):
        did.append(code)
        raise Gone

    def stream(name):
        return SimpleNamespace(flush=lambda: did.append(name), write=lambda text: None)

    monkeypatch.setattr(jax, "process_count", lambda: processes)
    with monkeypatch.context() as patch:
        patch.setattr(os, "_exit", exit_at_once)
        patch.setattr(sys, "stdout", stream("stdout"))
        patch.setattr(sys, "stderr", stream("stderr"))
        with pytest.raises(Gone if at_once else SystemExit) as error:
            stopping.leave(code)
    if at_once:
        assert did == ["stdout", "stderr", code], "what was said comes out before the end"
    else:
        assert did == []
        assert error.value.code == code
