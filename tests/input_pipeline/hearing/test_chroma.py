import librosa
import numpy as np
import pytest

from input_pipeline.hearing import chroma
from tests.helpers.audio import SAMPLE_RATE


def _square(frequency, seconds=4.0, noise=0.02):
    time = np.arange(int(SAMPLE_RATE * seconds)) / SAMPLE_RATE
    tone = 0.3 * np.sign(np.sin(2 * np.pi * frequency * time)) * np.exp(-3 * (time % 0.5))
    random = np.random.default_rng(int(frequency))
    return (tone + noise * random.normal(size=len(time))).astype(np.float32)


@pytest.mark.parametrize("frequency", [110.0, 226.4, 441.3, 3000.0])
def test_tuning_is_librosas(frequency):
    samples = _square(frequency)
    expected = librosa.estimate_tuning(y=samples, sr=SAMPLE_RATE, bins_per_octave=36)
    found = chroma.estimate_tuning(samples, sample_rate=SAMPLE_RATE, bins_per_octave=36)
    assert found == pytest.approx(expected, abs=1e-12)


def test_tuning_without_any_peak():
    silence = np.zeros(SAMPLE_RATE * 3, np.float32)
    assert chroma.estimate_tuning(silence, sample_rate=SAMPLE_RATE, bins_per_octave=36) == 0


@pytest.mark.parametrize(
    ("hop_length", "bins_per_octave", "tuning"), [(512, 36, 0.31), (192, 12, 0)]
)
def test_constant_q_is_librosas(hop_length, bins_per_octave, tuning):
    samples = _square(330.0, seconds=3.3)
    expected = np.abs(
        librosa.cqt(
            samples,
            sr=SAMPLE_RATE,
            hop_length=hop_length,
            n_bins=7 * bins_per_octave,
            bins_per_octave=bins_per_octave,
            tuning=tuning,
        )
    )
    found = chroma.constant_q(
        samples,
        sample_rate=SAMPLE_RATE,
        hop_length=hop_length,
        bins_per_octave=bins_per_octave,
        tuning=tuning,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * expected.max())


@pytest.mark.parametrize("frequency", [110.0, 226.4, 3000.0])
def test_cens_is_librosas(frequency):
    samples, options = _square(frequency, noise=0.1), dict(n_chroma=12, bins_per_octave=36)
    expected = librosa.feature.chroma_cens(y=samples, sr=SAMPLE_RATE, hop_length=512, **options)
    found, _ = chroma.cens_and_harmony(samples, sample_rate=SAMPLE_RATE, hop_length=512, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_hop_that_cannot_be_halved():
    with pytest.raises(ValueError, match="hop_length is 480, expected a multiple of 64"):
        chroma.constant_q(
            _square(220.0),
            sample_rate=SAMPLE_RATE,
            hop_length=480,
            bins_per_octave=36,
            tuning=0.0,
        )
