"""Measures systems on one split of a data set: everything that its labels allow."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from input_pipeline import progress
from input_pipeline.datasets.dataset import DataSet
from input_pipeline.tracks import TAG_DIMENSIONS
from jaxsim.evaluation import excerpt_retrieval, metrics, readings
from jaxsim.evaluation import judgements as human
from jaxsim.evaluation.estimate_files import Estimates
from jaxsim.evaluation.excerpt_retrieval import FITTED_PER_COLUMN, MEASURES
from jaxsim.evaluation.excerpts import PER_TRACK, Excerpts, described
from jaxsim.evaluation.metrics import KS, Score, Triplets
from jaxsim.evaluation.sampled_triplets import sample_triplets, surer, track_triplets
from jaxsim.evaluation.systems import System
from jaxsim.network import subspaces

MAP_TRACKS = 1500  # at most in the t-SNE
SEED = 0


def compare(
    compared: Sequence[System],
    data: DataSet,
    training: DataSet,
    *,
    config: ConfigDict,
    count: int,
    judgements: Sequence[human.Judgements] = (),
    estimates: Sequence[Estimates] = (),
    cut: Excerpts | None = None,
) -> dict[str, Any]:
    """Measures every system; everything is a function of the arguments.

    Args:
      compared: systems on these data; the first is compared with the others.
      data, training: the evaluated split, and the one that prototypes come from.
      config: with `dimensions` and `relation`, which decide the triplets.
      count: triplets per dimension.
      judgements: triplets judged by people, for tracks of `data`.
      estimates: tempo and key of tracks of `data` by other systems.
      cut: the excerpts of `data`, if any are to be compared.

    Returns:
      What the report shows: plain dictionaries, lists, numbers and strings.
    """
    sampled = sample_triplets(data, config, count=count, seed=SEED)
    judgements = _with_agreement(judgements)
    judged = _judged(judgements, data)
    sets = sampled | judged
    heard = readings.hear(data)
    measured: dict[str, Any] = {}
    predictions: dict[str, dict[str, Any]] = {}
    retrieved: dict[str, dict[str, np.ndarray]] = {}
    names = [system.name for system in compared]
    for system in progress.over(compared, names=names, desc="measuring", unit="system"):
        gaps = {name: _gaps(system, rows) for name, rows in sets.items()}
        predictions[system.name] = own = _predictions(system, gaps)
        excerpts, retrieved[system.name] = _excerpts(system, data, cut)
        measured[system.name] = {
            "dimensions": list(system.dimensions),
            "coverage": float(system.covered.mean()),
            "raw": system.raw,
            "seeds": 1 + len(system.repeats),
            "triplets": _triplet_scores(system, own, gaps, sampled, data),
            "judged": _judged_scores(own, judged, data),
            "subsets": _subsets(system, gaps, sampled, judged, data),
            "track_triplets": _track_triplets(system, data, count),
            "excerpts": excerpts,
            "retrieval": _retrieval(system, data),
            "tagging": _tagging(system, data, training),
            "readings": readings.of_system(heard, system),
            "collapse": _collapse(system),
            "map": _map(system, data),
            **system.details,
        }
    return {
        "data": _description(data, training),
        "dimensions": list(sampled),
        "triplets_per_dimension": count,
        "judged_triplets": {
            each.title: {
                "used": len(judged[each.title]),
                "of": len(each),
                "form": each.form,
                "agreement": float(each.agreement.min()),  # all of its triplets have at least this
            }
            for each in judgements
        },
        "excerpts": None if cut is None else described(data, cut),
        "readings": readings.of_data(heard),
        "estimates": {each.name: readings.of_estimates(heard, each) for each in estimates},
        "systems": measured,
        "differences": _differences(predictions, data, sets),
        "excerpt_differences": {} if cut is None else _excerpt_differences(retrieved, data, cut),
    }


def _description(data: DataSet, training: DataSet) -> dict[str, Any]:
    return {
        "directory": str(data.directory),
        "split": data.split,
        "tracks": len(data),
        "groups": len(set(data.groups)),
        "training_tracks": len(training),
        "labelled": _labelled(data),
    }


def _with_agreement(judgements: Sequence[human.Judgements]) -> list[human.Judgements]:
    result = []
    for each in judgements:
        result.append(each)
        strict = each.at_least(human.AGREEMENT)
        if 0 < len(strict) < len(each):
            result.append(strict)
    return result


def _judged(judgements, data: DataSet) -> dict[str, Triplets]:
    result = {}
    for each in judgements:
        result[each.title] = rows = each.rows(data.track_ids)
        if not len(rows):
            raise ValueError(
                f"{each.title}: none of its {len(each)} triplets has all three tracks in "
                f"{data.directory}, split {data.split!r}; its first is {each.ids[0]}"
            )
    return result


def _gaps(system: System, rows: Triplets) -> np.ndarray:
    """`metrics.gaps` of every repetition [R, n, S], NaN where the system lacks a track."""
    covered = np.all(
        [system.covered[part] for part in (rows.anchor, rows.positive, rows.negative)], axis=0
    )
    gaps = np.stack([metrics.gaps(each, rows) for each in (system.vectors, *system.repeats)])
    return np.where(covered[:, None], gaps, np.nan)


def _predictions(system: System, gaps: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Whether own sub-space and whole space are right, by set [R, n]; NaN = unknown."""
    result = {}
    for name, gap in gaps.items():
        whole = _right(gap.sum(axis=2))
        own = whole if not system.dimensions else np.full(whole.shape, np.nan)
        if name in system.dimensions:
            own = _right(gap[..., system.dimensions.index(name)])
        result[name] = {"own": own, "whole": whole}
    return result


def _right(gap: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(gap), np.nan, metrics.right(gap))


def _groups(data: DataSet) -> np.ndarray:
    """The group of every track as a number [N]."""
    return np.unique(data.groups, return_inverse=True)[1]


def _score(values: np.ndarray, groups: np.ndarray) -> dict[str, float] | None:
    """Mean and interval of the known values [n] or [R, n]; None if there are none."""
    values = np.atleast_2d(values)
    known = np.isfinite(values).all(axis=0)
    if not known.any():
        return None
    return _plain(metrics.bootstrap(values[:, known], groups[known], seed=SEED))


def _plain(score: Score) -> dict[str, float] | None:
    if not np.isfinite(score.value):
        return None
    return {"value": score.value, "low": score.low, "high": score.high}


def _triplet_scores(system: System, predictions, gaps, sampled, data: DataSet):
    groups = _groups(data)

    def scores(name: str, chosen: np.ndarray) -> dict[str, Any]:
        gap, anchor = gaps[name][:, chosen], sampled[name].anchor[chosen]
        known = ~np.isnan(gap[0, :, 0])
        each = metrics.right(gap[:, known])
        return {
            "own": _score(predictions[name]["own"][:, chosen], groups[anchor]),
            "whole": _score(predictions[name]["whole"][:, chosen], groups[anchor]),
            "triplets": int(known.sum()),
            "by_sub_space": dict(
                zip(system.dimensions, each.mean(axis=(0, 1)).tolist(), strict=True)
            )
            if system.dimensions and known.any()
            else {},
        }

    result = {}
    for name, rows in sampled.items():
        result[name] = scores(name, np.ones(len(rows.anchor), bool))
        if (sure := surer(data, name)) is not None:
            chosen = sure[rows.anchor] & sure[rows.positive] & sure[rows.negative]
            result[name]["surer"] = scores(name, chosen)
    return result


def _judged_scores(predictions, judged: Mapping[str, Triplets], data: DataSet):
    groups = _groups(data)
    return {
        name: {
            "whole": _score(predictions[name]["whole"], groups[rows.anchor]),
            "triplets": int(np.isfinite(predictions[name]["whole"][0]).sum()),
        }
        for name, rows in judged.items()
    }


def _subsets(system: System, gaps, sampled, judged, data: DataSet) -> dict[str, Any]:
    """Scores of all 2^S - 1 subsets of sub-spaces (A Table 2), on judged and on all triplets."""
    if not system.dimensions:
        return {}
    sets = {name: (gaps[name][0], rows.anchor) for name, rows in judged.items()}
    sets["all dimensions' triplets"] = (
        np.concatenate([gaps[name][0] for name in sampled]),
        np.concatenate([rows.anchor for rows in sampled.values()]),
    )
    subsets = metrics.subsets(system.dimensions)
    result = {}
    for name, (gap, anchor) in sets.items():
        known = ~np.isnan(gap[:, 0])
        right = metrics.subset_predictions(gap[known], system.dimensions)
        groups = _groups(data)[anchor[known]]
        means = right.mean(axis=0)
        shown = set(np.argsort(-means, kind="stable")[:6]) | set(range(len(system.dimensions)))
        result[name] = [
            {
                "subset": list(subset),
                "value": float(means[number]),
                "interval": _score(right[:, number], groups) if number in shown else None,
            }
            for number, subset in enumerate(subsets)
        ]
    return result


def _track_triplets(system: System, data: DataSet, count: int):
    """B Table 4: two segments of one track against one of another, in the whole space."""
    if system.segments is None:
        return None
    vectors, track = system.segments
    rows = track_triplets(track, count=count, seed=SEED)
    if not len(rows):
        return None
    right = metrics.right(metrics.gaps(vectors, rows).sum(axis=1))
    return _score(right, _groups(data)[track[rows.anchor]])


def _excerpts(
    system: System, data: DataSet, cut: Excerpts | None
) -> tuple[dict[str, Any] | None, dict[str, np.ndarray]]:
    """How excerpts find their own track and their album; None if the system has none.

    And for every space, `MEASURES` of all excerpts of the cut [n, 4]; NaN where there is no answer.
    """
    if cut is None or "test" not in system.excerpts:
        return None, {}

    def known(vectors: np.ndarray) -> np.ndarray:
        return ~np.isnan(vectors).any(axis=(1, 2, 3))

    covered = known(system.excerpts["test"])
    vectors = np.concatenate(system.excerpts["test"][covered])
    rows = np.repeat(cut.track[covered], PER_TRACK)
    group, training = _groups(data)[rows], system.excerpts.get("train", vectors[:0, None])
    fitting = training[known(training)].reshape(-1, *vectors.shape[1:])
    own = len(fitting) < FITTED_PER_COLUMN * vectors[0].size
    tags = [i for i, name in enumerate(system.dimensions) if name in TAG_DIMENSIONS]
    spaces, strength = excerpt_retrieval.measured(
        vectors,
        vectors if own else fitting,
        rows,
        group,
        tags=tags if system.dimensions else None,
    )
    summary = {
        "queries": len(rows),
        "without_album": int(np.isnan(spaces["cosine"][:, MEASURES.index("album")]).sum()),
        "strength": strength,
        "fitted_to": "these excerpts" if own else "training excerpts",
        "spaces": {
            space: {name: _score(found[:, column], group) for column, name in enumerate(MEASURES)}
            for space, found in spaces.items()
        },
    }
    of_all = {}
    for space, found in spaces.items():
        of_all[space] = np.full((PER_TRACK * len(cut), len(MEASURES)), np.nan)
        of_all[space][np.repeat(covered, PER_TRACK)] = found
    return summary, of_all


def _excerpt_differences(
    retrieved: Mapping[str, Mapping[str, np.ndarray]], data: DataSet, cut: Excerpts
) -> dict[str, Any]:
    """The first system's measures minus every other's, of the queries that both answer (paired)."""
    groups = _groups(data)[np.repeat(cut.track, PER_TRACK)]
    first, *others = retrieved
    return {
        other: {
            space: {
                name: _score(retrieved[first][space][:, column] - found[:, column], groups)
                for column, name in enumerate(MEASURES)
            }
            for space, found in retrieved[other].items()
            if space in retrieved[first]
        }
        for other in others
    }


def _retrieval(system: System, data: DataSet) -> dict[str, dict[str, Any]]:
    """Multi-label R@K: for all tags in the whole space, for each dimension's in its sub-space."""
    rows = np.flatnonzero(system.covered)
    group = _groups(data)[rows]
    result = {}
    for name, vectors, labels in _spaces(system, data):
        recalls = metrics.recall_at(vectors[rows], labels[rows], group, KS)
        result[name] = {f"R@{k}": _score(recalls[:, column], group) for column, k in enumerate(KS)}
    return result


def _spaces(system: System, data: DataSet):
    """Name, vectors [N, D] and labels [N, C] of all tags together and of every tag dimension."""
    tagged = [name for name in TAG_DIMENSIONS if data.tags[name].any()]
    if not tagged:
        return
    flat = system.vectors.reshape(len(system.vectors), -1)
    yield "all tags", flat, np.concatenate([data.tags[name] for name in tagged], axis=1)
    for name in tagged:
        if not system.dimensions:
            yield name, flat, data.tags[name]
        elif name in system.dimensions:
            yield name, system.vectors[:, system.dimensions.index(name)], data.tags[name]


def _tagging(system: System, data: DataSet, training: DataSet) -> dict[str, dict[str, Any]]:
    """ROC AUC per dimension, averaged over its tags, by classifier or prototypes (B §4.3.3)."""
    rows, known = np.flatnonzero(system.covered), np.flatnonzero(system.training_covered)
    groups = _groups(data)[rows]
    result = {}
    every_score, every_label = [], []
    for name, vectors, labels in _spaces(system, data):
        if name == "all tags":
            continue
        number = system.dimensions.index(name) if system.dimensions else 0
        scores = system.tag_scores.get(name)
        by = "classifier"
        if scores is None:
            by = "prototypes"
            centres = metrics.prototypes(system.training[known, number], training.tags[name][known])
            scores = metrics.prototype_scores(vectors, centres)
        auc, each = metrics.tagging_auc(scores[rows], labels[rows], groups, seed=SEED)
        tags = {data.tag_names[name][tag]: value for tag, value in each.items()}
        result[name] = {"auc": _plain(auc), "by": by, "tags": tags}
        every_score.append(scores[rows])
        every_label.append(labels[rows])
    if len(result) > 1:
        auc, _ = metrics.tagging_auc(
            np.concatenate(every_score, axis=1), np.concatenate(every_label, axis=1), groups
        )
        result["all tags"] = {"auc": _plain(auc), "by": "the above", "tags": {}}
    return result


def _collapse(system: System) -> dict[str, dict[str, float]]:
    vectors = system.vectors[system.covered]
    names = system.dimensions or ("whole space",)
    return {
        name: {
            "spread": metrics.spread(subspaces.normalised(vectors[:, number], 1)),
            "effective_rank": metrics.effective_rank(vectors[:, number]),
            "size": vectors.shape[2],
        }
        for number, name in enumerate(names)
    }


def _map(system: System, data: DataSet) -> dict[str, Any]:
    """t-SNE of the whole space and of each tag dimension's sub-space, at most MAP_TRACKS tracks."""
    import sklearn.manifold

    rows = np.flatnonzero(system.covered)
    if len(rows) > MAP_TRACKS:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, MAP_TRACKS, replace=False))
    if len(rows) < 10 or "untrained" in system.name:
        return {}
    spaces = {"whole space": system.vectors[rows].reshape(len(rows), -1)}
    for number, name in enumerate(system.dimensions):
        if name in data.tags and data.tags[name].any():
            spaces[name] = system.vectors[rows, number]
    points = {}
    for name, vectors in spaces.items():
        tsne = sklearn.manifold.TSNE(
            perplexity=min(30, len(rows) / 4),
            init="pca",
            random_state=SEED,
            method="exact" if len(rows) < 500 else "barnes_hut",
        )
        points[name] = np.round(tsne.fit_transform(vectors), 2).tolist()
    labels = {
        name: [
            [data.tag_names[name][tag] for tag in np.flatnonzero(data.tags[name][row])]
            for row in rows
        ]
        for name in TAG_DIMENSIONS
    }
    return {"tracks": [data.track_ids[row] for row in rows], "points": points, "labels": labels}


def _labelled(data: DataSet) -> dict[str, int]:
    tags = {name: int(values.any(axis=1).sum()) for name, values in data.tags.items()}
    return tags | {"tempo": int((data.tempo > 0).sum()), "key": int((data.key >= 0).sum())}


def _differences(predictions, data: DataSet, sets: Mapping[str, Triplets]) -> dict[str, Any]:
    """The first system's score minus every other's, on the triplets that both know (paired)."""
    groups = _groups(data)
    first, *others = predictions
    return {
        other: {
            name: {
                space: _score(
                    predictions[first][name][space] - predictions[other][name][space],
                    groups[rows.anchor],
                )
                for space in ("own", "whole")
            }
            for name, rows in sets.items()
        }
        for other in others
    }
