"""Accuracy of madmom's tempo and key on the embedded scores, whose tempi and keys are known.

python -m benchmarks.estimates --clips=120 --seconds=30

Tempo is scored as in MIREX: accuracy 1 is within 4 %, accuracy 2 also at 2, 3, 1/2 and 1/3 times
the tempo. Keys are scored by mir_eval's categories. Intervals are 95 %, bootstrapped over pieces.
"""

import argparse
import collections
from collections.abc import Sequence

import joblib
import numpy as np
import rich.console
import rich.table

from benchmarks import clips
from input_pipeline import command_line
from input_pipeline.command_line import number, positive_integer
from input_pipeline.hearing import estimates
from input_pipeline.tracks import KEYS, Track
from jaxsim.evaluation import metrics

TEMPO_TOLERANCE = 0.04
OCTAVES = (1, 2, 3, 1 / 2, 1 / 3)
CATEGORIES = {1.0: "exact", 0.5: "fifth", 0.3: "relative", 0.2: "parallel", 0.0: "other"}


def estimate(track: Track) -> estimates.Estimate:
    """madmom's tempo and key for a rendering."""
    assert callable(track.audio), "tracks of the scores are rendered by a function"
    return estimates.estimate_tempo_and_key(track.audio(), clips.SAMPLE_RATE)


def tempo_is_right(found: float, true: float, factors: tuple[float, ...]) -> bool:
    """Whether a tempo is within 4 % of the true one times one of the factors."""
    return any(abs(found - f * true) <= TEMPO_TOLERANCE * f * true for f in factors)


def key_category(found: int, true: str) -> str:
    """MIREX's category of a key, given as an index in `KEYS` or -1."""
    import mir_eval  # from the extra `benchmarks`

    if found < 0:
        return "other"
    return CATEGORIES[round(mir_eval.key.weighted_score(true, KEYS[found]), 1)]


def measure(*, count: int, seconds: float) -> None:
    """Measures both estimates and prints their accuracy."""
    chosen = clips.tracks(count, seconds=seconds)
    pool = joblib.Parallel(n_jobs=-1, verbose=1)
    heard = pool(joblib.delayed(estimate)(track) for track in chosen)
    groups = np.array([track.group for track in chosen])
    true_tempi = [track.tempo or 0.0 for track in chosen]
    rows = {
        "tempo, accuracy 1": [
            tempo_is_right(a.tempo, t, OCTAVES[:1]) for a, t in zip(heard, true_tempi, strict=True)
        ],
        "tempo, accuracy 2": [
            tempo_is_right(a.tempo, t, OCTAVES) for a, t in zip(heard, true_tempi, strict=True)
        ],
    }
    keys = [key_category(a.key, t.key or "") for a, t in zip(heard, chosen, strict=True)]
    rows |= {f"key, {name}": [key == name for key in keys] for name in CATEGORIES.values()}
    weights = {name: weight for weight, name in CATEGORIES.items()}
    rows["key, MIREX score"] = [weights[key] for key in keys]
    table = rich.table.Table(title=f"madmom on {len(chosen)} clips of {seconds:g} s")
    for heading in ("measure", "share", "95 % interval"):
        table.add_column(heading, justify="right" if heading != "measure" else "left")
    for name, values in rows.items():
        score = metrics.bootstrap(np.array(values, float), groups)
        table.add_row(name, f"{score.value:.3f}", f"[{score.low:.3f}, {score.high:.3f}]")
    rich.console.Console(width=100).print(table)
    confidence = np.array([(a.tempo_confidence, a.key_confidence) for a in heard])
    right = np.array([rows["tempo, accuracy 1"], rows["key, exact"]]).T
    for name, c, r in zip(("tempo", "key"), confidence.T, right.T, strict=True):
        sure = c >= np.median(c)
        print(
            f"{name}: {r[sure].mean():.3f} correct where madmom is surer than usual, "
            f"{r[~sure].mean():.3f} elsewhere"
        )
    print(collections.Counter(keys))


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        measure(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.estimates", __doc__)
    add = parser.add_argument
    add("--clips", dest="count", type=positive_integer, default=120, help="clips to render")
    add("--seconds", type=number(0), default=30.0, help="length of each clip")
    return parser


if __name__ == "__main__":
    main()
