"""Tempo and key of made tracks whose tempo and key are known, and the features behind them."""

import librosa
import numpy as np
import pytest

from input_pipeline.hearing import features, harmony, readings
from input_pipeline.tracks import KEYS

RATE = 22050 / 512
NOTHING = np.zeros((400, 12), np.float16)


def pulses(tempo: float, *, seconds: float = 30.0, rate: float = RATE) -> np.ndarray:
    """An envelope with a bump at every beat, and a smaller one halfway."""
    time = np.arange(round(seconds * rate)) / rate
    phase = (time * tempo / 60) % 1
    near = lambda where: np.exp(-(((phase - where + 0.5) % 1 - 0.5) ** 2) / 0.002)  # noqa: E731
    return near(0.1) + 0.5 * near(0.6)


def scale(tonic: int, minor: bool) -> np.ndarray:
    """Chroma of the tonic triad, again and again, with the chords of its fourth and fifth."""
    third = 3 if minor else 4
    chords = np.zeros((3, 12))
    for row, root in enumerate((tonic, tonic + 5, tonic + 7)):
        # A minor key has a major dominant.
        chords[row, np.array([root, root + (4 if row == 2 else third), root + 7]) % 12] = 1
    return np.repeat(chords[[0, 1, 2, 0]], 100, axis=0).astype(np.float16)


@pytest.mark.parametrize("tempo", [63.0, 90.0, 117.5, 128.0, 151.0])
def test_tempo_of_pulses(tempo: float) -> None:
    found = readings.evidence(pulses(tempo), NOTHING, RATE).reading()
    assert readings.octaves_apart(found.tempo, tempo) < np.log2(1.01)
    assert 0.5 < found.tempo_confidence <= 1 and 0 < found.tempo_level <= 1
    assert found.key == -1 and found.key_confidence == 0


def test_frame_rate_sets_the_time() -> None:
    found = readings.evidence(pulses(100, rate=2 * RATE), NOTHING, 2 * RATE).reading()
    assert readings.octaves_apart(found.tempo, 100) < np.log2(1.01)


@pytest.mark.parametrize("key", range(24))
def test_key_of_chords(key: int) -> None:
    found = readings.evidence(np.zeros(400), scale(key % 12, key >= 12), RATE).reading()
    assert KEYS[found.key] == KEYS[key] and found.key_confidence > 0.5
    assert found.tempo == 0 and found.tempo_confidence == 0


def test_key_of_audio() -> None:
    """From samples on: the triads of E major as sine waves."""
    time = np.arange(3 * 22050) / 22050
    chords = [[52, 56, 59, 64], [57, 61, 64, 69], [59, 63, 66, 71], [52, 56, 59, 64]]
    samples = [
        sum(np.sin(2 * np.pi * librosa.midi_to_hz(note) * time) for note in chord)
        for chord in chords
    ]
    config = features.FeatureConfig()
    arrays = features.extract(0.1 * np.concatenate(samples), config)
    for sounding in (arrays["harmony"], None):
        found = readings.evidence(arrays["onset"], arrays["cens"], config.frame_rate, sounding)
        assert KEYS[found.reading().key] == "E major"


def test_a_transposed_track_has_a_transposed_key() -> None:
    cens = np.random.default_rng(0).random((500, 12))
    up = readings.key_features(np.roll(cens, 3, axis=1))
    here = readings.key_features(cens)
    assert up is not None and here is not None
    np.testing.assert_allclose(np.roll(up[:12], -3, axis=0), here[:12], atol=1e-12)
    np.testing.assert_allclose(np.roll(up[12:], -3, axis=0), here[12:], atol=1e-12)


def test_both_registers_count_from_the_tonic() -> None:
    parts = np.random.default_rng(3).random((2, 500, 12))

    def features(up: int) -> np.ndarray:
        sounding = np.stack([harmony.of_frames(np.roll(part, up, axis=1)) for part in parts])
        found = readings.harmony_features(sounding)
        assert found is not None and found.shape == (24, 2 * 2 * harmony.SIZE + 1)
        return found

    up, here = features(3), features(0)
    np.testing.assert_allclose(np.roll(up[:12], -3, axis=0), here[:12], atol=1e-12)
    np.testing.assert_allclose(np.roll(up[12:], -3, axis=0), here[12:], atol=1e-12)
    for register in range(2):
        alone = readings.key_features(np.sqrt(parts[register]))
        assert alone is not None
        place = slice(register * harmony.SIZE, (register + 1) * harmony.SIZE)
        np.testing.assert_allclose(here[:12, place], alone[:12, : harmony.SIZE], atol=1e-12)


def test_silence_is_in_no_key() -> None:
    nothing = np.zeros((2, harmony.SIZE), np.float32)
    assert readings.harmony_features(nothing) is None
    assert readings.evidence(np.zeros(400), NOTHING, RATE, nothing).reading().key == -1


def test_key_features_are_sums_over_frames() -> None:
    cens = np.random.default_rng(1).random((7, 12))
    found = readings.key_features(np.concatenate([cens, np.zeros((3, 12))]))
    assert found is not None
    frames = [frame**2 / np.sqrt(np.sum(frame**4)) for frame in cens]
    mean = sum(frames) / 7
    power = sum(float(np.sum(frame**2)) for frame in frames) / 7
    tonic = 5
    for degree in range(12):
        expected = mean[(tonic + degree) % 12] / np.sqrt(np.sum(mean**2))
        assert found[tonic, degree] == pytest.approx(expected)
        assert found[12 + tonic, 90 + degree] == pytest.approx(expected)
    column = 12
    for one in range(12):
        for other in range(one, 12):
            a, b = (tonic + one) % 12, (tonic + other) % 12
            expected = 3 * sum(frame[a] * frame[b] for frame in frames) / 7 / power
            assert found[tonic, column] == pytest.approx(expected)
            column += 1
    assert column == 90 and not found[tonic, 90:].any() and found[12 + tonic, -1] == 1


def test_probabilities_are_sums_over_candidates() -> None:
    scores = np.random.default_rng(2).normal(size=readings.CANDIDATES)
    scores[100] = 6.0
    found = readings.Evidence(scores).reading()
    weights = np.exp(scores)
    same = [abs(np.log2(t / found.tempo)) <= np.log2(1.04) for t in readings.TEMPI]
    any_level = [
        any(abs(np.log2(t / found.tempo) - k) <= np.log2(1.04) for k in range(-4, 5))
        for t in readings.TEMPI
    ]
    assert found.tempo == pytest.approx(readings.TEMPI[100], rel=0.012)
    assert found.tempo_confidence == pytest.approx(weights[any_level].sum() / weights.sum())
    assert found.tempo_level == pytest.approx(weights[same].sum() / weights[any_level].sum())


def test_an_embedding_decides_between_tempi_but_not_between_levels() -> None:
    scores = np.full(readings.CANDIDATES, -9.0)
    scores[[60, 90, 120]] = 1.0, 1.1, 0.9  # 60, 85 and 120 BPM
    assert readings.Evidence(scores).reading().tempo == pytest.approx(readings.TEMPI[90])
    by_class = np.zeros(24)
    by_class[0] = 0.5  # 30, 60, 120 and 240 BPM
    found = readings.Evidence(scores).reading(by_class)
    assert found.tempo == pytest.approx(60)
    more = readings.within_octave(by_class)
    np.testing.assert_allclose(more[[0, 60, 120, 180]], 0.5)
    np.testing.assert_allclose(more[[59, 61, 90]], [0.3, 0.3, 0.0], atol=1e-9)
