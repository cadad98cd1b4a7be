"""Changes segments as recordings, rooms, transpositions and tempi do; on the device, in each step.

What changes a label changes it too: rolled chroma are in another key, and a tempogram whose lags
are stretched is of another tempo. Rows of a group, which were drawn because they are similar, are
transposed and stretched alike, so that they stay similar; how they were recorded differs by row.
Where the input that is changed is none of the network's, labels stay. The papers train without.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import librosa
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from jaxsim.network.shapes import checked
from jaxsim.training.data import feature_config

OCTAVE = 12  # semitones
CENTRE = 1000.0  # Hz, where a tilt changes nothing
LOW_EDGE = (20.0, 250.0)  # Hz, of a narrower band
HIGH_EDGE = (3000.0, 11000.0)
STEEPNESS = 48.0  # dB an octave beyond an edge
ROUGHNESS = 0.3  # relative deviation of the noise in a band and frame


def augmented(batch: Mapping[str, Array], key: Array, config: ConfigDict) -> dict[str, Array]:
    """A batch as `config.augmentation` changes it: mel, CENS, key, tempo, and "tempo_factor".

    Args:
      batch: features and labels of this device's examples, see `Feed.place`.
      key: random key of this step, the same on every device: what happens to an example depends on
        its row in the global batch alone.
      config: with `augmentation`, `data.group_size`, `features` and `model.inputs`.
    """
    batch, chosen, inputs = dict(batch), config.augmentation, config.model.inputs
    by_group, by_row = jax.random.split(key)
    groups = batch["index"] // config.data.group_size
    if chosen.transpose and "cens" in inputs:
        semitones = jax.vmap(lambda key: jax.random.randint(key, (), 0, OCTAVE))(
            _keys(by_group, groups)
        )
        batch["cens"] = transposed(batch["cens"], semitones)
        if "key" in batch:
            batch["key"] = transposed_keys(batch["key"], semitones)
    if chosen.stretch and "tempogram" in inputs:
        octaves = chosen.stretch * _uniform(jax.random.fold_in(by_group, 1), groups)
        batch["tempo_factor"] = 2.0**octaves
        if "tempo" in batch:
            batch["tempo"] = batch["tempo"] * batch["tempo_factor"]
    if any(chosen[name] for name in ("level", "tilt", "band_limit", "noise")):
        batch["mel"] = _recorded(batch["mel"], _keys(by_row, batch["index"]), config)
    return batch


@checked
def transposed(cens: Float[Array, "B T 12"], semitones: Int[Array, " B"]) -> Float[Array, "B T 12"]:
    """CENS of the same music, so many semitones higher."""
    return jax.vmap(lambda x, up: jnp.roll(x, up, axis=1))(cens, semitones)


@checked
def transposed_keys(keys: Int[Array, " B"], semitones: Int[Array, " B"]) -> Int[Array, " B"]:
    """Keys so many semitones higher, major or minor as before; -1 stays unknown."""
    tonic, first_of_mode = keys % OCTAVE, keys // OCTAVE * OCTAVE
    return jnp.where(keys < 0, keys, first_of_mode + (tonic + semitones) % OCTAVE)


@checked
def recorded(
    mel: Float[Array, "B T M"],
    gains: Float[Array, "B M"],
    noise: Float[Array, "B T M"],
    *,
    log_gain: float,
) -> Float[Array, "B T M"]:
    """A log mel spectrogram with gains [dB] per band and added noise, exact but for phases.

    Args:
      mel: log10(1 + log_gain * magnitude), as `features.extract` gives it.
      noise: magnitudes; independent of the music, so that powers add.
    """
    magnitude = (10.0**mel - 1.0) / log_gain * 10.0 ** (gains[:, None] / 20)
    return jnp.log10(1.0 + log_gain * jnp.hypot(magnitude, noise))


def _recorded(mel: Array, keys: Array, config: ConfigDict) -> Array:
    """As other microphones, rooms and codecs would give it; drawn for every row."""
    chosen, features = config.augmentation, feature_config(config)
    mel = mel.astype(jnp.float32)
    edges = librosa.mel_frequencies(features.n_mels + 2, fmax=features.sample_rate / 2)
    octaves = jnp.log2(edges[1:-1] / CENTRE)  # of the bands' centres

    def one(mel: Array, key: Array) -> Array:
        level, tilt, limited, low, high, noise, rough = jax.random.split(key, 7)
        gains = chosen.level * _signed(level) + chosen.tilt * _signed(tilt) * octaves
        beyond = jnp.maximum(_edge(LOW_EDGE, low) - octaves, 0)
        beyond += jnp.maximum(octaves - _edge(HIGH_EDGE, high), 0)
        is_limited = jax.random.uniform(limited) < chosen.band_limit
        gains = gains - jnp.where(is_limited, STEEPNESS * beyond, 0.0)
        loudness = jnp.mean((10.0**mel - 1.0) / features.log_gain)
        floor = chosen.noise * jax.random.uniform(noise) * loudness
        texture = jnp.abs(1.0 + ROUGHNESS * jax.random.normal(rough, mel.shape))
        return recorded(
            mel[None], gains[None], (floor * texture)[None], log_gain=features.log_gain
        )[0]

    return jax.vmap(one)(mel, keys)


def _edge(between: tuple[float, float], key: Array) -> Array:
    """A frequency drawn evenly on a logarithmic scale, in octaves from `CENTRE`."""
    least, most = (math.log2(frequency / CENTRE) for frequency in between)
    return jax.random.uniform(key, minval=least, maxval=most)


def _keys(key: Array, numbers: Array) -> Array:
    """A random key for each number."""
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)


def _uniform(key: Array, numbers: Array) -> Array:
    """For each number a uniform one from -1 to 1."""
    return jax.vmap(_signed)(_keys(key, numbers))


def _signed(key: Array) -> Array:
    return jax.random.uniform(key, minval=-1.0, maxval=1.0)
