"""Writes tracks as a TensorFlow data set: features, labels, and what they mean."""

import collections
import contextlib
import csv
import dataclasses
import io
import itertools
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import joblib
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from input_pipeline.datasets import pool, records, scale_out, tag_labels, updates
from input_pipeline.datasets import workers as worker_processes
from input_pipeline.datasets.dataset import RECORD_VERSION
from input_pipeline.datasets.statistics import Statistics
from input_pipeline.hearing import tagging
from input_pipeline.hearing.estimates import LABELS
from input_pipeline.hearing.features import FEATURE_VERSION, FeatureConfig
from input_pipeline.progress import Bar
from input_pipeline.tracks import DIMENSIONS, KEYS, SPLITS, TAG_DIMENSIONS, Track

# Small splits first: if one of them has no usable track, this shows early.
WRITING_ORDER = ("validation", "test", "train")


@dataclasses.dataclass(frozen=True)
class PreparedReport:
    """What `prepare` wrote.

    Attributes:
      directory: where the data set is.
      num_tracks: tracks per split.
      hours: duration of all usable tracks.
      label_counts: labelled tracks per dimension.
      estimated_counts: of these, the ones whose label was estimated; empty if none was.
      kept: number of tracks whose features were taken from the previous data set.
      skipped: (track_id, reason) of the unusable tracks.
    """

    directory: Path
    num_tracks: dict[str, int]
    hours: float
    label_counts: dict[str, int]
    estimated_counts: dict[str, int]
    kept: int
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
    tag_config: tag_labels.TagConfig | None = None,
    workers: int | None = None,
    beam_options: Sequence[str] = (),
    problems: Sequence[tuple[str, str]] = (),
    citation: str = "",
    licence: str = "",
) -> PreparedReport:
    """Extracts the features of all tracks and writes them as a TensorFlow data set.

    The same tracks give the same bytes, whatever the number of workers. Extracted features are kept
    in `.<directory>.partial` next to `directory` until the data set is complete: calling this again
    after an interruption resumes, and at most the tracks in flight are lost. If `directory` holds a
    data set with features of the same kind, it is brought up to date: only tracks whose audio has
    changed are extracted again, only estimates that it lacks are made, and the old data set stays
    until the new one takes its place.
    Unusable tracks are skipped and listed in `<directory>/skipped.csv`.

    Args:
      tracks: with unique ids, and no group in two splits.
      directory: where to write: a data set, an empty folder, or a path that does not exist.
      name: of the data set: lower-case letters, digits and underscores.
      description: of the data set, for human readers.
      label_descriptions: what the labels of each dimension mean.
      feature_config: default `FeatureConfig()`.
      estimate: which of "tempo" and "key" to estimate with madmom where they are unknown;
        "tags", to let MusiCNN listen to every track; and "segments", to keep what it makes of
        every segment, too.
      tag_config: which of the tags that MusiCNN heard become labels; default `TagConfig()`.
      workers: processes; default: the number of processors.
      beam_options: if given, Apache Beam extracts the features, with these pipeline options, and
        not processes on this machine; all of its workers must see `directory` and the audio.
      problems: (where, what) for rows and labels of the source that could not be used, to be listed
        with the skipped tracks.
      citation: how to cite the data.
      licence: of the data.

    Raises:
      FileExistsError: `directory` holds something else, or features of a different kind.
      FileNotFoundError: there is no such table of tags.
      ImportError: what is to estimate something is not installed.
      ValueError: an argument is invalid, or a split has no usable track.
      filelock.Timeout: another process is preparing the same directory.
    """
    tracks, directory = list(tracks), Path(directory)
    _check(tracks, name, estimate)
    if "segments" in estimate:
        estimate = [*dict.fromkeys([*estimate, "tags"])]  # the same tagger's
    package = tagging.find() if "tags" in estimate else None
    tag_config = tag_config or tag_labels.TagConfig()
    tag_labels.read_table(tag_config.table)  # a mistake in it shows before hours of listening
    feature_config = feature_config or FeatureConfig()
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _partial(directory) as partial:
        present = updates.read(directory, feature_config)
        job = worker_processes.Job(
            (partial / "tracks").absolute(),
            feature_config,
            tuple(estimate),
            tagger=tagging.export(package, (partial / "musicnn.npz").absolute())
            if package
            else None,
        )
        outcomes = _analyse(tracks, job, present, name, workers or joblib.cpu_count(), beam_options)
        builder = _TrackBuilder(
            partial / "data",
            name=name,
            tracks=tracks,
            outcomes=outcomes,
            job=job,
            present=present,
            estimated=_estimated_tags(tracks, outcomes, job, present, tag_config),
            description=description,
            label_descriptions=label_descriptions or {},
            citation=citation,
            licence=licence,
        )
        builder.write(problems)
        updates.replace(directory, Path(builder.data_dir), partial)
    return builder.report(directory)


@contextlib.contextmanager
def _partial(directory: Path) -> Iterator[Path]:
    """The folder for work in progress, for one process at a time; kept until the work is done."""
    partial = directory.parent / f".{directory.name}.partial"
    partial.mkdir(exist_ok=True)
    lock = filelock.FileLock(directory.parent / f".{directory.name}.lock")
    with lock.acquire(timeout=0):
        updates.recover(directory, partial)
        try:
            yield partial
            shutil.rmtree(partial, ignore_errors=True)
        finally:
            pool.stop()
            shutil.rmtree(partial / "data", ignore_errors=True)
            if partial.exists() and not any(partial.glob("tracks/*/*.npz")):
                shutil.rmtree(partial, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)


def _check(tracks: list[Track], name: str, estimate: Sequence[str]) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"name is {name!r}, expected lower-case letters, digits, underscores")
    if unknown := set(estimate) - set(LABELS):
        raise ValueError(f"estimate has {sorted(unknown)}, expected only {', '.join(LABELS)}")
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
    if not tracks:
        raise ValueError("there are no tracks, expected at least one")


def _analyse(
    tracks: list[Track],
    job: worker_processes.Job,
    present: updates.Present,
    name: str,
    workers: int,
    beam_options: Sequence[str],
) -> dict[str, worker_processes.Outcome]:
    """Analyses all tracks, small splits first, and gives the outcome of each."""
    by_split = {s: [track for track in tracks if track.split == s] for s in _splits(tracks)}
    tasks = [(track, present.kept(track, job)) for some in by_split.values() for track in some]
    if beam_options:
        results = scale_out.analyse_all(tasks, job, beam_options)
    else:
        results = worker_processes.analyse_all(tasks, job, workers=workers)
    outcomes: dict[str, worker_processes.Outcome] = {}
    seconds = skipped = 0.0
    names = [track.track_id for track, _ in tasks]
    with Bar(total=len(tracks), desc=f"{name}: features", unit="track", names=names) as progress:
        for split, some in by_split.items():
            for outcome in itertools.islice(results, len(some)):
                outcomes[outcome.track_id] = outcome
                seconds += outcome.seconds
                skipped += bool(outcome.reason)
                speed = seconds / max(progress.format_dict["elapsed"], 1e-9)
                progress.step(note=f"{speed:.0f} x real time, {skipped:.0f} skipped")
            _check_usable(split, [outcomes[track.track_id] for track in some])
    return outcomes


def _estimated_tags(
    tracks: list[Track],
    outcomes: dict[str, worker_processes.Outcome],
    job: worker_processes.Job,
    present: updates.Present,
    config: tag_labels.TagConfig,
) -> dict[str, dict[str, tag_labels.EstimatedTags]]:
    """The tags that tracks get, by track_id and dimension."""
    heard = {}
    for track in tracks:
        outcome = outcomes[track.track_id]
        if not outcome.reason:
            found = worker_processes.load_tags(track, job)
            if tagging.EMBEDDING not in found and outcome.kept:
                found = present.tags(track, job)
            if found:  # without the embeddings, which would fill the memory
                heard[track.track_id] = {name: found[name] for name in tagging.LOGITS}
    return tag_labels.decide(tracks, heard, config)


def _splits(tracks: Iterable[Track]) -> list[str]:
    present = {track.split for track in tracks}
    return [split for split in WRITING_ORDER if split in present]


def _check_usable(split: str, outcomes: list[worker_processes.Outcome]) -> None:
    if all(outcome.reason for outcome in outcomes):
        raise ValueError(
            f"split {split!r} has no usable track among {len(outcomes)}; "
            f"the last is {outcomes[-1].track_id!r}: {outcomes[-1].reason}"
        )


class _TrackBuilder(tfds.core.GeneratorBasedBuilder):
    """One record per usable track; see `records`."""

    VERSION = tfds.core.Version(RECORD_VERSION)

    def __init__(
        self,
        data_dir: Path,
        *,
        name: str,
        tracks: list[Track],
        outcomes: dict[str, worker_processes.Outcome],
        job: worker_processes.Job,
        present: updates.Present,
        estimated: dict[str, dict[str, tag_labels.EstimatedTags]],
        description: str,
        label_descriptions: dict[str, str],
        citation: str,
        licence: str,
    ):
        self.name = name
        self._tracks = tracks
        self._outcomes = outcomes
        self._job = job
        self._present = present
        self._estimated = estimated
        self._description = description
        self._label_descriptions = label_descriptions
        self._citation = citation
        self._licence = licence
        self._seconds = 0.0
        self._label_counts = dict.fromkeys(DIMENSIONS, 0)
        self._statistics = Statistics(job.feature_config)
        self._estimated_counts: collections.Counter[str] = collections.Counter()
        self._progress: Bar
        super().__init__(data_dir=data_dir, file_format="tfrecord")

    def write(self, problems: Sequence[tuple[str, str]]) -> None:
        """Writes the shards, their description and `skipped.csv` into `self.data_dir`."""
        tf.config.set_visible_devices([], "GPU")  # never take device memory away from JAX
        tfds.disable_progress_bar()
        total = sum(not outcome.reason for outcome in self._outcomes.values())
        with (
            Bar(total=total, desc=f"{self.name}: records", unit="track") as self._progress,
            _quiet(),
        ):
            self.download_and_prepare()
        with (Path(self.data_dir) / "skipped.csv").open("w", newline="", encoding="utf-8") as file:
            rows = [("track_id", "reason"), *problems, *self._skipped(), *self._noted()]
            csv.writer(file).writerows(rows)

    def report(self, directory: Path) -> PreparedReport:
        """Describes what was written; `directory` is where it is now."""
        outcomes = self._outcomes.values()
        return PreparedReport(
            directory=directory,
            num_tracks={
                split: sum(not self._outcomes[t.track_id].reason for t in self._of_split(split))
                for split in SPLITS
                if split in _splits(self._tracks)
            },
            hours=self._seconds / 3600,
            label_counts=self._label_counts,
            estimated_counts=dict(+self._estimated_counts),
            kept=sum(outcome.kept for outcome in outcomes),
            skipped=self._skipped(),
        )

    def _skipped(self) -> tuple[tuple[str, str], ...]:
        outcomes = self._outcomes.values()
        return tuple((outcome.track_id, outcome.reason) for outcome in outcomes if outcome.reason)

    def _noted(self) -> list[tuple[str, str]]:
        outcomes = self._outcomes.values()
        return [(outcome.track_id, f"used: {outcome.note}") for outcome in outcomes if outcome.note]

    def _of_split(self, split: str) -> list[Track]:
        return [track for track in self._tracks if track.split == split]

    def _info(self) -> tfds.core.DatasetInfo:
        metadata = {
            "feature_version": FEATURE_VERSION,
            "feature_config": self._job.feature_config.described(),
            "label_descriptions": self._label_descriptions,
            "key_names": KEYS,
            "licence": self._licence,
            "statistics": {},  # of the training split, which is not written yet
            "tagger": self._job.tagger.digest if self._job.tagger else self._present.tagger,
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=self._description,
            features=records.features(
                records.tag_names(self._tracks, self._estimated), self._job.feature_config
            ),
            citation=self._citation,
            license=self._licence,
            metadata=tfds.core.MetadataDict(metadata),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(split) for split in _splits(self._tracks)}

    def _example_writer(self) -> tfds.core.writer.ExampleWriter:
        return _CanonicalWriter(self.info.file_format)

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for track in self._of_split(split):
            outcome = self._outcomes[track.track_id]
            if outcome.reason:
                continue
            if outcome.kept:
                analysis = self._present.analysis(track, self._job)
            else:
                analysis = worker_processes.load(track, self._job)
            if split == "train":
                self._statistics.add(analysis.arrays)
            yield track.track_id, self._example(track, analysis)
            self._progress.step()
        if split == "train":
            self.info.metadata["statistics"] = self._statistics.result()

    def _example(self, track: Track, analysis: worker_processes.Analysis) -> dict[str, Any]:
        estimated = self._estimated.get(track.track_id, {})
        labels = records.labels(track, analysis.estimate, estimated)
        self._seconds += analysis.seconds
        for dimension in TAG_DIMENSIONS:
            self._label_counts[dimension] += bool(labels[dimension])
        self._label_counts["tempo"] += labels["tempo"] > 0
        self._label_counts["key"] += labels["key"] >= 0
        self._estimated_counts.update({d: int(labels[f"{d}_estimated"]) for d in DIMENSIONS})
        texts = {field: getattr(track, field) for field in records.TEXT_FIELDS}
        rest = {"content": analysis.content, "seconds": analysis.seconds}
        optional = records.optional_arrays(analysis.estimate)
        return texts | rest | labels | optional | analysis.arrays


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides what tfds prints and logs about downloads and the scratch directory."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


class _CanonicalWriter(tfds.core.writer.ExampleWriter):
    """Writes the fields of each record in a fixed order; protobuf's order varies by process."""

    def write(self, path: Any, examples: Iterable[tuple[Any, bytes]]) -> Any:
        canonical = (
            (key, tf.train.Example.FromString(record).SerializeToString(deterministic=True))
            for key, record in examples
        )
        return super().write(path, canonical)
