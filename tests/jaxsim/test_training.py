"""One training step on eight devices is the step on one device with the whole batch."""

import functools

import jax
import numpy as np
import pytest

from configs.six_dim import get_config
from jaxsim import model, parallel, training
from tests.helpers.states import BATCH, batch, drawn_state

VARIANTS = {  # (model.norm, model.embedding_norm)
    "no normalisation": ("none", "layer"),
    "batch normalisation": ("batch", "batch_layer"),
}


def prepare(variant: str):
    """Configuration and state of a narrow network; parameters drawn without compiling."""
    config = get_config()
    config.dimensions = ("genre", "tempo", "key")
    config.model.update(inputs=("mel",), width=0.03125, embedding_size=24, dtype="float32")
    config.model.norm, config.model.embedding_norm = VARIANTS[variant]
    config.loss.pick = "uniform"
    return config, drawn_state(config, batch())


def run_step(config, state, mapping: str, devices):
    step = parallel.map_over_devices(
        functools.partial(training.train_step, config),
        split=(False, True, False),
        mapping=mapping,
        devices=devices,
    )
    count = len(devices)
    dealt = jax.tree.map(lambda x: x.reshape(count, BATCH // count, *x.shape[1:]), batch())
    return jax.device_get(step(state, dealt, np.float32(0.01)))


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request):
    """Configuration, state before, and (state, terms) after one step on one device."""
    with pytest.MonkeyPatch.context() as patch:
        # One block has all that a step meets (kernels, biases, statistics), compiled in seconds.
        patch.setattr(model, "BLOCKS", 1)
        config, state = prepare(request.param)
        yield config, state, run_step(config, state, "pmap", jax.devices()[:1])


def assert_close(found, expected) -> None:
    """Equal within 1e-5 of the tree's largest value, and 1e-4 of each array's largest.

    A bias before a batch normalisation has gradient zero but for the rounding of sums over all
    pixels, 1.3e-6 of the tree's largest value with JAX 0.12: hence the 3e-6.
    """
    paths = jax.tree_util.tree_leaves_with_path(expected)
    largest = max((np.abs(leaf).max() for _, leaf in paths), default=0)
    for (path, other), one in zip(paths, jax.tree.leaves(found), strict=True):
        tolerance = min(1e-5 * largest, 1e-4 * np.abs(other).max() + 3e-6 * largest)
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=0, err_msg=name)


def test_eight_devices_equal_one(variant) -> None:
    config, before, (expected, expected_terms) = variant
    assert min(expected_terms.loss.weight) > 5, "every dimension has triplets"
    assert min(expected_terms.loss.weight / expected_terms.active.weight) < 1
    for mapping in parallel.MAPPINGS:
        found, terms = run_step(config, before, mapping, jax.devices())
        for one, other in zip(terms[:2], expected_terms[:2], strict=True):  # loss, active
            np.testing.assert_array_equal(one.weight, other.weight)
            np.testing.assert_allclose(one.sum, other.sum, atol=1e-6 * one.weight.max())
        np.testing.assert_allclose(terms.spread.mean(), expected_terms.spread.mean(), rtol=1e-5)
        assert_close(found.moments.mu, expected.moments.mu)  # a tenth of the gradient
        assert_close(found.batch_stats, expected.batch_stats)
        assert found.step == 1


def test_parts_equal_the_whole(monkeypatch) -> None:
    monkeypatch.setattr(model, "BLOCKS", 1)
    config, before = prepare("no normalisation")
    expected, expected_terms = run_step(config, before, "pmap", jax.devices()[:1])
    config.parallel.parts = 4
    for mapping in parallel.MAPPINGS:
        found, terms = run_step(config, before, mapping, jax.devices()[:2])
        for one, other in zip(terms, expected_terms, strict=True):
            np.testing.assert_allclose(one.mean(), other.mean(), rtol=1e-4)
        assert_close(found.moments.mu, expected.moments.mu)


def test_parts_keep_class_vectors(monkeypatch) -> None:
    """Gradients of class vectors too, and less memory than the whole batch at once."""
    monkeypatch.setattr(model, "BLOCKS", 1)
    config, _ = prepare("no normalisation")
    config.loss.method = "proxy"
    state = drawn_state(config, batch())
    found, memory = {}, {}
    for parts in (1, 8):
        config = config.copy_and_resolve_references()
        config.parallel.parts = parts
        step = parallel.map_over_devices(
            functools.partial(training.train_step, config),
            split=(False, True, False),
            mapping="pmap",
            devices=jax.devices()[:1],
        )
        dealt = jax.tree.map(lambda x: x[None], batch())
        compiled = step.lower(state, dealt, np.float32(0.01)).compile()
        memory[parts] = compiled.memory_analysis().temp_size_in_bytes
        found[parts], _ = jax.device_get(compiled(state, dealt, np.float32(0.01)))
    assert np.abs(found[1].moments.mu["classes"]["genre"]).max() > 0
    assert_close(found[8].moments.mu, found[1].moments.mu)
    assert memory[8] < memory[1] / 2


def test_a_step_is_adams(variant) -> None:
    """The first step moves every parameter against its gradient by the learning rate."""
    _, before, (after, _) = variant
    moved = False
    paths = jax.tree_util.tree_leaves_with_path(after.moments.mu)
    for (path, mu), old, new in zip(
        paths, jax.tree.leaves(before.params), jax.tree.leaves(after.params), strict=True
    ):
        gradient = mu / 0.1
        expected = old - 0.01 * gradient / (np.abs(gradient) + 1e-8)
        np.testing.assert_allclose(new, expected, atol=1e-4, err_msg=jax.tree_util.keystr(path))
        moved |= bool(np.abs(new - old).max() > 0.009)
    assert moved


def test_a_weight_scales_its_dimensions_gradient_alone(variant, monkeypatch) -> None:
    config, before, (expected, _) = variant
    monkeypatch.setattr(model, "BLOCKS", 1)
    weighted = config.copy_and_resolve_references()
    weighted.loss.weights.tempo = 5.0
    found, _ = run_step(weighted, before, "pmap", jax.devices()[:1])
    # The scale of each embedding unit meets the loss of its own dimension only.
    factor = (
        found.moments.mu["embedding_norm"]["scale"]
        / (expected.moments.mu["embedding_norm"]["scale"])
    )
    np.testing.assert_allclose(factor.reshape(3, 8), [[1] * 8, [5] * 8, [1] * 8], rtol=1e-4)


def test_batch_statistics_move_only_with_batch_normalisation(variant) -> None:
    config, before, (after, _) = variant
    old, new = jax.tree.leaves(before.batch_stats), jax.tree.leaves(after.batch_stats)
    if config.model.norm == "none":
        assert old == new == []
    else:
        assert len(old) == len(new) == 2 * 10  # mean and variance of every normalisation
        for one, other in zip(old, new, strict=True):
            assert (one != other).any()
