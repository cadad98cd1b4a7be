"""Trains a model: python -m jaxsim.train --config=configs/six_dim.py:demo --workdir=runs/demo

The same command on the same workdir goes on where it stopped, exactly. With --distributed several
processes train one model (jaxsim.processes). Exit codes: jaxsim.stopping.
"""

import functools
import json
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from input_pipeline.batches import Batch, training_batches
from input_pipeline.dataset import DataSet
from jaxsim import (
    compilation,
    evaluation,
    export,
    inputs,
    metrics,
    non_finite,
    parallel,
    processes,
    profiling,
    record,
    stopping,
    training,
    validation,
)
from jaxsim.checkpoints import Checkpoints
from jaxsim.config import check
from jaxsim.data import open_splits
from jaxsim.monitor import Monitor, peak_memory, step_numbers
from jaxsim.objective import Terms
from jaxsim.schedule import Plateau, exhausted, learning_rate
from jaxsim.workdir import Claim


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        sys.exit(f"unexpected argument {arguments[1]!r}; options start with --")
    compilation.prepare()
    logging.set_verbosity(logging.WARNING)  # JAX and orbax log through absl
    if _DISTRIBUTED.value:
        try:
            processes.join()
        except ValueError as error:
            sys.exit(f"error: {error}")
    workdir = Path(str(_WORKDIR.value))
    stopping.leave(guarded(_CONFIG.value, workdir, profile=_PROFILE.value))


def guarded(config: ConfigDict, workdir: Path, *, profile: str = "") -> int:
    """`train` that says what is wrong, in one line where that is known; returns the exit code."""
    try:
        check(config, devices=jax.device_count())
        return train(config, workdir, profile=profile)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return stopping.FAILED
    except Exception:
        traceback.print_exc()
        return stopping.CRASHED


def train(config: ConfigDict, workdir: Path, *, profile: str = "") -> int:
    """Trains to `config.num_steps`; writes checkpoints, logs, a table and the exported model.

    Args:
      profile: steps to record for the profiler, such as "100:110"; see `profiling`.

    Returns:
      The exit code: whether it came to the end, or was stopped, with its state saved.
    """
    profiled = profiling.parse(profile, num_steps=config.num_steps) if profile else range(0)
    claim = Claim(workdir)
    try:
        with processes.first_goes_first("data"):
            data = open_splits(config, ("train", "validation"))
        run = Run(config, workdir, data, profiled=profiled)
        if run.finished and (workdir / "model.npz").exists():
            run.monitor.say(f"{workdir}: was trained to step {run.step} already")
            run.close()
            return stopping.FINISHED
        try:
            while not run.finished and not run.requests.stop:
                run.epoch()
            if run.requests.stop:
                run.monitor.say(
                    f"stopped at step {run.step}, saved; the same command goes on from there"
                )
            else:
                run.finish()
        except BaseException:
            if jax.process_count() == 1:  # else closing would wait for all, who may be elsewhere
                run.close()
            raise
        run.close()
        return run.requests.stop
    finally:
        claim.release()


def mapped_train_step(config: ConfigDict, *, devices: Sequence[jax.Device] | None = None):
    """`training.train_step` for all devices: (state, batch, learning rate) -> (state, terms)."""
    return parallel.map_over_devices(
        functools.partial(training.train_step, config),
        split=(False, True, False),
        mapping=config.parallel.mapping,
        donate=True,
        devices=devices,
    )


class Run:
    """One training run: its state, and the compiled functions that change it."""

    def __init__(
        self, config: ConfigDict, workdir: Path, data: dict[str, DataSet], *, profiled: range
    ):
        self.config, self.workdir, self.data = config, workdir, data
        self.train_step = mapped_train_step(config)
        self.loss_step = parallel.map_over_devices(
            functools.partial(training.validation_terms, config),
            split=(False, True),
            mapping=config.parallel.mapping,
        )
        self.embed = evaluation.embedder(config)
        self.checkpoints = Checkpoints(workdir / "checkpoints")
        self.state, self.plateau = self._initial_or_restored()
        self.step = int(self.state.step)
        self.saved_at = time.monotonic()
        self.flops: float | None = None  # of a step on one device
        self.triplets = evaluation.sample_triplets(
            data["validation"], config, count=config.evaluation.triplets, seed=config.seed
        )
        if not self.triplets:
            raise ValueError(
                f"{data['validation'].directory}: the validation split has no triplet (two similar "
                f"tracks and a dissimilar one) in any of {', '.join(config.dimensions)}; hold more "
                "out of a small collection (a folder's --option=held_out=0.4)"
            )
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
        config, first = self.config, self.step
        last = min((first // config.steps_per_epoch + 1) * config.steps_per_epoch, config.num_steps)
        pending: tuple[int, Terms] | None = None
        began = time.monotonic()
        waited = 0.0
        batches = self._batches("train", first_step=first, num_steps=last)
        while self.step < last and not self.requests.exchange(save=self._time_to_save()):
            # Only what is asked for goes to a device or comes back, so nothing waits unawares.
            with jax.transfer_guard("disallow"):
                terms, seconds = self._start_step(batches)
                waited += seconds
                # The numbers of step n - 1 are fetched while the devices work on step n.
                if pending is not None:
                    self._report(*pending, began=began, first=first, waited=waited)
            pending = (self.step, terms)
            self.trace.after_step(self.step, self.state)
            self.step += 1
            self.monitor.step()
            if self.requests.save and self.step < last:  # the last step is saved once validated
                self._report(*pending, began=began, first=first, waited=waited)
                pending = None
                self._save()
        if pending is not None:
            self._report(*pending, began=began, first=first, waited=waited)
        self._save(score=None if self.requests.stop else self._validate())

    def _start_step(self, batches: Iterator[Batch]) -> tuple[Terms, float]:
        """Gives the devices the next step; returns its numbers to come, and the wait for its batch.

        The state is that after the step.
        """
        asked = time.monotonic()
        batch = self._place(next(batches))
        waited = time.monotonic() - asked
        rate = parallel.replicate(np.float32(learning_rate(self.config, self.step, self.plateau)))
        if self.flops is None:
            self.flops = profiling.flops(self.train_step, self.state, batch, rate)
        self.trace.before_step(self.step, self.state)
        self.state, terms = self.train_step(self.state, batch, rate)
        return terms, waited

    def finish(self) -> None:
        """Compares with the untrained network, prints the table, exports the model."""
        self.trace.close()
        unseen = self.data["validation"]
        trained = self._embeddings(self.state)
        untrained = self._embeddings(self._initial_state())
        table = evaluation.triplet_table(
            trained, untrained, self.triplets, unseen, self.config.dimensions
        )
        self.monitor.close()
        if not processes.first():
            return
        validation.write(table, self.workdir / "validation.json", data=unseen)
        validation.show(table, data=unseen)
        described = record.record(self.config, self.data["train"])
        export.export(
            jax.device_get(self.state.params),
            jax.device_get(self.state.batch_stats),
            self.config,
            tag_names=described["tag_names"],
            feature_config=described["feature_config"],
            feature_version=described["feature_version"],
            path=self.workdir / "model.npz",
        )
        for name, what in (
            ("model.npz", "the model, for NumPy"),
            ("validation.json", "the table above"),
            ("log.jsonl", "every number of the run"),
            ("tensorboard", "the same for TensorBoard"),
            (
                "checkpoints",
                f"to go on training; step {self.checkpoints.best_step()} is the best in validation",
            ),
        ):
            print(f"{self.workdir / name}: {what}")

    def close(self) -> None:
        self.trace.close()
        self.monitor.close()
        self.checkpoints.close()

    def _batches(
        self, split: str, *, first_step: int, num_steps: int, own: bool = True
    ) -> Iterator[Batch]:
        """Batches of this process's `own` rows, or of all rows."""
        config = self.config
        return training_batches(
            self.data[split],
            # Validation data may lack a dimension; whoever trains on one must have it.
            dimensions=config.dimensions if split == "train" else tuple(self.triplets),
            batch_size=config.batch_size,
            seed=config.seed,
            first_step=first_step,
            num_steps=num_steps,
            tempo_tolerance=config.relation.tempo_tolerance,
            key_relation=config.relation.key,
            group_size=config.data.group_size,
            track_pairs=config.loss.track_weight > 0,
            process_index=jax.process_index() if own else 0,
            process_count=jax.process_count() if own else 1,
            read_ahead=config.data.read_ahead,
        )

    def _place(self, batch: Batch):
        wanted = (*inputs.FEATURES, *self.config.dimensions, "index", "track")
        return parallel.to_devices(
            {name: batch[name] for name in wanted}, local_devices=jax.local_device_count()
        )

    def _initial_state(self) -> training.State:
        """The state before step 0, which the shapes of the first batch decide."""
        example = next(self._batches("train", first_step=0, num_steps=1))
        return parallel.replicate(training.initial_state(self.config, example))

    def _initial_or_restored(self) -> tuple[training.State, Plateau]:
        initial = self._initial_state()
        restored = self.checkpoints.restore(
            initial,
            accept=lambda saved: record.check_same_config(
                saved["config"], self.config, self.workdir
            ),
        )
        return restored[:2] if restored else (initial, Plateau())

    def _time_to_save(self) -> bool:
        return time.monotonic() - self.saved_at > 60 * self.config.checkpoint_minutes

    def _save(self, *, score: float | None = None) -> None:
        state = self.state
        if not non_finite.all_finite((state.params, state.batch_stats, state.moments)):
            raise FloatingPointError(
                f"step {self.step}: the parameters are not finite; {self._last_checkpoint()}"
            )
        self.checkpoints.save(
            self.state,
            self.plateau,
            record.record(self.config, self.data["train"]),
            score=score,
        )
        self.saved_at = time.monotonic()

    def _report(self, step: int, terms: Terms, *, began: float, first: int, waited: float) -> None:
        """Checks the numbers of a step that is done, and logs every `log_steps`-th."""
        config = self.config
        terms = jax.device_get(terms)
        loss = np.asarray(terms.loss.mean())
        spread = np.asarray(terms.spread.mean())
        track = float(terms.track.mean())
        # The spread too: embeddings that are not finite give no triplets, so a loss of 0.
        if not np.isfinite([*loss, *spread, track]).all():
            self._stop_at_non_finite(step, loss, spread, track)
        if (step + 1) % config.log_steps:
            return
        seconds = time.monotonic() - began
        steps_per_second = (step + 1 - first) / seconds
        rate = steps_per_second * config.batch_size
        row = {
            **step_numbers(config, terms),
            "learning_rate": learning_rate(config, step, self.plateau),
            "examples_per_second": round(rate, 2),
            "input_bound_share": round(waited / seconds, 4),
            "device_teraflops_per_second": (self.flops or 0) * steps_per_second / 1e12,
            **peak_memory(),
        }
        losses = " ".join(f"{name[:5]} {value:.3f}" for name, value in row["loss"].items())
        self.monitor.write(
            step + 1,
            row,
            line=f"{rate:.0f} ex/s, loss {losses}, active {np.mean(terms.active.mean()):.2f}",
        )

    def _stop_at_non_finite(
        self, step: int, loss: np.ndarray, spread: np.ndarray, track: float
    ) -> None:
        """Raises FloatingPointError; what is known of the batch of the step goes to a file."""
        (batch,) = self._batches("train", first_step=step, num_steps=step + 1, own=False)
        ids = self.data["train"].track_ids
        dimensions = self.config.dimensions
        report = non_finite.report(
            step=step,
            numbers={
                "loss": dict(zip(dimensions, loss, strict=True)),
                "spread": dict(zip(dimensions, spread, strict=True)),
                "loss of the track regularisation": {"all": track},
            },
            offending=non_finite.offending_tracks(batch, inputs.FEATURES, ids),
            tracks=[ids[number] for number in batch["track"]],
        )
        path = self.workdir / "non_finite.json"
        if processes.first():
            path.write_text(json.dumps(report, indent=1) + "\n")
        raise FloatingPointError(
            f"{non_finite.sentence(report)} (all in {path}); {self._last_checkpoint()}"
        )

    def _last_checkpoint(self) -> str:
        self.checkpoints.wait()
        step = self.checkpoints.latest_step()
        return "there is no checkpoint yet" if step is None else f"step {step} is saved"

    def _validate(self) -> float:
        """Validation loss (for the plateau) and triplet scores, own sub-space and whole.

        Returns:
          The own sub-spaces' scores, averaged over the dimensions.
        """
        config = self.config
        batches = self._batches(
            "validation", first_step=0, num_steps=config.evaluation.loss_batches
        )
        terms = [
            jax.device_get(self.loss_step(self.state, self._place(batch))) for batch in batches
        ]
        total = jax.tree.map(lambda *x: np.sum(x, axis=0), *(term.loss for term in terms))
        loss = float(np.mean(training.weights(config) * total.mean()))
        if config.loss.track_weight:
            track = jax.tree.map(lambda *x: np.sum(x), *(term.track for term in terms))
            loss += config.loss.track_weight * float(track.mean())
        self.plateau = self.plateau.after_epoch(loss, patience=config.optimiser.plateau_patience)
        embeddings = self._embeddings(self.state)
        scores: dict[str, dict[str, float]] = {"own": {}, "whole": {}}
        for dimension, triplets in self.triplets.items():
            margin = metrics.margins(embeddings, triplets)
            own, whole = evaluation.own_and_whole(margin, config.dimensions.index(dimension))
            scores["own"][dimension] = float(own.mean())
            scores["whole"][dimension] = float(whole.mean())
        self.monitor.write(
            self.step,
            {
                "validation_loss": loss,
                "validation_own": scores["own"],
                "validation_whole": scores["whole"],
            },
        )
        values = " ".join(f"{name} {value:.3f}" for name, value in scores["own"].items())
        count = len(self.data["validation"])
        self.monitor.say(f"step {self.step}: {count} validation tracks, own sub-space: {values}")
        return float(np.mean(list(scores["own"].values())))

    def _embeddings(self, state: training.State) -> np.ndarray:
        return evaluation.track_embeddings(
            self.data["validation"],
            functools.partial(self.embed, state),
            batch_size=self.config.evaluation.batch_size,
            subspaces=len(self.config.dimensions) if self.config.loss.disentangled else 1,
        )


def parse_flags(arguments: list[str]) -> list[str]:
    """Parses the flags; a configuration that cannot be made is one line and exit code 1."""
    try:
        return app.parse_flags_with_usage(arguments)
    except AttributeError as error:
        sys.exit(f"error: the configuration has no field {str(error).strip(chr(34))}")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    _CONFIG = config_flags.DEFINE_config_file("config", None, "Configuration file, with :variant.")
    _WORKDIR = flags.DEFINE_string("workdir", None, "Where everything of this run is written.")
    _PROFILE = flags.DEFINE_string("profile", "", "Steps to record, such as 100:110.")
    _DISTRIBUTED = flags.DEFINE_bool("distributed", False, "One process of several.")
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main, flags_parser=parse_flags)
