import librosa
import numpy as np
import pytest

from input_pipeline.hearing.audio import UnusableTrack
from input_pipeline.hearing.features import FeatureConfig, extract
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone

CONFIG = FeatureConfig()


@pytest.fixture(scope="module")
def samples():
    return pulsed_tone(3, seconds=7.3)


@pytest.fixture(scope="module")
def extracted(samples):
    return extract(samples, CONFIG)


def test_shapes_and_types(extracted, samples):
    frames = 1 + len(samples) // 512
    assert {name: (array.shape, array.dtype.name) for name, array in extracted.items()} == {
        "mel": ((frames, 128), "float16"),
        "cens": ((frames, 12), "float16"),
        "onset": ((frames,), "float32"),
        "harmony": ((2, 90), "float32"),
    }


def test_mel_is_librosas(extracted, samples):
    mel = librosa.feature.melspectrogram(
        y=samples, sr=SAMPLE_RATE, n_fft=1024, hop_length=512, n_mels=128, power=1.0
    )
    expected = np.log10(1 + 10 * mel.astype(np.float64)).T
    np.testing.assert_allclose(extracted["mel"], expected, rtol=1e-3, atol=1e-6)
    assert expected.max() > 1


def test_cens_is_librosas(extracted, samples):
    expected = librosa.feature.chroma_cens(
        y=samples, sr=SAMPLE_RATE, hop_length=512, bins_per_octave=36, n_chroma=12
    ).T
    np.testing.assert_allclose(extracted["cens"], expected, rtol=1e-3, atol=1e-6)
    # The tone is three semitones above A: C leads.
    assert (extracted["cens"].astype(float).sum(axis=0).argmax()) == 0


def test_onset_is_librosas(extracted, samples):
    expected = librosa.onset.onset_strength(y=samples, sr=SAMPLE_RATE, n_fft=1024, hop_length=512)
    np.testing.assert_allclose(extracted["onset"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (pulsed_tone(0, seconds=2.9), "too short: 2.90 s is 125 frames, expected at least 129"),
        (np.zeros(0, np.float32), "too short"),
        (np.full(SAMPLE_RATE * 4, 5e-5, np.float32), "silent"),
        (np.array([0.1, np.nan] * SAMPLE_RATE * 2, np.float32), "not finite"),
        (np.array([0.1, np.inf] * SAMPLE_RATE * 2, np.float32), "not finite"),
        (np.zeros((2, SAMPLE_RATE * 4), np.float32), "expected one dimension"),
    ],
)
def test_unusable_samples(samples, reason):
    with pytest.raises(UnusableTrack, match=reason):
        extract(samples, CONFIG)


def test_the_shortest_usable_track_has_one_segment():
    samples = pulsed_tone(0, seconds=4)[: 128 * 512]
    assert len(extract(samples, CONFIG)["mel"]) == 129
    with pytest.raises(UnusableTrack, match="too short"):
        extract(samples[:-1], CONFIG)
