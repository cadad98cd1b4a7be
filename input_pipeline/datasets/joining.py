"""Several data sets as one, so that a batch can hold tracks of all of them; or several splits."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from input_pipeline.datasets.dataset import DataSet, Part
from input_pipeline.tracks import TAG_DIMENSIONS

TEXTS = ("track_ids", "groups", "artists", "titles", "contents")
ARRAYS = (
    "tempo",
    "key",
    "num_frames",
    "seconds",
    "tempo_estimated",
    "tempo_confidence",
    "key_estimated",
    "key_confidence",
    "has_tag_estimate",
)


def joined(data: Sequence[DataSet], weights: Sequence[float]) -> DataSet:
    """The same split of several data sets, one after another.

    Tags of the same name are the same tag. Ids and groups begin with the name of their data set, or
    with its path if two have the same name.

    Args:
      data: opened with the same features; one without tracks is no part of the whole.
      weights: how often each is drawn from; see `partners.partners_of`.
    """
    names = [each.directory.name for each in data]
    if len(set(names)) < len(names):
        names = [str(each.directory) for each in data]
    ends = np.cumsum([len(each) for each in data]).tolist()
    return dataclasses.replace(
        _concatenated(data),
        track_ids=_prefixed(names, [each.track_ids for each in data]),
        groups=_prefixed(names, [each.groups for each in data]),
        parts=tuple(
            Part(each.directory, float(weight), slice(end - len(each), end))
            for each, weight, end in zip(data, weights, ends, strict=True)
            if len(each)
        ),
    )


def splits_together(data: Sequence[DataSet]) -> DataSet:
    """Several splits of one data set, one after another."""
    return dataclasses.replace(_concatenated(data), split=",".join(each.split for each in data))


def _concatenated(data: Sequence[DataSet]) -> DataSet:
    fields: dict[str, Any] = _tags(data)
    fields |= {name: [text for each in data for text in getattr(each, name)] for name in TEXTS}
    fields |= {name: np.concatenate([getattr(each, name) for each in data]) for name in ARRAYS}
    first_shards = np.cumsum([0, *(len(each._shards) for each in data)]).tolist()
    return dataclasses.replace(
        data[0],
        **fields,
        _shards=[shard for each in data for shard in each._shards],
        _shard_of_track=np.concatenate(
            [
                each._shard_of_track + first
                for each, first in zip(data, first_shards[:-1], strict=True)
            ]
        ),
        _offsets={
            name: np.concatenate([each._offsets[name] for each in data])
            for name in data[0]._offsets
        },
    )


def of_part(data: DataSet, part: Part) -> DataSet:
    """The same tracks, of which only those of one part have labels and can be drawn."""
    own = np.zeros(len(data), bool)
    own[part.rows] = True
    return dataclasses.replace(
        data,
        directory=part.directory,
        tags={name: tags & own[:, None] for name, tags in data.tags.items()},
        tempo=np.where(own, data.tempo, np.float32(0)),
        key=np.where(own, data.key, np.int32(-1)),
        num_frames=np.where(own, data.num_frames, np.int32(0)),
        parts=(),
    )


def _prefixed(names: Sequence[str], texts: Sequence[Sequence[str]]) -> list[str]:
    return [f"{name}/{text}" for name, each in zip(names, texts, strict=True) for text in each]


def _tags(data: Sequence[DataSet]) -> dict[str, dict]:
    """The fields of tags, whose names are those of all data sets."""
    fields: dict[str, dict] = {
        name: {} for name in ("tag_names", "tags", "tags_estimated", "tags_confidence")
    }
    for dimension in TAG_DIMENSIONS:
        names = sorted({name for each in data for name in each.tag_names[dimension]})
        rows = []
        for each in data:
            wide = np.zeros((len(each), len(names)), bool)
            wide[:, [names.index(name) for name in each.tag_names[dimension]]] = each.tags[
                dimension
            ]
            rows.append(wide)
        fields["tag_names"][dimension] = tuple(names)
        fields["tags"][dimension] = np.concatenate(rows)
        for field in ("tags_estimated", "tags_confidence"):
            fields[field][dimension] = np.concatenate(
                [getattr(each, field)[dimension] for each in data]
            )
    return fields
