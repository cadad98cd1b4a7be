"""The numbers of a run's steps: fetched one step late, checked, and logged."""

import contextlib
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxsim.objective.terms import Terms
from jaxsim.training import profiling
from jaxsim.training.monitor import Monitor, peak_memory, step_numbers


class Progress:
    """Reports the steps of one epoch.

    The numbers of step n - 1 are fetched while the devices work on step n.
    """

    def __init__(
        self,
        config: ConfigDict,
        monitor: Monitor,
        *,
        first_step: int,
        learning_rate: Callable[[int], float],
        at_non_finite: Callable[[int, Terms], None],
    ):
        """Starts measuring time.

        Args:
          first_step: of the epoch.
          learning_rate: of a step.
          at_non_finite: raises an error for a step whose terms are not finite.
        """
        self._config, self._monitor, self._first_step = config, monitor, first_step
        self._learning_rate, self._at_non_finite = learning_rate, at_non_finite
        self._pending: tuple[int, Terms] | None = None
        self._began, self._waited = time.monotonic(), 0.0
        self._operations = profiling.operations(config) / jax.device_count()  # of one device

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Measures the time spent waiting for input."""
        asked = time.monotonic()
        yield
        self._waited += time.monotonic() - asked

    def add(self, step: int, terms: Terms) -> None:
        """Takes the numbers of a step that has been started; they may still be computing."""
        self._pending = step, terms

    def report(self) -> None:
        """Checks the numbers of the step that was added last, and logs every `log_steps`-th."""
        if self._pending is None:
            return
        step, terms = self._pending[0], jax.device_get(self._pending[1])
        self._pending = None
        # The spread too: embeddings that are not finite give no triplets, so a loss of 0.
        beside = (terms.track, terms.soft, terms.of_tags, terms.correlation)
        numbers = [*terms.loss.mean(), *terms.spread.mean(), *(each.mean() for each in beside)]
        if not np.isfinite(numbers).all():
            self._at_non_finite(step, terms)
        if (step + 1) % self._config.log_steps == 0:
            self._log(step, terms)

    def _log(self, step: int, terms: Terms) -> None:
        seconds = time.monotonic() - self._began
        steps_per_second = (step + 1 - self._first_step) / seconds
        rate = steps_per_second * self._config.batch_size
        row = {
            **step_numbers(self._config, terms),
            "learning_rate": self._learning_rate(step),
            "examples_per_second": round(rate, 2),
            "input_bound_share": round(self._waited / seconds, 4),
            "device_teraflops_per_second": self._operations * steps_per_second / 1e12,
            **peak_memory(),
        }
        losses = " ".join(f"{name[:5]} {value:.3f}" for name, value in row["loss"].items())
        line = f"{rate:.0f} ex/s, loss {losses}, active {np.mean(terms.active.mean()):.2f}"
        self._monitor.write(step + 1, row, line=line)
        if step >= self._config.steps_per_epoch:  # a network that has hardly begun is nearly flat
            self._monitor.warn_of_low_rank(step + 1, row)
