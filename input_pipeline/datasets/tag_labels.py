"""Which tags a track gets that nobody gave it: decided over the collection, from MusiCNN's logits.

Taken by themselves, its probabilities call almost everything rock or electronic. So every tag's
logits are compared with those of the same tag in other tracks: a track gets the tags that stand out
in it. Listening is not repeated when the rules change.
"""

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from input_pipeline.hearing.tagging import TAGS
from input_pipeline.tracks import TAG_DIMENSIONS, Track

TABLE = Path(__file__).parent / "musicnn_tags.csv"
COLUMNS = ["network", "tag", "dimension", "label"]
REFERENCE = "train"  # the split whose tracks a tag's logits are compared with


@dataclasses.dataclass(frozen=True)
class TagConfig:
    """How tags are chosen.

    Attributes:
      genre, mood, instrument, era: how many standard deviations above the mean a tag's logit must
        be.
      at_least_best: dimensions in which a track that has no such tag gets its most outstanding one.
      table: a CSV with the columns network ("msd" or "mtt"), tag, dimension and label. An empty
        dimension says that the tag is not used; an empty label, that the tag is its own label.
    """

    genre: float = 1.5
    mood: float = 1.2
    instrument: float = 1.2
    era: float = 1.0
    at_least_best: tuple[str, ...] = ("genre",)
    table: Path = TABLE


@dataclasses.dataclass(frozen=True)
class EstimatedTags:
    """The tags that a track gets in one dimension.

    Attributes:
      labels: sorted, at least one.
      confidence: in [0, 1], the mean of MusiCNN's probabilities of the chosen tags; a probability
        is the sigmoid of the mean logit.
    """

    labels: tuple[str, ...]
    confidence: float


@dataclasses.dataclass(frozen=True)
class Rule:
    """A row of the table: the column of the logits of a tag that is used, and its label."""

    column: int
    label: str


def decide(
    tracks: Sequence[Track], heard: Mapping[str, Mapping[str, np.ndarray]], config: TagConfig
) -> dict[str, dict[str, EstimatedTags]]:
    """Chooses tags for every track in the dimensions in which it was given none.

    The mean and the standard deviation of a tag's logits are those of the training tracks, so that
    nothing about the others leaks into training; without training tracks, those of all tracks. A
    label that differs from a given one by its case alone is spelt like it.

    Args:
      tracks: of the whole collection.
      heard: for the tracks that MusiCNN heard, by track_id: its logits; see
        `tagging.Tagger.estimate`.
      config: see `TagConfig`.

    Returns:
      By track_id and dimension; what is missing has no tags.

    Raises:
      FileNotFoundError, ValueError: from `read_table`.
    """
    rules = read_table(config.table)
    spelling = {dimension: _spelling(tracks, dimension) for dimension in rules}
    tracks = [track for track in tracks if track.track_id in heard]
    if not tracks:
        return {}
    logits = np.array([_row(heard[track.track_id]) for track in tracks], np.float64)
    reference = np.array([track.split == REFERENCE for track in tracks])
    outstanding = standardise(logits, reference if reference.any() else ~reference)
    found: dict[str, dict[str, EstimatedTags]] = {track.track_id: {} for track in tracks}
    for dimension, of_dimension in rules.items():
        columns = [rule.column for rule in of_dimension]
        chosen = choose(
            outstanding[:, columns],
            getattr(config, dimension),
            at_least_best=dimension in config.at_least_best,
        )
        probabilities = 1 / (1 + np.exp(-logits[:, columns]))
        names = np.array(
            [spelling[dimension].get(r.label.casefold(), r.label) for r in of_dimension]
        )
        for track, mask, probability in zip(tracks, chosen, probabilities, strict=True):
            if mask.any() and not track.tags.get(dimension):
                labels = tuple(sorted(set(names[mask].tolist())))
                confidence = float(probability[mask].mean())
                found[track.track_id][dimension] = EstimatedTags(labels, confidence)
    return found


def _row(logits: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([logits[f"{network}_logits"] for network in TAGS])


def standardise(logits: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Logits [N, C] as deviations from their means over some of the tracks, in standard deviations.

    A tag whose logits are all equal stands out nowhere: its deviations are 0.

    Args:
      logits: of N tracks and C tags.
      reference: bool [N], the tracks to compare with.
    """
    mean, deviation = logits[reference].mean(axis=0), logits[reference].std(axis=0)
    differs = deviation > 0
    return np.where(differs, (logits - mean) / np.where(differs, deviation, 1), 0)


def choose(outstanding: np.ndarray, threshold: float, *, at_least_best: bool) -> np.ndarray:
    """Which of C tags each of N tracks gets, bool [N, C]; see `TagConfig`.

    Args:
      outstanding: deviations [N, C], as `standardise` gives them.
      threshold: which a chosen tag exceeds.
      at_least_best: whether a track without such a tag gets its first most outstanding one.
    """
    chosen = outstanding > threshold
    if at_least_best and outstanding.shape[1]:
        rows = np.flatnonzero(~chosen.any(axis=1))
        chosen[rows, outstanding[rows].argmax(axis=1)] = True
    return chosen


def _spelling(tracks: Sequence[Track], dimension: str) -> dict[str, str]:
    """Given tags by their names in lower case."""
    given = {tag for track in tracks for tag in track.tags.get(dimension, ())}
    return {tag.casefold(): tag for tag in sorted(given)}


def read_table(path: Path) -> dict[str, list[Rule]]:
    """Reads which tags are used, by dimension.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is not UTF-8 text, or a column, network, tag or dimension is unknown.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table of tags")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read_table(file, path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 text ({error})") from None


def _read_table(file: TextIO, path: Path) -> dict[str, list[Rule]]:
    names = [(network, tag) for network, tags in TAGS.items() for tag in tags]
    column = {name: number for number, name in enumerate(names)}
    rules: dict[str, list[Rule]] = {dimension: [] for dimension in TAG_DIMENSIONS}
    reader = csv.DictReader(file)
    if reader.fieldnames != COLUMNS:
        found = ",".join(reader.fieldnames or ())
        raise ValueError(f"{path}: columns are {found!r}, expected {','.join(COLUMNS)!r}")
    for row in reader:
        network, tag, dimension, label = (row[name] or "" for name in COLUMNS)
        where = f"{path}, line {reader.line_num}"
        if (network, tag) not in column:
            expected = "a tag of msd or of mtt as MusiCNN names it"
            raise ValueError(
                f"{where}: network and tag are {network!r}, {tag!r}, expected {expected}"
            )
        if dimension not in ("", *TAG_DIMENSIONS):
            expected = f"one of {', '.join(TAG_DIMENSIONS)} or nothing"
            raise ValueError(f"{where}: dimension is {dimension!r}, expected {expected}")
        if dimension:
            rules[dimension].append(Rule(column[network, tag], label or tag))
    return rules
