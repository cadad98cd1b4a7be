"""Ending a run early: signals, on which all processes agree, and exit codes for launchers."""

import os
import signal
import sys
from typing import NoReturn

import jax
import numpy as np

from jaxsim.network.shapes import DEVICE_AXIS
from jaxsim.training.machines import parallel, processes

FINISHED = 0  # trained to the end
FAILED = 1  # something is wrong that a restart does not fix; the message says what
CRASHED = 70  # something unforeseen, with a traceback: a restart may help (EX_SOFTWARE)
TERMINATED = 75  # stopped by SIGTERM, saved: to be restarted (EX_TEMPFAIL)
INTERRUPTED = 130  # stopped by Ctrl-C, saved (128 + SIGINT)

CODES = {signal.SIGTERM: TERMINATED, signal.SIGINT: INTERRUPTED}
_SAVE = 1  # less than any code


class Requests:
    """What the run is asked to do: to stop (by SIGTERM or SIGINT, from now on), or to save.

    Several processes must do so after the same step, or those that continue wait forever. So each
    one's request goes into a maximum over all devices, which is read one step later, when it is
    ready.

    Attributes:
      stop: the exit code to stop with; 0 = continue.
      save: whether to save after this step.
    """

    def __init__(self) -> None:
        self.stop = FINISHED
        self.save = False
        self._signalled = FINISHED
        self._exchanged: jax.Array | None = None
        self._largest = parallel.map_over_devices(
            lambda own: jax.lax.pmax(own, DEVICE_AXIS), split=(True,), mapping="shard_map"
        )
        for number in CODES:
            signal.signal(number, self._note)

    def _note(self, number: int, frame) -> None:
        self._signalled = CODES[signal.Signals(number)]

    def exchange(self, *, save: bool) -> int:
        """Updates and returns `stop`; called equally often by all processes, with equal results.

        Args:
          save: whether it is time to save; the first process decides.
        """
        if jax.process_count() == 1:
            self.stop, self.save = self._signalled, save
            return self.stop
        before = 0 if self._exchanged is None else int(np.asarray(self._exchanged)[0])
        self.save = before >= _SAVE
        if before > _SAVE:
            self.stop = before
        asked = self._signalled or (_SAVE if save and processes.first() and not self.save else 0)
        own = np.full(jax.local_device_count(), asked, np.int32)
        self._exchanged = self._largest(parallel.to_devices(own, local_devices=len(own)))
        return self.stop


def leave(code: int) -> NoReturn:
    """Ends this process; after an error without waiting for the others, which wait for it."""
    if jax.process_count() > 1 and code in (FAILED, CRASHED):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
