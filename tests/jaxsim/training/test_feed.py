"""A feed prepares the drawing of its batches once, and draws them as configured."""

import numpy as np

from input_pipeline.datasets import partners
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
