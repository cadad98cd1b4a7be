"""The fields of a record, and the labels that go into them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from input_pipeline.datasets.tag_labels import EstimatedTags
from input_pipeline.hearing import harmony
from input_pipeline.hearing.estimates import Estimate
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.hearing.tagging import ARRAYS as TAG_ARRAYS
from input_pipeline.hearing.tagging import OF_SEGMENTS
from input_pipeline.tracks import TAG_DIMENSIONS, Track, parse_key

TEXT_FIELDS = ("track_id", "group", "artist", "title", "source")


def features(
    tag_names: Mapping[str, list[str]], config: FeatureConfig
) -> tfds.features.FeaturesDict:
    """The fields of the records.

    Args:
      tag_names: all tags of each tag dimension.
      config: how the features are extracted.
    """

    def array(shape: tuple[int | None, ...], dtype: type[np.generic]) -> tfds.features.Tensor:
        return tfds.features.Tensor(shape=shape, dtype=dtype, encoding=tfds.features.Encoding.BYTES)

    def tags(dimension: str) -> tfds.features.Sequence:
        return tfds.features.Sequence(tfds.features.ClassLabel(names=tag_names[dimension]))

    return tfds.features.FeaturesDict(
        {
            **{field: tfds.features.Text() for field in (*TEXT_FIELDS, "content")},
            "seconds": np.float32,
            "mel": array((None, config.n_mels), np.float16),
            "cens": array((None, config.n_chroma), np.float16),
            "onset": array((None,), np.float32),
            "harmony": array((None, harmony.SIZE), np.float32),
            **{dimension: tags(dimension) for dimension in TAG_DIMENSIONS},
            **{f"{dimension}_estimated": np.bool_ for dimension in TAG_DIMENSIONS},
            **{f"{dimension}_confidence": np.float32 for dimension in TAG_DIMENSIONS},
            **{name: array((None,), np.float32) for name in TAG_ARRAYS},
            **{name: array((None,), np.float16) for name in OF_SEGMENTS},  # one after another
            "tempo": np.float32,
            "tempo_estimated": np.bool_,
            "tempo_confidence": np.float32,
            "key": np.int32,
            "key_estimated": np.bool_,
            "key_confidence": np.float32,
        }
    )


def tag_names(
    tracks: list[Track], estimated: Mapping[str, Mapping[str, EstimatedTags]]
) -> dict[str, list[str]]:
    """All tags of each tag dimension, given or estimated, sorted."""
    names: dict[str, set[str]] = {dimension: set() for dimension in TAG_DIMENSIONS}
    for track in tracks:
        for dimension, tags in track.tags.items():
            names[dimension].update(tags)
    for by_dimension in estimated.values():
        for dimension, found in by_dimension.items():
            names[dimension].update(found.labels)
    return {dimension: sorted(found) for dimension, found in names.items()}


def labels(track: Track, heard: Estimate, estimated: Mapping[str, EstimatedTags]) -> dict[str, Any]:
    """Labels of a record: the given one, with confidence 1; else an estimate; else unknown."""
    found = _tempo_and_key(track, heard)
    for dimension in TAG_DIMENSIONS:
        given = sorted(set(track.tags.get(dimension, ())))
        tags = None if given else estimated.get(dimension)
        found[dimension] = list(tags.labels) if tags else given
        found[f"{dimension}_estimated"] = tags is not None
        found[f"{dimension}_confidence"] = tags.confidence if tags else float(bool(given))
    return found


def optional_arrays(heard: Estimate) -> dict[str, np.ndarray]:
    """What MusiCNN heard, as a record has it; empty arrays if it did not listen.

    And no harmony, for tracks that an older version listened to.
    """
    nothing = np.zeros(0, np.float32)
    tags = {name: heard.tags.get(name, nothing) for name in TAG_ARRAYS}
    of_segments = {
        name: heard.tags.get(name, nothing.astype(np.float16)).reshape(-1) for name in OF_SEGMENTS
    }
    return {"harmony": nothing.reshape(0, harmony.SIZE), **tags, **of_segments}


def _tempo_and_key(track: Track, heard: Estimate) -> dict[str, Any]:
    labels: dict[str, Any] = {
        "tempo": track.tempo or 0.0,
        "tempo_estimated": False,
        "tempo_confidence": float(track.tempo is not None),
        "key": -1 if track.key is None else parse_key(track.key),
        "key_estimated": False,
        "key_confidence": float(track.key is not None),
    }
    if track.tempo is None and heard.tempo > 0:
        labels |= {"tempo": heard.tempo, "tempo_confidence": heard.tempo_confidence}
        labels["tempo_estimated"] = True
    if track.key is None and heard.key >= 0:
        labels |= {"key": heard.key, "key_confidence": heard.key_confidence}
        labels["key_estimated"] = True
    return labels
