"""Like `python -m jaxsim.train --distributed`, but small and on the fixture's training tracks.

train_tiny.py DATA WORKDIR STEPS alone|together SECONDS pauses for SECONDS at every step.
"""

import sys
import time
from pathlib import Path

from jaxsim.training.machines import processes, stopping
from jaxsim.training.monitor import Monitor
from tests.helpers.runs import tiny, trained

data, workdir, steps, how, pause = sys.argv[1:]
if how == "together":
    processes.join(silence=10)
step = Monitor.step


def step_and_pause(monitor: Monitor) -> None:
    time.sleep(float(pause))
    step(monitor)


Monitor.step = step_and_pause  # type: ignore[method-assign]
config = tiny(data, num_steps=int(steps), steps_per_epoch=6)
stopping.leave(trained(config, Path(workdir)))
