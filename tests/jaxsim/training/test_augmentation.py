"""Augmented segments are what the changed music would have given, with the labels to match."""

import functools

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from configs.six_dim import get_config
from input_pipeline.hearing.features import FeatureConfig, extract
from jaxsim.network.forms.tempogram import stretched, tempogram
from jaxsim.network.inputs import images
from jaxsim.network.shapes import DEVICE_AXIS
from jaxsim.training import augmentation, train_step
from jaxsim.training.config import check
from tests.helpers.states import FRAMES, full_batch

RATE = 22050
ALL = dict(transpose=True, stretch=0.3, level=12.0, tilt=3.0, band_limit=0.5, noise=0.3)
KEY = jax.random.key(3)


def configured(**fields) -> ConfigDict:
    config = get_config("scores")  # trained without any
    config.augmentation.update(fields)
    return config


def batch(rows: int = 8) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "mel": random.random((rows, 129, 128)).astype(np.float16),
        "cens": random.random((rows, 129, 12)).astype(np.float16),
        "onset": random.random((rows, 512)).astype(np.float32),
        "key": np.resize(np.array([0, 11, 12, 23, -1, 7], np.int32), rows),
        "tempo": np.resize(np.array([120.0, 0.0, 60.0], np.float32), rows),
        "index": np.arange(rows, dtype=np.int32),
    }


def augmented(before, config) -> dict[str, np.ndarray]:
    changed = jax.jit(functools.partial(augmentation.augmented, config=config))(before, KEY)
    return {name: np.asarray(value) for name, value in changed.items()}


def test_published_training_changes_nothing() -> None:
    before = batch()
    after = augmentation.augmented(before, KEY, get_config())
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


def test_transposes_chroma_and_key_together_and_groups_alike() -> None:
    before = batch(24)
    after = augmented(before, configured(transpose=True))
    seen = set()
    for row in range(24):
        first = row // 2 * 2
        fits = [
            up
            for up in range(12)
            if np.array_equal(np.roll(before["cens"][row], up, axis=1), after["cens"][row])
            and np.array_equal(np.roll(before["cens"][first], up, axis=1), after["cens"][first])
        ]
        (up,) = fits
        seen.add(up)
        old, new = before["key"][row], after["key"][row]
        assert new == (-1 if old < 0 else old // 12 * 12 + (old % 12 + up) % 12)
    assert len(seen) > 5
    for name in ("mel", "tempo", "onset"):
        np.testing.assert_array_equal(after[name], before[name])


def test_labels_stay_where_the_input_that_is_changed_is_none_of_the_networks() -> None:
    before, config = batch(), configured(transpose=True, stretch=0.3)
    config.model.inputs = ("mel",)
    after = augmented(before, config)
    assert set(after) == set(before)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)


def test_transposed_chroma_are_those_of_transposed_music() -> None:
    chords = {up: np.zeros(6 * RATE, np.float32) for up in (0, 5)}
    times = np.arange(6 * RATE) / RATE
    for up, samples in chords.items():
        for note in (57, 60, 64):
            samples += 0.2 * np.sin(2 * np.pi * librosa.midi_to_hz(note + up) * times)
    low, high = (extract(chords[up], FeatureConfig())["cens"][None] for up in (0, 5))
    found = augmentation.transposed(jnp.asarray(low), jnp.array([5]))
    np.testing.assert_allclose(found, high, atol=0.12)
    assert np.abs(np.asarray(low, np.float32) - high).max() > 0.5


def test_stretches_groups_alike_with_their_tempo() -> None:
    before = batch(32)
    after = augmented(before, configured(stretch=0.25))
    factors = after["tempo_factor"]
    np.testing.assert_array_equal(factors[::2], factors[1::2])
    assert 2**-0.25 <= factors.min() < 0.93 and 1.07 < factors.max() <= 2**0.25
    np.testing.assert_allclose(after["tempo"], before["tempo"] * factors, rtol=1e-6)
    np.testing.assert_array_equal(after["cens"], before["cens"])


def clicks(period: float) -> np.ndarray:
    """An onset envelope of equal beats, every `period` frames, blurred in proportion."""
    times = np.arange(512)[:, None] - np.arange(-period, 512 + period, period)
    return np.exp(-0.5 * (times / (period / 12)) ** 2).sum(axis=1).astype(np.float32)


@pytest.mark.parametrize(("before", "after"), [(24.0, 20.0), (20.0, 24.0), (31.0, 27.5)])
def test_a_stretched_tempogram_is_that_of_the_other_tempo(before: float, after: float) -> None:
    found = stretched(
        tempogram(jnp.asarray(clicks(before)[None]), 384), jnp.array([before / after])
    )
    expected = np.asarray(tempogram(jnp.asarray(clicks(after)[None]), 384))
    reliable = int(383 * 0.85 * min(1, after / before))
    differences = np.abs(np.asarray(found) - expected)[0]
    assert differences[:reliable].max() < 0.06
    assert differences.max() < 0.1
    other = np.abs(np.asarray(tempogram(jnp.asarray(clicks(before)[None]), 384)) - expected)
    assert other.max() > 0.4  # without stretching


def test_a_factor_of_one_stretches_nothing() -> None:
    before = tempogram(jnp.asarray(batch()["onset"]), 384)
    np.testing.assert_allclose(stretched(before, jnp.ones(8))[:, :300], before[:, :300], atol=1e-5)


def test_gains_and_noise_are_those_of_the_signal() -> None:
    random = np.random.default_rng(1)
    samples = (0.1 * random.normal(size=4 * RATE)).astype(np.float32)
    config = FeatureConfig()
    before, louder = (extract(gain * samples, config)["mel"] for gain in (1.0, 10 ** (-6 / 20)))
    mel, gains = jnp.asarray(before, jnp.float32)[None], jnp.full((1, 128), -6.0)
    nothing = jnp.zeros(mel.shape)
    found = augmentation.recorded(mel, gains, nothing, log_gain=config.log_gain)[0]
    np.testing.assert_allclose(found, louder, atol=2e-3)
    magnitude = (10.0 ** np.float64(before) - 1) / 10
    noise = 0.5 * random.random(before.shape)
    expected = np.log10(1 + 10 * np.sqrt(magnitude**2 + noise**2))
    found = augmentation.recorded(
        mel, 0 * gains, jnp.asarray(noise, jnp.float32)[None], log_gain=config.log_gain
    )[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def decibels(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The change of every row and band [dB]."""
    magnitudes = [10.0 ** np.float64(mel) - 1 for mel in (before, after)]
    return 20 * np.log10(np.median(np.maximum(magnitudes[1], 1e-9) / magnitudes[0], axis=1))


def test_every_row_is_recorded_in_its_own_way() -> None:
    before = batch(40)
    before["mel"] = np.maximum(before["mel"], np.float16(0.05))
    octaves = np.log2(librosa.mel_frequencies(130, fmax=RATE / 2)[1:-1] / 1000)

    levels = decibels(before["mel"], augmented(before, configured(level=6.0))["mel"])
    assert np.ptp(levels, axis=1).max() < 0.1  # the same in all bands
    assert -6 <= levels.min() < -3 and 3 < levels.max() <= 6.01
    assert np.abs(levels[::2] - levels[1::2]).mean() > 1  # a group's rows differ

    tilts = decibels(before["mel"], augmented(before, configured(tilt=2.0))["mel"])
    slopes = [np.polyfit(octaves, row, 1)[0] for row in tilts]
    assert -2.01 <= min(slopes) < -1 and 1 < max(slopes) <= 2.01
    assert np.abs(tilts[:, np.abs(octaves).argmin()]).max() < 0.2

    limited = decibels(before["mel"], augmented(before, configured(band_limit=0.5))["mel"])
    changed = limited[:, -1] < -1
    assert 0.25 < changed.mean() < 0.75
    middle = (octaves > np.log2(0.25)) & (octaves < np.log2(3))
    assert np.abs(limited[:, middle]).max() < 0.1
    assert np.abs(limited[~changed]).max() < 0.1

    noisy = augmented(before, configured(noise=0.5))["mel"]
    assert (noisy >= before["mel"] - 1e-3).all() and (noisy > before["mel"] + 0.01).mean() > 0.2


def test_depends_on_the_row_in_the_global_batch_alone() -> None:
    before, config = batch(8), configured(**ALL)
    whole = augmented(before, config)
    for first in (0, 4):
        half = {name: value[first : first + 4] for name, value in before.items()}
        for name, value in augmented(half, config).items():
            np.testing.assert_allclose(value, whole[name][first : first + 4], atol=1e-6)


def test_every_field_changes_the_batch() -> None:
    before = batch(16)
    assert ALL.keys() == {*get_config().augmentation}
    for name, value in ALL.items():
        after = augmented(before, configured(**{name: value}))
        assert any(not np.array_equal(after[each], before[each]) for each in before), name


def heard(batch, config) -> jax.Array:
    """Means over time of all inputs [B, 528]."""
    found = images(batch, config)
    return jnp.concatenate([found[name].mean(axis=2)[..., 0] for name in config.model.inputs], 1)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.slow
def test_a_step_trains_on_what_was_augmented(parts: int, monkeypatch) -> None:
    """A step equals one without augmentation on a batch that was augmented before."""

    def embedded(config, state, params, batch):  # a network of one matrix
        return heard(batch, config) @ params["matrix"], state.batch_stats

    monkeypatch.setattr(train_step, "_embedded", embedded)
    config, plain = configured(**ALL), configured()
    for each in (config, plain):
        each.seed = 3
        each.parallel.parts = parts
        each.data.group_size = 4
        each.features.segment_frames = FRAMES
    random = np.random.default_rng(2)
    params = {"matrix": random.normal(size=(528, 384)).astype(np.float32)}
    moments = optax.scale_by_adam().init(params)
    state = train_step.State(jnp.int32(5), params, {}, moments)
    before = jax.tree.map(jnp.asarray, full_batch())
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(3), 5), train_step.AUGMENTATION)
    changed = augmentation.augmented(before, key, config)

    def compiled(config):
        step = functools.partial(train_step.train_step, config)
        return jax.jit(jax.vmap(step, in_axes=(None, 0, None), axis_name=DEVICE_AXIS))

    def moved(step, batch) -> np.ndarray:
        """The gradient's average, by Adam's first step."""
        batch = {name: jnp.asarray(value)[None] for name, value in batch.items()}
        new, _ = step(state, batch, 1e-3)
        return np.asarray(new.moments.mu["matrix"][0])

    plain_step = compiled(plain)
    expected = moved(plain_step, changed)
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(moved(compiled(config), before), expected, atol=1e-4 * scale)
    without = {name: value for name, value in changed.items() if name != "tempo_factor"}
    for other in (before, without):
        assert np.abs(moved(plain_step, other) - expected).max() > 0.01 * scale


def test_the_image_of_an_augmented_batch_is_stretched() -> None:
    config, before = configured(stretch=0.3), batch()
    changed = jax.tree.map(jnp.asarray, augmented(before, config))
    after = images(changed, config)["tempogram"]
    plain = images(jax.tree.map(jnp.asarray, before), config)["tempogram"]
    assert np.abs(np.asarray(after) - np.asarray(plain)).max() > 0.1


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [("band_limit", 1.5, "at most 1"), ("stretch", 0.7, "at most 0.5 octaves")],
)
def test_refuses_too_much(field: str, value: float, expected: str) -> None:
    with pytest.raises(ValueError, match=f"config.augmentation.{field} is {value}.*{expected}"):
        check(configured(**{field: value}), devices=1)
