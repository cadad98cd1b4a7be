"""A feed prepares the drawing of its batches once."""

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
