"""The smallest training run: two dimensions, one input, four steps."""

from configs.six_dim import get_config
from input_pipeline import dataset
from input_pipeline.features import FeatureConfig


def tiny(directory, **changes):
    config = get_config("demo")
    config.data.dir = str(directory)
    config.dimensions = ("genre", "mood")
    config.model.inputs = ("mel",)
    config.model.width = 0.02
    config.model.embedding_size = 8
    config.batch_size = config.evaluation.batch_size = 8
    config.num_steps, config.steps_per_epoch, config.log_steps = 4, 2, 1
    config.evaluation.triplets = 20
    config.optimiser.schedule = "plateau"
    config.update(changes)
    return config


def training_tracks_only(config, splits):
    """Stands for `data.open_splits`: the fixture's validation split has no triplet."""
    data = dataset.open(config.data.dir, "train", FeatureConfig())
    return dict.fromkeys(splits, data)
