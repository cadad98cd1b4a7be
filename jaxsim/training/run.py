"""One training run: from its first step or its newest checkpoint to the end or a signal."""

import dataclasses
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from ml_collections import ConfigDict

from input_pipeline.datasets.batches import Batch
from input_pipeline.datasets.dataset import DataSet
from input_pipeline.files import write_text
from jaxsim.network import compilation
from jaxsim.objective.terms import Terms
from jaxsim.training import non_finite, profiling, train_step
from jaxsim.training.example import batch_shapes, tag_counts
from jaxsim.training.feed import Feed
from jaxsim.training.machines import parallel, processes, stopping
from jaxsim.training.monitor import Monitor
from jaxsim.training.progress import Progress
from jaxsim.training.saving import record, starting
from jaxsim.training.saving.checkpoints import Checkpoints
from jaxsim.training.saving.exporting import export_state
from jaxsim.training.saving.workdir import Claim
from jaxsim.training.schedule import Plateau, exhausted, learning_rate

LONG_STEP = 5.0  # seconds


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a validation finds.

    Attributes:
      loss: decides when the learning rate is cut.
      own, whole: triplet score per dimension, in its own sub-space and in the whole space.
      tracks: how many tracks it used.
    """

    loss: float
    own: dict[str, float]
    whole: dict[str, float]
    tracks: int

    @property
    def score(self) -> float:
        """The own sub-spaces' scores, averaged over the dimensions."""
        return float(np.mean(list(self.own.values())))


class Validator(Protocol):
    """Measures states on tracks that are not trained on: `evaluation.validation.Validation`."""

    def measure(self, state: train_step.State) -> Measured: ...

    def compare(self, trained: train_step.State, training: DataSet) -> Any:
        """A table of the trained and the untrained network; called by all processes."""

    def conclude(self, table: Any, path: Path) -> None:
        """Shows a table and writes it; called by the first process."""


def guarded(job: Callable[[], int]) -> int:
    """The exit code of `job`; errors that were foreseen are reported in one line."""
    try:
        return job()
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return stopping.FAILED
    except Exception:
        traceback.print_exc()
        return stopping.CRASHED


def train(
    config: ConfigDict,
    workdir: Path,
    data: DataSet,
    validator: Validator,
    *,
    profiled: range = range(0),
) -> int:
    """Trains to `config.num_steps`; writes checkpoints, logs, a table and the exported model.

    Args:
      data: the training split.
      validator: on the validation split.
      profiled: steps to record for the profiler; see `profiling`.

    Returns:
      The exit code: whether it finished, or was stopped with its state saved.
    """
    with Claim(workdir):
        run = Run(config, workdir, data, validator, profiled=profiled)
        if run.finished and (workdir / "model.npz").exists():
            run.monitor.say(f"{workdir}: was already trained to step {run.step}")
            run.close()
            return stopping.FINISHED
        try:
            while not run.finished and not run.requests.stop:
                run.epoch()
            if run.requests.stop:
                run.monitor.say(
                    f"stopped and saved at step {run.step}; running the same command again resumes "
                    "there"
                )
            else:
                run.finish()
        except BaseException:
            if jax.process_count() == 1:  # else closing would wait for processes that are elsewhere
                run.close()
            raise
        run.close()
        return run.requests.stop


class Run:
    """The state of a run, and what changes it."""

    def __init__(
        self,
        config: ConfigDict,
        workdir: Path,
        data: DataSet,
        validator: Validator,
        *,
        profiled: range,
    ):
        self.config, self.workdir, self.validator = config, workdir, validator
        self.feed = Feed(config, data)
        self.record = record.record(config, data)
        self.train_step = train_step.mapped_train_step(config)
        self.checkpoints = Checkpoints(workdir / "checkpoints")
        self.state, self.plateau = self._initial_or_restored()
        self.step = int(self.state.step)
        self.saved_at = time.monotonic()
        self.foreseen = False  # how long the step takes
        self.monitor = Monitor(
            workdir,
            first_step=self.step,
            num_steps=config.num_steps,
            silent=not processes.first(),
        )
        self.trace = profiling.Trace(
            profiled if processes.first() else range(0),
            workdir / "profile",
            first_step=self.step,
            say=self.monitor.say,
        )
        self.requests = stopping.Requests()

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train: all steps done, or too many plateaus."""
        return self.step >= self.config.num_steps or exhausted(self.config, self.plateau)

    def epoch(self) -> None:
        """Trains to the next validation (or the end, or an interruption) and validates."""
        config = self.config
        per_epoch = config.steps_per_epoch
        last = min((self.step // per_epoch + 1) * per_epoch, config.num_steps)
        progress = Progress(
            config,
            self.monitor,
            first_step=self.step,
            learning_rate=self._rate,
            at_non_finite=self._stop_at_non_finite,
        )
        batches = self.feed.batches(first_step=self.step, num_steps=last)
        while self.step < last and not self.requests.exchange(save=self._time_to_save()):
            # Only explicit transfers are allowed, so that no step waits for one unnoticed.
            with jax.transfer_guard("disallow"):
                terms = self._start_step(batches, progress)
                progress.report()  # of the previous step
            progress.add(self.step, terms)
            self.trace.after_step(self.step, self.state)
            self.step += 1
            self.monitor.step()
            if self.requests.save and self.step < last:  # the last step is saved once validated
                progress.report()
                self._save()
        progress.report()
        self._save(score=None if self.requests.stop else self._validate())

    def _start_step(self, batches: Iterator[Batch], progress: Progress) -> Terms:
        """Starts the next step on the devices and moves to its state; returns its numbers."""
        with progress.waiting():
            batch = self.feed.place(next(batches))
        rate = parallel.replicate(np.float32(self._rate(self.step)))
        if not self.foreseen:
            self._foresee(batch, rate)
            self.foreseen = True
        self.trace.before_step(self.step, self.state)
        self.state, terms = self.train_step(self.state, batch, rate)
        return terms

    def _foresee(self, batch: Batch, rate: jax.Array) -> None:
        """Says before the compilation how long it and a step on processors will take, if long."""
        lowered = self.train_step.lower(self.state, batch, rate)  # type: ignore[attr-defined]
        compilation.foresee(lowered, "the training step", say=self.monitor.say)
        if jax.default_backend() == "cpu":
            operations = profiling.operations(self.config) / jax.process_count()
            seconds = operations / profiling.processor_rate()
            if seconds > LONG_STEP:
                self.monitor.say(
                    f"a step of {self.config.batch_size} examples takes at least {seconds:.0f} s "
                    f"on this machine's processors ({operations:.1e} operations); the variant "
                    ":demo of a configuration is made for them"
                )

    def finish(self) -> None:
        """Compares with untrained networks, prints the table, exports the model."""
        self.trace.close()
        table = self.validator.compare(self.state, self.feed.data)
        self.monitor.close()
        if not processes.first():
            return
        self.validator.conclude(table, self.workdir / "validation.json")
        export_state(self.state, self.config, self.record, self.workdir / "model.npz")
        best = self.checkpoints.best_step()
        for name, what in (
            ("model.npz", "the model, for NumPy"),
            ("validation.json", "the table above"),
            ("log.jsonl", "every number of the run"),
            ("tensorboard", "the same for TensorBoard"),
            ("checkpoints", f"to continue training; step {best} is the best in validation"),
        ):
            print(f"{self.workdir / name}: {what}")

    def close(self) -> None:
        self.trace.close()
        self.monitor.close()
        self.checkpoints.close()

    def _rate(self, step: int) -> float:
        return learning_rate(self.config, step, self.plateau)

    def _initial_state(self) -> train_step.State:
        """The state before step 0."""
        shapes = batch_shapes(self.config, tag_counts(self.feed.data), rows=1)
        state = train_step.initial_state(self.config, shapes)
        return parallel.replicate(starting.started(self.config, state))

    def _initial_or_restored(self) -> tuple[train_step.State, Plateau]:
        initial = self._initial_state()
        resumed = self.checkpoints.restore(
            initial,
            accept=lambda saved: record.check_same_config(
                saved["config"], self.config, self.workdir
            ),
        )
        if resumed is None:
            return initial, Plateau()
        return resumed.state, record.comparable(resumed.plateau, resumed.record["config"])

    def _validate(self) -> float:
        """Measures the state, for the plateau and the log; returns its score."""
        measured = self.validator.measure(self.state)
        patience = self.config.optimiser.plateau_patience
        self.plateau = self.plateau.after_epoch(measured.loss, patience=patience)
        row = {
            "validation_loss": measured.loss,
            "validation_own": measured.own,
            "validation_whole": measured.whole,
        }
        self.monitor.write(self.step, row)
        values = " ".join(f"{name} {value:.3f}" for name, value in measured.own.items())
        self.monitor.say(
            f"step {self.step}: {measured.tracks} validation tracks, own sub-space: {values}"
        )
        return measured.score

    def _time_to_save(self) -> bool:
        return time.monotonic() - self.saved_at > 60 * self.config.checkpoint_minutes

    def _save(self, *, score: float | None = None) -> None:
        state = self.state
        if not non_finite.all_finite((state.params, state.batch_stats, state.moments)):
            raise FloatingPointError(
                f"step {self.step}: the parameters are not finite; {self._last_checkpoint()}"
            )
        self.checkpoints.save(state, self.plateau, self.record, score=score)
        self.saved_at = time.monotonic()

    def _stop_at_non_finite(self, step: int, terms: Terms) -> None:
        """Raises FloatingPointError; what is known about the step's batch goes to a file."""
        report = non_finite.report_step(
            step,
            terms,
            self.feed.whole_batch(step),
            dimensions=self.config.dimensions,
            track_ids=self.feed.data.track_ids,
        )
        path = self.workdir / "non_finite.json"
        if processes.first():
            write_text(path, json.dumps(report, indent=1) + "\n")
        raise FloatingPointError(
            f"{non_finite.sentence(report)} (details in {path}); {self._last_checkpoint()}"
        )

    def _last_checkpoint(self) -> str:
        self.checkpoints.wait()
        step = self.checkpoints.latest_step()
        return "there is no checkpoint yet" if step is None else f"step {step} is saved"
