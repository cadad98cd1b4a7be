"""One training step of README's network: the same on one device and on eight, and in parts.

Three inputs, a trunk, the normalisation of the branches, and batch statistics: what the step of
the real network meets, narrow and of few frames. The other objectives and mappings, of which each
meets several devices on its own, and Adam: test_gradients.py, test_layouts.py.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from input_pipeline.tracks import TAG_DIMENSIONS
from jaxsim.training import train_step
from jaxsim.training.train_step import KEPT
from tests.helpers.runs import in_doubles, readme_network
from tests.helpers.states import BATCH, drawn_state, full_batch


@pytest.fixture(scope="module", autouse=True)
def doubles() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def configured(**loss) -> ConfigDict:
    config = in_doubles(readme_network())
    config.loss.update(**loss)
    return config


def one_block(**loss) -> ConfigDict:
    """A network that compiles faster."""
    config = configured(**loss)
    config.model.update(inputs=("mel",), blocks=1, branch_blocks=1)
    config.model.update(branch_norm="none", embedding_norm="layer")
    return config


def run_step(config: ConfigDict, state: train_step.State, *, devices: int, mapping: str = "pmap"):
    """The state and the terms after one step, on the host."""
    config.parallel.mapping = mapping
    step = train_step.mapped_train_step(config, devices=jax.devices()[:devices], donate=False)
    dealt = jax.tree.map(lambda x: x.reshape(devices, BATCH // devices, *x.shape[1:]), full_batch())
    return jax.device_get(step(state, dealt, np.float32(0.01)))


@pytest.fixture(scope="module")
def start() -> train_step.State:
    return drawn_state(configured(), full_batch())


@pytest.fixture(scope="module")
def stepped(start: train_step.State):
    """After one step of triplets on one device with the whole batch."""
    return run_step(configured(), start, devices=1)


def assert_close(found, expected) -> None:
    """Equal within 1e-5 of the tree's largest value, and 1e-4 of each array's largest.

    A bias before a batch normalisation has gradient zero but for the rounding of sums over all
    pixels, 1.3e-6 of the tree's largest value with JAX 0.12: hence the 3e-6.
    """
    paths = jax.tree_util.tree_leaves_with_path(expected)
    largest = max(np.abs(leaf).max() for _, leaf in paths)
    assert largest > 0
    for (path, other), one in zip(paths, jax.tree.leaves(found), strict=True):
        tolerance = min(1e-5 * largest, 1e-4 * np.abs(other).max() + 3e-6 * largest)
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=0, err_msg=name)


def assert_same_step(found, expected) -> None:
    """The terms, the gradients (a tenth is in Adam's first moment), and the batch statistics."""
    (after, terms), (expected_after, expected_terms) = found, expected
    for one, other in zip(terms, expected_terms, strict=True):
        np.testing.assert_allclose(one.mean(), other.mean(), rtol=1e-4, atol=1e-6)
    for one, other in zip(terms[:2], expected_terms[:2], strict=True):  # loss, active
        np.testing.assert_array_equal(one.weight, other.weight)
    assert_close(after.moments.mu, expected_after.moments.mu)
    if expected_after.batch_stats:
        assert_close(after.batch_stats, expected_after.batch_stats)
    assert after.step == 1


@pytest.mark.slow
def test_eight_devices_equal_one(start, stepped) -> None:
    _, terms = stepped
    assert min(terms.loss.weight) > 5, "every dimension has triplets"
    assert min(terms.active.mean()) < 1
    assert_same_step(run_step(configured(), start, devices=8), stepped)


@pytest.mark.slow
def test_parts_equal_the_whole() -> None:
    """Without batch normalisation, whose statistics are of the whole batch; with dropout."""
    config = configured(track_weight=0.5, pick="uniform", average="mined")
    config.model.update(branch_norm="none", embedding_norm="layer", dropout=0.25)
    state = drawn_state(config, full_batch())
    expected = run_step(config, state, devices=1)
    assert (expected[1].loss.weight > 0).all() and expected[1].track.weight > 0
    config.parallel.parts = 4
    assert_same_step(run_step(config, state, devices=2, mapping="shard_map"), expected)


@pytest.mark.slow
def test_parts_keep_class_vectors_and_take_less_memory() -> None:
    """Of one input and one block, on two devices: class vectors' gradients pass by the network."""
    config = one_block(method="proxy")
    state = drawn_state(config, full_batch())
    found, memory = {}, {}
    for parts in (1, 8):
        config = config.copy_and_resolve_references()
        config.parallel.parts = parts
        step = train_step.mapped_train_step(config, devices=jax.devices()[:2], donate=False)
        dealt = jax.tree.map(lambda x: x.reshape(2, BATCH // 2, *x.shape[1:]), full_batch())
        compiled = step.lower(state, dealt, np.float32(0.01)).compile()
        memory[parts] = compiled.memory_analysis().temp_size_in_bytes
        found[parts], _ = jax.device_get(compiled(state, dealt, np.float32(0.01)))
    assert np.abs(found[1].moments.mu["classes"]["genre"]).max() > 0
    assert_close(found[8].moments.mu, found[1].moments.mu)
    assert memory[8] < memory[1] / 2


@pytest.mark.slow
def test_batch_statistics_move(start, stepped) -> None:
    """A mean and a variance where each branch ends, and before the embedding's layer norm."""
    after, _ = stepped
    names = {*(f"{kind}_centre" for kind in ("mel", "tempogram", "cens")), "embedding_centre"}
    assert set(after.batch_stats) == names
    for name in names:
        for which in ("mean", "var"):
            assert (after.batch_stats[name][which] != start.batch_stats[name][which]).any()
    without = configured()
    without.model.update(branch_norm="none", embedding_norm="layer")
    assert train_step.state_shapes(without, full_batch()).batch_stats == {}


@pytest.mark.parametrize("parts", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_last_layers_alone(parts: int) -> None:
    """They get the gradients that they get among all layers, and the others stay as they are.

    Statistics reach the sub-spaces of tags alone.
    """
    config = one_block(method="proxy")
    config.model.statistics = ("mel",) if parts == 1 else ()  # these are normalised over the batch
    config.parallel.parts = parts
    state = drawn_state(config, full_batch())
    everything, _ = run_step(config, state, devices=2)
    config.optimiser.layers = "last"
    found, _ = run_step(config, state, devices=2)
    last = {"embedding", "embedding_norm", "classes", *(["statistics"] if parts == 1 else [])}
    assert last < set(found.params)
    for name, moments in found.moments.mu.items():
        if name == "statistics":
            tags = np.repeat([name in TAG_DIMENSIONS for name in config.dimensions], 4)
            for moment in moments.values():
                assert np.abs(moment[..., tags]).min() > 0 and not np.any(moment[..., ~tags])
        if name in last:
            assert_close(moments, everything.moments.mu[name])
            assert_close(found.params[name], everything.params[name])
        else:
            assert not any(np.any(moment) for moment in jax.tree.leaves(moments))
            jax.tree.map(np.testing.assert_array_equal, found.params[name], state.params[name])


def test_last_layers_of_tags_alone() -> None:
    """As if tempo and key had no weight, and nothing that gives their sub-spaces moves."""
    config = one_block()
    config.model.statistics = ("mel",)
    state = drawn_state(config, full_batch())
    config.loss.weights.update(tempo=0.0, key=0.0)
    config.optimiser.layers = "last"
    expected, _ = run_step(config, state, devices=1)
    config.loss.weights.update(tempo=8.0, key=16.0)
    config.optimiser.layers = "tags"
    found, terms = run_step(config, state, devices=1)
    assert np.all(terms.loss.sum > 0)
    size = config.model.embedding_size // len(config.dimensions)
    tags = np.repeat([name in TAG_DIMENSIONS for name in config.dimensions], size)
    assert 0 < tags.sum() < len(tags)
    for name, before in state.params.items():
        for leaf, start in before.items() if name in train_step.LAST else ():
            after = found.params[name][leaf]
            assert (after != start)[..., tags].any()
            np.testing.assert_array_equal(after[..., ~tags], start[..., ~tags])
            assert_close(after[..., tags], expected.params[name][leaf][..., tags])
        if name not in train_step.LAST:
            jax.tree.map(np.testing.assert_array_equal, found.params[name], before)


def test_dropout() -> None:
    """Hides the configured share of the trunk's outputs, others in every example and step.

    The same for an example whatever the devices, and nothing outside training.
    """
    config = one_block()
    start = drawn_state(config, full_batch())
    without, _ = run_step(config, start, devices=1)
    config.model.dropout = 0.25
    one, _ = run_step(config, start, devices=1)
    eight, _ = run_step(config, start, devices=8)
    assert_close(eight.moments.mu, one.moments.mu)
    before, after = (each.moments.mu["embedding"]["kernel"] for each in (without, one))
    assert np.abs(after - before).max() > 0.1 * np.abs(before).max()
    state, segments = jax.tree.map(jnp.asarray, (start, full_batch()))
    embedded = [train_step.embed(each, state, segments) for each in (config, one_block())]
    np.testing.assert_array_equal(*embedded)


def test_kept_outputs() -> None:
    index = np.arange(2000, dtype=np.int32)
    kept = np.asarray(train_step.kept_outputs(jax.random.key(1), index, 50, rate=0.25))
    assert sorted(set(kept.ravel())) == [0, pytest.approx(1 / 0.75)]
    np.testing.assert_allclose(kept.mean(axis=0), 1, atol=0.07)  # six deviations
    np.testing.assert_allclose(np.cov(kept.T) * 3, np.eye(50), atol=0.2)
    later = train_step.kept_outputs(jax.random.key(1), index[7:], 50, rate=0.25)
    np.testing.assert_array_equal(later, kept[7:])
    other = np.asarray(train_step.kept_outputs(jax.random.key(2), index, 50, rate=0.25))
    assert abs(np.mean((other == 0) & (kept == 0)) - 0.25**2) < 0.01


@pytest.mark.parametrize("first", [0, 1])
def test_hidden_outputs_do_not_reach_the_embedding(first: int) -> None:
    """The weights of every second output of the trunk get a gradient: of those not hidden."""
    config = one_block()
    config.model.dropout = 0.5
    start = drawn_state(config, full_batch())
    drawn = np.ones((BATCH, len(start.params["embedding"]["kernel"])))
    drawn[:, first::2] = 0
    state, batch = jax.tree.map(jnp.asarray, (start, full_batch() | {KEPT: drawn}))

    def summed(params):
        embeddings, _ = train_step._embedded(config, state, params, batch)
        return (embeddings**3).sum()

    by_axis = jax.vmap(lambda _: jax.grad(summed)(state.params), axis_name="data", axis_size=1)
    gradient = by_axis(np.zeros(1))["embedding"]["kernel"][0]
    assert not np.any(gradient[first::2])
    assert np.any(gradient[1 - first :: 2])
