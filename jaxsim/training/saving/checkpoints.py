"""Checkpoints (orbax): all that a run needs to resume exactly, and all that a model's user needs.

A checkpoint holds the `State` and a JSON record: config, commit, plateau, label names, features.
Orbax writes into a temporary directory and renames it: a checkpoint is complete or absent.
"""

import dataclasses
import hashlib
import logging
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import ConfigDict
from orbax.checkpoint import checkpoint_managers as policies

from input_pipeline.errors import first_line
from jaxsim.training.machines import parallel, processes
from jaxsim.training.saving.record import completed
from jaxsim.training.schedule import Plateau
from jaxsim.training.train_step import State

T = TypeVar("T")

# Not every checkpoint has been validated, which Orbax would warn of amid a run's progress.
logging.getLogger("absl").addFilter(lambda record: "`tracked_metric`" not in record.getMessage())


class Restored(NamedTuple):
    """What a checkpoint holds for users of its network."""

    config: ConfigDict
    params: Any
    batch_stats: Any
    record: dict[str, Any]  # see `jaxsim.training.saving.record`; also "step"


class Resumed(NamedTuple):
    """What a run continues from."""

    state: State
    plateau: Plateau
    record: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, in `directory`/<step>: the newest, and the best in validation."""

    def __init__(self, directory: str | Path, *, keep: int = 2):
        self.directory = Path(directory).absolute()
        best = policies.BestN(get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(keep), best]),
            best_fn=_score,
            create=True,
            # Directories made in the background are awaited through a signal between threads, and
            # orbax 0.12.8 lost one: the save failed after five minutes.
            async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
        )
        self._manager = ocp.CheckpointManager(
            self.directory, options=options, item_handlers=_handlers()
        )

    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """The step with the highest score in validation; None if no step was validated."""
        return self._manager.best_step()

    def save(
        self,
        state: State,
        plateau: Plateau,
        record: dict[str, Any],
        *,
        score: float | None = None,
    ) -> None:
        """Saves in the background; a step that is already saved is left unchanged.

        Args:
          score: in validation, if this step was validated; higher is better.
        """
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        record = record | {"plateau": dataclasses.asdict(plateau), "digest": _digest(state)}
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(parallel.of_all_processes(state)),
                record=ocp.args.JsonSave(record),
            ),
            metrics=None if score is None else {"score": score},
        )

    def restore(self, like: State, *, accept: Callable[[dict[str, Any]], None]) -> Resumed | None:
        """The newest intact checkpoint, or None if there is no checkpoint.

        Newer, damaged ones are moved next to the directory, with a warning.

        Args:
          like: gives the shapes and the placement.
          accept: raises ValueError for a record that this run must not resume from.

        Raises:
          ValueError: all checkpoints are damaged, or the arrays belong to a different network.
        """
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        damaged: dict[int, str] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                restored = self._restore_step(step, abstract, accept)
            except _Damaged as error:
                damaged[step] = str(error)
                continue
            self._set_aside(damaged, step)
            return restored
        if damaged:
            raise ValueError(f"{self.directory}: no checkpoint can be read: {_reasons(damaged)}")
        return None

    def _restore_step(
        self, step: int, abstract: State, accept: Callable[[dict[str, Any]], None]
    ) -> Resumed:
        manager, args = self._manager, ocp.args.Composite
        with_record = args(record=ocp.args.JsonRestore())
        with_state = args(state=ocp.args.StandardRestore(abstract))
        record = _attempt(lambda: _checked(manager.restore(step, args=with_record).record))
        accept(record)
        saved = _attempt(lambda: _shapes(manager.item_metadata(step)["state"].tree))
        self._check_shapes(step, saved, _shapes(abstract))
        state = _attempt(lambda: _verified(manager.restore(step, args=with_state).state, record))
        return Resumed(state, _plateau(record), record)

    def _check_shapes(self, step: int, saved: dict[str, str], expected: dict[str, str]) -> None:
        """Raises ValueError if the arrays of a checkpoint are not those of this run's state."""
        differences = [
            f"{name} is {saved.get(name, 'absent')}, expected {expected.get(name, 'none')}"
            for name in sorted(saved.keys() | expected.keys())
            if saved.get(name) != expected.get(name)
        ]
        if differences:
            more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
            raise ValueError(
                f"{self.directory / str(step)}: belongs to a different network: "
                f"{'; '.join(differences[:3])}{more}"
            )

    def _set_aside(self, damaged: dict[int, str], step: int) -> None:
        """Moves damaged checkpoints away, so that their steps can be saved again."""
        if not damaged:
            return
        aside = self.directory.with_name(f"{self.directory.name}-damaged")
        if processes.first():
            aside.mkdir(exist_ok=True)
            for number in damaged:
                target = aside / f"{number}-{time.strftime('%Y%m%dT%H%M%S')}"
                (self.directory / str(number)).rename(target)
            print(
                f"WARNING: damaged checkpoints ({_reasons(damaged)}) are now in {aside}; "
                f"resuming from step {step}, the newest intact one",
                file=sys.stderr,
            )
        processes.wait_for_all("set aside")
        self._manager.reload()

    def wait(self) -> None:
        """Waits for saving in the background to finish."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        self.wait()
        self._manager.close()


def located(directory: str | Path) -> tuple[Path, int | None]:
    """The run that a path names, and the step if it is the path of one checkpoint."""
    path, step = Path(directory).absolute(), None
    if (path / "checkpoints").is_dir():
        return path, None
    if path.parent.name == "checkpoints" and path.name.isdecimal():
        path, step = path.parent, int(path.name)
    return (path.parent if path.name == "checkpoints" else path), step


def restore_for_inference(directory: str | Path) -> Restored:
    """Config, parameters, batch statistics and record of the newest intact checkpoint.

    Args:
      directory: the run's, its checkpoints' or that of one checkpoint.

    Raises:
      FileNotFoundError: there is no checkpoint.
      ValueError: all of them are damaged.
    """
    directory, only = located(directory)
    if (directory / "checkpoints").is_dir():
        directory = directory / "checkpoints"
    manager = (
        ocp.CheckpointManager(directory, item_handlers=_handlers()) if directory.is_dir() else None
    )
    steps = sorted(manager.all_steps(), reverse=True) if manager else []
    if manager is None or not steps:
        raise FileNotFoundError(
            f"{directory}: has no checkpoint; train first (python -m jaxsim.train)"
        )
    if only is not None:
        if only not in steps:
            known = ", ".join(map(str, reversed(steps)))
            raise FileNotFoundError(f"{directory}: has no checkpoint of step {only}, only {known}")
        steps = [only]
    damaged: dict[int, str] = {}
    for step in steps:
        try:
            # Without placement: it may have been saved on more devices than there are here.
            numbers = _as_numpy(manager.item_metadata(step)["state"].tree)
            args = ocp.args.Composite(
                state=ocp.args.StandardRestore(numbers), record=ocp.args.JsonRestore()
            )
            restored = manager.restore(step, args=args)
            record = _checked(restored.record)
            state, config = _verified(restored.state, record), completed(record["config"])
            arrays = state["params"], state["batch_stats"] or {}
        except Exception as error:  # as in _attempt
            damaged[step] = _summary(error)
            continue
        manager.close()
        if damaged:
            print(
                f"WARNING: {directory}: damaged checkpoints ({_reasons(damaged)}); "
                f"using step {step}, the newest intact one",
                file=sys.stderr,
            )
        return Restored(config, *arrays, record | {"step": step})
    raise ValueError(f"{directory}: no checkpoint can be read: {_reasons(damaged)}")


class _Damaged(Exception):
    """A checkpoint cannot be read; the message is the reason."""


def _attempt(read: Callable[[], T]) -> T:
    """What `read` returns, in every process; if it fails in one, all raise `_Damaged`."""
    result: list[T] = []
    reason = "another process cannot read it"
    try:
        result.append(read())
    except Exception as error:  # of orbax, tensorstore, json, ...: any part may be broken
        reason = _summary(error)
    if processes.worst(not result):
        raise _Damaged(reason)
    return result[0]


def _score(metrics: Mapping[str, float]) -> float:
    return metrics["score"]


def _handlers() -> dict[str, ocp.CheckpointHandler]:
    return {"state": ocp.StandardCheckpointHandler(), "record": ocp.JsonCheckpointHandler()}


def _as_numpy(metadata):
    """Arrays of the shapes that orbax's metadata of a state gives, on no device."""
    return jax.tree.map(lambda each: np.zeros(each.shape, each.dtype), metadata)


def _summary(error: Exception) -> str:
    """The first line of an error, not too long."""
    text = first_line(error)
    return text if len(text) <= 160 else f"{text[:160]}..."


def _reasons(damaged: Mapping[int, str]) -> str:
    return "; ".join(f"step {step}: {reason}" for step, reason in damaged.items())


def _named(tree) -> dict[str, Any]:
    """The arrays of a state by name; also those of a state restored as dictionaries."""
    return {
        "/".join(str(getattr(key, "name", getattr(key, "key", ""))) for key in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _shapes(tree) -> dict[str, str]:
    """Name -> "dtype[shape]" of the arrays of a state, or of orbax's metadata of one."""
    return {
        name: f"{np.dtype(leaf.dtype)}{list(leaf.shape)}" for name, leaf in _named(tree).items()
    }


def _digest(state) -> str:
    """SHA-256 of all arrays: the files' own checksums cover everything but the arrays' bytes."""
    digest = hashlib.sha256()
    for name, leaf in sorted(_named(state).items()):
        digest.update(name.encode())
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _checked(record: Any) -> dict[str, Any]:
    """The record, if it is a valid one."""
    if not isinstance(record, dict) or not isinstance(record.get("config"), dict):
        raise ValueError("the record has no config")
    _plateau(record)
    return record


def _plateau(record: Mapping[str, Any]) -> Plateau:
    saved = record.get("plateau")
    kinds = {"cuts": int, "best": int | float, "waited": int}
    if not isinstance(saved, dict) or saved.keys() != kinds.keys():
        raise ValueError("the record has no plateau")
    for name, kind in kinds.items():
        if not isinstance(saved[name], kind):
            raise ValueError(f"the record's plateau.{name} is {saved[name]!r:.100}")
    return Plateau(**saved)


def _verified(state, record: Mapping[str, Any]):
    """The state, if its bytes are those that were saved (older checkpoints have no digest)."""
    if record.get("digest") not in (None, _digest(state)):
        raise ValueError("the numbers are not those that were saved")
    return state
