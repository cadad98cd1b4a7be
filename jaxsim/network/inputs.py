"""From a host batch of stored features to the network's input images, on the device."""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array
from ml_collections import ConfigDict

from jaxsim.network.forms.tempogram import cyclic, stretched, tempogram
from jaxsim.network.plan import CHROMA_ROWS

FEATURES = ("mel", "cens", "onset")  # what the network needs from a batch
TEMPO_FACTOR = "tempo_factor"  # and what an augmented one has besides


def images(batch: Mapping[str, Array], config: ConfigDict) -> dict[str, Array]:
    """Float32 images [B, bins, frames, 1] of the inputs in `config.model.inputs`.

    Every input is standardised with a fixed mean and deviation (mel: B §4.1), and the 12 chroma are
    padded with zeros to 16 rows (A §3.2).

    Args:
      batch: mel [B, T, n_mels], cens [B, T, n_chroma], onset [B, T + window - 1]; perhaps
        tempo_factor [B], by which the tempogram is made faster.
      config: with `model.inputs` and `features`.
    """
    features = config.features
    result = {}
    for name in config.model.inputs:
        if name == "tempogram":
            x = tempogram(batch["onset"].astype(jnp.float32), features.tempogram_window)
            if TEMPO_FACTOR in batch:
                x = stretched(x, batch[TEMPO_FACTOR])
            if features.tempogram == "cyclic":
                x = cyclic(x, features.sample_rate / features.hop_length)
        else:
            x = jnp.swapaxes(batch[name].astype(jnp.float32), 1, 2)
        mean, deviation = features.standardise[name]
        x = (x - mean) / deviation
        if name == "cens":
            x = jnp.pad(x, ((0, 0), (0, CHROMA_ROWS - x.shape[1]), (0, 0)))
        result[name] = x[..., None]
    return result
