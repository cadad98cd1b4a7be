"""What sounds in the low and in the high register of a track."""

import numpy as np
import pytest

from input_pipeline.hearing import chroma, harmony
from tests.helpers.audio import SAMPLE_RATE


@pytest.mark.parametrize("at_once", [4096, 7])
def test_statistics_are_means_over_smoothed_frames(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(harmony, "FRAMES", at_once)
    registers = np.random.default_rng(0).random((2, 12, 60)).astype(np.float32)
    registers[1, :, :] = 0
    window = np.hanning(43)[1:-1] / np.hanning(43).sum()
    frames = []
    for t in range(60):
        frame = np.zeros(12)
        for k, weight in enumerate(window):
            if 0 <= t + k - 20 < 60:
                frame += weight * registers[0, :, t + k - 20]
        frames.append(frame / np.sqrt(np.sum(frame**2)))
    found = harmony.statistics(registers)
    assert found.shape == (2, 90) and found.dtype == np.float32
    np.testing.assert_allclose(found[0, :12], np.mean(frames, axis=0), rtol=1e-5)
    pairs = [np.mean([f[a] * f[b] for f in frames]) for a in range(12) for b in range(a, 12)]
    np.testing.assert_allclose(found[0, 12:], pairs, rtol=1e-5)
    assert not found[1].any()


def test_frames_of_silence_do_not_count() -> None:
    frames = np.random.default_rng(1).random((5, 12))
    padded = np.insert(frames, [0, 2, 2, 5], 0, axis=0)
    np.testing.assert_allclose(harmony.of_frames(padded), harmony.of_frames(frames), rtol=1e-12)


def test_excerpts_are_joined_by_their_means() -> None:
    parts = np.random.default_rng(2).random((3, 2, harmony.SIZE)).astype(np.float32)
    found = harmony.joined(list(parts))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (parts[0] + parts[1] + parts[2]) / 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("frequency", "register", "pitch"),
    [(65.41, 0, 0), (123.47, 0, 11), (246.94, 0, 11), (523.25, 1, 0), (1760.0, 1, 9)],
)
def test_a_tone_sounds_in_its_register(frequency: float, register: int, pitch: int) -> None:
    time = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    samples = (0.3 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)
    _, found = chroma.cens_and_harmony(
        samples, sample_rate=SAMPLE_RATE, hop_length=512, n_chroma=12, bins_per_octave=36
    )
    assert found[register, :12].argmax() == pitch and found[register, pitch] > 0.9


def test_the_highest_octave_is_left_out() -> None:
    time = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    options = {"sample_rate": SAMPLE_RATE, "hop_length": 512, "n_chroma": 12, "tuning": 0.0}
    mixed = np.sin(2 * np.pi * 523.25 * time) + 3 * np.sin(2 * np.pi * 2959.96 * time)
    cens, found = chroma.cens_and_harmony(
        (0.1 * mixed).astype(np.float32), bins_per_octave=36, **options
    )
    assert cens.mean(axis=1).argmax() == 6  # F sharp
    assert found[1, :12].argmax() == 0 and found[1, 6] < 0.1
