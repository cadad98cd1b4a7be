"""A run that starts from a trained network computes at first what that network computes."""

import functools

import jax
import numpy as np
import pytest

from configs.six_dim import get_config
from jaxsim import train
from jaxsim.exported import numpy_model
from jaxsim.training import data, run, train_step
from jaxsim.training.example import batch_shapes
from jaxsim.training.saving.checkpoints import restore_for_inference
from jaxsim.training.saving.exporting import export_state
from jaxsim.training.saving.starting import adopted, started
from tests.helpers.runs import tiny

TAGS = {"genre": 3, "mood": 2, "instrument": 1, "era": 2}


def first_embeddings(config, batch):
    """What the first state of a run embeds, and that state."""
    config = adopted(config)
    shapes = batch_shapes(config, TAGS, rows=1)
    state = started(config, train_step.initial_state(config, shapes))
    embed = jax.jit(functools.partial(train_step.embed, config))
    return np.asarray(embed(state, batch)), state


@pytest.fixture
def batch():
    random = np.random.default_rng(0)
    return {
        "mel": random.random((3, 129, 128)).astype(np.float16),
        "cens": random.random((3, 129, 12)).astype(np.float16),
        "onset": random.random((3, 512)).astype(np.float32),
    }


def test_a_checkpoint(finished, prepared_directory, batch):
    restored = restore_for_inference(finished)
    config = tiny(prepared_directory, start_from=str(finished))
    config.model.update(width=0.3, embedding_norm="layer")  # what it starts from has others
    config.features.standardise.mel = (0.0, 3.0)
    found, state = first_embeddings(config, batch)
    network = train_step.State(0, restored.params, restored.batch_stats, ())
    expected = jax.jit(functools.partial(train_step.embed, restored.config))(network, batch)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert int(state.step) == 0
    assert not any(np.any(moment) for moment in jax.tree.leaves(state.moments))


@pytest.mark.slow
def test_an_exported_model(batch):
    config = get_config("demo")
    source = numpy_model.SCORES
    config.start_from = str(source)
    config.loss.method = "classification"
    found, state = first_embeddings(config, batch)
    expected = numpy_model.load(source).embed(batch["mel"], batch["cens"], batch["onset"])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert set(state.params["classes"]) == set(config.dimensions)


def test_statistics_join_a_trained_network(finished, prepared_directory, batch):
    restored = restore_for_inference(finished)
    config = tiny(prepared_directory, start_from=str(finished))
    config.model.statistics = ("mel",)
    found, state = first_embeddings(config, batch)
    network = train_step.State(0, restored.params, restored.batch_stats, ())
    expected = jax.jit(functools.partial(train_step.embed, restored.config))(network, batch)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert state.params["statistics"]["kernel"].shape == (3 * 128, config.model.embedding_size)


def test_an_export_with_statistics(finished, prepared_directory, batch, tmp_path):
    """Their normalisation is in the file."""
    config = tiny(prepared_directory, start_from=str(finished))
    config.model.statistics = ("mel",)
    _, state = first_embeddings(config, batch)
    random = np.random.default_rng(1)
    size = adopted(config).model.embedding_size
    dense = {"kernel": random.normal(0, 0.1, (3 * 128, size)), "bias": np.zeros(size)}
    centre = {"mean": random.normal(0, 0.3, 3 * 128), "var": random.uniform(0.2, 2, 3 * 128)}
    state = state.replace(
        params=state.params | {"statistics": jax.tree.map(np.float32, dense)},
        batch_stats=state.batch_stats | {"statistics_centre": jax.tree.map(np.float32, centre)},
    )
    source = tmp_path / "model.npz"
    record = restore_for_inference(finished).record
    export_state(state, adopted(config), record, source)
    config.start_from, config.model.statistics = str(source), ()
    found, again = first_embeddings(config, batch)
    expected = numpy_model.load(source).embed(batch["mel"], batch["cens"], batch["onset"])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    found = again.batch_stats["statistics_centre"]
    jax.tree.map(np.testing.assert_allclose, found, jax.tree.map(np.float32, centre))


def test_the_command_trains_it_further(finished, prepared_directory, tmp_path, monkeypatch):
    """The run's own start is that of its source."""
    seen = {}

    opened = data.open_splits

    def training_alone(config, splits):
        return dict.fromkeys(splits, opened(config, ("train",))["train"])

    def stop(self):
        seen.update(state=self.state, config=self.config)
        raise ValueError("seen")

    monkeypatch.setattr(data, "open_splits", training_alone)
    monkeypatch.setattr(run.Run, "epoch", stop)
    with pytest.raises(ValueError, match="seen"):
        config = tiny(prepared_directory, start_from=str(finished), batch_size=16)
        config.model.width = 0.3  # what it starts from has another
        train.train(config, tmp_path, profile="")
    assert seen["config"].start_from == str(finished)
    restored = restore_for_inference(finished)
    jax.tree.map(np.testing.assert_array_equal, seen["state"].params, restored.params)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dimensions": ("mood", "genre")},
            r"\('mood', 'genre'\), expected \('genre',",
        ),
        ({"start_from": "nowhere.npz"}, "No such file or directory: 'nowhere.npz'"),
    ],
)
def test_what_cannot_be_started_from(finished, prepared_directory, changes, message):
    config = tiny(prepared_directory, **{"start_from": str(finished)} | changes)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        adopted(config)


def test_another_network_is_refused(finished, prepared_directory):
    config = tiny(prepared_directory, start_from=str(finished))
    config.model.width = 0.3
    state = train_step.initial_state(config, batch_shapes(config, TAGS, rows=1))
    with pytest.raises(ValueError, match=r"expected a network like that of config\.model"):
        started(config, state)
