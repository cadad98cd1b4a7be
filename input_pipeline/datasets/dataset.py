"""Reads a prepared data set: all labels at once, features by random access.

An index says where each array of a record is in the shards (see `index`), so reading a crop reads
only its own bytes, and needs no TensorFlow.
"""

import dataclasses
import json
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from input_pipeline.datasets import index as indices
from input_pipeline.datasets.index import ARRAY_DTYPES, OPTIONAL_DTYPES
from input_pipeline.hearing.features import FEATURE_VERSION, FeatureConfig
from input_pipeline.hearing.harmony import SIZE
from input_pipeline.hearing.segments import ramp
from input_pipeline.hearing.tagging import ARRAYS as TAG_ARRAYS
from input_pipeline.hearing.tagging import EMBEDDING, OF_SEGMENTS, SEGMENT_EMBEDDINGS
from input_pipeline.tracks import TAG_DIMENSIONS

RECORD_VERSION = "1.4.0"  # Raise it whenever the fields of the records change.
# The first one has no estimates of tags, so all its tags were given; the first two have no harmony,
# and none of the older ones has what was heard in segments.
READABLE_VERSIONS = ("1.1.0", "1.2.0", "1.3.0", RECORD_VERSION)


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
    index = indices.load(directory, split, shards)
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
