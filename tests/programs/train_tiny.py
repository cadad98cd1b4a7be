"""Like `python -m jaxsim.train --distributed`, but small and on the fixture's training tracks.

train_tiny.py DATA WORKDIR STEPS alone|together SECONDS pauses for SECONDS at every step.
With JAX_ENABLE_X64 it trains the network of README's first command, in float64 so that the result
does not depend on rounding.
"""

import sys
import time
from pathlib import Path

from jaxsim.training.machines import processes, stopping
from jaxsim.training.monitor import Monitor
from tests.helpers.runs import in_doubles, small, trained

data, workdir, steps, how, pause = sys.argv[1:]
if how == "together":
    processes.join(silence=10)
step = Monitor.step


def step_and_pause(monitor: Monitor) -> None:
    time.sleep(float(pause))
    step(monitor)


Monitor.step = step_and_pause  # type: ignore[method-assign]
config = in_doubles(small(data, num_steps=int(steps), steps_per_epoch=6))
stopping.leave(trained(config, Path(workdir)))
