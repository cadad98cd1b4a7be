"""As `python -m jaxsim.train --distributed`, but tiny and on the fixture's training tracks.

train_tiny.py DATA WORKDIR STEPS alone|together SECONDS, of which it pauses SECONDS at every step.
"""

import sys
import time
from pathlib import Path

from jaxsim import model, processes, stopping, train
from tests.helpers.runs import tiny, training_tracks_only

data, workdir, steps, how, pause = sys.argv[1:]
if how == "together":
    processes.join(silence=10)
step = train.Monitor.step


def step_and_pause(monitor: train.Monitor) -> None:
    time.sleep(float(pause))
    step(monitor)


train.open_splits = training_tracks_only  # type: ignore[assignment]
train.Monitor.step = step_and_pause  # type: ignore[method-assign,assignment]
model.BLOCKS = 1  # as in test_training.py
train.export.export = lambda *arguments, **options: None  # of six blocks alone
config = tiny(data, num_steps=int(steps), steps_per_epoch=6)
# Before a batch normalisation a bias has no gradient but rounding, which Adam blows up.
config.model.branch_norm, config.model.embedding_norm = "none", "layer"
stopping.leave(train.guarded(config, Path(workdir)))
