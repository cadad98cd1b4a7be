"""Checks a configuration before anything is built from it."""

import math
from collections.abc import Collection
from typing import Any

from ml_collections import ConfigDict

from input_pipeline.datasets.batches import DRAWS
from input_pipeline.datasets.teacher import HEARS
from input_pipeline.hearing.tempo_axis import folding
from input_pipeline.tracks import DIMENSIONS, KEY_RELATIONS, TAG_DIMENSIONS
from jaxsim.exported import model_format
from jaxsim.network import subspaces
from jaxsim.network.forms.tempogram import KINDS as TEMPOGRAMS
from jaxsim.network.plan import (
    BRANCH_NORMS,
    EMBEDDING_NORMS,
    INPUTS,
    MAX_BLOCKS,
    MAX_WIDTH,
    NORMS,
    plan_of,
)
from jaxsim.network.separation import TRUNK_STARTS
from jaxsim.objective.losses import AVERAGES, DISTANCES, PICKS
from jaxsim.objective.relations import TAG_RULES, TEMPO_RELATIONS, UNLABELLED
from jaxsim.objective.terms import METHODS, TRACK_LOSSES
from jaxsim.training.data import directory_and_weight, feature_config
from jaxsim.training.machines.parallel import MAPPINGS
from jaxsim.training.schedule import SCHEDULES
from jaxsim.training.train_step import LAYERS

LARGE = 2**31  # bound on numbers; counts of this size fit int32
LARGEST_STRETCH = 0.5  # octaves
POSITIVE = (
    "batch_size",
    "num_steps",
    "steps_per_epoch",
    "log_steps",
    "data.read_ahead",
    "evaluation.batch_size",
    "evaluation.triplets",
    "loss.tag_temperature",
    "loss.temperature",
    "loss.tempo_classes",
    "model.embedding_size",
    "model.trunk_width",
    "model.width",
    "optimiser.learning_rate",
    "optimiser.plateau_factor",
    "optimiser.plateau_patience",
)
NOT_NEGATIVE = (
    "augmentation.band_limit",
    "augmentation.level",
    "augmentation.noise",
    "augmentation.stretch",
    "augmentation.tilt",
    "checkpoint_minutes",
    "loss.decorrelation_weight",
    "loss.band",
    "loss.margin",
    "loss.soft_weight",
    "loss.tag_weight",
    "loss.track_weight",
    "model.dropout",
    "optimiser.minimum_rate",
    "optimiser.plateau_cuts",
    "optimiser.warmup_steps",
    "parallel.dimensions_at_once",
    "relation.tempo_tolerance",
    "seed",
)


CHOICES: dict[str, Collection[str]] = {
    "data.draw": DRAWS,
    "features.tempogram": TEMPOGRAMS,
    "features.standardisation": ("constants", "data"),
    "model.norm": NORMS,
    "model.branch_norm": BRANCH_NORMS,
    "model.embedding_norm": EMBEDDING_NORMS,
    "model.trunk_start": TRUNK_STARTS,
    "model.dtype": ("float32", "bfloat16"),
    "relation.tempo": TEMPO_RELATIONS,
    "relation.key": KEY_RELATIONS,
    "relation.tags": TAG_RULES,
    "relation.unlabelled": UNLABELLED,
    "loss.method": METHODS,
    "loss.distance": DISTANCES,
    "loss.pick": PICKS,
    "loss.average": AVERAGES,
    "loss.teacher": HEARS,
    "loss.track": TRACK_LOSSES,
    "optimiser.layers": LAYERS,
    "optimiser.schedule": SCHEDULES,
    "parallel.mapping": MAPPINGS,
}
SELECTIONS: dict[str, Collection[str]] = {"dimensions": DIMENSIONS, "model.inputs": INPUTS}


def check(config: ConfigDict, *, devices: int) -> None:
    """Raises ValueError naming the field, the value found and what was expected."""
    _check_choices(config)
    _check_numbers(config)
    _check_depth(config)
    _check_by_name(config)
    _check_features(config)
    _check_data(config)
    _check_batch(config, devices)
    _check_parts(config, devices)
    _check_loss(config)
    _check_augmentation(config)


def _check_choices(config: ConfigDict) -> None:
    for field, allowed in CHOICES.items():
        value = _get(config, field)
        if value not in allowed:
            raise ValueError(f"config.{field} is {value!r}, expected one of {', '.join(allowed)}")
    for field, allowed in SELECTIONS.items():
        values = tuple(_get(config, field))
        unknown = [value for value in values if value not in allowed]
        if unknown or not values or len(set(values)) < len(values):
            raise ValueError(
                f"config.{field} is {values}, expected some of {', '.join(allowed)}, "
                "each at most once"
            )
    inputs, statistics = (tuple(config.model[name]) for name in ("inputs", "statistics"))
    if not set(statistics) <= set(inputs) or len(set(statistics)) < len(statistics):
        raise ValueError(
            f"config.model.statistics is {statistics}, expected none or some of {inputs}, as in "
            "config.model.inputs, each at most once"
        )
    if config.model.dropout >= 1:
        raise ValueError(
            f"config.model.dropout is {config.model.dropout}, expected a share of the trunk's "
            "outputs, less than 1"
        )


def _check_by_name(config: ConfigDict) -> None:
    """Fields that have a value for each dimension or input."""
    for name, first in config.model.first_input.items():
        if first not in INPUTS:
            raise ValueError(
                f"config.model.first_input.{name} is {first!r}, expected one of {', '.join(INPUTS)}"
            )
    for name in config.dimensions:
        weight = config.loss.weights.get(name)
        if weight is None or not 0 < weight < LARGE:
            raise ValueError(f"config.loss.weights.{name} is {weight}, expected more than 0")
    for name, share in config.data.unsure.items():
        if name not in DIMENSIONS or not 0 <= share < 1:
            raise ValueError(
                f"config.data.unsure.{name} is {share}, expected a share of the labels of one of "
                f"{', '.join(DIMENSIONS)}, at least 0 and less than 1"
            )
    for name, pair in config.features.standardise.items():
        if not _are_mean_and_deviation(pair):
            raise ValueError(
                f"config.features.standardise.{name} is {pair}, expected a mean and a deviation "
                "above 0"
            )


def _check_data(config: ConfigDict) -> None:
    if not all(isinstance(text, str) for text in config.data.dirs):
        raise ValueError(
            f"config.data.dirs is {config.data.dirs}, expected names of directories, each perhaps "
            "with =WEIGHT"
        )
    try:
        directories = [directory_and_weight(text)[0] for text in config.data.dirs]
    except ValueError as error:
        raise ValueError(f"config.{error}") from None
    if len(set(directories)) < len(directories):
        raise ValueError(f"config.data.dirs is {config.data.dirs}, expected each directory once")
    if config.data.dir and directories:
        raise ValueError(
            f"config.data.dir is {config.data.dir!r}, expected none beside config.data.dirs = "
            f"{config.data.dirs}"
        )


def _check_features(config: ConfigDict) -> None:
    try:
        features = feature_config(config)
        if config.features.tempogram == "cyclic":
            folding(features.tempogram_window, features.frame_rate)
    except ValueError as error:
        raise ValueError(f"config.{error}") from None
    plan, images = plan_of(config.model), model_format.image_sizes(features.described())
    sizes = {kind: plan.branch_map(kind, images[kind]) for kind in plan.inputs}
    if len(set(sizes.values())) > 1 or 0 in next(iter(sizes.values())):
        raise ValueError(
            f"config.features: the maps of {', '.join(sizes)} end with {[*sizes.values()]} bins "
            "and frames, expected the same for all (n_mels, tempogram_window, segment_frames)"
        )


def _check_batch(config: ConfigDict, devices: int) -> None:
    group = config.data.group_size
    if group % 2 or not 2 <= group <= max(config.batch_size, 2):
        raise ValueError(
            f"config.data.group_size is {group}, expected an even number up to config.batch_size"
        )
    if config.batch_size % devices:
        raise ValueError(
            f"config.batch_size is {config.batch_size}, expected a multiple of {devices} (the "
            "number of devices)"
        )
    mining = config.parallel.mining_group
    if mining < 0 or (mining and devices % min(mining, devices)):
        raise ValueError(
            f"config.parallel.mining_group is {mining}, expected a divisor of {devices} (the "
            "number of devices), or 0 for all of them"
        )


def _check_loss(config: ConfigDict) -> None:
    loss = config.loss
    if loss.disentangled:
        try:
            subspaces.check(config.model.embedding_size, len(config.dimensions))
        except ValueError as error:
            raise ValueError(f"config.{error}") from None
    if loss.track_weight and loss.method != "triplet":
        raise ValueError(
            f"config.loss.track_weight is {loss.track_weight}, expected 0 with the method "
            f"{loss.method!r}: the track regularisation uses triplets"
        )
    _check_tags(config)
    if loss.pick == "all" and loss.band > loss.margin:
        raise ValueError(
            f"config.loss.band is {loss.band}, expected at most config.loss.margin = "
            f"{loss.margin} with the pick 'all'"
        )


def _check_tags(config: ConfigDict) -> None:
    """Fields that work on sub-spaces of tags alone."""
    if set(config.dimensions) & set(TAG_DIMENSIONS):
        return
    loss, layers = config.loss, config.optimiser.layers
    statistics = tuple(config.model.statistics)
    for field, value, wrong, expected in (
        ("loss.soft_weight", loss.soft_weight, loss.soft_weight > 0, "0"),
        ("loss.tag_weight", loss.tag_weight, loss.tag_weight > 0, "0"),
        ("loss.track", loss.track, loss.track == "tag_softmax", "another"),
        ("model.statistics", statistics, len(statistics) > 0, "none"),
        ("optimiser.layers", layers, layers == "tags", "others"),
    ):
        if wrong:
            raise ValueError(
                f"config.{field} is {value!r}, expected {expected} without a dimension of tags "
                f"({', '.join(TAG_DIMENSIONS)}), the only ones that it concerns"
            )


def _check_depth(config: ConfigDict) -> None:
    model = config.model
    own = model.branch_blocks
    if not 1 <= own <= MAX_BLOCKS:
        raise ValueError(f"config.model.branch_blocks is {own}, expected 1 to {MAX_BLOCKS}")
    least = own + 1 if len(model.inputs) > 1 else 1  # several inputs meet in at least one block
    if not least <= model.blocks <= MAX_BLOCKS:
        raise ValueError(
            f"config.model.blocks is {model.blocks}, expected {least} to {MAX_BLOCKS} with "
            f"config.model.branch_blocks = {own}"
        )


def _check_parts(config: ConfigDict, devices: int) -> None:
    parts, model = config.parallel.parts, config.model
    if parts < 1 or config.batch_size % (devices * parts):
        raise ValueError(
            f"config.parallel.parts is {parts}, expected a divisor of the {config.batch_size} / "
            f"{devices} examples of a device"
        )
    norms = (model.norm, model.embedding_norm, model.branch_norm)
    normalises = any(norm in ("batch", "batch_layer") for norm in norms) or model.statistics
    if parts > 1 and normalises:
        raise ValueError(
            f"config.parallel.parts is {parts}, expected 1 with batch normalisation (model.norm, "
            "branch_norm, embedding_norm or statistics), which reads the whole batch"
        )


def _check_numbers(config: ConfigDict) -> None:
    for fields, least, expected in (
        (POSITIVE, math.ulp(0), "more than 0"),
        (NOT_NEGATIVE, 0, "at least 0"),
    ):
        for field in fields:
            value = _get(config, field)
            largest = MAX_WIDTH if field.endswith("width") else LARGE
            if not least <= value < largest:
                raise ValueError(
                    f"config.{field} is {value}, expected {expected} and less than {largest}"
                )


def _check_augmentation(config: ConfigDict) -> None:
    share, octaves = config.augmentation.band_limit, config.augmentation.stretch
    if share > 1:
        raise ValueError(
            f"config.augmentation.band_limit is {share}, expected a share of the segments, at most "
            "1"
        )
    if octaves > LARGEST_STRETCH:
        raise ValueError(
            f"config.augmentation.stretch is {octaves}, expected at most {LARGEST_STRETCH} "
            "octaves: beyond, the tempogram has too few lags"
        )


def _are_mean_and_deviation(pair: Any) -> bool:
    numbers = [each for each in pair if isinstance(each, int | float) and abs(each) < LARGE]
    return len(numbers) == len(pair) == 2 and numbers[1] > 0


def _get(config: ConfigDict, field: str):
    value = config
    for name in field.split("."):
        value = value[name]
    return value
