"""The data set that a configuration names."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from input_pipeline.datasets import dataset
from input_pipeline.datasets.dataset import DataSet
from input_pipeline.datasets.joining import joined, splits_together
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.scores import ScoresConfig
from input_pipeline.scores.default_data import prepare_scores
from input_pipeline.tracks import TAG_DIMENSIONS


def feature_config(config: ConfigDict) -> FeatureConfig:
    """How the features that a configuration asks for are extracted."""
    names = {field.name for field in dataclasses.fields(FeatureConfig)}
    return FeatureConfig(**{name: config.features[name] for name in names & {*config.features}})


def open_splits(
    config: ConfigDict, splits: Sequence[str], *, directory: str = ""
) -> dict[str, DataSet]:
    """Splits by name, from `directory`, else `config.data.dir` or `dirs`, else the embedded scores.

    The scores are prepared first if they are absent. Of several data sets, one that lacks a split
    adds nothing to it. A name such as "validation,test" is both splits together. Raises what
    `dataset.open` raises.
    """
    opened = _open_single(
        config,
        [*dict.fromkeys(each for name in splits for each in name.split(","))],
        directory=directory,
    )
    together = {name: [opened[each] for each in dict.fromkeys(name.split(","))] for name in splits}
    return {
        name: splits_together(some) if len(some) > 1 else some[0] for name, some in together.items()
    }


def _open_single(
    config: ConfigDict, splits: Sequence[str], *, directory: str
) -> dict[str, DataSet]:
    features = feature_config(config)

    if directory or not config.data.dirs:
        single = _found(directory or config.data.dir, config)
        return {split: dataset.open(single, split, features) for split in splits}
    weighted = dict(map(directory_and_weight, config.data.dirs))
    directories = [_found(each, config) for each in weighted]
    return {
        split: joined(_opened(directories, split, features), [*weighted.values()])
        for split in splits
    }


def _opened(
    directories: Sequence[str | Path], split: str, features: FeatureConfig
) -> list[DataSet]:
    """A split of every data set; without tracks where it lacks it.

    Raises:
      MissingSplit: all of them lack it.
    """
    found: list[DataSet] = []
    lacking: list[dataset.MissingSplit] = []
    for directory in directories:
        try:
            found.append(dataset.open(directory, split, features))
        except dataset.MissingSplit as error:
            lacking.append(error)
            other = next(iter(dataset.available_splits(directory)))
            found.append(dataset.without_tracks(dataset.open(directory, other, features), split))
    if len(lacking) == len(directories):
        raise lacking[0]
    return found


def _found(directory: str, config: ConfigDict) -> str | Path:
    """The directory, or that of the embedded scores if it is empty."""
    if directory:
        return directory
    scores = ScoresConfig(**config.data.scores.to_dict())
    return prepare_scores(scores, feature_config(config))


def directory_and_weight(text: str) -> tuple[str, float]:
    """What an element of `config.data.dirs` says: "DIR" or "DIR=WEIGHT".

    Raises:
      ValueError: the weight is not a positive number.
    """
    directory, separator, weight = text.rpartition("=")
    if not separator:
        return text, 1.0
    try:
        value = float(weight)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"data.dirs has {text!r}, expected DIR=WEIGHT with a positive weight")
    return directory, value


def without_unsure(data: DataSet, shares: Mapping[str, float]) -> DataSet:
    """The same tracks, without the least sure of their estimated labels.

    Args:
      shares: by dimension, how many of its estimated labels are left out, those with the least
        confidence; labels that were given all stay. Other dimensions keep all of theirs.
    """
    tempo, key, tags = data.tempo, data.key, dict(data.tags)
    for dimension, share in shares.items():
        if dimension in TAG_DIMENSIONS:
            estimated, confidence = data.tags_estimated[dimension], data.tags_confidence[dimension]
        else:
            estimated = getattr(data, f"{dimension}_estimated")
            confidence = getattr(data, f"{dimension}_confidence")
        if not share or not estimated.any():
            continue
        unsure = estimated & (confidence < np.quantile(confidence[estimated], share))
        if dimension == "tempo":
            tempo = np.where(unsure, np.float32(0), tempo)
        elif dimension == "key":
            key = np.where(unsure, np.int32(-1), key)
        else:
            tags[dimension] = tags[dimension] & ~unsure[:, None]
    return dataclasses.replace(data, tempo=tempo, key=key, tags=tags)


def standardised(config: ConfigDict, data: DataSet) -> ConfigDict:
    """The configuration with the constants by which the inputs of this training are standardised.

    They stay those of the configuration, or are the training split's own if it asks for them.

    Raises:
      ValueError: the data set does not know its own.
    """
    if config.features.standardisation == "constants":
        return config
    found = _statistics(data)
    kinds = {"tempogram": config.features.tempogram}
    config = config.copy_and_resolve_references()
    for name in config.model.inputs:
        config.features.standardise[name] = found[kinds.get(name, name)]
    return config


def _statistics(data: DataSet) -> dict[str, tuple[float, float]]:
    """Mean and deviation of every input; of joined data sets, weighted as they are drawn."""
    if not data.parts:
        return dataset.statistics(data.directory)
    weights = np.array([part.weight for part in data.parts])
    found = [dataset.statistics(part.directory) for part in data.parts]
    result = {}
    for name in set.intersection(*(set(each) for each in found)):
        means, deviations = np.array([each[name] for each in found]).T
        mean = np.average(means, weights=weights)
        square = np.average(deviations**2 + means**2, weights=weights)
        result[name] = (float(mean), float(np.sqrt(square - mean**2)))
    return result
