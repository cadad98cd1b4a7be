"""Brings a prepared data set up to date: what can be kept, and how a new one replaces it."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np

from input_pipeline.datasets import dataset
from input_pipeline.datasets.workers import NOTHING, Analysis, Job, Kept, load
from input_pipeline.hearing.estimates import Estimate
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.tracks import SPLITS, Track

OLD = "old"  # name of the replaced data set, in the folder of work in progress


@dataclasses.dataclass(frozen=True)
class Present:
    """The existing data set, if there is one.

    Attributes:
      splits: its splits by name; empty if there is no data set.
      place: the split and row of every track_id.
      tagger: the digest of what estimated its tags; see `tagging.Tagger`.
    """

    splits: dict[str, dataset.DataSet]
    place: dict[str, tuple[str, int]]
    tagger: str = ""

    def kept(self, track: Track, job: Job) -> Kept:
        """What this data set has of a track, for `workers.analyse_into_file`."""
        if track.track_id not in self.place:
            return NOTHING
        split, row = self.place[track.track_id]
        data = self.splits[split]
        same = self._has_heard(job)
        estimated = {
            "tempo": data.tempo_estimated[row],
            "key": data.key_estimated[row],
            "tags": same and data.has_tag_estimate[row],
            "segments": same and data.num_segments_heard[row],
        }
        return Kept(data.contents[row], tuple(label for label in estimated if estimated[label]))

    def analysis(self, track: Track, job: Job) -> Analysis:
        """The features and estimates of a track in this data set, with what was estimated since."""
        split, row = self.place[track.track_id]
        data = self.splits[split]
        unknown, tempo, key = Estimate(), data.tempo_estimated[row], data.key_estimated[row]
        estimate = Estimate(
            tempo=float(data.tempo[row]) if tempo else unknown.tempo,
            tempo_confidence=float(data.tempo_confidence[row]) if tempo else 0.0,
            key=int(data.key[row]) if key else unknown.key,
            key_confidence=float(data.key_confidence[row]) if key else 0.0,
            tags=self.tags(track, job),
        )
        if job.path(track.track_id).is_file():
            estimate = load(track, job).estimate.completed_by(estimate)
        return Analysis(
            content=data.contents[row],
            arrays=data.stored(row),
            seconds=float(data.seconds[row]),
            estimate=estimate,
        )

    def tags(self, track: Track, job: Job) -> dict[str, np.ndarray]:
        """What a tagger heard in a track, in this data set; empty if it did not listen."""
        split, row = self.place[track.track_id]
        data = self.splits[split]
        # Another tagger's segments do not go with the tags that this one hears.
        is_other = job.tagger is not None and not self._has_heard(job)
        return data.tag_estimate(row) | ({} if is_other else data.of_segments(row))

    def _has_heard(self, job: Job) -> bool:
        """Whether this data set's tags are from the same tagger."""
        return job.tagger is not None and job.tagger.digest == self.tagger


def read(directory: Path, feature_config: FeatureConfig) -> Present:
    """Opens the data set in `directory`, if there is one.

    Raises:
      FileExistsError: it holds something else, or features of a different kind.
    """
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return Present({}, {})
    if not (directory / "metadata.json").is_file():
        raise FileExistsError(
            f"{directory}: is neither empty nor a data set; delete it or choose another directory"
        )
    try:
        available = dataset.available_splits(directory)
        splits = {
            split: dataset.open(directory, split, feature_config)
            for split in SPLITS
            if split in available
        }
    except ValueError as error:
        raise FileExistsError(
            f"{error}\n{directory} cannot be brought up to date: delete it or choose another one"
        ) from None
    place = {
        track_id: (split, row)
        for split, data in splits.items()
        for row, track_id in enumerate(data.track_ids)
    }
    metadata = json.loads((directory / "metadata.json").read_text(encoding="utf-8"))
    return Present(splits, place, metadata.get("tagger", ""))


def replace(directory: Path, new: Path, partial: Path) -> None:
    """Replaces `directory` with the data set `new`; `recover` undoes an interrupted replacement."""
    if directory.exists():
        os.replace(directory, partial / OLD)
    os.replace(new, directory)
    shutil.rmtree(partial / OLD, ignore_errors=True)


def recover(directory: Path, partial: Path) -> None:
    """Restores a data set that was being replaced when the program was killed."""
    if (partial / OLD).exists():
        if directory.exists():
            shutil.rmtree(partial / OLD)
        else:
            os.replace(partial / OLD, directory)
