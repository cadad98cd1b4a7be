"""How well tempo, key and tags are read, beside librosa's estimates and the sub-spaces alone.

python -m benchmarks.readings data/scores --split=test
python -m benchmarks.readings data/music --split=validation --split=test

The truth is what the data set says; where it has madmom's estimates and MusiCNN's tags, it is
theirs, and "surer" is the half of the tracks of whose tempo or key madmom is surer. Tempo is scored
as in MIREX: accuracy 1 within 4 %, accuracy 2 also at 2, 3, 1/2 and 1/3 times the tempo; and
up to octaves. Keys: exact, and MIREX's weighted score. Tags: ROC AUC and average precision, mean
over tags, and the expected calibration error in ten bins over all tags together.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import librosa
import numpy as np
import rich.console
import rich.table
from sklearn.metrics import average_precision_score, roc_auc_score

from input_pipeline import command_line
from input_pipeline.datasets import dataset
from input_pipeline.hearing import readings
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.tracks import KEYS, TAG_DIMENSIONS
from jaxsim.exported import numpy_model
from jaxsim.library.intake.embedding import Embedder
from jaxsim.network import compilation

MULTIPLES = (1, 2, 3, 1 / 2, 1 / 3)  # of accuracy 2
KRUMHANSL = (
    (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
)
BINS = 10


def within(found: np.ndarray, true: np.ndarray, multiples: Sequence[float]) -> np.ndarray:
    """Whether tempi are within 4 % of the true ones times one of the multiples; bool [N]."""
    errors = [np.abs(found - m * true) / (m * true) for m in multiples]
    return np.min(errors, axis=0) <= readings.TOLERANCE


def mirex(found: int, true: int) -> float:
    """MIREX's score of a key, as in `mir_eval`: exact, a fifth too high, relative, parallel."""
    if found == true:
        return 1.0
    if found < 0:
        return 0.0
    up = (found - true) % 12
    if found // 12 == true // 12:
        return 0.5 if up == 7 else 0.0
    relative = 3 if true >= 12 else 9
    return {relative: 0.3, 0: 0.2}.get(up, 0.0)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error: |mean probability - share of labels| per bin, by its size."""
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    gaps = [abs((probabilities - labels)[bins == number].sum()) for number in range(BINS)]
    return float(np.sum(gaps) / probabilities.size)


def krumhansl(cens: np.ndarray) -> int:
    """The key whose profile correlates best with the mean chroma."""
    mean = cens.mean(axis=0, dtype=np.float64)
    scores = [
        np.corrcoef(np.roll(profile, tonic), mean)[0, 1]
        for profile in KRUMHANSL
        for tonic in range(12)
    ]
    return int(np.argmax(scores))


def measure(folder: str, splits: Sequence[str], model: str) -> None:
    embedder = Embedder(model)
    config = FeatureConfig(
        **json.loads(Path(folder, "metadata.json").read_text(encoding="utf-8"))["feature_config"]
    )
    spaces, own = embedder.model.subspaces, embedder.model.readings
    rows: dict[str, list] = {}
    tags: dict[str, list] = {dimension: [] for dimension in TAG_DIMENSIONS}
    began, took = 0.0, 0.0
    for split in splits:
        data = dataset.open(folder, split, config)
        vectors = embedder.stream((row, data.stored(row)) for row in range(len(data)))
        for row, vector in vectors:
            stored = data.stored(row)
            began = time.process_time()
            evidence = readings.evidence(stored["onset"], stored["cens"], config.frame_rate)
            took += time.process_time() - began
            scores = own["tempo"].scores(vector[spaces["tempo"]])
            both, direct = evidence.reading(scores), evidence.reading()
            alone = 30 * 2 ** (scores.argmax() / len(scores))
            (heard,) = librosa.feature.tempo(
                onset_envelope=stored["onset"], sr=config.sample_rate, hop_length=config.hop_length
            )
            key_space = own["key"].scores(vector[spaces["key"]])
            rows.setdefault("tempo", []).append((both.tempo, direct.tempo, alone, heard))
            nearest = _index(own["key"].names[key_space.argmax()])
            rows.setdefault("key", []).append((both.key, nearest, krumhansl(stored["cens"])))
            rows.setdefault("true", []).append((data.tempo[row], data.key[row]))
            sure = data.tempo_confidence[row], data.key_confidence[row]
            rows.setdefault("sure", []).append(sure)
            for dimension in TAG_DIMENSIONS:
                known = data.tags[dimension][row].any() or data.has_tag_estimate[row]
                place = {tag: i for i, tag in enumerate(data.tag_names[dimension])}
                if known and dimension in own and set(own[dimension].names) <= set(place):
                    columns = [place[tag] for tag in own[dimension].names]
                    probability = own[dimension].probabilities(vector[spaces[dimension]])
                    tags[dimension].append((probability, data.tags[dimension][row][columns]))
    table = _table({name: np.array(values) for name, values in rows.items()})
    for dimension, pairs in tags.items():
        if pairs:
            probabilities, labels = map(np.array, zip(*pairs, strict=True))
            table.add_row(dimension, "prototypes, calibrated", *_tags(probabilities, labels))
    together = [pair for pairs in tags.values() for pair in pairs]
    if together:
        flat = [np.concatenate(part) for part in zip(*together, strict=True)]
        table.add_row("all tags", "", "", "", f"{calibration_error(*flat):.3f} calibration")
    console = rich.console.Console(width=120)
    console.print(f"{folder}, {', '.join(splits)}: {len(rows['true'])} tracks; {model}")
    console.print(table)
    print(f"direct estimates: {1000 * took / len(rows['true']):.1f} ms of CPU a track")


def _index(name: str) -> int:
    return KEYS.index(name)


def _table(rows: dict[str, np.ndarray]) -> rich.table.Table:
    table = rich.table.Table("", "read from", "", "", "", "surer")
    (true, key), sure = rows["true"].T, rows["sure"] >= np.median(rows["sure"], axis=0)
    names = ("both: shown", "features", "sub-space, octave-folded", "librosa.feature.tempo")
    for name, found in zip(names, rows["tempo"].T, strict=True):
        octaves = readings.octaves_apart(found, true) <= np.log2(1 + readings.TOLERANCE)
        one, two = (within(found, true, some).mean() for some in ((1,), MULTIPLES))
        cells = f"accuracy 1 {one:.3f}", f"accuracy 2 {two:.3f}", f"octaves {octaves.mean():.3f}"
        table.add_row("tempo", name, *cells, f"octaves {octaves[sure[:, 0]].mean():.3f}")
    names = ("features: shown", "sub-space", "Krumhansl on mean CENS")
    for name, found in zip(names, rows["key"].T, strict=True):
        exact = found == key
        score = np.mean([mirex(int(a), int(b)) for a, b in zip(found, key, strict=True)])
        cells = f"exact {exact.mean():.3f}", f"MIREX {score:.3f}", ""
        table.add_row("key", name, *cells, f"exact {exact[sure[:, 1]].mean():.3f}")
    return table


def _tags(probabilities: np.ndarray, labels: np.ndarray) -> list[str]:
    used = [tag for tag in range(labels.shape[1]) if 0 < labels[:, tag].sum() < len(labels)]
    area = np.mean([roc_auc_score(labels[:, tag], probabilities[:, tag]) for tag in used])
    precision = np.mean(
        [average_precision_score(labels[:, tag], probabilities[:, tag]) for tag in used]
    )
    error = calibration_error(probabilities, labels)
    return [f"AUC {area:.3f}", f"AP {precision:.3f}", f"{error:.3f} calibration"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("benchmarks.readings", __doc__)
    parser.add_argument("folder", metavar="DATA", help="a prepared data set")
    parser.add_argument("--split", dest="splits", action="append", help="default: test")
    parser.add_argument("--model", default=str(numpy_model.SHIPPED), help="an exported model")
    options = parser.parse_args(arguments)
    compilation.prepare()
    with command_line.problems_in_one_line():
        measure(options.folder, options.splits or ["test"], options.model)


if __name__ == "__main__":
    main()
