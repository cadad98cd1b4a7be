"""Where everything is in the shards of a prepared data set: labels, and where each array begins.

The shards are uncompressed, so each array of a record is one contiguous run of bytes in its file.
The index of those runs is built once per split, with TensorFlow, and kept next to the shards.
"""

import contextlib
import errno
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline import extras
from input_pipeline.files import replacing
from input_pipeline.hearing.tagging import ARRAYS as TAG_ARRAYS
from input_pipeline.hearing.tagging import OF_SEGMENTS
from input_pipeline.tracks import TAG_DIMENSIONS

ARRAY_DTYPES = {"mel": np.float16, "cens": np.float16, "onset": np.float32}
# Empty where they are not known.
OPTIONAL_DTYPES = dict.fromkeys(("harmony", *TAG_ARRAYS), np.float32) | dict.fromkeys(
    OF_SEGMENTS, np.float16
)
INDEX_VERSION = 5  # Raise it whenever the layout of the index files changes.


def load(directory: Path, split: str, shards: list[Path]) -> dict[str, np.ndarray]:
    """The index of one split, which is built if there is none or the shards have changed.

    Returns:
      Columns of N rows, sorted by track_id: what `dataset.DataSet` documents, the number of each
      track's shard, and of every array NAME_offset and NAME_size in bytes. For every dimension of
      tags also its names.

    Raises:
      ValueError: a shard is damaged, or lacks records.
    """
    path = directory / f"index-{split}.npz"
    stamps = [(p.stat().st_size, p.stat().st_mtime_ns) for p in shards]
    stamp = np.array([(INDEX_VERSION, 0), *stamps])
    # A broken archive can raise anything.
    with contextlib.suppress(Exception), np.load(path) as file:
        if np.array_equal(file["stamp"], stamp):
            return dict(file)
    index = _build(directory, split, shards)
    _save(path, index | {"stamp": stamp})
    return index


def _save(path: Path, index: dict[str, np.ndarray]) -> None:
    try:
        with replacing(path) as file:
            np.savez(file, allow_pickle=False, **index)
    except OSError as error:
        # The data set is read-only: the index is rebuilt each time it is opened.
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise


def _build(directory: Path, split: str, shards: list[Path]) -> dict[str, np.ndarray]:
    """Reads all records once, checking their checksums; sorted by track_id."""
    extras.need("train")
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(directory)
    expected = builder.info.splits[split].shard_lengths
    rows: list[dict[str, Any]] = []
    for shard, path in enumerate(shards):
        found = _of_shard(path)
        if len(found) != expected[shard]:
            raise ValueError(f"{path}: has {len(found)} records, expected {expected[shard]}")
        rows.extend(row | {"shard": shard} for row in found)
    rows.sort(key=lambda row: row["track_id"])
    columns = [column for column in rows[0] if column not in TAG_DIMENSIONS]
    index = {column: np.array([row[column] for row in rows]) for column in columns}
    for dimension in TAG_DIMENSIONS:
        names = [name for name in builder.info.features[dimension].feature.names if name]
        index[f"{dimension}_names"] = np.array(names, dtype=np.str_)
        index[dimension] = np.zeros((len(rows), len(names)), dtype=bool)
        for row_number, row in enumerate(rows):
            index[dimension][row_number, row[dimension]] = True
    return index


def _of_shard(path: Path) -> list[dict[str, Any]]:
    """The labels of each record and the offsets of its arrays in the file, in bytes."""
    import tensorflow as tf

    framing = 12  # bytes of length and checksum before each record's data; 4 more after it
    rows: list[dict[str, Any]] = []
    position = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            example = tf.train.Example.FromString(record).features.feature
            row = _labels(example)
            for name in (*ARRAY_DTYPES, *OPTIONAL_DTYPES):
                # Any run of the same bytes will do, so take the first one found.
                data = _bytes(example, name)
                row[f"{name}_offset"] = position + framing + record.index(data)
                row[f"{name}_size"] = len(data)
            rows.append(row)
            position += framing + len(record) + 4
    except tf.errors.DataLossError as error:
        raise ValueError(
            f"{path}: damaged at record {len(rows)}, byte {position} ({error.message}); "
            "prepare the data set again"
        ) from None
    return rows


def _bytes(example: Any, name: str) -> bytes:
    """The bytes of an array; none if records of this version lack it."""
    return example[name].bytes_list.value[0] if name in example else b""


def _labels(example: Any) -> dict[str, Any]:
    onset_bytes = len(example["onset"].bytes_list.value[0])
    row: dict[str, Any] = {
        name: example[name].bytes_list.value[0].decode()
        for name in ("track_id", "group", "artist", "title", "content")
    }
    row |= {dimension: list(example[dimension].int64_list.value) for dimension in TAG_DIMENSIONS}
    for name in ("tempo", "tempo_confidence", "key_confidence", "seconds"):
        row[name] = np.float32(example[name].float_list.value[0])
    for name in ("tempo_estimated", "key_estimated"):
        row[name] = bool(example[name].int64_list.value[0])
    for dimension in TAG_DIMENSIONS:
        row |= _tag_certainty(example, dimension, bool(row[dimension]))
    row["has_tag_estimate"] = all(_bytes(example, name) for name in TAG_ARRAYS)
    row["key"] = np.int32(example["key"].int64_list.value[0])
    row["num_frames"] = np.int32(onset_bytes // np.dtype(ARRAY_DTYPES["onset"]).itemsize)
    return row


def _tag_certainty(example: Any, dimension: str, labelled: bool) -> dict[str, Any]:
    """Whether the tags of a dimension were estimated, and how certain they are."""
    names = f"{dimension}_estimated", f"{dimension}_confidence"
    if names[0] not in example:  # a record of version 1.1.0
        return dict(zip(names, (False, np.float32(labelled)), strict=True))
    return {
        names[0]: bool(example[names[0]].int64_list.value[0]),
        names[1]: np.float32(example[names[1]].float_list.value[0]),
    }
