"""Checkpoints (orbax): all that a run needs to go on exactly, and all that a model's user needs.

A checkpoint holds the `State` and a JSON record: config, commit, plateau, names of the labels,
features. Orbax writes into a temporary directory and renames it: a checkpoint is whole or absent.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from jaxsim.schedule import Plateau
from jaxsim.training import State

Restored = tuple[ConfigDict, Any, Any, dict[str, Any]]


class Checkpoints:
    """The checkpoints of one run, in `directory`/<step>."""

    def __init__(self, directory: str | Path, *, keep: int = 2):
        self.directory = Path(directory).absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self._manager = ocp.CheckpointManager(self.directory, options=options)

    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def save(self, state: State, plateau: Plateau, record: dict[str, Any]) -> None:
        """Saves in the background; a step that is saved already is left as it is."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        record = record | {"plateau": dataclasses.asdict(plateau)}
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), record=ocp.args.JsonSave(record)
            ),
        )

    def restore(self, like: State) -> tuple[State, Plateau, dict[str, Any]]:
        """The newest checkpoint, with the shapes and the placement of `like`."""
        step = self.latest_step()
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract), record=ocp.args.JsonRestore()
            ),
        )
        return restored.state, Plateau(**restored.record["plateau"]), restored.record

    def record(self) -> dict[str, Any]:
        """The record of the newest checkpoint."""
        args = ocp.args.Composite(record=ocp.args.JsonRestore())
        return self._manager.restore(self.latest_step(), args=args).record

    def close(self) -> None:
        """Waits for the saving in the background."""
        self._manager.wait_until_finished()
        self._manager.close()


def restore_for_inference(directory: str | Path) -> Restored:
    """Config, parameters, batch statistics and record of the newest checkpoint.

    Args:
      directory: the checkpoints' directory or the run's (its parent).

    Raises:
      FileNotFoundError: there is no checkpoint.
    """
    directory = Path(directory).absolute()
    if (directory / "checkpoints").is_dir():
        directory = directory / "checkpoints"
    manager = ocp.CheckpointManager(directory) if directory.is_dir() else None
    step = manager.latest_step() if manager else None
    if manager is None or step is None:
        raise FileNotFoundError(
            f"{directory}: has no checkpoint; train first (python -m jaxsim.train)"
        )
    restored = manager.restore(
        step,
        args=ocp.args.Composite(state=ocp.args.StandardRestore(), record=ocp.args.JsonRestore()),
    )
    manager.close()
    state, record = restored.state, restored.record | {"step": step}
    return ConfigDict(record["config"]), state["params"], state["batch_stats"] or {}, record
