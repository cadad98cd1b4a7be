"""The data set that a configuration names."""

from collections.abc import Sequence

from ml_collections import ConfigDict

from input_pipeline.datasets import dataset
from input_pipeline.datasets.dataset import DataSet
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.scores import ScoresConfig
from input_pipeline.scores.default_data import prepare_scores


def feature_config(config: ConfigDict) -> FeatureConfig:
    """How the features that a configuration asks for are extracted."""
    return FeatureConfig(tempogram_window=config.features.tempogram_window)


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
