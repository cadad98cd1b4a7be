"""Every field of `config.data` says which batches are trained on, in one table.

For each row the batches are those of a naive computation with that value, and not those of the
published one.
"""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.six_dim import get_config
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.scores import ScoresConfig
from input_pipeline.tracks import DIMENSIONS
from jaxsim.training import data as training_data
from jaxsim.training.config import check
from jaxsim.training.feed import Feed
from tests.helpers.batches import FakeDataSet, fake_data

FIELDS: Mapping[str, Any] = {
    "dir": "elsewhere",
    "group_size": 6,
    "draw": "every_track",
    **{f"unsure.{dimension}": 0.6 for dimension in DIMENSIONS},
    "read_ahead": 7,
    "scores.pieces_per_genre": 5,
    "scores.renderings": 3,
    "scores.seconds": 4.5,
    "scores.seed": 8,
}
TRACKS, SEED = 50, 3
NAMES = ("tempo", "era", "key")  # not the order of the default


def changed(field: str = "") -> ConfigDict:
    config = get_config()
    config.update(dimensions=NAMES, batch_size=48, seed=SEED)
    config.loss.disentangled = False  # 384 numbers are of no importance here
    if field:
        config.update_from_flattened_dict({f"data.{field}": FIELDS[field]})
    check(config, devices=8)
    return config


def flat(tree: ConfigDict, prefix: str = "") -> set[str]:
    return {
        each
        for name, value in tree.items()
        for each in (
            flat(value, f"{prefix}{name}.") if isinstance(value, ConfigDict) else {prefix + name}
        )
    }


def test_the_table_has_every_field() -> None:
    elsewhere = {"dirs"}  # test_several_data_sets.py
    assert set(FIELDS) | elsewhere == flat(get_config().data)


@pytest.mark.parametrize("field", ["", "group_size", "draw"])
def test_groups_are_as_large_as_configured_and_start_as_configured(field: str) -> None:
    """Group i is drawn for dimension i mod S; an epoch is a permutation of its own seed."""
    config, data = changed(field), fake_data(TRACKS)
    size = {"group_size": 6}.get(field, 2)
    batches = list(Feed(config, data).batches(first_step=1, num_steps=4))
    groups = 48 // size
    assert len(batches) == 3
    for batch in batches:
        wanted = [DIMENSIONS.index(NAMES[row // size % 3]) for row in range(48)]
        if field == "draw":  # but for a track without partners in that dimension
            assert np.mean(batch["drawn_dimension"] == wanted) > 0.5
        else:
            assert batch["drawn_dimension"].tolist() == wanted
        tags = batch["drawn_tag"].reshape(groups, size)
        assert (tags == tags[:, :1]).all()
    firsts = np.concatenate([batch["track"][::size] for batch in batches]).tolist()
    order = [
        track
        for epoch in range(4)
        for track in np.random.default_rng((SEED, epoch, 1)).permutation(TRACKS)
    ]
    assert (firsts == order[groups : 4 * groups]) == (field == "draw")


@pytest.mark.parametrize("dimension", ["", *DIMENSIONS])
def test_the_least_sure_of_the_estimated_labels_are_left_out(dimension: str) -> None:
    """Batches are drawn by the labels that are left, and have them; given ones all stay."""
    config, data = changed(f"unsure.{dimension}" if dimension else ""), of_all_certainties()
    config.dimensions, config.batch_size = DIMENSIONS, 48
    labels = {**data.tags, "tempo": data.tempo, "key": data.key}
    confidence = {
        **data.tags_confidence,
        "tempo": data.tempo_confidence,
        "key": data.key_confidence,
    }
    seen: dict[str, set[int]] = {name: set() for name in DIMENSIONS}
    for batch in Feed(config, data).batches(first_step=0, num_steps=40):
        for name in DIMENSIONS:
            track = batch["track"]
            left_out = (track < 20) & (confidence[name][track] < 0.6) & (name == dimension)
            unknown = {"tempo": 0, "key": -1}.get(name, False)
            expected = np.array(labels[name][track])
            expected[left_out] = unknown
            np.testing.assert_array_equal(batch[name], expected)
            drawn = batch["drawn_dimension"] == DIMENSIONS.index(name)
            seen[name] |= set(track[drawn].tolist())
    for name, tracks in seen.items():
        assert len(tracks) > 20
        unsure = {track for track in range(20) if confidence[name][track] < 0.6}
        assert (tracks & unsure == set()) == (name == dimension), name


def of_all_certainties() -> FakeDataSet:
    """Labels of which those of the first 20 tracks were estimated, with confidence from 0 to 1."""
    data, random = fake_data(TRACKS), np.random.default_rng(5)
    estimated = np.arange(TRACKS) < 20

    def certain() -> np.ndarray:
        return np.float32([*random.permutation(20) / 20, *[0.01] * (TRACKS - 20)])

    return dataclasses.replace(
        data,
        tags={name: random.random((TRACKS, 6)) < 0.7 for name in data.tags},
        tempo=random.uniform(100, 130, TRACKS).astype(np.float32),
        key=random.integers(0, 4, TRACKS).astype(np.int32),
        tempo_estimated=estimated,
        key_estimated=estimated,
        tags_estimated=dict.fromkeys(data.tags, estimated),
        tempo_confidence=certain(),
        key_confidence=certain(),
        tags_confidence={name: certain() for name in data.tags},
    )


@pytest.mark.parametrize("field", ["", "read_ahead"])
def test_as_many_batches_are_read_ahead_as_configured(field: str, monkeypatch) -> None:
    """That many wait for the consumer, and that many are being read or wait behind them."""
    config, data = changed(field), fake_data(TRACKS)
    read = FakeDataSet.read

    def count(self, index: int, start: int, frames: int):
        reads.append(index)
        return read(self, index, start, frames)

    reads: list[int] = []
    monkeypatch.setattr(FakeDataSet, "read", count)
    batches = Feed(config, data).batches(first_step=0, num_steps=100)
    next(batches)
    ahead = {"read_ahead": 7}.get(field, 4)
    example, taken = 1, 1  # one batch is read for its shapes alone
    expected = config.batch_size * (example + taken + 2 * ahead)
    deadline = time.monotonic() + 20
    while len(reads) < expected and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    assert len(reads) == expected
    batches.close()


@pytest.fixture
def opened(monkeypatch) -> list[tuple[str, str, FeatureConfig]]:
    """The directories, splits and features that are opened."""
    calls: list[tuple[str, str, FeatureConfig]] = []

    def note(directory, split, features):
        calls.append((str(directory), split, features))
        return split

    monkeypatch.setattr(training_data.dataset, "open", note)
    return calls


def test_the_data_set_is_the_one_that_is_named(opened, monkeypatch) -> None:
    monkeypatch.setattr(training_data, "prepare_scores", lambda *given: Path("scores"))
    config = changed("dir")
    config.features.tempogram_window = 200
    splits = training_data.open_splits(config, ("train", "validation"))
    assert splits == {"train": "train", "validation": "validation"}
    training_data.open_splits(config, ("test",), directory="a third")
    training_data.open_splits(changed(), ("test",), directory="a third")
    training_data.open_splits(changed(), ("test",))
    features = FeatureConfig(tempogram_window=200)
    assert opened == [
        ("elsewhere", "train", features),
        ("elsewhere", "validation", features),
        ("a third", "test", features),
        ("a third", "test", FeatureConfig()),
        ("scores", "test", FeatureConfig()),
    ]


def test_several_splits_are_opened_once_each(opened, monkeypatch) -> None:
    monkeypatch.setattr(training_data, "splits_together", "+".join)
    names = ("train", "validation,test", "test")
    splits = training_data.open_splits(changed(), names, directory="some")
    assert splits == {"train": "train", "validation,test": "validation+test", "test": "test"}
    assert [split for _, split, _ in opened] == ["train", "validation", "test"]


@pytest.mark.parametrize("field", ["", *(name for name in FIELDS if name.startswith("scores."))])
def test_the_scores_are_made_as_configured(field: str, opened, monkeypatch) -> None:
    made = []

    def prepare(scores: ScoresConfig, features: FeatureConfig) -> Path:
        made.append((scores, features))
        return Path("scores")

    monkeypatch.setattr(training_data, "prepare_scores", prepare)
    config = changed(field)
    config.features.tempogram_window = 200
    training_data.open_splits(config, ("train",))
    numbers = {"pieces_per_genre": 48, "renderings": 4, "seconds": 10.0, "seed": 0}
    if field:
        numbers[field.removeprefix("scores.")] = FIELDS[field]
    features = FeatureConfig(tempogram_window=200)
    assert made == [(ScoresConfig(**numbers), features)]
    assert opened == [("scores", "train", features)]
