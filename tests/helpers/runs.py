"""The smallest possible training runs, on the training tracks of a data set alone."""

from pathlib import Path

from ml_collections import ConfigDict

from configs.six_dim import get_config
from input_pipeline.datasets import dataset
from input_pipeline.datasets.dataset import DataSet
from input_pipeline.hearing import features
from jaxsim.evaluation.validation import Validation
from jaxsim.training import profiling, run
from jaxsim.training.config import check


def readme_network() -> ConfigDict:
    """The network of README's first training command, as narrow and shallow as possible.

    Three inputs, normalised where they meet; a trunk of one block that starts as separate networks;
    batch normalisation before the layer normalisation of the embedding.
    """
    config = get_config("demo")
    config.model.update(width=0.03, embedding_size=24, blocks=3)
    return config


def in_doubles(config: ConfigDict) -> ConfigDict:
    """The same with a network that computes in float64, if JAX is allowed to.

    Summing in a different order rounds differently, and a rectifier that barely opens in only one
    of two layouts changes a gradient: in float32 the two then differ, though both are correct.
    """
    config.model.dtype = "float64"
    return config


def tiny(directory: Path | str, **changes) -> ConfigDict:
    """Two dimensions, one input, one block, four steps."""
    config = get_config("demo")
    config.data.dir = str(directory)
    config.dimensions = ("genre", "mood")
    config.model.update(inputs=("mel",), width=0.02, embedding_size=8, blocks=1, branch_blocks=1)
    _shorten(config)
    config.update(changes)
    return config


def small(directory: Path | str, **changes) -> ConfigDict:
    """`readme_network` in the dimensions that the fixtures' tracks have, for four steps."""
    config = readme_network()
    config.data.dir = str(directory)
    config.dimensions = ("genre", "mood", "tempo")
    config.relation.tempo_tolerance = 12.0  # BPM; the tracks are 10 apart
    _shorten(config)
    config.update(changes)
    return config


def _shorten(config: ConfigDict) -> None:
    config.batch_size = config.evaluation.batch_size = 8
    config.num_steps, config.steps_per_epoch, config.log_steps = 4, 2, 1
    config.evaluation.triplets = 20
    config.optimiser.schedule = "plateau"


def training_tracks(config: ConfigDict) -> DataSet:
    return dataset.open(config.data.dir, "train", features.FeatureConfig())


def trained(config: ConfigDict, workdir: Path, *, profile: str = "") -> int:
    """Like `python -m jaxsim.train`, but validates on the training tracks, as there are few others.

    Returns:
      The exit code.
    """

    def job() -> int:
        check(config, devices=8)
        profiled = profiling.parse(profile, num_steps=config.num_steps) if profile else range(0)
        data = training_tracks(config)
        return run.train(config, workdir, data, Validation(config, data), profiled=profiled)

    return run.guarded(job)
