"""The untrained networks: their batch statistics, their seeds, and what intervals know of them."""

import jax
import numpy as np
import pytest

from configs.six_dim import get_config
from jaxsim.evaluation import comparison, metrics, untrained, validation
from jaxsim.evaluation.metrics import Triplets
from jaxsim.evaluation.sections import triplet_section
from jaxsim.evaluation.systems import System
from jaxsim.network.inputs import images
from jaxsim.network.shapes import DEVICE_AXIS
from jaxsim.training import train_step
from jaxsim.training.example import batch_shapes, tag_counts
from tests.helpers.batches import FakeDataSet, fake_data
from tests.helpers.runs import readme_network

ROWS = 5


class NoisyDataSet(FakeDataSet):
    """Every segment sounds different."""

    def read(self, index: int, start: int, frames: int):
        random = np.random.default_rng((index, start))
        return (
            random.random((frames, 128)).astype(np.float16),
            random.random((frames, 12)).astype(np.float16),
            random.gamma(0.5, 1.0, frames + 383).astype(np.float32),
        )


def noisy_data() -> NoisyDataSet:
    return NoisyDataSet(**vars(fake_data(12)))


def in_training(config):
    """A function of (state, batch): the running statistics after a training step's network."""

    def one_device(params, batch_stats, batch):
        _, updates = train_step.network(config).apply(
            {"params": params, "batch_stats": batch_stats},
            images(batch, config),
            train=True,
            mutable=["batch_stats"],
        )
        return updates["batch_stats"]

    mapped = jax.jit(jax.vmap(one_device, in_axes=(None, None, 0), axis_name=DEVICE_AXIS))

    def statistics(state, batch):
        alone = jax.tree.map(lambda x: x[None], batch)
        found = mapped(state.params, state.batch_stats, alone)
        return jax.tree.map(lambda x: np.float64(x[0]), found)

    return statistics


@pytest.mark.slow
def test_batch_statistics_are_those_of_training_segments() -> None:
    """The mean of both batches'; the running mean keeps nine tenths of 0 or 1."""
    config, data = readme_network(), noisy_data()
    config.seed = 5
    states = untrained.untrained_states(config, data, batch_size=ROWS)
    assert len(states) == 3
    shapes = batch_shapes(config, tag_counts(data), rows=1)
    start = train_step.initial_state(config, shapes)
    jax.tree.map(np.testing.assert_array_equal, states[0].params, start.params)
    batches = list(untrained._random_segments(data, rows=ROWS))
    assert len(batches) == 2 and not np.array_equal(batches[0]["mel"], batches[1]["mel"])
    kernels = [state.params["embedding"]["kernel"] for state in states]
    assert not np.allclose(kernels[0], kernels[1]) and not np.allclose(kernels[1], kernels[2])
    statistics = in_training(config)
    for state in states:
        begun = state.replace(batch_stats=start.batch_stats)
        moved = [statistics(begun, batch) for batch in batches]
        measured = [
            jax.tree.map(
                lambda new, old: (new - 0.9 * np.float64(old)) / 0.1, new, begun.batch_stats
            )
            for new in moved
        ]
        expected = jax.tree.map(lambda one, other: (one + other) / 2, *measured)
        leaves = jax.tree.leaves(expected)
        assert len(leaves) == 8, "mean and variance of three branches and of the embedding"
        for found, wanted in zip(jax.tree.leaves(state.batch_stats), leaves, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_network_without_batch_statistics_has_none() -> None:
    config = get_config()
    config.model.update(width=0.02, embedding_size=12, blocks=1, branch_blocks=1, inputs=("mel",))
    states = untrained.untrained_states(config, fake_data(5), batch_size=2)
    assert [state.batch_stats for state in states] == [{}, {}, {}]


def interval_of(values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """95 % of the means over groups and seeds drawn with replacement, by loops."""
    random, means = np.random.default_rng(1), []
    names = sorted(set(groups))
    for _ in range(2000):
        drawn = random.choice(names, len(names))
        seeds = random.integers(len(values), size=len(values))
        chosen = [values[s][groups == name] for s in seeds for name in drawn]
        means.append(np.concatenate(chosen).mean())
    low, high = np.quantile(means, (0.025, 0.975))
    return low, high


@pytest.mark.parametrize("seeds_differ", [0.0, 0.3])
def test_an_interval_is_over_groups_and_seeds(seeds_differ: float) -> None:
    random = np.random.default_rng(0)
    groups = random.integers(30, size=400)
    values = random.normal(size=(3, 400)) + random.normal(size=30)[groups]
    values += seeds_differ * np.array([-1.0, 0.2, 2.0])[:, None]
    found = metrics.bootstrap(values, groups)
    assert found.value == pytest.approx(values.mean())
    low, high = interval_of(values, groups)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.06 * (high - low))
    alone = metrics.bootstrap(values.mean(axis=0), groups)
    wider = (found.high - found.low) / (alone.high - alone.low)
    assert wider > 1.3 if seeds_differ else wider == pytest.approx(1, abs=0.1)


def test_a_large_group_weighs_as_much_as_its_values() -> None:
    """The mean of a resample is over its values, not over its groups."""
    groups = np.repeat(np.arange(20), np.arange(1, 21))
    values = groups + np.random.default_rng(3).normal(size=len(groups))
    found = metrics.bootstrap(values, groups)
    low, high = interval_of(values[None], groups)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.06 * (high - low))
    assert values.mean() > 1.3 * np.mean([values[groups == group].mean() for group in range(20)])


def test_one_repetition_is_none() -> None:
    values = np.random.default_rng(0).random(50)
    groups = np.arange(50) // 3
    assert metrics.bootstrap(values, groups) == metrics.bootstrap(values[None], groups)


def line(*places: float) -> np.ndarray:
    """Tracks on a line [N, 1, 1]."""
    return np.array(places)[:, None, None]


TRIPLETS = Triplets(np.array([0, 1]), np.array([1, 0]), np.array([2, 2]))
RIGHT, HALF, WRONG = line(0, 1, 3), line(0, 1.5, 2), line(0, 3, 1)  # in both, one and none


def test_the_table_has_the_mean_of_the_seeds() -> None:
    scores = [metrics.right(metrics.gaps(each, TRIPLETS)).mean() for each in (RIGHT, HALF, WRONG)]
    assert scores == [1, 0.5, 0.0]
    data = fake_data(3)
    table = validation.triplet_table(
        RIGHT, [RIGHT, HALF, WRONG], {"genre": TRIPLETS}, data, ("genre",)
    )["genre"]
    assert (table["own"].value, table["untrained"].value, table["gain"].value) == (1, 0.5, 0.5)
    assert table["own"].low == table["own"].high == 1
    assert table["gain"].low == 0 and table["gain"].high == 1, "by the seeds"


def test_differences_from_an_untrained_network_know_its_seeds() -> None:
    data, everyone = fake_data(60), np.ones(60, bool)
    random = np.random.default_rng(0)
    vectors = [random.normal(size=(60, 1, 3)) for _ in range(4)]
    trained = System("mine", (), vectors[0], everyone, vectors[0], everyone)
    start = System(
        "mine, untrained",
        (),
        vectors[1],
        everyone,
        vectors[1],
        everyone,
        repeats=(vectors[2], vectors[3]),
    )
    config = get_config()
    results = comparison.compare([trained, start], data, data, config=config, count=300)
    rows = comparison.sample_triplets(data, config, count=300, seed=comparison.SEED)["genre"]
    each = [metrics.right(metrics.gaps(one, rows))[:, 0] for one in vectors]
    found = results["systems"]["mine, untrained"]["triplets"]["genre"]
    assert found["own"]["value"] == pytest.approx(np.mean(each[1:]))
    assert found["triplets"] == 300
    difference = results["differences"]["mine, untrained"]["genre"]["own"]
    assert difference["value"] == pytest.approx(each[0].mean() - np.mean(each[1:]))
    groups = np.array(data.groups)[rows.anchor]
    expected = metrics.bootstrap(each[0] - np.array(each[1:]), groups, seed=comparison.SEED)
    assert (difference["low"], difference["high"]) == (expected.low, expected.high)
    assert [one["seeds"] for one in results["systems"].values()] == [1, 3]
    assert "Untrained networks are 3, of different seeds" in triplet_section(results).text
