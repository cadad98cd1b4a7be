"""MusiCNN in Flax agrees with its definition, written once more in NumPy's float64."""

import numpy as np
import pytest

from input_pipeline.hearing import musicnn
from tests.helpers.taggers import random_weights


def _normalise(x, weights, number):
    name = f"batch_normalization_{number}" if number else "batch_normalization"
    gamma, beta, mean, variance = (
        weights[f"{name}/{field}"] for field in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta


def _convolve(image, weights, number, *, before, after):
    """Correlates an image [T, M] with kernels [t, m, 1, C] at every place, one by one."""
    name = f"conv2d_{number}" if number else "conv2d"
    kernel, bias = weights[f"{name}/kernel"][:, :, 0], weights[f"{name}/bias"]
    frames, bins, channels = kernel.shape
    padded = np.concatenate(
        [np.zeros((before, image.shape[1])), image, np.zeros((after, image.shape[1]))]
    )
    shape = len(padded) - frames + 1, image.shape[1] - bins + 1, channels
    found = np.zeros(shape)
    for t in range(shape[0]):
        for m in range(shape[1]):
            seen = padded[t : t + frames, m : m + bins]
            found[t, m] = (seen[..., None] * kernel).sum(axis=(0, 1)) + bias
    return _normalise(np.maximum(found, 0), weights, number + 1)


def _oracle(patch, weights):
    """The logits, and the mean over time before pooling, of one patch [T, M]."""
    weights = {name: value.astype(np.float64) for name, value in weights.items()}
    image = _normalise(patch.astype(np.float64)[..., None], weights, 0)[..., 0]
    front = [_convolve(image, weights, n, before=3, after=3).max(axis=1) for n in (0, 1)]
    for number, before, after in ((2, 63, 64), (3, 31, 32), (4, 15, 16)):
        front.append(_convolve(image, weights, number, before=before, after=after).max(axis=1))
    layers = [np.concatenate(front, axis=1)]
    layers.append(_convolve(layers[0], weights, 5, before=3, after=3)[:, 0])
    for number in (6, 7):
        layers.append(_convolve(layers[-1], weights, number, before=3, after=3)[:, 0] + layers[-1])
    joined = np.concatenate(layers, axis=1)
    pooled = np.array([value for row in joined.T for value in (row.max(), row.mean())])
    hidden = _normalise(pooled, weights, 9) @ weights["dense/kernel"] + weights["dense/bias"]
    hidden = _normalise(np.maximum(hidden, 0), weights, 10)
    return hidden @ weights["dense_1/kernel"] + weights["dense_1/bias"], joined.mean(axis=0)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_network_is_what_its_definition_says(count):
    weights = random_weights(1, bins=13, timbral=3, temporal=2, middle=4, units=5, tags=6)
    patches = np.random.default_rng(2).gamma(2, size=(count, 41, 13)).astype(np.float32)
    logits, means = musicnn.predictor(weights)(patches)
    expected = [_oracle(patch, weights) for patch in patches]
    assert logits.shape == (count, 6) and means.shape == (count, 2 * 3 + 3 * 2 + 3 * 4)
    np.testing.assert_allclose(logits, [one for one, _ in expected], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(means, [mean for _, mean in expected], rtol=1e-5, atol=1e-5)


def test_a_patch_does_not_depend_on_its_neighbours():
    predict = musicnn.predictor(random_weights(3, bins=10, tags=4))
    patches = np.random.default_rng(4).gamma(2, size=(2, 20, 10)).astype(np.float32)
    together = predict(patches)[0]
    apart = [predict(patch[None])[0][0] for patch in patches]
    np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-2


def test_state_that_is_no_weight_is_ignored():
    weights = random_weights(5, bins=10, tags=4)
    patches = np.random.default_rng(6).gamma(2, size=(1, 20, 10)).astype(np.float32)
    more = weights | {"global_step": np.int64(3), "dense/kernel/Adam": np.float32(0)}
    np.testing.assert_array_equal(
        musicnn.predictor(more)(patches)[0], musicnn.predictor(weights)(patches)[0]
    )
