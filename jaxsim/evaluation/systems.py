"""What an evaluation compares: models, untrained ones, MFCCs, embeddings from files."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict
from ml_collections import ConfigDict

from input_pipeline.datasets.batches import Batch
from input_pipeline.datasets.dataset import DataSet
from input_pipeline.hearing.features import FEATURE_VERSION, mfcc_statistics
from jaxsim.evaluation import track_embeddings
from jaxsim.evaluation.excerpts import Excerpts, excerpt_names, features
from jaxsim.evaluation.untrained import untrained_states
from jaxsim.exported import archives, numpy_model
from jaxsim.exported.readings import Prototypes
from jaxsim.network import subspaces
from jaxsim.training import monitor, train_step
from jaxsim.training.machines import parallel
from jaxsim.training.saving.checkpoints import Restored, located

Splits = Mapping[str, DataSet]  # "train", and the evaluated one under "test"
Cuts = Mapping[str, Excerpts]  # the excerpts of these splits; empty without any
NO_CUTS: Cuts = {}
MFCC = "MFCC"  # the name of that system
FILE = "an .npz with one vector per track id"


@dataclasses.dataclass(frozen=True)
class System:
    """One way to embed the tracks of a data set.

    Attributes:
      name: in the tables.
      dimensions: of its sub-spaces; empty if its space is not divided.
      vectors: of the evaluated tracks [N, S, D] (S = 1 if not divided), parts at length 1 unless
        the system is `raw`.
      covered: bool [N], which tracks it has.
      training: vectors of the training tracks [M, S, D], for prototypes; and `training_covered`.
      segments: of the evaluated tracks [L, S, D] and the track of each [L], if it has segments.
      tag_scores: per tag dimension the scores [N, C] of its own classifier, if it has one.
      raw: whether its Euclidean distances are between vectors of any length.
      repeats: `vectors` of the same system with other seeds, if it has several: scores of triplets
        are means over all of them, the other measures are of `vectors`.
      excerpts: of splits by name, vectors [K, 2, S, D] of both excerpts of the tracks that have
        them; NaN where the system lacks them. Empty if it has none.
      details: config, step and log of its training, for the report.
      readings: what an exported model can read from its sub-spaces, by dimension.
    """

    name: str
    dimensions: tuple[str, ...]
    vectors: np.ndarray
    covered: np.ndarray
    training: np.ndarray
    training_covered: np.ndarray
    segments: tuple[np.ndarray, np.ndarray] | None = None
    tag_scores: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    raw: bool = False
    repeats: tuple[np.ndarray, ...] = ()
    excerpts: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    readings: Mapping[str, Prototypes] = dataclasses.field(default_factory=dict)


def of_run(
    directory: str | Path,
    restored: Restored,
    data: Splits,
    *,
    batch_size: int,
    untrained: bool,
    cuts: Cuts = NO_CUTS,
) -> list[System]:
    """The trained network of a run and, if `untrained`, the same network before any training.

    Args:
      directory: of the run, which names the system, of its checkpoints, or of one of them.
      restored: what `checkpoints.restore_for_inference` returns for it.
      batch_size: segments of all devices together.
      cuts: the excerpts to embed too.

    Raises:
      ValueError: the classifier's tags are not the data set's.
    """
    config, params, batch_stats, record = restored
    run, _ = located(Path(directory).resolve())
    name = name_of_run(directory)
    for dimension, tags in record["tag_names"].items():
        found = list(data["test"].tag_names.get(dimension, ()))
        if dimension in config.dimensions and config.loss.method != "triplet" and tags != found:
            raise ValueError(
                f"{run}: was trained on the {dimension} tags {tags}, but "
                f"{data['test'].directory} has {found}"
            )
    details = {
        "config": json.loads(config.to_json()),
        "step": record["step"],
        "commit": record.get("commit"),
        "log": monitor.rows(run / "log.jsonl"),
    }
    embed = track_embeddings.embedder(config)
    embedded = functools.partial(_of_state, config, embed, data, batch_size=batch_size, cuts=cuts)
    state = train_step.State(jnp.zeros((), jnp.int32), params, batch_stats, ())
    result = [embedded(name, state, details)]
    if untrained:
        first, *others = untrained_states(config, data["train"], batch_size=batch_size)
        repeats = (
            track_embeddings.embed_tracks(
                config, data["test"], _placed(embed, each), batch_size=batch_size
            )
            for each in others
        )
        baseline = embedded(f"{name}, untrained", first, {})
        result.append(dataclasses.replace(baseline, repeats=tuple(repeats)))
    return result


def of_model(path: str | Path, data: Splits, *, batch_size: int, cuts: Cuts = NO_CUTS) -> System:
    """An exported model, run by JAX; named after its file, and its folder if that says more.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not a model, or was trained on other features than the data set's.
    """
    path, model = Path(path), numpy_model.load(path)
    own = {"feature_version": model.feature_version, **model.feature_config}
    theirs = {
        "feature_version": FEATURE_VERSION,
        **data["test"].feature_config.described(),
    }
    for field in own | theirs:
        if own.get(field) != theirs.get(field):
            raise ValueError(
                f"{path}: {field} is {own.get(field)}, expected {theirs.get(field)} as in "
                f"{data['test'].directory}"
            )
    config = track_embeddings.config_of_model(model)
    params = unflatten_dict(model.arrays, sep="/")
    state = train_step.State(jnp.zeros((), jnp.int32), params, {}, ())
    embed = track_embeddings.embedder(config, track_embeddings.forward_model)
    name = name_of_model(path)
    system = _of_state(config, embed, data, name, state, {}, batch_size=batch_size, cuts=cuts)
    return dataclasses.replace(system, readings=model.readings)


def name_of_run(directory: str | Path) -> str:
    """What a run's system is called, or that of one of its checkpoints."""
    run, step = located(Path(directory).resolve())
    return run.name if step is None else f"{run.name}-{step}"


def name_of_model(path: str | Path) -> str:
    """What an exported model's system is called."""
    path = Path(path)
    return f"{path.resolve().parent.name}/{path.stem}" if path.stem == "model" else path.stem


def name_of_file(path: str | Path) -> str:
    """What the system of a file of embeddings or estimates is called."""
    return Path(path).stem


def mfcc(data: Splits, cuts: Cuts = NO_CUTS) -> System:
    """Mean and covariance of every track's 20 MFCCs, standardised over the training split."""

    def of(split: DataSet) -> np.ndarray:
        return np.stack([mfcc_statistics(split.read_track(i)[0]) for i in range(len(split))])

    training, test = of(data["train"]), of(data["test"])
    mean, deviation = training.mean(axis=0), np.maximum(training.std(axis=0), 1e-9)
    excerpts = {}
    for split, cut in cuts.items():
        pairs = [
            [mfcc_statistics(each["mel"]) for each in features(data[split], cut, number)]
            for number in range(len(cut))
        ]
        excerpts[split] = (np.array(pairs)[:, :, None] - mean) / deviation
    system = _undivided(MFCC, (training - mean) / deviation, (test - mean) / deviation)
    return dataclasses.replace(system, excerpts=excerpts)


def external(path: str | Path, data: Splits, cuts: Cuts = NO_CUTS) -> System:
    """Embeddings from an `.npz` whose arrays are named by track id.

    Those of a track's two excerpts are named TRACK_ID#1 and TRACK_ID#2; a track without a vector of
    its own has their mean.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not an `.npz`, has none of the tracks, has only one excerpt of a track, or
        has vectors of different lengths or with values that are not finite; the message names the
        file and the track.
    """
    wanted = [track_id for split in ("train", "test") for track_id in data[split].track_ids]
    found = _read_vectors(path, wanted)
    for track_id in wanted:
        if (pair := excerpt_names(track_id))[0] in found and track_id not in found:
            found[track_id] = np.mean([found[name] for name in pair], axis=0)
    if not any(track_id in found for track_id in data["test"].track_ids):
        with archives.opened(path, FILE) as file:
            first = min(file.files, default="")
        raise ValueError(
            f"{path}: has none of the {len(data['test'])} tracks of {data['test'].directory}; its "
            f"first id is {first!r}, theirs is {data['test'].track_ids[0]!r}"
        )
    excerpts = {split: _found_excerpts(found, data[split], cut) for split, cut in cuts.items()}
    gap = np.zeros(len(next(iter(found.values()))))
    training, test = (
        np.stack([found.get(track_id, gap) for track_id in data[split].track_ids])
        for split in ("train", "test")
    )
    covered = {
        split: np.array([track_id in found for track_id in data[split].track_ids])
        for split in ("train", "test")
    }
    return dataclasses.replace(
        _undivided(name_of_file(path), training, test),
        covered=covered["test"],
        training_covered=covered["train"],
        excerpts={split: each for split, each in excerpts.items() if not np.isnan(each).all()},
    )


def _read_vectors(path: str | Path, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """The vectors of these tracks and their excerpts, as many as there are; see `external`."""
    with archives.opened(path, FILE) as file:
        ids = set(file.files)
        found = {
            name: _vector(archives.array(file, name, path), name, path)
            for track_id in wanted
            for name in (track_id, *excerpt_names(track_id))
            if name in ids
        }
    for track_id in wanted:
        one, other = excerpt_names(track_id)
        if (one in found) != (other in found):
            has, lacks = (one, other) if one in found else (other, one)
            raise ValueError(f"{path}: has {has!r}, but {lacks!r} is missing")
    sizes = {len(vector): name for name, vector in found.items()}
    if len(sizes) > 1:
        (first, one), (second, other), *_ = sizes.items()
        raise ValueError(f"{path}: {other!r} has {second} values, expected {first} like {one!r}")
    return found


def _found_excerpts(found: Mapping[str, np.ndarray], data: DataSet, cut: Excerpts) -> np.ndarray:
    """Vectors of both excerpts [K, 2, 1, D] as they are, NaN where there are none.

    They are not brought to length 1: in a column that is constant, their lengths would then vary.
    """
    gap = np.full(len(next(iter(found.values()))), np.nan)
    pairs = [
        [found.get(name, gap) for name in excerpt_names(data.track_ids[row])] for row in cut.track
    ]
    return np.array(pairs)[:, :, None]


def _vector(vector: np.ndarray, track_id: str, path: str | Path) -> np.ndarray:
    if vector.ndim != 1 or not len(vector) or vector.dtype.kind not in "iuf":
        raise ValueError(
            f"{path}: {track_id!r} has shape {vector.shape} of {vector.dtype}, expected one vector "
            "of numbers"
        )
    if not np.isfinite(vector).all():
        raise ValueError(f"{path}: {track_id!r} has values that are not finite")
    return vector.astype(np.float64)


def _undivided(name: str, training: np.ndarray, test: np.ndarray) -> System:
    return System(
        name=name,
        dimensions=(),
        vectors=subspaces.divided(test, 1),
        covered=np.ones(len(test), bool),
        training=subspaces.divided(training, 1),
        training_covered=np.ones(len(training), bool),
    )


def _placed(
    embedder: Callable[[train_step.State, Batch], np.ndarray], state: train_step.State
) -> track_embeddings.Embed:
    return functools.partial(embedder, parallel.replicate(dataclasses.replace(state, moments=())))


def _of_state(
    config: ConfigDict,
    embedder: Callable[[train_step.State, Batch], np.ndarray],
    data: Splits,
    name: str,
    state: train_step.State,
    details: dict[str, Any],
    *,
    batch_size: int,
    cuts: Cuts = NO_CUTS,
) -> System:
    embed = _placed(embedder, state)
    segments, track = track_embeddings.segment_embeddings(
        data["test"], embed, batch_size=batch_size
    )
    vectors = track_embeddings.means(segments, track, len(data["test"]))
    return System(
        name=name,
        dimensions=tuple(config.dimensions) if config.loss.disentangled else (),
        vectors=track_embeddings.in_own_metric(config, vectors),
        covered=np.ones(len(vectors), bool),
        training=track_embeddings.embed_tracks(config, data["train"], embed, batch_size=batch_size),
        training_covered=np.ones(len(data["train"]), bool),
        segments=(track_embeddings.in_own_metric(config, segments), track),
        tag_scores=_tag_scores(config, state, segments, track, data["test"]),
        raw=not track_embeddings.compares_directions(config),
        excerpts={
            split: track_embeddings.embed_excerpts(
                config, data[split], cut, embed, batch_size=batch_size
            )
            for split, cut in cuts.items()
        },
        details=details,
    )


def _tag_scores(config, state, segments, track, data: DataSet) -> dict[str, np.ndarray]:
    """A classifier's own scores: means over a track's segments (proxies and classification)."""
    result = {}
    for dimension, vectors in train_step.classes(state.params).items():
        if dimension not in data.tags:
            continue
        own = slice(None)
        if config.loss.disentangled:
            own = subspaces.slices(config.dimensions, config.model.embedding_size)[dimension]
        features = segments[:, own]
        centres = np.asarray(vectors)
        centres = centres[:, own] if config.loss.method == "proxy" else centres
        if track_embeddings.compares_directions(config):
            features = subspaces.divided(features, 1)[:, 0]
        result[dimension] = track_embeddings.means(features @ centres.T, track, len(data))
    return result


def completed(config: ConfigDict) -> ConfigDict:
    """A stored configuration; raises ValueError if another version of jaxsim stored it."""
    for field in ("loss.weights", "model.trunk_width", "relation.tags"):
        value: Any = config
        for part in field.split("."):
            value = value.get(part) if value is not None else None
        if value is None:
            raise ValueError(
                f"the checkpoint's configuration has no {field}: another version of jaxsim wrote it"
            )
    return config
