"""How well tempo, key and tags are read: by models, by features alone, by librosa, by others.

The truth is what a data set's labels say. Given labels and estimates (madmom's tempo and key,
MusiCNN's tags) are never counted together: to be right by an estimate is to agree with it.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from input_pipeline.datasets.dataset import DataSet
from input_pipeline.hearing import baselines
from input_pipeline.hearing import readings as hearing
from input_pipeline.hearing.readings import Evidence
from input_pipeline.tracks import KEYS, TAG_DIMENSIONS
from jaxsim.evaluation import metrics, reading_metrics
from jaxsim.evaluation.estimate_files import UNKNOWN, Estimates
from jaxsim.evaluation.metrics import Score
from jaxsim.evaluation.systems import System
from jaxsim.exported.readings import TEMPI, Prototypes

MOST_TRACKS = 2000  # whose tempo and key are read
GIVEN, ESTIMATED = "given", "estimated"
BY_FEATURES, BY_BASELINES = "features", "librosa"
SUBSPACE, BOTH = "sub-space alone", "features and sub-space"  # by a model with readings
SEED = 0

Scores = dict[str, dict[str, float] | None]


@dataclasses.dataclass(frozen=True)
class Truth:
    """Tracks whose tempo or key is known in one way.

    Attributes:
      rows: [n], of the data set.
      values: [n], tempi or indices in `KEYS`.
      sure: bool [n], the half of which an estimator is surer; None for given labels.
    """

    rows: np.ndarray
    values: np.ndarray
    sure: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Heard:
    """What is read from a data set's features without any model.

    Attributes:
      data: the data set.
      groups: [N], of its tracks.
      truths: by "tempo" or "key", and by `GIVEN` or `ESTIMATED`; without those of no track.
      evidence: by row.
      simple: tempo and key by row, as `baselines` reads them.
    """

    data: DataSet
    groups: np.ndarray
    truths: Mapping[str, Mapping[str, Truth]]
    evidence: Mapping[int, Evidence]
    simple: Mapping[int, tuple[float, int]]


def hear(data: DataSet) -> Heard:
    """Reads tempo and key of the tracks of which one is known, at most `MOST_TRACKS`."""
    known = np.flatnonzero((data.tempo > 0) | (data.key >= 0))
    if len(known) > MOST_TRACKS:
        known = np.sort(np.random.default_rng(SEED).choice(known, MOST_TRACKS, replace=False))
    config = data.feature_config
    evidence, simple = {}, {}
    for row in known.tolist():
        stored = data.stored(row)
        evidence[row] = hearing.of_features(stored, config.frame_rate)
        simple[row] = baselines.tempo(stored["onset"], config), baselines.key(stored["cens"])
    truths = {
        "tempo": _truths(known, data.tempo, 0, data.tempo_estimated, data.tempo_confidence),
        "key": _truths(known, data.key, -1, data.key_estimated, data.key_confidence),
    }
    groups = np.unique(data.groups, return_inverse=True)[1]
    return Heard(data, groups, truths, evidence, simple)


def _truths(
    rows: np.ndarray,
    values: np.ndarray,
    unknown: int,
    estimated: np.ndarray,
    confidence: np.ndarray,
) -> dict[str, Truth]:
    found = {}
    for name in (GIVEN, ESTIMATED):
        own = rows[(values[rows] > unknown) & (estimated[rows] == (name == ESTIMATED))]
        if len(own):
            sure = confidence[own] >= np.median(confidence[own]) if name == ESTIMATED else None
            found[name] = Truth(own, values[own], sure)
    return found


def of_data(heard: Heard) -> dict[str, Any]:
    """What features alone and the baselines are worth; plain values, for the report.

    By "tempo" or "key", and truth: the number of tracks, and by reader the scores of its measures.
    """
    readers = {
        BY_FEATURES: {row: _pair(one.reading()) for row, one in heard.evidence.items()},
        BY_BASELINES: heard.simple,
    }
    return {
        what: {
            name: {
                "tracks": len(truth.rows),
                "readers": {
                    reader: _scores(heard, what, truth, found) for reader, found in readers.items()
                },
            }
            for name, truth in truths.items()
        }
        for what, truths in heard.truths.items()
    }


def of_system(heard: Heard, system: System) -> dict[str, Any] | None:
    """What a model reads: as `of_data`, with its sub-spaces, and its tags; None if it cannot."""
    own = system.readings
    if not own:
        return None
    parts = {name: system.vectors[:, number] for number, name in enumerate(system.dimensions)}
    both: dict[int, tuple[float, int]] = {}
    alone: dict[int, tuple[float, int]] = {}
    for row, evidence in heard.evidence.items():
        near = {name: own[name].scores(parts[name][row]) for name in own if name in heard.truths}
        both[row] = _pair(evidence.reading(near.get("tempo")))
        alone[row] = (
            float(TEMPI[near["tempo"].argmax()]) if "tempo" in near else 0.0,
            KEYS.index(own["key"].names[near["key"].argmax()]) if "key" in near else -1,
        )
    result: dict[str, Any] = {"tags": _tags(heard, own, parts)}
    for what, truths in heard.truths.items():
        result[what] = {}
        for name, truth in truths.items() if what in own else ():
            scores = {SUBSPACE: _scores(heard, what, truth, alone)}
            if what == "tempo":  # whose sub-space knows no metrical level
                scores[SUBSPACE] |= dict.fromkeys(("accuracy 1", "accuracy 2"))
                scores[BOTH] = _scores(heard, what, truth, both)
            result[what][name] = scores
    return result


def of_estimates(heard: Heard, estimates: Estimates) -> dict[str, Any]:
    """What another system is worth; plain values, for the report.

    By "tempo" or "key", and truth: how many tracks it has an estimate of, and its scores. A track
    of which it has none counts as wrong; where it has none at all, it has no scores either.
    """
    ids = heard.data.track_ids
    found = {row: estimates.values.get(ids[row], UNKNOWN) for row in heard.evidence}
    result: dict[str, Any] = {}
    for what, truths in heard.truths.items():
        place = int(what == "key")
        result[what] = {}
        for name, truth in truths.items():
            covered = sum(found[row][place] != UNKNOWN[place] for row in truth.rows.tolist())
            if covered:
                scores = _scores(heard, what, truth, found)
                result[what][name] = {"covered": covered, "scores": scores}
    return result


def _pair(reading: hearing.Reading) -> tuple[float, int]:
    return reading.tempo, reading.key


def _scores(
    heard: Heard, what: str, truth: Truth, found: Mapping[int, tuple[float, int]]
) -> Scores:
    """The scores of one reader by measure; of the surer half too, where the truth has one."""
    groups = heard.groups[truth.rows]
    read = np.array([found[row][what == "key"] for row in truth.rows.tolist()])
    measured = getattr(reading_metrics, f"{what}_scores")(read, truth.values)
    result = {name: _plain(metrics.bootstrap(each, groups)) for name, each in measured.items()}
    if truth.sure is not None:
        name = "octaves" if what == "tempo" else "exact"
        sure = metrics.bootstrap(measured[name][truth.sure], groups[truth.sure])
        result[f"{name}, surer half"] = _plain(sure)
    return result


def _tags(
    heard: Heard, own: Mapping[str, Prototypes], parts: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """By truth and dimension: AUC, average precision and calibration error of a model's tags."""
    result: dict[str, Any] = {}
    for name in (GIVEN, ESTIMATED):
        measured, flat = {}, []
        read = _read_tags(heard, own, parts, name == ESTIMATED)
        for dimension, rows, probabilities, labels in read:
            measured[dimension] = _tag_scores(probabilities, labels, heard.groups[rows])
            flat.append(_flat(probabilities, labels, heard.groups[rows]))
        if len(flat) > 1:
            every = (np.concatenate(each) for each in zip(*flat, strict=True))
            error = _plain(reading_metrics.calibration_error(*every))
            measured["all tags"] = {"calibration error": error}
        if measured:
            result[name] = measured
    return result


def _flat(
    probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every tag of every track by itself."""
    return probabilities.ravel(), labels.ravel(), np.repeat(groups, labels.shape[1])


def _read_tags(
    heard: Heard,
    own: Mapping[str, Prototypes],
    parts: Mapping[str, np.ndarray],
    estimated: bool,
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Yields dimension, rows [n], probabilities [n, C] and labels [n, C] of tags both sides know.

    A track in which no tag stood out was estimated to have none.
    """
    data = heard.data
    for dimension in TAG_DIMENSIONS:
        if dimension not in own:
            continue
        tagged, by_tagger = data.tags[dimension].any(axis=1), data.tags_estimated[dimension]
        known = by_tagger | (data.has_tag_estimate & ~tagged) if estimated else tagged & ~by_tagger
        rows = np.flatnonzero(known)
        place = {tag: number for number, tag in enumerate(data.tag_names[dimension])}
        common = [number for number, tag in enumerate(own[dimension].names) if tag in place]
        if len(rows) and common:
            columns = [place[own[dimension].names[number]] for number in common]
            probabilities = own[dimension].probabilities(parts[dimension][rows])[:, common]
            yield dimension, rows, probabilities, data.tags[dimension][rows][:, columns]


def _tag_scores(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> dict:
    area, _ = metrics.over_tags(metrics.roc_auc, probabilities, labels, groups)
    precision, _ = metrics.over_tags(
        reading_metrics.average_precision, probabilities, labels, groups
    )
    error = reading_metrics.calibration_error(*_flat(probabilities, labels, groups))
    return {
        "tracks": len(labels),
        "AUC": _plain(area),
        "average precision": _plain(precision),
        "calibration error": _plain(error),
    }


def _plain(score: Score) -> dict[str, float] | None:
    return dataclasses.asdict(score) if np.isfinite(score.value) else None
