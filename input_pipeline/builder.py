"""Writes tracks as a TensorFlow data set: features, labels and what both mean."""

import contextlib
import csv
import dataclasses
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
import tqdm
from absl import logging

from input_pipeline import workers as worker_processes
from input_pipeline.features import FEATURE_VERSION, FeatureConfig
from input_pipeline.tracks import DIMENSIONS, KEYS, SPLITS, TAG_DIMENSIONS, Track, parse_key

VERSION = "1.0.0"
# Small splits first: if one of them has no usable track, that shows early.
WRITING_ORDER = ("validation", "test", "train")


@dataclasses.dataclass(frozen=True)
class PreparedReport:
    """What `prepare` wrote.

    Attributes:
      directory: where the data set lies.
      num_tracks: tracks per split.
      hours: duration of all usable tracks.
      label_counts: labelled tracks per dimension.
      skipped: (track_id, reason) of the unusable tracks.
    """

    directory: Path
    num_tracks: dict[str, int]
    hours: float
    label_counts: dict[str, int]
    skipped: tuple[tuple[str, str], ...]


def prepare(
    tracks: Iterable[Track],
    directory: str | Path,
    *,
    name: str,
    description: str,
    label_descriptions: dict[str, str] | None = None,
    feature_config: FeatureConfig | None = None,
    estimate: Sequence[str] = ("tempo", "key"),
    workers: int | None = None,
    citation: str = "",
    licence: str = "",
) -> PreparedReport:
    """Extracts the features of all tracks and writes them as a TensorFlow data set.

    The same tracks give the same bytes, whatever the number of workers. On an error or Ctrl-C
    nothing is left behind. Unusable tracks are skipped and listed in `<directory>/skipped.csv`.

    Args:
      tracks: unique ids; no group in two splits; at least one in "train".
      directory: where to write; must not exist, or be empty.
      name: of the data set: lower-case letters, digits and underscores.
      description: of the data set, for people.
      label_descriptions: what the labels of each dimension mean.
      feature_config: default `FeatureConfig()`.
      estimate: which of "tempo" and "key" to estimate with madmom where they are not known.
      workers: processes; default: the number of processors.
      citation: how to cite the data.
      licence: of the data.

    Raises:
      FileExistsError: `directory` is not empty.
      ValueError: bad arguments, or a split without a usable track.
    """
    tracks, directory = list(tracks), Path(directory)
    _check(tracks, directory, name, estimate)
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Written beside its final place and then renamed: readers see all of it or nothing.
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}.partial-", dir=directory.parent))
    try:
        builder = _TrackBuilder(
            scratch,
            name=name,
            tracks=tracks,
            description=description,
            label_descriptions=label_descriptions or {},
            feature_config=feature_config or FeatureConfig(),
            estimate=tuple(estimate),
            workers=workers or joblib.cpu_count(),
            citation=citation,
            licence=licence,
        )
        builder.write()
        os.replace(builder.data_dir, directory)
    finally:
        worker_processes.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    return builder.report(directory)


def _check(tracks: list[Track], directory: Path, name: str, estimate: Sequence[str]) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"name is {name!r}, expected lower-case letters, digits, underscores")
    if unknown := set(estimate) - {"tempo", "key"}:
        raise ValueError(f"estimate has {sorted(unknown)}, expected only 'tempo' and 'key'")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise FileExistsError(f"{directory}: is not empty; delete it or choose another directory")
    split_of_group: dict[str, str] = {}
    seen: set[str] = set()
    for track in tracks:
        if track.track_id in seen:
            raise ValueError(f"track_id {track.track_id!r} occurs twice, expected unique ids")
        seen.add(track.track_id)
        split = split_of_group.setdefault(track.group, track.split)
        if split != track.split:
            raise ValueError(
                f"group {track.group!r} is in the splits {split!r} and {track.split!r} "
                f"(track {track.track_id!r}), expected one split per group"
            )
    if "train" not in split_of_group.values():
        raise ValueError("no track is in the split 'train', expected at least one")


class _TrackBuilder(tfds.core.GeneratorBasedBuilder):
    """One record per track; see `_features`."""

    VERSION = tfds.core.Version(VERSION)

    def __init__(
        self,
        data_dir: Path,
        *,
        name: str,
        tracks: list[Track],
        description: str,
        label_descriptions: dict[str, str],
        feature_config: FeatureConfig,
        estimate: Sequence[str],
        workers: int,
        citation: str,
        licence: str,
    ):
        self.name = name
        self._tracks = tracks
        self._description = description
        self._label_descriptions = label_descriptions
        self._feature_config = feature_config
        self._estimate = estimate
        self._workers = workers
        self._citation = citation
        self._licence = licence
        self._seconds = 0.0
        self._num_tracks: dict[str, int] = {}
        self._label_counts = dict.fromkeys(DIMENSIONS, 0)
        self._skipped: list[tuple[str, str]] = []
        self._progress: tqdm.tqdm
        super().__init__(data_dir=data_dir, file_format="tfrecord")

    def write(self) -> None:
        """Writes the shards, their description and `skipped.csv` into `self.data_dir`."""
        tf.config.set_visible_devices([], "GPU")  # never take memory of a device from JAX
        tfds.disable_progress_bar()
        with (
            tqdm.tqdm(total=len(self._tracks), desc=self.name, unit="track") as self._progress,
            _quiet(),
        ):
            self.download_and_prepare()
        with (Path(self.data_dir) / "skipped.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("track_id", "reason"), *self._skipped])

    def report(self, directory: Path) -> PreparedReport:
        """Describes what was written; `directory` is where it lies now."""
        return PreparedReport(
            directory=directory,
            num_tracks={s: self._num_tracks[s] for s in SPLITS if s in self._num_tracks},
            hours=self._seconds / 3600,
            label_counts=self._label_counts,
            skipped=tuple(self._skipped),
        )

    def _info(self) -> tfds.core.DatasetInfo:
        metadata = {
            "feature_version": FEATURE_VERSION,
            "feature_config": dataclasses.asdict(self._feature_config),
            "label_descriptions": self._label_descriptions,
            "key_names": KEYS,
            "licence": self._licence,
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=self._description,
            features=_features(self._tracks, self._feature_config),
            citation=self._citation,
            license=self._licence,
            metadata=tfds.core.MetadataDict(metadata),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        present = {track.split for track in self._tracks}
        splits = [split for split in WRITING_ORDER if split in present]
        return {split: self._generate_examples(split) for split in splits}

    def _example_writer(self) -> tfds.core.writer.ExampleWriter:
        return _CanonicalWriter(self.info.file_format)

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        tracks = [track for track in self._tracks if track.split == split]
        analyses = worker_processes.analyse_all(
            tracks, self._feature_config, estimate=self._estimate, workers=self._workers
        )
        written = 0
        for analysis in analyses:
            if analysis.reason:
                self._skipped.append((analysis.track.track_id, analysis.reason))
            else:
                yield analysis.track.track_id, self._example(analysis)
                written += 1
            self._show_progress()
        self._num_tracks[split] = written
        if not written:
            track_id, reason = self._skipped[-1]
            raise ValueError(
                f"split {split!r} has no usable track out of {len(tracks)}; "
                f"the last is {track_id!r}: {reason}"
            )

    def _example(self, analysis: worker_processes.Analysis) -> dict[str, Any]:
        labels = _labels(analysis)
        self._seconds += analysis.seconds
        for dimension in TAG_DIMENSIONS:
            self._label_counts[dimension] += bool(labels[dimension])
        self._label_counts["tempo"] += labels["tempo"] > 0
        self._label_counts["key"] += labels["key"] >= 0
        track = analysis.track
        texts = {field: getattr(track, field) for field in TEXT_FIELDS}
        return texts | labels | analysis.arrays

    def _show_progress(self) -> None:
        self._progress.update()
        elapsed = self._progress.format_dict["elapsed"]
        speed = self._seconds / max(elapsed, 1e-9)
        self._progress.set_postfix_str(f"{speed:.0f} x real time, {len(self._skipped)} skipped")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides what tfds prints and logs of downloads and of the scratch directory."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


class _CanonicalWriter(tfds.core.writer.ExampleWriter):
    """Writes the fields of each record in a fixed order; protobuf's own varies by process."""

    def write(self, path: Any, examples: Iterable[tuple[Any, bytes]]) -> Any:
        canonical = (
            (key, tf.train.Example.FromString(record).SerializeToString(deterministic=True))
            for key, record in examples
        )
        return super().write(path, canonical)


TEXT_FIELDS = ("track_id", "group", "artist", "title", "source")


def _features(tracks: list[Track], config: FeatureConfig) -> tfds.features.FeaturesDict:
    def array(shape: tuple[int | None, ...], dtype: type[np.generic]) -> tfds.features.Tensor:
        return tfds.features.Tensor(shape=shape, dtype=dtype, encoding=tfds.features.Encoding.BYTES)

    def tags(dimension: str) -> tfds.features.Sequence:
        names = sorted({tag for track in tracks for tag in track.tags.get(dimension, ())})
        return tfds.features.Sequence(tfds.features.ClassLabel(names=names))

    return tfds.features.FeaturesDict(
        {
            **{field: tfds.features.Text() for field in TEXT_FIELDS},
            "mel": array((None, config.n_mels), np.float16),
            "cens": array((None, config.n_chroma), np.float16),
            "onset": array((None,), np.float32),
            **{dimension: tags(dimension) for dimension in TAG_DIMENSIONS},
            "tempo": np.float32,
            "tempo_estimated": np.bool_,
            "tempo_confidence": np.float32,
            "key": np.int32,
            "key_estimated": np.bool_,
            "key_confidence": np.float32,
        }
    )


def _labels(analysis: worker_processes.Analysis) -> dict[str, Any]:
    """Labels of a record: known ones as given, with confidence 1; then estimates; then unknown."""
    track, heard = analysis.track, analysis.annotation
    labels: dict[str, Any] = {
        "tempo": track.tempo or 0.0,
        "tempo_estimated": False,
        "tempo_confidence": float(track.tempo is not None),
        "key": -1 if track.key is None else parse_key(track.key),
        "key_estimated": False,
        "key_confidence": float(track.key is not None),
    }
    if heard is not None and heard.tempo > 0:
        labels |= {"tempo": heard.tempo, "tempo_confidence": heard.tempo_confidence}
        labels["tempo_estimated"] = True
    if heard is not None and heard.key >= 0:
        labels |= {"key": heard.key, "key_confidence": heard.key_confidence}
        labels["key_estimated"] = True
    for dimension in TAG_DIMENSIONS:
        labels[dimension] = sorted(set(track.tags.get(dimension, ())))
    return labels
