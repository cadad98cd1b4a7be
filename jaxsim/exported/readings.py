"""What a track sounds like, read from its embedding by prototypes (B §4.3.3). NumPy alone.

The prototype of a tag is the mean of the embeddings of the training tracks that have it, in the
sub-space of its dimension. A track's cosine to it becomes a probability by a logistic curve, fitted
on tracks that the network was not trained on. Tempi within an octave and keys have prototypes too,
with which a query can be made of words.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

PREFIX = "readings/"
PARTS = ("prototypes", "slope", "offset")  # arrays of a dimension
TEMPI = tuple(f"{30 * 2 ** (step / 24):.2f}" for step in range(24))  # BPM, one octave
# Octaves: how far a track's tempo counts for the tempi around it, and, for tempi that no track has,
# a little farther.
TEMPO_SPREAD, FAR_SPREAD, FAR_WEIGHT = 0.03, 0.15, 0.01
TEMPO_SLOPE = 2.0  # of scores by the cosine; more would trust the embedding too much on recordings
FEWEST = 3  # tracks that a prototype is made of
RIDGE = 2.0  # of what distinguishes the offsets of a dimension's tags
NEWTON_STEPS, LARGEST_SLOPE = 50, 100.0


@dataclasses.dataclass(frozen=True, eq=False)
class Prototypes:
    """The C names of one dimension, and how they are read from its sub-space [D].

    Attributes:
      names: tags, tempi in BPM within one octave (`TEMPI`), or keys.
      prototypes: float32 [C, D], of length 1.
      slope, offset: float32 [C], from cosines to scores.
    """

    names: tuple[str, ...]
    prototypes: np.ndarray
    slope: np.ndarray
    offset: np.ndarray

    def scores(self, part: np.ndarray) -> np.ndarray:
        """[..., C]: log-odds of the names for sub-spaces [..., D] of length 1."""
        return self.slope * (part @ self.prototypes.T) + self.offset

    def probabilities(self, part: np.ndarray) -> np.ndarray:
        """[..., C]: probabilities of the names, each by itself."""
        return 1 / (1 + np.exp(-self.scores(part)))


@dataclasses.dataclass(frozen=True, eq=False)
class Tracks:
    """Tracks to fit prototypes to, by dimension.

    Attributes:
      parts: float [N, D], their embeddings in its sub-space, of length 1.
      weights: float [N, C], how much each track is an example of each name, in [0, 1].
      known: bool [N], whether that is known.
    """

    parts: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]
    known: Mapping[str, np.ndarray]


def fit(
    train: Tracks, held_out: Tracks, names: Mapping[str, Sequence[str]]
) -> dict[str, Prototypes]:
    """Prototypes of training tracks, calibrated on others.

    A name with fewer than `FEWEST` training tracks is left out, and so is a dimension without any.
    """
    found = {}
    for dimension, all_names in names.items():
        known = train.known[dimension]
        parts, weights = train.parts[dimension][known], train.weights[dimension][known]
        chosen = weights.sum(axis=0) >= FEWEST
        if dimension == "tempo" and len(weights) >= FEWEST:
            chosen[:] = True
        if not chosen.any():
            continue
        weights = weights[:, chosen]
        centres = weights.T @ parts / weights.sum(axis=0)[:, None]
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
        if dimension == "tempo":
            slope, offset = np.full(len(centres), TEMPO_SLOPE), np.zeros(len(centres))
        else:
            rows = held_out.known[dimension]
            slope, offset = _calibrated(
                parts @ centres.T,
                weights.mean(axis=0),
                held_out.parts[dimension][rows] @ centres.T,
                held_out.weights[dimension][rows][:, chosen],
            )
        found[dimension] = Prototypes(
            tuple(name for name, kept in zip(all_names, chosen, strict=True) if kept),
            *(array.astype(np.float32) for array in (centres, slope, offset)),
        )
    return found


def tempo_weights(tempi: np.ndarray) -> np.ndarray:
    """[N, C]: how much tracks of these tempi are examples of `TEMPI`, whatever their level."""
    octaves = np.log2(np.maximum(tempi, 1e-9)[:, None] / np.array(TEMPI, float))
    apart = np.abs((octaves + 0.5) % 1 - 0.5)
    near, far = (np.exp(-((apart / spread) ** 2) / 2) for spread in (TEMPO_SPREAD, FAR_SPREAD))
    return (near + FAR_WEIGHT * far) * (tempi > 0)[:, None]


def key_weights(keys: np.ndarray) -> np.ndarray:
    """[N, 24]: 1 for each track's key, its number in `input_pipeline.tracks.KEYS`."""
    return (keys[:, None] == np.arange(24)).astype(float)


def arrays(readings: Mapping[str, Prototypes]) -> dict[str, np.ndarray]:
    """The arrays of a model's file, by name; prototypes in float16."""
    found: dict[str, np.ndarray] = {}
    for dimension, one in readings.items():
        values = one.prototypes.astype(np.float16), one.slope, one.offset
        found |= {
            f"{PREFIX}{dimension}/{part}": value for part, value in zip(PARTS, values, strict=True)
        }
    return found


def from_arrays(
    names: Mapping[str, Sequence[str]], found: Mapping[str, np.ndarray]
) -> dict[str, Prototypes]:
    """What `arrays` wrote, with the names of every dimension."""
    return {
        dimension: Prototypes(tuple(own), *(found[f"{PREFIX}{dimension}/{part}"] for part in PARTS))
        for dimension, own in names.items()
    }


def _calibrated(
    trained: np.ndarray, rates: np.ndarray, cosines: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and offsets [C] from cosines to log-odds.

    A dimension's tags share one slope of the standardised cosine, and their offsets stay near those
    of their rates in training: a tag has too few tracks for a curve of its own.

    Args:
      trained: cosines of the training tracks [N, C], which standardise.
      rates: [C], of the tags in training.
      cosines, labels: of the held-out tracks [M, C].
    """
    mean, deviation = trained.mean(axis=0), trained.std(axis=0) + 1e-6
    z = (cosines - mean) / deviation
    rates = np.clip(rates, 0.5 / len(trained), 1 - 0.5 / len(trained))
    prior = np.log(rates / (1 - rates))
    count = z.shape[1]
    # One column per unknown: the slope, the common offset, and each tag's own.
    design = np.concatenate([z[..., None], np.ones((*z.shape, 1))], axis=2)
    design = np.concatenate([design, np.broadcast_to(np.eye(count), (len(z), count, count))], 2)
    ridge = np.array([1e-3, 1e-3, *[RIDGE] * count])
    values = np.zeros(count + 2)
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ values + prior, -30, 30)))
        gradient = np.einsum("nc,ncf->f", chance - labels, design) + ridge * values
        curvature = np.einsum("nc,ncf,ncg->fg", chance * (1 - chance), design, design)
        step = np.linalg.solve(curvature + np.diag(ridge), gradient)
        values = values - step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-8:
            break
    slope = np.clip(values[0], 0.0, LARGEST_SLOPE) / deviation
    return slope, prior + values[1] + values[2:] - slope * mean
