"""Fits the weights by which `input_pipeline.hearing.readings` chooses a tempo and a key.

python -m benchmarks.fit_readings data/music data/scores

Only training splits are read. Given labels count once, madmom's estimates by their confidence times
`ESTIMATES`. Fitted is a softmax over the candidates of a track (a conditional logit),
by L-BFGS with an L2 penalty. A tempo's target is spread over candidates within 4 %, since labels
are not exact.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from input_pipeline import command_line
from input_pipeline.datasets import dataset
from input_pipeline.hearing import readings
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.tracks import KEYS

PENALTY = {"tempo": 1.0, "key": 0.2, "harmony": 0.3}
ESTIMATES = {
    "tempo": 2.0,
    "key": 3.0,
    "harmony": 3.0,
}  # chosen by cross-validation on the training splits
SPREAD = np.log2(1.015)  # octaves, of a tempo's target
DIGITS = 4
ITERATIONS = 300


def fit(features: np.ndarray, targets: np.ndarray, weights: np.ndarray, penalty: float):
    """Weights [F] that maximise the likelihood.

    Args:
      features: [N, C, F] of the candidates of N tracks.
      targets: [N, C], probabilities.
      weights: [N], how much each track counts.
      penalty: half of it times the squared length of the weights is added to the loss.
    """

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        scores = features @ values
        scores -= scores.max(axis=1, keepdims=True)
        powers = np.exp(scores)
        total = powers.sum(axis=1, keepdims=True)
        likelihood = (targets * (scores - np.log(total))).sum(axis=1)
        gradient = (powers / total - targets) * weights[:, None]
        value = -(weights * likelihood).sum() + penalty / 2 * values @ values
        return value, np.einsum("nc,ncf->f", gradient, features) + penalty * values

    start = np.zeros(features.shape[2])
    options = {"maxiter": ITERATIONS}
    return minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x


def tempo_target(tempo: float) -> np.ndarray:
    """Probabilities of the candidates for a known tempo; all 0 if none is near."""
    apart = np.abs(np.log2(readings.TEMPI / tempo))
    near = np.exp(-((apart / SPREAD) ** 2) / 2)
    near[apart > np.log2(1 + readings.TOLERANCE)] = 0
    return near / max(near.sum(), 1e-9)


def examples(folders: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Features, targets and weights of the training tracks, for "tempo", "key" and "harmony"."""
    found: dict[str, list] = {"tempo": [], "key": [], "harmony": []}
    for folder in folders:
        described = json.loads(Path(folder, "metadata.json").read_text(encoding="utf-8"))
        config = FeatureConfig(**described["feature_config"])
        data = dataset.open(folder, "train", config)
        for row in range(len(data)):
            stored = data.stored(row)
            seen = readings.tempo_features(stored["onset"], config.frame_rate)
            if data.tempo[row] > 0 and seen is not None:
                weight = _weight("tempo", data.tempo_estimated[row], data.tempo_confidence[row])
                found["tempo"].append((seen, tempo_target(data.tempo[row]), weight))
            if data.key[row] < 0:
                continue
            target = np.eye(len(KEYS))[data.key[row]]
            weight = _weight("key", data.key_estimated[row], data.key_confidence[row])
            for name, seen in (
                ("key", readings.key_features(stored["cens"])),
                ("harmony", readings.harmony_features(stored["harmony"])),
            ):
                if seen is not None:
                    found[name].append((seen, target, weight))
    tables = {}
    for name, rows in found.items():
        features, targets, weights = map(np.array, zip(*rows, strict=True))
        tables[name] = (features, targets, weights * targets.sum(axis=1))  # 0 if none is near
    return tables


def _weight(name: str, is_estimate: bool, confidence: float) -> float:
    return ESTIMATES[name] * float(confidence) if is_estimate else 1.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("benchmarks.fit_readings", __doc__)
    parser.add_argument("folders", nargs="+", metavar="DATA", help="prepared data sets")
    parser.add_argument("--out", type=Path, default=readings.TABLE, help="the table to write")
    options = parser.parse_args(arguments)
    with command_line.problems_in_one_line():
        table: dict[str, object] = {"fitted": "by benchmarks.fit_readings on training splits"}
        for name, (features, targets, weights) in examples(options.folders).items():
            fitted = fit(features, targets, weights, PENALTY[name])
            table[name] = np.round(fitted, DIGITS).tolist()
            print(f"{name}: {len(weights)} tracks, {len(fitted)} weights")
        options.out.write_text(json.dumps(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
