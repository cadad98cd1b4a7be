"""What the devices of a run do: a profiler trace of some steps, and the operations of a step."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxsim.exported.model_format import image_sizes
from jaxsim.network.plan import plan_of
from jaxsim.training.data import feature_config
from jaxsim.training.train_step import LAST


def parse(text: str, *, num_steps: int) -> range:
    """The steps that "100:110" asks for: those after the first 100, up to the 110th.

    Raises:
      ValueError: it is not a range of steps, or not within this run's `num_steps`.
    """
    match = re.fullmatch(r"([0-9]{1,12}):([0-9]{1,12})", text)
    steps = range(int(match[1]), int(match[2])) if match else range(0)
    if not 0 < len(steps) <= num_steps or steps.stop > num_steps:
        raise ValueError(
            f"--profile is {text!r}, expected steps first:last, such as 100:110, "
            f"with first < last <= {num_steps} (config.num_steps)"
        )
    return steps


def operations(config: ConfigDict) -> int:
    """Floating-point operations of the layers in one training step, of all devices together.

    Forward once, and backward twice through those that are trained. They are not the compiler's
    count, which leaves out what it gives to libraries: on GPUs, the convolutions.
    """
    layers = [*plan_of(config.model).layers(image_sizes(feature_config(config).described()))]
    everything = config.optimiser.layers == "all"
    trained = [layer for layer in layers if everything or layer.path in LAST]
    each = sum(layer.operations for layer in (*layers, *trained, *trained))
    return config.batch_size * each


def processor_rate() -> float:
    """Floating-point operations per second of this machine's processors, in a large product."""
    size, seconds = 1024, []
    factor = np.ones((size, size), np.float32)
    for _ in range(3):
        began = time.perf_counter()
        factor @ factor
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


class Trace:
    """Records certain steps of a run, for TensorBoard and XProf.

    A run that starts among them records the rest; one that starts after them records nothing.

    Args:
      steps: those to record; an empty range records nothing.
      directory: where the recording is written.
      first_step: where the run starts.
      say: shows a sentence.
    """

    def __init__(
        self, steps: range, directory: Path, *, first_step: int, say: Callable[[str], None]
    ):
        self._steps, self._directory, self._say = steps, directory, say
        self._recording = False
        if steps and first_step >= steps.stop:
            say(f"--profile: the run is already at step {first_step}; nothing is recorded")

    def before_step(self, step: int, state: Any) -> None:
        """Starts recording at the first of the steps, once `state` is computed."""
        if step in self._steps and not self._recording:
            jax.block_until_ready(state)
            jax.profiler.start_trace(self._directory)
            self._recording = True

    def after_step(self, step: int, state: Any) -> None:
        """Ends the recording after the last of the steps, once the `state` after it is computed."""
        if self._recording and step + 1 >= self._steps.stop:
            jax.block_until_ready(state)
            self.close()

    def close(self) -> None:
        """Ends the recording, even before its last step."""
        if self._recording:
            self._recording = False
            jax.profiler.stop_trace()
            self._say(
                f"profile of steps {self._steps.start} to {self._steps.stop}: "
                f"{self._directory} (for TensorBoard with its profile plugin, or XProf)"
            )
