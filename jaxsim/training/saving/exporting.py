"""From a state or a checkpoint to the file of an exported model."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxsim.exported import model_writing
from jaxsim.training.saving.checkpoints import Restored, restore_for_inference
from jaxsim.training.train_step import State


def export_state(
    state: State, config: ConfigDict, record: dict[str, Any], path: str | Path
) -> None:
    """Writes the network of a state; `record` is that of its run, see `saving.record`."""
    params, batch_stats = jax.device_get((state.params, state.batch_stats))
    _write(Restored(config, params, batch_stats, record), path)


def export_checkpoint(
    directory: str | Path,
    path: str | Path,
    *,
    dtype: str = "float32",
    whiten: Callable[[Restored], Mapping[str, np.ndarray]] | None = None,
) -> None:
    """Writes the network of a run's newest checkpoint; see `model_writing.write`.

    Args:
      whiten: gives the whitening of the checkpoint's network.

    Raises:
      FileNotFoundError: there is no checkpoint.
      ValueError: as `model_writing.write`; or all checkpoints are damaged, or the checkpoint's
        record is incomplete.
    """
    restored = restore_for_inference(directory)
    try:
        _write(restored, path, dtype=dtype, whitening=whiten(restored) if whiten else None)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{directory}: the checkpoint lacks something that an export needs ({error})"
        ) from error


def _write(
    trained: Restored,
    path: str | Path,
    *,
    dtype: str = "float32",
    whitening: Mapping[str, np.ndarray] | None = None,
) -> None:
    model_writing.write(
        trained.params,
        trained.batch_stats,
        trained.config,
        tag_names=trained.record["tag_names"],
        feature_config=trained.record["feature_config"],
        feature_version=trained.record["feature_version"],
        path=path,
        dtype=dtype,
        whitening=whitening,
    )
