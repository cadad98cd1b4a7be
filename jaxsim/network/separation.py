"""A trunk that starts as separate networks, one per input, and learns for itself what to mix.

In a random trunk every channel mixes all inputs, and what only one of them carries (tempo, key)
soon becomes too faint to find: logistic regression finds 96 % of the tempo classes after the
tempogram's own blocks and 48 % after the first block that sees all inputs. Here the trunk's kernels
start at zero between channels of different inputs. So does the dense layer's: a sub-space starts by
reading one input, or has units for each, and the scale of the LayerNorm after it chooses among
them. Where tempo reads the tempogram and key the chromagram (A §3.1 includes them for this
purpose), neither starts as noise in the other's network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxsim.network.plan import Block, Plan

TRUNK_STARTS = ("mixed", "separate")


def separated(
    params: Mapping[str, Any], plan: Plan, *, first_inputs: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """The network's initial parameters with a separate trunk for each of several inputs.

    Args:
      params: as `jaxsim.network.inception.Inception` initialises them.
      plan: of the network.
      first_inputs: the inputs that each sub-space reads at first.
    """
    result, inputs = dict(params), plan.inputs
    sizes = [plan.branch(kind)[-1].channels for kind in inputs]
    owners = np.repeat(np.arange(len(inputs)), sizes)
    for block in plan.trunk():
        result[block.name], owners = _separated_block(
            params[block.name], block, owners, len(inputs)
        )
    dense = params["embedding"]["kernel"]
    size = dense.shape[1] // len(first_inputs)
    read = [np.array([inputs.index(name) for name in names]) for names in first_inputs]
    units = np.concatenate([numbers[_dealt(size, len(numbers))] for numbers in read])
    owners = np.tile(owners, len(dense) // len(owners))  # for every pixel of the last map
    result["embedding"] = params["embedding"] | {"kernel": _masked(dense, owners, units)}
    return result


def _separated_block(
    params: Mapping[str, Any], block: Block, owners: np.ndarray, count: int
) -> tuple[dict[str, Any], np.ndarray]:
    """The block, and the owner of each channel it outputs; `owners` are of those it reads."""
    naive, reduction = dict(params["naive"]), dict(params["reduction"])

    def own(module: dict[str, Any], name: str, reads: np.ndarray, gives=None) -> np.ndarray:
        kernel = module[name]["kernel"]
        gives = _dealt(kernel.shape[-1], count) if gives is None else gives
        module[name] = module[name] | {"kernel": _masked(kernel, reads, gives)}
        return gives

    point = own(naive, "point", owners)
    deep = own(naive, "deep_1", own(naive, "deep_reduce", owners))
    deep = own(naive, "deep_2", deep)
    owners = np.concatenate([point, deep, owners])  # the pooled map comes last
    parts = [_dealt(size, count) for size in block.reduce_channels]
    own(reduction, "reduce", owners, np.concatenate(parts))
    wide = own(reduction, "wide", parts[1])
    deep = own(reduction, "deep_2", own(reduction, "deep_1", parts[2]))
    owners = np.concatenate([parts[0], wide, deep, parts[3]])
    return {"naive": naive, "reduction": reduction}, owners


def _dealt(channels: int, count: int) -> np.ndarray:
    """Deals channels to `count` owners in equal runs: the owner of each channel."""
    return np.arange(channels) * count // channels


def _masked(kernel, reads: np.ndarray, gives: np.ndarray):
    """Zero between owners; scaled up within, since He's variance depends on the inputs read."""
    same = reads[:, None] == gives
    return kernel * jnp.float32(same * np.sqrt(len(reads) / np.maximum(same.sum(axis=0), 1)))
