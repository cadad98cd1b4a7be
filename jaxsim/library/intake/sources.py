"""Finds the tracks of a library in folders, single files, manifests and prepared data sets."""

import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline import folders, manifest
from input_pipeline.collection import Collector
from input_pipeline.datasets import dataset
from input_pipeline.datasets.dataset import DataSet
from input_pipeline.hearing.features import FEATURE_VERSION, FeatureConfig
from input_pipeline.tracks import KEYS, TAG_DIMENSIONS
from jaxsim.library.store import NUMBERS, TEXTS


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """A track of a prepared data set, where the features of its audio are stored.

    Attributes:
      data: the split that contains it.
      row: its number there.
    """

    data: DataSet
    row: int

    @property
    def content(self) -> str:
        """Digest of the audio, see `input_pipeline.datasets.workers.digest`."""
        return self.data.contents[self.row]

    @property
    def seconds(self) -> float:
        return float(self.data.seconds[self.row])

    def features(self) -> dict[str, np.ndarray]:
        """The features, as `features.extract` returned them."""
        return self.data.stored(self.row)


@dataclasses.dataclass(frozen=True)
class Source:
    """A track of the library.

    Attributes:
      path: absolute path of its audio file. A data set's track without an audio file has the path
        that a file named after its id would have in the data set's folder.
      track_id: from the manifest or data set; empty if none is given there.
      given: metadata from there, which takes precedence over the file's own tags.
      record: its record in a data set, if it comes from one.
    """

    path: str
    track_id: str
    given: dict[str, Any] = dataclasses.field(default_factory=dict)
    record: Record | None = None


@dataclasses.dataclass(frozen=True)
class Found:
    """The tracks of a library, and what was left out.

    Attributes:
      sources: every file once, sorted by path.
      ignored: how many files were not taken for music, by reason.
      unreadable: reasons by folder that could not be listed: what is in it is unknown.
      skipped: reasons, by place, for rows of manifests and tracks of data sets that were left out.
      labels_left_out: reasons, by place, for rows that only lost a label.
    """

    sources: list[Source]
    skipped: dict[str, str]
    labels_left_out: dict[str, str]
    ignored: Mapping[str, int] = dataclasses.field(default_factory=dict)
    unreadable: dict[str, str] = dataclasses.field(default_factory=dict)


def find(
    arguments: Sequence[str | Path], feature_config: FeatureConfig, *, exclude: Sequence[str] = ()
) -> Found:
    """Finds all tracks in folders (see `folders.audio_files`), files, manifests and data sets.

    A folder written by `input_pipeline.prepare` is a data set. At the top level of any other
    folder, a manifest (see `manifest.NAMES`) describes the folder's files and may add more. If
    several manifests or data sets describe a file, the last one counts.

    Args:
      arguments: paths.
      feature_config: how features must have been extracted.
      exclude: patterns as in .gitignore of what is left out of folders.

    Raises:
      FileNotFoundError: an argument is neither a file nor a folder.
      ValueError: a named file is not a manifest, or a data set has different features.
    """
    gathered = _Gathered(exclude)
    for argument in map(Path, arguments):
        if is_data_set(argument):
            gathered.add_data_set(argument, feature_config)
        elif argument.is_dir():
            gathered.add_folder(argument)
        elif argument.suffix.lower() in (".csv", ".jsonl") and argument.is_file():
            gathered.add_manifest(argument)
        elif argument.is_file():
            gathered.add_file(argument)
        else:
            raise FileNotFoundError(f"{argument}: no such file or folder")
    sources = sorted(gathered.sources.values(), key=lambda source: source.path)
    unreadable = {os.path.abspath(path): why for path, why in gathered.seen.unreadable.items()}
    return Found(
        sources, gathered.skipped, gathered.labels_left_out, gathered.seen.ignored, unreadable
    )


def is_data_set(folder: Path) -> bool:
    """Whether `input_pipeline.prepare` wrote this folder."""
    names = ("metadata.json", "dataset_info.json")
    return all(os.path.isfile(folder / name) for name in names)  # False where nothing can be read


def new_id(path: str, taken: Container[str]) -> str:
    """An id for a new track: 16 hexadecimal digits of a hash of where it was first found."""
    for number in itertools.count():
        name = os.fsencode(path) + b"\0%d" % number * (number > 0)
        if (found := hashlib.sha256(name).hexdigest()[:16]) not in taken:
            return found
    raise AssertionError


def readable(path: str) -> str:
    """A path as text that UTF-8 can encode."""
    return os.fsencode(path).decode(errors="backslashreplace")


class _Gathered:
    """What has been found so far; no two sources share a path or an id."""

    def __init__(self, exclude: Sequence[str]) -> None:
        self.seen = folders.Seen()
        self._exclude = exclude
        self.sources: dict[str, Source] = {}
        self.skipped: dict[str, str] = {}
        self.labels_left_out: dict[str, str] = {}
        self._owners: dict[str, str] = {}  # paths by id
        self._places: dict[str, str] = {}  # of files that are not from a manifest, by real path

    def add_file(self, path: Path) -> None:
        absolute = os.path.abspath(path)
        if absolute in self.sources:
            return
        if self._places.setdefault(os.path.realpath(absolute), absolute) != absolute:
            self.seen.ignored["link to a file already found"] += 1
        else:
            self._add(Source(absolute, ""), absolute)

    def add_folder(self, folder: Path) -> None:
        for file in folders.audio_files(folder, self.seen, exclude=self._exclude):
            self.add_file(file)
        if (path := manifest.find(folder)) is not None:
            try:
                self.add_manifest(path, must_be_one=False)
            except (OSError, ValueError) as error:
                reason = str(error).removeprefix(f"{path}: ")
                self.skipped[readable(os.path.abspath(path))] = f"not used as a manifest: {reason}"

    def add_manifest(self, path: Path, *, must_be_one: bool = True) -> None:
        """Adds the rows of a manifest.

        Raises:
          ValueError: it is not a manifest; or, unless `must_be_one`, none of its rows can be used.
        """
        collector = Collector()
        rows = list(manifest.rows(path, collector)[1])
        problems = collector.problems
        if problems and not rows and not must_be_one:
            first = problems[0]
            raise ValueError(f"no row can be used; the first is {first.where}: {first.reason}")
        for problem in problems:
            noted = self.skipped if problem.skipped else self.labels_left_out
            _note(noted, problem.where, problem.reason)
        places: dict[str, str] = {}  # in this manifest, by path
        for row in rows:
            audio = os.path.abspath(path.parent / row.path)
            if (place := places.setdefault(audio, row.where)) != row.where:
                _note(self.skipped, row.where, f"path {row.path!r} is already used by {place}")
                continue
            self._add(Source(audio, row.fields.get("track_id", ""), _given(row)), row.where)

    def add_data_set(self, folder: Path, feature_config: FeatureConfig) -> None:
        """Adds the tracks of all splits; raises ValueError if their features differ."""
        check_features(folder, feature_config)
        paths = _audio_paths(folder)
        names: dict[str, str] = {}  # ids in this data set, by path
        for split in sorted(dataset.available_splits(folder)):
            data = dataset.open(folder, split, feature_config)
            for row, track_id in enumerate(data.track_ids):
                path = paths.get(track_id) or os.path.abspath(folder / track_id)
                place = f"{folder}, track {track_id}"
                if (other := names.setdefault(path, track_id)) != track_id:
                    _note(self.skipped, place, f"its audio is already that of track {other}")
                else:
                    source = Source(path, track_id, _labels(data, row), Record(data, row))
                    self._add(source, place)

    def _add(self, source: Source, place: str) -> None:
        """Adds a source, replacing any other one of the same file."""
        owner = self._owners.get(source.track_id, source.path) if source.track_id else source.path
        if owner != source.path:
            taken = f"track_id {source.track_id!r} is already used by {readable(owner)}"
            _note(self.skipped, readable(place), taken)
            return
        if (replaced := self.sources.get(source.path)) is not None:
            self._owners.pop(replaced.track_id, None)
            if source.record is None:  # a manifest changes the names, not the audio
                source = dataclasses.replace(source, record=replaced.record)
        self.sources[source.path] = source
        if source.track_id:
            self._owners[source.track_id] = source.path


def _note(noted: dict[str, str], place: str, reason: str) -> None:
    noted[place] = f"{noted[place]}; {reason}" if place in noted else reason


def _given(row: manifest.Row) -> dict[str, Any]:
    """What a row says about a track; several values are separated by "; "."""
    given = {}
    for name, value in row.fields.items():
        if name in TEXTS:
            parts = value.split(";") if isinstance(value, str) else value
            value = "; ".join(filter(None, (part.strip() for part in parts)))
        if name in (*TEXTS, *NUMBERS) and value != "":
            given[name] = value
    return given


def check_features(folder: Path, feature_config: FeatureConfig) -> None:
    """Raises ValueError unless a data set's features are those that the model was trained with."""
    path = folder / "metadata.json"
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
        found = {"feature_version": metadata["feature_version"], **metadata["feature_config"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: no description of features ({error!r})") from None
    expected = {"feature_version": FEATURE_VERSION, **feature_config.described()}
    differences = [
        f"{name} is {found.get(name)}, the model's {expected.get(name)}"
        for name in expected | found
        if found.get(name) != expected.get(name)
    ]
    if differences:
        raise ValueError(
            f"{path}: its features are not those that the model was trained with: "
            f"{', '.join(differences)}; prepare the data set again, or choose another --model"
        )


def _audio_paths(folder: Path) -> dict[str, str]:
    """Audio files by track_id, from the manifest that `prepare` wrote next to the records."""
    path = folder / manifest.NAME
    if not path.is_file():
        return {}
    rows = manifest.rows(path, Collector())[1]
    return {
        row.fields.get("track_id", row.path): os.path.abspath(folder / row.path) for row in rows
    }


def _labels(data: DataSet, row: int) -> dict[str, Any]:
    """The labels that a data set was given for a track, without any estimates."""
    labels: dict[str, Any] = {"title": data.titles[row], "artist": data.artists[row]}
    for name in TAG_DIMENSIONS:
        chosen = np.flatnonzero(data.tags[name][row] & ~data.tags_estimated[name][row])
        labels[name] = "; ".join(data.tag_names[name][number] for number in chosen)
    if data.tempo[row] > 0 and not data.tempo_estimated[row]:
        labels["tempo"] = float(data.tempo[row])
    if data.key[row] >= 0 and not data.key_estimated[row]:
        labels["key"] = KEYS[data.key[row]]
    return {name: value for name, value in labels.items() if value != ""}
