"""Excerpts are parts of the whole track, spread over it; short tracks stay whole."""

import dataclasses
import itertools

import numpy as np
import pytest

from input_pipeline.hearing import excerpts, features, readings
from input_pipeline.hearing.excerpts import places
from input_pipeline.hearing.features import FeatureConfig
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone

CONFIG = FeatureConfig()
SMALL = FeatureConfig(segment_frames=10, tempogram_window=8)


@pytest.mark.parametrize("frames", [129 * 31, 4321, 7752, 10336, 77520])
@pytest.mark.parametrize("seconds", [3, 17, 45, 90])
def test_places_are_spread_over_a_track(frames: int, seconds: float) -> None:
    found = places(frames, CONFIG, seconds)
    assert sum(place.stop - place.start for place in found) == int(seconds / 2.996) * 129
    for place in found:
        assert 0 <= place.begin <= place.start < place.stop <= place.end <= frames
        assert place.start - place.begin >= 192 or place.begin == 0
        assert place.end - place.stop >= 192 or place.end == frames
    gaps = [
        found[0].start,
        *(b.start - a.stop for a, b in itertools.pairwise(found)),
        frames - found[-1].stop,
    ]
    assert min(gaps) >= 0
    assert abs(gaps[0] - gaps[-1]) <= 130  # as much is left out at the one end as at the other
    between = gaps[1:-1]
    assert not between or max(between) <= 3 * max(min(between), 130)


def test_a_track_as_long_as_its_excerpts_has_none() -> None:
    size = SMALL.segment_frames  # 0.23 s
    assert places(4 * size + 9, SMALL, 1.0) == []
    (place,) = places(5 * size, SMALL, 1.0)
    assert (place.start, place.stop) == (5, 45)


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    """40 s with other pitches in every quarter, so that places can be told apart."""
    return np.concatenate([pulsed_tone(i, seconds=10, beats_per_minute=100) for i in range(4)])


@pytest.mark.parametrize("loudness", ["none", "track"])
def test_excerpts_are_parts_of_the_whole_track(samples: np.ndarray, loudness: str) -> None:
    config = FeatureConfig(loudness=loudness, silence="left_out")
    whole = features.extract(samples, config)
    found = excerpts.extract(samples, config, 19)  # 6 segments in two excerpts
    assert {name: array.dtype for name, array in found.items()} == {
        name: array.dtype for name, array in whole.items()
    }
    starts = [
        start
        for place in places(len(whole["mel"]), config, 19)
        for start in range(place.start, place.stop, 129)
    ]
    assert len(starts) == len(found["mel"]) == 6
    onset = np.pad(whole["onset"].astype(np.float64), 192, mode="linear_ramp", end_values=0)
    for number, start in enumerate(starts):
        np.testing.assert_array_equal(found["mel"][number], whole["mel"][start : start + 129])
        seen = onset[start : start + 129 + 383]
        # Rises from 80 dB below the loudest frame count, and that is another one in an excerpt.
        np.testing.assert_allclose(found["onset"][number], seen, atol=0.01)
        part = whole["cens"][start : start + 129].astype(np.float64)
        assert np.abs(found["cens"][number] - part).mean() < 0.01
    of_whole = excerpts.of_whole(whole, config, 19)
    np.testing.assert_array_equal(of_whole["mel"], found["mel"])
    for number, start in enumerate(starts):
        np.testing.assert_array_equal(of_whole["cens"][number], whole["cens"][start : start + 129])
        np.testing.assert_allclose(of_whole["onset"][number], onset[start : start + 512], rtol=1e-6)


@pytest.mark.parametrize("seconds", [None, 40, 1000])
def test_a_short_track_is_heard_whole(samples: np.ndarray, seconds: float | None) -> None:
    config = dataclasses.replace(CONFIG, silence="left_out")
    whole, found = features.extract(samples, config), excerpts.extract(samples, config, seconds)
    for name, array in whole.items():
        np.testing.assert_array_equal(found[name], array)
        np.testing.assert_array_equal(excerpts.of_whole(whole, config, seconds)[name], array)


def test_silence_is_left_out_of_excerpts_alone(samples: np.ndarray) -> None:
    silence = np.zeros(12 * SAMPLE_RATE, np.float32)
    with_silence = np.concatenate([silence, samples[: len(samples) // 2], silence, samples])
    found = excerpts.extract(with_silence, CONFIG, 30)
    assert len(found["mel"]) == 10
    assert found["mel"].max(axis=(1, 2)).min() > 0.1  # something sounds in every segment
    assert excerpts.extract(with_silence, CONFIG, None)["mel"][:400].max() == 0
    less = np.concatenate([silence, samples[: len(samples) // 2], silence])
    found = excerpts.extract(less, CONFIG, 30)  # 20 s sound: all of it is heard
    assert found["mel"].ndim == 2 and abs(len(found["mel"]) - 20 * 43.07) < 5


@pytest.mark.parametrize("tempo", [80.0, 100.0])
def test_segments_are_evidence_like_the_whole(tempo: float) -> None:
    samples = pulsed_tone(3, seconds=60, beats_per_minute=tempo)
    whole, found = (excerpts.extract(samples, CONFIG, seconds) for seconds in (None, 30))
    read = [
        readings.evidence(arrays["onset"], arrays["cens"], CONFIG.frame_rate).reading()
        for arrays in (whole, found)
    ]
    assert abs(read[1].tempo / tempo - 1) < 0.01 and abs(read[0].tempo / tempo - 1) < 0.01
    assert read[1].key == read[0].key


def test_segments_that_see_less_than_a_window_are_evidence_too() -> None:
    pulses = np.zeros((6, 129), np.float32)
    pulses[:, ::26] = 1.0  # 99 BPM
    found = readings.evidence(pulses, np.zeros((6, 129, 12)), CONFIG.frame_rate).reading()
    assert readings.octaves_apart(found.tempo, 60 * CONFIG.frame_rate / 26) < 0.05


@pytest.mark.parametrize("seconds", [0.0, 2.9, float("nan")])
def test_refuses_less_than_a_segment(seconds: float) -> None:
    excerpts.check(3.0, CONFIG)
    excerpts.check(None, CONFIG)
    with pytest.raises(ValueError, match=r"--seconds is .*, expected at least 3 s \(a segment\)"):
        excerpts.check(seconds, CONFIG)
