"""What to do about numbers that are not finite: find them, and say where they come from."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.network.inputs import FEATURES
from jaxsim.objective.terms import Terms


@jax.jit
def all_finite(tree) -> jax.Array:
    """Whether every number in a tree of arrays is finite."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def offending_tracks(
    batch: Mapping[str, np.ndarray], features: Sequence[str], track_ids: Sequence[str]
) -> dict[str, list[str]]:
    """The names of the features that are not finite, of every track of a batch that has any.

    Args:
      batch: the features [B, ...] and `track` int [B], rows of `track_ids`.
    """
    found: dict[str, list[str]] = {}
    for name in features:
        bad = ~np.isfinite(batch[name]).reshape(len(batch[name]), -1).all(axis=1)
        for track in np.unique(batch["track"][bad]):
            found.setdefault(track_ids[track], []).append(name)
    return found


def report_step(
    step: int,
    terms: Terms,
    batch: Mapping[str, np.ndarray],
    *,
    dimensions: Sequence[str],
    track_ids: Sequence[str],
) -> dict[str, Any]:
    """The `report` of a step.

    Args:
      terms: on the host.
      batch: of the step, with the rows of all processes.
      track_ids: of the data set; `batch["track"]` holds their rows.
    """
    return report(
        step=step,
        numbers={
            "loss": dict(zip(dimensions, terms.loss.mean().tolist(), strict=True)),
            "spread": dict(zip(dimensions, terms.spread.mean().tolist(), strict=True)),
            "loss of the track regularisation": {"all": float(terms.track.mean())},
            "divergence from the teacher": {"all": float(terms.soft.mean())},
            "divergence from the teacher of tags": {"all": float(terms.of_tags.mean())},
            "correlation in the sub-spaces": {"all": float(terms.correlation.mean())},
        },
        offending=offending_tracks(batch, FEATURES, track_ids),
        tracks=[track_ids[number] for number in batch["track"]],
    )


def report(
    *,
    step: int,
    numbers: Mapping[str, Mapping[str, float]],
    offending: Mapping[str, Sequence[str]],
    tracks: Sequence[str],
) -> dict[str, Any]:
    """What is known about a step with numbers that are not finite, for JSON.

    Args:
      numbers: by name, then by dimension.
      offending: see `offending_tracks`.
      tracks: all of the batch.
    """
    return {
        "step": step,
        "not_finite": {
            name: bad
            for name, values in numbers.items()
            if (bad := [dimension for dimension, x in values.items() if not np.isfinite(x)])
        },
        "numbers": {  # as text, since JSON has no nan
            name: {dimension: str(float(x)) for dimension, x in values.items()}
            for name, values in numbers.items()
        },
        "tracks_with_features_that_are_not_finite": dict(offending),
        "tracks_of_the_batch": list(dict.fromkeys(tracks)),
    }


def sentence(found: Mapping[str, Any]) -> str:
    """A `report` as a sentence."""
    numbers = "; ".join(f"{name} of {', '.join(bad)}" for name, bad in found["not_finite"].items())
    offending = found["tracks_with_features_that_are_not_finite"]
    blame = f"tracks with features that are not finite: {', '.join(offending)}"
    if not offending:
        blame = "all features of the batch are finite"
    return f"step {found['step']}: not finite: {numbers}; {blame}"
