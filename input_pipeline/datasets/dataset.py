"""Reads a prepared data set: all labels at once, features by random access.

The shards are uncompressed, so each array of a record is one contiguous run of bytes in its file.
An index of those runs is built once per split and kept next to the shards; after that, reading a
crop reads only its own bytes, and needs no TensorFlow.
"""

import contextlib
import dataclasses
import errno
import json
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from input_pipeline import extras
from input_pipeline.files import replacing
from input_pipeline.hearing.features import FEATURE_VERSION, FeatureConfig
from input_pipeline.hearing.harmony import SIZE
from input_pipeline.hearing.segments import ramp
from input_pipeline.hearing.tagging import ARRAYS as TAG_ARRAYS
from input_pipeline.hearing.tagging import EMBEDDING, OF_SEGMENTS, SEGMENT_EMBEDDINGS
from input_pipeline.tracks import TAG_DIMENSIONS

ARRAY_DTYPES = {"mel": np.float16, "cens": np.float16, "onset": np.float32}
# Empty where they are not known.
OPTIONAL_DTYPES = dict.fromkeys(("harmony", *TAG_ARRAYS), np.float32) | dict.fromkeys(
    OF_SEGMENTS, np.float16
)
RECORD_VERSION = "1.4.0"  # Raise it whenever the fields of the records change.
# The first one has no estimates of tags, so all its tags were given; the first two have no harmony,
# and none of the older ones has what was heard in segments.
READABLE_VERSIONS = ("1.1.0", "1.2.0", "1.3.0", RECORD_VERSION)
INDEX_VERSION = 5  # Raise it whenever the layout of the index files changes.


class Part(NamedTuple):
    """One of several data sets that were joined; see `joining.joined`."""

    directory: Path
    weight: float  # how often it is drawn from, beside the other parts' weights
    rows: slice


@dataclasses.dataclass(frozen=True)
class DataSet:
    """One split of a prepared data set, sorted by track_id. N tracks, C_d tags of dimension d.

    Attributes:
      directory: where it is.
      split: "train", "validation" or "test".
      feature_config: how the features were extracted.
      track_ids, groups, artists, titles: N strings each.
      tag_names: per tag dimension, C_d names (sorted, the same in all splits).
      tags: per tag dimension, bool [N, C_d]; a row without any True is unlabelled.
      tempo: float32 [N], beats per minute, 0 = unknown.
      key: int32 [N], index in `tracks.KEYS`, -1 = unknown.
      num_frames: int32 [N].
      contents: N digests of the audio; see `workers.digest`.
      seconds: float32 [N], durations of the audio.
      tempo_estimated, key_estimated: bool [N], whether madmom gave the label.
      tempo_confidence, key_confidence: float32 [N], of estimates; 1 where known, 0 where unknown.
      tags_estimated: per tag dimension, bool [N], whether the tags are estimates from MusiCNN's.
      tags_confidence: per tag dimension, float32 [N], of estimates; 1 where given, 0 where there
        are none.
      has_tag_estimate: bool [N], whether `tag_estimate` has something to give.
      parts: what it was joined from; empty if it is one data set.
    """

    directory: Path
    split: str
    feature_config: FeatureConfig
    track_ids: list[str]
    groups: list[str]
    artists: list[str]
    titles: list[str]
    tag_names: dict[str, tuple[str, ...]]
    tags: dict[str, np.ndarray]
    tempo: np.ndarray
    key: np.ndarray
    num_frames: np.ndarray
    contents: list[str]
    seconds: np.ndarray
    tempo_estimated: np.ndarray
    tempo_confidence: np.ndarray
    key_estimated: np.ndarray
    key_confidence: np.ndarray
    tags_estimated: dict[str, np.ndarray]
    tags_confidence: dict[str, np.ndarray]
    has_tag_estimate: np.ndarray
    _shards: list["Shard"]
    _shard_of_track: np.ndarray
    _offsets: dict[str, np.ndarray]
    parts: tuple[Part, ...] = ()

    def __len__(self) -> int:
        return len(self.track_ids)

    def read(
        self, index: int, start: int, frames: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reads a crop of track `index`: `frames` frames from `start` on; see `read_crops`."""
        (mel,), (cens,), (onset,) = self.read_crops([index], [start], frames)
        return mel, cens, onset

    def read_crops(
        self, tracks: Sequence[int], starts: Sequence[int], frames: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reads B crops of `frames` frames.

        Returns:
          mel: float16 [B, frames, n_mels].
          cens: float16 [B, frames, n_chroma].
          onset: float32 [B, frames + window - 1], slices of the padded envelopes (see
            `segments.pad_onset`), so that frame t of a crop's tempogram is computed from its
            onset[t : t + window].

        Raises:
          IndexError: a crop reaches beyond its track.
          ValueError: a file was truncated after it was opened.
        """
        for track, start in zip(tracks, starts, strict=True):
            if not 0 <= start <= start + frames <= self.num_frames[track]:
                raise IndexError(
                    f"track {self.track_ids[track]!r}: frames {start} to {start + frames} "
                    f"are not within its {self.num_frames[track]} frames"
                )
        config, count = self.feature_config, len(tracks)
        mel = np.empty((count, frames, config.n_mels), ARRAY_DTYPES["mel"])
        cens = np.empty((count, frames, config.n_chroma), ARRAY_DTYPES["cens"])
        onset = np.empty((count, frames + config.tempogram_window - 1), ARRAY_DTYPES["onset"])
        for row, (track, start) in enumerate(zip(tracks, starts, strict=True)):
            self._read(track, "mel", start, mel[row])
            self._read(track, "cens", start, cens[row])
            self._read_onset(track, start, onset[row])
        return mel, cens, onset

    def _read_onset(self, index: int, start: int, onset: np.ndarray) -> None:
        """Fills `onset` from the padded envelope, for a crop that begins at frame `start`."""
        half = self.feature_config.tempogram_window // 2
        first, last = start - half, start - half + len(onset)
        left, right = max(-first, 0), max(last - int(self.num_frames[index]), 0)
        inside = onset[left : len(onset) - right]
        self._read(index, "onset", first + left, inside)
        if left:
            onset[:left] = ramp(inside[0], half)[half - left :]
        if right:
            onset[len(onset) - right :] = ramp(inside[-1], half)[half - right :][::-1]

    def read_track(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reads a whole track; see `read`."""
        return self.read(index, 0, int(self.num_frames[index]))

    def stored(self, index: int) -> dict[str, np.ndarray]:
        """The whole arrays of track `index` as they were extracted; see `features.extract`.

        Without "harmony" if the track was heard by a version that did not extract it.
        """
        config, frames = self.feature_config, int(self.num_frames[index])
        shapes: dict[str, tuple[int, ...]] = {
            "mel": (frames, config.n_mels),
            "cens": (frames, config.n_chroma),
            "onset": (frames,),
        }
        arrays = {name: np.empty(shape, ARRAY_DTYPES[name]) for name, shape in shapes.items()}
        for name, array in arrays.items():
            self._read(index, name, 0, array)
        sounding = self._optional(index, "harmony")
        return arrays | ({"harmony": sounding.reshape(-1, SIZE)} if len(sounding) else {})

    def tag_estimate(self, index: int) -> dict[str, np.ndarray]:
        """What MusiCNN heard in track `index`; see `tagging.Tagger.estimate`. Empty if nothing."""
        if not self.has_tag_estimate[index]:
            return {}
        return {name: self._optional(index, name) for name in TAG_ARRAYS}

    @property
    def num_segments_heard(self) -> np.ndarray:
        """int [N], how many segments of each track MusiCNN has heard, from the first one on."""
        sizes, whole = (self._offsets[f"{name}_size"] for name in (SEGMENT_EMBEDDINGS, EMBEDDING))
        return 2 * sizes // np.maximum(whole, 1)  # float16 and float32

    def of_segments(self, index: int) -> dict[str, np.ndarray]:
        """What MusiCNN heard in the segments of track `index`; see `tagging`. Empty if nothing."""
        count = int(self.num_segments_heard[index])
        if not count:
            return {}
        return {name: self._optional(index, name).reshape(count, -1) for name in OF_SEGMENTS}

    def read_of_segments(
        self, name: str, tracks: Sequence[int], segments: Sequence[int]
    ) -> np.ndarray:
        """Reads what MusiCNN heard in B segments.

        Args:
          name: one of `tagging.OF_SEGMENTS`.
          tracks: rows of the data set.
          segments: numbers of segments in these tracks.

        Returns:
          float16 [B, K]; zeros for tracks of whose segments it has heard none.
        """
        heard, dtype = self.num_segments_heard, np.dtype(OPTIONAL_DTYPES[name])
        sizes = self._offsets[f"{name}_size"] // np.maximum(heard, 1) // dtype.itemsize
        found = np.zeros((len(tracks), int(sizes.max(initial=0))), dtype)
        for row, (track, segment) in enumerate(zip(tracks, segments, strict=True)):
            if heard[track]:
                self._read(track, name, segment, found[row : row + 1])
        return found

    def _optional(self, index: int, name: str) -> np.ndarray:
        """One of `OPTIONAL_DTYPES`, flat."""
        dtype = np.dtype(OPTIONAL_DTYPES[name])
        size = int(self._offsets[f"{name}_size"][index])
        array = np.empty(size // dtype.itemsize, dtype)
        if size:
            self._read(index, name, 0, array)
        return array

    def _read(self, index: int, name: str, start: int, rows: np.ndarray) -> None:
        """Fills `rows` from an array of track `index`, beginning with its row `start`."""
        begin = int(self._offsets[name][index]) + start * rows.strides[0]
        self._shards[self._shard_of_track[index]].read(begin, rows)


class MissingSplit(ValueError):
    """A data set has no split of this name."""


class Shard:
    """An open file, closed with the last reference to it.

    It is not mapped into memory: if a mapped file is truncated or its disk fails, the process dies
    without a message.
    """

    def __init__(self, path: Path):
        self._path, self._descriptor = path, os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, begin: int, array: np.ndarray) -> None:
        """Fills an array with the bytes from `begin` on, while other threads run.

        Raises:
          ValueError: the file ends before that.
        """
        if os.preadv(self._descriptor, [array.data.cast("B")], begin) < array.nbytes:
            raise ValueError(
                f"{self._path}: ends before byte {begin + array.nbytes}, so it was changed after "
                "it was opened; prepare the data set again"
            )


def open(directory: str | Path, split: str, feature_config: FeatureConfig) -> DataSet:
    """Opens one split of a data set that `builder.prepare` wrote.

    Raises:
      FileNotFoundError: there is no data set in `directory`.
      ValueError: its features were not extracted as `feature_config` and this version require, it
        has no such split, or one of its files is damaged.
    """
    directory = Path(directory)
    _check_metadata(directory, feature_config)
    shards = _shard_paths(directory, split)
    index = _load_index(directory, split, shards)
    return DataSet(
        directory=directory,
        split=split,
        feature_config=feature_config,
        track_ids=index["track_id"].tolist(),
        groups=index["group"].tolist(),
        artists=index["artist"].tolist(),
        titles=index["title"].tolist(),
        tag_names={d: tuple(index[f"{d}_names"].tolist()) for d in TAG_DIMENSIONS},
        tags={d: index[d] for d in TAG_DIMENSIONS},
        tempo=index["tempo"],
        key=index["key"],
        num_frames=index["num_frames"],
        contents=index["content"].tolist(),
        seconds=index["seconds"],
        tempo_estimated=index["tempo_estimated"],
        tempo_confidence=index["tempo_confidence"],
        key_estimated=index["key_estimated"],
        key_confidence=index["key_confidence"],
        tags_estimated={d: index[f"{d}_estimated"] for d in TAG_DIMENSIONS},
        tags_confidence={d: index[f"{d}_confidence"] for d in TAG_DIMENSIONS},
        has_tag_estimate=index["has_tag_estimate"],
        _shards=[Shard(path) for path in shards],
        _shard_of_track=index["shard"],
        _offsets={name: index[f"{name}_offset"] for name in (*ARRAY_DTYPES, *OPTIONAL_DTYPES)}
        | {f"{name}_size": index[f"{name}_size"] for name in OPTIONAL_DTYPES},
    )


def _check_metadata(directory: Path, feature_config: FeatureConfig) -> None:
    path = directory / "metadata.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{directory}: not a prepared data set (no metadata.json); make one with "
            f"`python -m input_pipeline.prepare --data_dir={directory}`"
        )
    metadata = json.loads(path.read_text(encoding="utf-8"))
    version = _dataset_info(directory)["version"]
    if version not in READABLE_VERSIONS:
        raise ValueError(
            f"{directory}: was written by another version of jaxsim (records {version}, expected "
            f"one of {', '.join(READABLE_VERSIONS)}); delete it and prepare the data set again"
        )
    expected = {"feature_version": FEATURE_VERSION, **feature_config.described()}
    found = {"feature_version": metadata["feature_version"], **metadata["feature_config"]}
    for field in expected | found:
        if expected.get(field) != found.get(field):
            raise ValueError(
                f"{path}: {field} is {found.get(field)}, expected {expected.get(field)}; "
                "prepare the data set again or change the configuration"
            )


def statistics(directory: str | Path) -> dict[str, tuple[float, float]]:
    """Mean and deviation of the inputs over the training split; see `statistics.Statistics`.

    Raises:
      ValueError: the data set was written before they were computed, or has no training split.
    """
    path = Path(directory) / "metadata.json"
    found = json.loads(path.read_text(encoding="utf-8")).get("statistics")
    if not found:
        raise ValueError(
            f"{path}: statistics is {found}, expected mean and deviation of the training split's "
            "features; prepare the data set again (what was heard is kept)"
        )
    return {name: (mean, deviation) for name, (mean, deviation) in found.items()}


def available_splits(directory: str | Path) -> dict[str, int]:
    """The splits of a prepared data set, each with its number of shards."""
    info = _dataset_info(Path(directory))
    return {item["name"]: len(item["shardLengths"]) for item in info["splits"]}


def without_tracks(data: DataSet, split: str) -> DataSet:
    """A split of the same data set in which there is no track."""
    fields = {field.name: _none_of(getattr(data, field.name)) for field in dataclasses.fields(data)}
    return dataclasses.replace(data, **fields | {"split": split})


def _none_of(values: Any) -> Any:
    """No row of what is there for every track; anything else as it is."""
    if isinstance(values, dict):
        return {name: _none_of(each) for name, each in values.items()}
    return values[:0] if isinstance(values, list | np.ndarray) else values


def _dataset_info(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "dataset_info.json").read_text(encoding="utf-8"))


def _shard_paths(directory: Path, split: str) -> list[Path]:
    shards = available_splits(directory)
    if split not in shards:
        raise MissingSplit(
            f"{directory / 'dataset_info.json'}: has no split {split!r}, "
            f"expected one of {sorted(shards)}"
        )
    count, name = shards[split], _dataset_info(directory)["name"]
    paths = [directory / f"{name}-{split}.tfrecord-{i:05d}-of-{count:05d}" for i in range(count)]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: missing; prepare the data set again")
    return paths


def _load_index(directory: Path, split: str, shards: list[Path]) -> dict[str, np.ndarray]:
    path = directory / f"index-{split}.npz"
    stamps = [(p.stat().st_size, p.stat().st_mtime_ns) for p in shards]
    stamp = np.array([(INDEX_VERSION, 0), *stamps])
    # A broken archive can raise anything.
    with contextlib.suppress(Exception), np.load(path) as file:
        if np.array_equal(file["stamp"], stamp):
            return dict(file)
    index = _build_index(directory, split, shards)
    _save_index(path, index | {"stamp": stamp})
    return index


def _save_index(path: Path, index: dict[str, np.ndarray]) -> None:
    try:
        with replacing(path) as file:
            np.savez(file, allow_pickle=False, **index)
    except OSError as error:
        # The data set is read-only: the index is rebuilt each time it is opened.
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise


def _build_index(directory: Path, split: str, shards: list[Path]) -> dict[str, np.ndarray]:
    """Reads all records once, checking their checksums; sorted by track_id."""
    extras.need("train")
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(directory)
    expected = builder.info.splits[split].shard_lengths
    rows: list[dict[str, Any]] = []
    for shard, path in enumerate(shards):
        found = _index_shard(path)
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


def _index_shard(path: Path) -> list[dict[str, Any]]:
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
