"""A feed prepares the drawing of its batches once, and draws them as configured."""

import numpy as np
import pytest

from input_pipeline.datasets import partners
from input_pipeline.tracks import TAG_DIMENSIONS
from jaxsim.training import feed as feeds
from jaxsim.training.feed import Feed
from tests.helpers.batches import fake_data


def test_partners_are_found_once(config, monkeypatch) -> None:
    built = []
    prepare = partners.TempoPartners.__init__

    def count(self, *arguments, **options):
        built.append(self)
        prepare(self, *arguments, **options)

    monkeypatch.setattr(partners.TempoPartners, "__init__", count)
    config.batch_size = 24
    feed = Feed(config, fake_data())
    for epoch in range(2):
        assert len(list(feed.batches(first_step=2 * epoch, num_steps=2 * epoch + 2))) == 2
    feed.whole_batch(1)
    assert len(built) == 1


def test_tracks_are_drawn_as_configured(config) -> None:
    """Five batches of 12 groups start with each of 60 tracks once, or with some of them."""
    config.batch_size = 24
    for draw in ("every_track", "balanced"):
        config.data.draw = draw
        batches = Feed(config, fake_data()).batches(first_step=0, num_steps=5)
        firsts = np.concatenate([batch["track"][::2] for batch in batches])
        assert len(firsts) == 60
        assert (len(set(firsts)) == 60) == (draw == "every_track")


def first_batch(config, **changes) -> dict[str, np.ndarray]:
    config.batch_size = 12
    return next(Feed(config, fake_data(**changes)).batches(first_step=0, num_steps=1))


def test_tempi_are_paired_within_the_tolerance(config) -> None:
    """Of 60, 71 and 90 BPM the first two are, with 12 BPM; none are with 5."""
    config.dimensions = ("tempo",)
    tempo = np.tile(np.float32([60, 71, 90, *np.zeros(17)]), 3) * (np.arange(60) < 20)
    with pytest.raises(ValueError, match=r"no two tracks that are similar in 'tempo'"):
        first_batch(config, tempo=tempo)
    config.relation.tempo_tolerance = 12.0
    assert set(first_batch(config, tempo=tempo)["track"].tolist()) == {0, 1}


def test_keys_are_paired_by_the_configured_relation(config) -> None:
    """C major and A minor are relative, G major and G minor parallel."""
    config.dimensions = ("key",)
    key = np.full(60, -1, np.int32)
    key[[4, 5, 6, 7]] = 0, 12 + 9, 7, 12 + 7
    assert set(first_batch(config, key=key)["track"].tolist()) == {6, 7}
    config.relation.key = "relative"
    assert set(first_batch(config, key=key)["track"].tolist()) == {4, 5}


def test_pairs_of_one_track_are_drawn_for_the_track_regularisation(config) -> None:
    config.dimensions = ("era",)
    for weight, dimensions in ((0.0, {3}), (0.5, {3, -1})):
        config.loss.track_weight = weight
        batch = first_batch(config)
        assert set(batch["drawn_dimension"].tolist()) == dimensions
        pairs = batch["track"][batch["drawn_dimension"] < 0].reshape(-1, 2)
        assert (pairs[:, 0] == pairs[:, 1]).all()


@pytest.mark.parametrize("hears", ["track", "segment"])
def test_the_teacher_hears_the_crops_of_a_batch(config, monkeypatch, hears) -> None:
    def teacher(data, heard):
        assert (len(data), heard) == (60, hears)
        return lambda tracks, starts: np.stack([tracks, starts], axis=1)

    monkeypatch.setattr(feeds, "teacher", teacher)
    assert "teacher" not in first_batch(config)
    monkeypatch.setattr(feeds, "tag_teacher", lambda data, name, heard: teacher(data, heard))
    config.loss.soft_weight, config.loss.tag_weight, config.loss.teacher = 0.1, 0.2, hears
    batch = first_batch(config)
    names = {name for name in batch if name.startswith("teacher")}
    assert names == {"teacher", *(f"teacher_{name}" for name in TAG_DIMENSIONS)}
    for name in names:
        np.testing.assert_array_equal(batch[name].T, [batch["track"], batch["start"]])
    assert len(set(batch["start"].tolist())) > 5


def test_a_batch_is_of_the_configured_seed(config) -> None:
    drawn = []
    for seed in (0, 1, 1):
        config.seed = seed
        drawn.append(first_batch(config)["start"].tolist())
    assert drawn[0] != drawn[1] == drawn[2]
