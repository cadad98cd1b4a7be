"""Where a run starts if not at random: the network of another run or of an exported model."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict
from ml_collections import ConfigDict

from jaxsim.exported import numpy_model, whitening
from jaxsim.network import folded
from jaxsim.network.plan import Plan, plan_of
from jaxsim.training.saving.checkpoints import restore_for_inference
from jaxsim.training.train_step import State

WHITENING = (whitening.KERNEL, whitening.BIAS)


@dataclasses.dataclass(frozen=True)
class Source:
    """A trained network, and what a run that starts from it takes over.

    Attributes:
      plan: its structure.
      features: values of fields of `config.features`.
      dimensions: whose sub-spaces it has, in order.
      params, batch_stats: trees of arrays.
    """

    plan: Plan
    features: dict[str, Any]
    dimensions: tuple[str, ...]
    params: dict[str, Any]
    batch_stats: dict[str, Any]


def read(path: str | Path) -> Source:
    """Reads an exported model, or the newest checkpoint of a run.

    Raises:
      FileNotFoundError, ValueError: see `numpy_model.load` and `restore_for_inference`.
    """
    if Path(path).is_dir():
        restored = restore_for_inference(path)
        config = restored.config
        params = {name: each for name, each in restored.params.items() if name != "classes"}
        return Source(
            plan_of(config.model),
            config.features.to_dict(),
            tuple(config.dimensions),
            params,
            restored.batch_stats,
        )
    model = numpy_model.load(path)
    features = model.feature_config | {
        "tempogram": model.tempogram,
        "standardisation": "constants",
        "standardise": model.standardise,
    }
    # Whitening is fitted to a network when it is exported, and so again after this training.
    arrays = {name: each for name, each in model.arrays.items() if name not in WHITENING}
    plan = dataclasses.replace(model.plan, whitened=0)
    params, batch_stats = folded.variables(unflatten_dict(arrays, sep="/"))
    return Source(plan, features, model.dimensions, params, batch_stats)


def adopted(config: ConfigDict) -> ConfigDict:
    """The configuration with the structure and the features of what it starts from, if anything.

    Raises:
      FileNotFoundError, ValueError: see `read`; or its dimensions are not `config.dimensions`.
    """
    if not config.start_from:
        return config
    source = read(config.start_from)
    if tuple(config.dimensions) != source.dimensions:
        raise ValueError(
            f"config.dimensions is {tuple(config.dimensions)}, expected {source.dimensions} as in "
            f"config.start_from = {config.start_from}"
        )
    config = config.copy_and_resolve_references()
    structure = dataclasses.asdict(source.plan)
    if not source.plan.statistics:  # the configuration may add them: their layer starts at zero
        del structure["statistics"]
    config.model.update({name: structure[name] for name in structure if name in config.model})
    config.features.update(
        {name: value for name, value in source.features.items() if name in config.features}
    )
    return config


def started(config: ConfigDict, state: State) -> State:
    """The state before step 0 with the network that the configuration starts from, if any.

    Moments and class vectors begin anew.

    Raises:
      FileNotFoundError, ValueError: see `read`; or its parameters are not those of the network.
    """
    if not config.start_from:
        return state
    source = read(config.start_from)
    network = {name: each for name, each in state.params.items() if name != "classes"}
    added = {name: each for name, each in network.items() if name == "statistics"}
    params = added | source.params
    shapes = [jax.tree.map(np.shape, tree) for tree in (network, params)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"config.start_from is {config.start_from}, expected a network like that of "
            "config.model; leave config.model as it is in the run or model that you start from"
        )
    params = jax.tree.map(np.asarray, params)
    return State(
        state.step, state.params | params, state.batch_stats | source.batch_stats, state.moments
    )
