"""`config.data.dirs`: which data sets are opened, how they are weighted and standardised."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from configs.six_dim import get_config
from input_pipeline import manifest
from input_pipeline.datasets import builder, dataset
from input_pipeline.hearing.features import FeatureConfig
from jaxsim.training import config as config_module
from jaxsim.training import data as training_data
from jaxsim.training.feed import Feed
from tests.helpers.runs import tiny


def several(*dirs: str):
    config = tiny("")
    config.data.dirs = dirs
    return config


def test_all_are_opened_and_weighted(prepared_directory, monkeypatch):
    monkeypatch.setattr(training_data, "prepare_scores", lambda *_: prepared_directory)
    config = several(f"{prepared_directory}/=2.5", "=0.5")
    found = training_data.open_splits(config, ("train", "validation"))
    single = dataset.open(prepared_directory, "train", FeatureConfig())
    assert len(found["train"]) == 2 * len(single)
    assert len(found["validation"]) == 4
    assert [part.weight for part in found["train"].parts] == [2.5, 0.5]
    one = training_data.open_splits(config, ("train",), directory=str(prepared_directory))
    assert not one["train"].parts, "a directory that is asked for is alone"


def test_one_without_a_split_adds_nothing_to_it(
    prepared_directory: Path, tracks_csv: Path, tmp_path: Path
) -> None:
    """Its tags are known there, too, so that labels have the same columns in every split."""
    tracks = [
        dataclasses.replace(track, tags=track.tags | {"genre": ("polka",)})
        for track in manifest.read(tracks_csv).tracks
        if track.split == "train"
    ]
    builder.prepare(tracks, tmp_path / "more", name="more", description="polkas", estimate=())
    config = several(str(tmp_path / "more"), f"{prepared_directory}=2")
    found = training_data.open_splits(config, ("train", "validation"))
    own = dataset.open(prepared_directory, "validation", FeatureConfig())
    assert (len(found["train"]), len(found["validation"])) == (8, 2)
    assert found["validation"].split == "validation"
    assert [part.directory for part in found["validation"].parts] == [prepared_directory]
    assert found["validation"].tempo.tolist() == own.tempo.tolist()
    for crop, expected in zip(found["validation"].read_track(1), own.read_track(1), strict=True):
        np.testing.assert_array_equal(crop, expected)
    assert found["train"].tag_names == found["validation"].tag_names
    assert found["validation"].tag_names["genre"] == ("jazz", "polka", "pop", "rock")
    feed = Feed(config, found["validation"])
    assert set(feed.whole_batch(0)["track"]) <= {0, 1}
    missing = several(str(tmp_path / "more"))
    with pytest.raises(dataset.MissingSplit, match=r"more/dataset_info\.json: has no split 'test'"):
        training_data.open_splits(missing, ("train", "test"))


def test_own_statistics_are_weighted(prepared_directory, monkeypatch):
    config = several("a=3", "b=1")
    config.features.standardisation = "data"
    given = {"a": (1.0, 2.0), "b": (5.0, 0.5)}
    monkeypatch.setattr(dataset, "statistics", lambda directory: {"mel": given[directory.name[0]]})
    one = dataset.open(prepared_directory, "train", FeatureConfig())
    monkeypatch.setattr(
        dataset, "open", lambda directory, *_: dataclasses.replace(one, directory=Path(directory))
    )
    data = training_data.open_splits(config, ("train",))["train"]
    found = training_data.standardised(config, data).features.standardise.mel
    random = np.random.default_rng(0)
    drawn = np.concatenate([random.normal(1, 2, 3_000_000), random.normal(5, 0.5, 1_000_000)])
    assert found == pytest.approx((drawn.mean(), drawn.std()), abs=0.01)


@pytest.mark.parametrize(
    ("dirs", "message"),
    [
        (("a=-1",), r"config\.data\.dirs has 'a=-1', expected DIR=WEIGHT with a positive weight"),
        (("a=b",), r"data\.dirs has 'a=b', expected DIR=WEIGHT"),
        (("a=1", "a=2"), r"config\.data\.dirs is \('a=1', 'a=2'\), expected each directory once"),
    ],
)
def test_what_cannot_be(dirs, message):
    config = get_config("demo")
    config.data.dirs = dirs
    with pytest.raises(ValueError, match=message):
        config_module.check(config, devices=8)


def test_one_or_several():
    config = get_config("demo")
    config.data.update(dir="x", dirs=("a",))
    with pytest.raises(ValueError, match=r"config\.data\.dir is 'x', expected none beside"):
        config_module.check(config, devices=8)
