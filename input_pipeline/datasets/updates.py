"""Brings a prepared data set up to date: what can be kept, and how a new one replaces it."""

import dataclasses
import os
import shutil
from pathlib import Path

from input_pipeline.datasets import dataset
from input_pipeline.datasets.workers import Analysis, Job
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
    """

    splits: dict[str, dataset.DataSet]
    place: dict[str, tuple[str, int]]

    def digest(self, track: Track, job: Job) -> str:
        """The digest of the audio if this data set has all that the job needs from it, else ""."""
        if track.track_id not in self.place:
            return ""
        split, row = self.place[track.track_id]
        data = self.splits[split]
        estimated = {"tempo": data.tempo_estimated[row], "key": data.key_estimated[row]}
        return data.contents[row] if all(estimated[d] for d in job.wanted(track)) else ""

    def analysis(self, track: Track) -> Analysis:
        """The features and estimates of a track in this data set."""
        split, row = self.place[track.track_id]
        data = self.splits[split]
        unknown, tempo, key = Estimate(), data.tempo_estimated[row], data.key_estimated[row]
        estimate = Estimate(
            tempo=float(data.tempo[row]) if tempo else unknown.tempo,
            tempo_confidence=float(data.tempo_confidence[row]) if tempo else 0.0,
            key=int(data.key[row]) if key else unknown.key,
            key_confidence=float(data.key_confidence[row]) if key else 0.0,
        )
        return Analysis(
            content=data.contents[row],
            arrays=data.stored(row),
            seconds=float(data.seconds[row]),
            estimate=estimate,
        )


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
    return Present(splits, place)


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
