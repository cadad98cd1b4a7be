import librosa
import numpy as np
import pytest
import soundfile

from input_pipeline.features import FeatureConfig, UnusableTrack, extract, load_audio
from tests.conftest import SAMPLE_RATE, pulsed_tone

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
    with pytest.raises(UnusableTrack):
        extract(samples[:-1], CONFIG)


def test_load_audio_mixes_and_resamples(tmp_path):
    time = np.arange(48000 * 2) / 48000
    left, right = np.sin(2 * np.pi * 440 * time), 0.5 * np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "a.flac", np.stack([left, right], axis=1) * 0.5, 48000)
    loaded = load_audio(tmp_path / "a.flac", SAMPLE_RATE)
    expected = 0.375 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE * 2) / SAMPLE_RATE)
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded[1000:-1000], expected[1000:-1000], atol=1e-3)


def test_load_audio_keeps_samples_at_the_same_rate(tmp_path):
    samples = pulsed_tone(1, seconds=1)
    soundfile.write(tmp_path / "a.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    np.testing.assert_array_equal(load_audio(tmp_path / "a.wav", SAMPLE_RATE), samples)


@pytest.mark.filterwarnings("ignore:.*is deprecated and slated:DeprecationWarning:audioread")
@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no such file"), (b"", "is empty"), (b"this is no audio at all", "cannot be decoded")],
)
def test_unusable_files(tmp_path, content, reason):
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnusableTrack, match=f"{reason}.*a.wav"):
        load_audio(path, SAMPLE_RATE)
