"""The data set that a configuration names."""

import dataclasses
from collections.abc import Sequence

from ml_collections import ConfigDict

from input_pipeline.datasets import dataset
from input_pipeline.datasets.dataset import DataSet
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.scores import ScoresConfig
from input_pipeline.scores.default_data import prepare_scores


def feature_config(config: ConfigDict) -> FeatureConfig:
    """How the features that a configuration asks for are extracted."""
    names = {field.name for field in dataclasses.fields(FeatureConfig)}
    return FeatureConfig(**{name: config.features[name] for name in names & {*config.features}})


def open_splits(
    config: ConfigDict, splits: Sequence[str], *, directory: str = ""
) -> dict[str, DataSet]:
    """Splits by name, from `directory`, else `config.data.dir`, else the embedded scores.

    The scores are prepared first if they are absent. Raises what `dataset.open` raises.
    """
    features = feature_config(config)
    found = directory or config.data.dir
    if not found:
        found = prepare_scores(ScoresConfig(**config.data.scores.to_dict()), features)
    return {split: dataset.open(found, split, features) for split in splits}


def standardised(config: ConfigDict, data: DataSet) -> ConfigDict:
    """The configuration with the constants by which the inputs of this training are standardised.

    They stay those of the configuration, or are the training split's own if it asks for them.

    Raises:
      ValueError: the data set does not know its own.
    """
    if config.features.standardisation == "constants":
        return config
    found = dataset.statistics(data.directory)
    kinds = {"tempogram": config.features.tempogram}
    config = config.copy_and_resolve_references()
    for name in config.model.inputs:
        config.features.standardise[name] = found[kinds.get(name, name)]
    return config
