"""An exported network run by JAX: batch normalisation folded into its layers, in float32."""

from collections.abc import Mapping
from typing import Any

import jax
from jaxtyping import Array
from ml_collections import ConfigDict

from jaxsim.network.inception import Inception
from jaxsim.network.inputs import images
from jaxsim.network.plan import CENTRE, plan_of


def config_of(
    model: Mapping[str, Any],
    feature_config: Mapping[str, Any],
    standardise: Mapping[str, tuple[float, float]],
    tempogram: str,
) -> ConfigDict:
    """What `inputs.images` and the network need of an export; the arguments are its fields."""
    features = {"standardise": dict(standardise), "tempogram": tempogram}
    return ConfigDict({"model": dict(model), "features": {**feature_config, **features}})


def variables(arrays: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and batch statistics of the network, for an export's arrays as a tree."""
    params = {name: each for name, each in arrays.items() if name != CENTRE}
    return params, {name: each for name, each in arrays.items() if name == CENTRE}


def forward(config: ConfigDict, params: Mapping[str, Any], batch: Mapping[str, Array]) -> Array:
    """Embeddings [B, E] of segments.

    Args:
      config: of `config_of`.
      params: the export's arrays as a tree.
      batch: as `inputs.images` takes it.
    """
    network = Inception(plan_of(config.model).folded())
    found = dict(zip(("params", "batch_stats"), variables(params), strict=True))
    embeddings = network.apply(found, images(batch, config), train=False)
    assert isinstance(embeddings, jax.Array)
    return embeddings
