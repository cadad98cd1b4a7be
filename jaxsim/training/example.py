"""The shapes of a training batch: all that an initial state and a compiler need to know."""

from collections.abc import Mapping

import jax
import numpy as np
from ml_collections import ConfigDict

from input_pipeline.datasets.dataset import DataSet
from input_pipeline.datasets.index import ARRAY_DTYPES
from input_pipeline.datasets.teacher import TEACHER_SIZE, tag_count
from input_pipeline.tracks import TAG_DIMENSIONS
from jaxsim.network.inputs import FEATURES
from jaxsim.objective.terms import label_names
from jaxsim.training.data import feature_config


def tag_counts(data: DataSet) -> dict[str, int]:
    """C of every tag dimension of a data set."""
    return {dimension: len(names) for dimension, names in data.tag_names.items()}


def batch_shapes(
    config: ConfigDict, tags: Mapping[str, int], *, rows: int
) -> dict[str, jax.ShapeDtypeStruct]:
    """The arrays of a training batch [rows, ...] that go to the devices; see `Feed.place`.

    Args:
      tags: C of every tag dimension.
    """
    features = feature_config(config)
    frames = features.segment_frames
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "mel": ((frames, features.n_mels), ARRAY_DTYPES["mel"]),
        "cens": ((frames, features.n_chroma), ARRAY_DTYPES["cens"]),
        "onset": ((frames + features.tempogram_window - 1,), ARRAY_DTYPES["onset"]),
        **{dimension: ((count,), np.bool_) for dimension, count in tags.items()},
        "tempo": ((), np.float32),
        "key": ((), np.int32),
        "index": ((), np.int32),
        "track": ((), np.int32),
        "start": ((), np.int32),
        "drawn_dimension": ((), np.int32),
        "drawn_tag": ((), np.int32),
        "teacher": ((TEACHER_SIZE,), np.float32),
        **{f"teacher_{name}": ((tag_count(name),), np.float32) for name in TAG_DIMENSIONS},
    }
    wanted = (*FEATURES, *label_names(config))
    return {
        name: jax.ShapeDtypeStruct((rows, *shapes[name][0]), shapes[name][1]) for name in wanted
    }
