"""Signals become requests, and exit codes."""

import os
import signal

import pytest

from jaxsim import stopping


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


@pytest.mark.parametrize("code", [0, 1, 70, 75, 130])
def test_leaving_with_a_code(code):
    with pytest.raises(SystemExit) as error:
        stopping.leave(code)
    assert error.value.code == code
