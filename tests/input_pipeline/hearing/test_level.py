"""The same recording, louder or with silence around it, has the same features."""

import numpy as np
import pytest

from input_pipeline.hearing import level
from input_pipeline.hearing.audio import UnusableTrack
from input_pipeline.hearing.features import FeatureConfig, extract

RATE = 22050
AS_EARS_HEAR = FeatureConfig(loudness="track", silence="left_out")


def music(seconds: float, seed: int = 0) -> np.ndarray:
    """Decaying notes, which are never silent for long."""
    random, time = np.random.default_rng(seed), np.arange(int(0.25 * RATE)) / RATE
    notes = [
        0.3 * np.exp(-6 * time) * np.sin(2 * np.pi * random.choice((220, 277, 330, 440)) * time)
        for _ in range(int(seconds * 4))
    ]
    return np.concatenate(notes).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), np.float32)


def test_a_full_scale_sine_has_the_loudness_that_the_standard_states() -> None:
    """ITU-R BS.1770-4: 997 Hz at 0 dBFS in one channel reads -3.01 LKFS; EBU Tech 3341: ± 0.1."""
    sine = np.sin(2 * np.pi * 997 * np.arange(5 * RATE) / RATE).astype(np.float32)
    assert level.loudness(sine, RATE) == pytest.approx(-3.01, abs=0.1)
    assert level.loudness(0.1 * sine, RATE) == pytest.approx(-23.01, abs=0.1)
    assert level.loudness(silence(5), RATE) == -np.inf


def test_tracks_are_brought_to_one_level() -> None:
    for gain in (1.0, 0.1):
        samples = gain * music(6)
        brought = level.at_level(samples, level.loudness(samples, RATE))
        assert level.loudness(brought, RATE) == pytest.approx(level.LEVEL, abs=0.01)


@pytest.mark.parametrize("gain", [10 ** (-12 / 20), 10 ** (-20 / 20), 2.0])
def test_level_changes_no_feature(gain: float) -> None:
    expected, found = (extract(g * music(8), AS_EARS_HEAR) for g in (1.0, gain))
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=2e-3, err_msg=name)
    plain = extract(gain * music(8), FeatureConfig())
    assert np.abs(plain["mel"] - extract(music(8), FeatureConfig())["mel"]).max() > 0.05


def test_silence_at_the_ends_and_long_pauses_are_left_out() -> None:
    whole, block = music(8), round(level.BLOCK * RATE)
    first, second = whole[: 4 * 20 * block], whole[4 * 20 * block :]
    samples = np.concatenate([silence(2), first, silence(5), second, silence(30)])
    heard = level.sounding(samples, RATE, level.loudness(samples, RATE))
    assert abs(len(heard) - len(whole)) <= 4 * block
    plain, found = (extract(each, AS_EARS_HEAR) for each in (whole, samples))
    mean = np.abs(found["mel"].mean(axis=0) - plain["mel"].mean(axis=0)).max()
    assert mean < 0.02
    assert len(extract(samples, FeatureConfig())["mel"]) > 5 * len(found["mel"])


def test_short_pauses_are_music() -> None:
    samples = np.concatenate([music(3), silence(0.8), music(3, seed=1)])
    heard = level.sounding(samples, RATE, level.loudness(samples, RATE))
    assert len(samples) - len(heard) < 0.4 * RATE  # the last note's end


def test_what_is_left_may_be_too_little() -> None:
    with pytest.raises(UnusableTrack, match=r"too short without silence: 2\.\d\d s is \d+ frames"):
        extract(np.concatenate([silence(3), music(2.5), silence(3)]), AS_EARS_HEAR)
    with pytest.raises(UnusableTrack, match="silent: nothing is louder than -70 LUFS"):
        extract(2e-4 * np.sign(music(5)), AS_EARS_HEAR)


def test_older_descriptions_do_not_change() -> None:
    assert not {"loudness", "silence"} & FeatureConfig().described().keys()
    assert AS_EARS_HEAR.described()["loudness"] == "track"
    assert FeatureConfig(**AS_EARS_HEAR.described()) == AS_EARS_HEAR
    with pytest.raises(ValueError, match=r"features\.loudness is 'loud', expected none or track"):
        FeatureConfig(loudness="loud")
