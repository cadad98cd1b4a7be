"""From samples to MusiCNN's patches, and from the installed package to its weights."""

import pickle
import sys

import librosa
import numpy as np
import pytest

from input_pipeline.hearing import musicnn, tagging
from tests.helpers import taggers
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return taggers.install(tmp_path_factory.mktemp("packages"), seed=7)


@pytest.fixture(scope="module")
def tagger(package, tmp_path_factory):
    return tagging.export(package, tmp_path_factory.mktemp("weights") / "musicnn.npz")


def _patches(samples):
    """What is cut from it into whole patches."""
    rows = _rows(samples)
    whole = len(rows) // 187
    return np.array([rows[187 * n : 187 * (n + 1)] for n in range(whole)])


def _rows(samples):
    """The spectrogram of samples at 16 kHz, frame by frame, in float64."""
    padded = np.pad(samples.astype(np.float64), 256, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    filters = librosa.filters.mel(sr=16000, n_fft=512, n_mels=96, htk=False, norm="slaney")
    rows = []
    for frame in range(1 + len(samples) // 256):
        power = np.abs(np.fft.rfft(window * padded[256 * frame : 256 * frame + 512])) ** 2
        mel = np.minimum(filters @ power, 65504).astype(np.float16).astype(np.float64)
        rows.append(np.log10(10000 * mel + 1))
    return np.array(rows)


@pytest.mark.parametrize(("gain", "largest"), [(1, 5.82), (1000, np.log10(65504e4 + 1))])
def test_patches_are_those_of_the_definition(gain, largest):
    # 10,000 times the mel is beyond float16 in both, the mel itself in the second.
    samples = gain * librosa.resample(
        pulsed_tone(0, seconds=7), orig_sr=SAMPLE_RATE, target_sr=tagging.SAMPLE_RATE
    )
    found, expected = tagging.patches(samples, tagging.SAMPLE_RATE), _patches(samples)
    assert found.shape == expected.shape == (2, 187, 96) and found.dtype == np.float32
    # One step of float16 where a value lies between two of them.
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.mean(np.abs(found - expected) < 1e-5) > 0.999
    assert np.isfinite(found).all() and found.max() == pytest.approx(largest, abs=0.01)


@pytest.mark.parametrize(("frames", "count"), [(100, 1), (187, 1), (373, 1), (374, 2)])
def test_what_is_left_is_dropped_but_no_track_is_without_a_patch(frames, count):
    samples = np.random.default_rng(0).normal(size=(frames - 1) * 256).astype(np.float32)
    cut = tagging.patches(samples, tagging.SAMPLE_RATE)
    assert cut.shape == (count, 187, 96)
    if frames == 100:
        assert (cut[0, 102:] == 0).all() and (cut[0, :99] > 0).any(axis=1).all()


def test_other_rates_are_converted():
    samples = pulsed_tone(0, seconds=6.1)
    resampled = tagging.audio.resample(samples, SAMPLE_RATE, 16000)
    np.testing.assert_array_equal(
        tagging.patches(samples, SAMPLE_RATE), tagging.patches(resampled, 16000)
    )


def test_an_estimate_is_the_mean_over_the_patches(tagger):
    samples = pulsed_tone(3, seconds=9.5)
    found = pickle.loads(pickle.dumps(tagger)).estimate(samples, SAMPLE_RATE)
    cut = tagging.patches(samples, SAMPLE_RATE)
    assert len(cut) == 3 and set(found) == set(tagging.ARRAYS)
    for number, network in enumerate(("msd", "mtt")):
        predict = musicnn.predictor(taggers.random_weights(7 + number))
        each = [predict(patch[None]) for patch in cut]
        logits, embedding = (sum(one[i][0] for one in each) / 3 for i in (0, 1))
        np.testing.assert_allclose(found[f"{network}_logits"], logits, rtol=1e-5, atol=1e-5)
        if network == "msd":
            np.testing.assert_allclose(found["tag_embedding"], embedding, rtol=1e-5, atol=1e-5)
    assert {name: (a.dtype.name, a.shape) for name, a in found.items()} == {
        "msd_logits": ("float32", (50,)),
        "mtt_logits": ("float32", (50,)),
        "tag_embedding": ("float32", (taggers.EMBEDDING,)),
    }


def test_of_a_long_track_patches_are_heard_that_are_spread_evenly(tagger, monkeypatch):
    monkeypatch.setattr(tagging, "MOST_PATCHES", 2)
    samples = np.concatenate([pulsed_tone(key, seconds=3) for key in range(7)])
    cut = tagging.patches(samples, SAMPLE_RATE)
    assert len(cut) == 7
    found = tagger.estimate(samples, SAMPLE_RATE)
    logits, _ = musicnn.predictor(taggers.random_weights(7))(cut[[1, 5]])
    np.testing.assert_allclose(found["msd_logits"], logits.mean(axis=0), rtol=1e-5, atol=1e-5)


def test_segments_are_heard_in_patches_around_their_middles(tagger, monkeypatch):
    monkeypatch.setattr(tagging, "MOST_PATCHES", 2)  # at once, here
    samples = np.concatenate([pulsed_tone(key, seconds=2) for key in range(4)])
    middles = np.array([0.1, 1.5, 4.004, 6.3, 7.99])  # those of the ends are moved inwards
    found = tagger.hear_around(samples, SAMPLE_RATE, middles)
    rows = _rows(tagging.audio.resample(samples, SAMPLE_RATE, 16000)).astype(np.float32)
    assert len(rows) == 501
    firsts = [0, 1, 157, 301, 314]  # 93 frames before the one that is nearest to the middle
    cut = np.stack([rows[first : first + 187] for first in firsts])
    msd, mtt = (musicnn.predictor(taggers.random_weights(seed))(cut) for seed in (7, 8))
    logits, expected = np.concatenate([msd[0], mtt[0]], axis=1), msd[1]
    assert {name: (each.dtype.name, each.shape) for name, each in found.items()} == {
        "segment_embeddings": ("float16", (5, taggers.EMBEDDING)),
        "segment_logits": ("float16", (5, 100)),
    }
    np.testing.assert_allclose(found["segment_embeddings"], expected, rtol=6e-4, atol=1e-3)
    np.testing.assert_allclose(found["segment_logits"], logits, rtol=6e-4, atol=1e-3)
    assert np.abs(np.diff(expected, axis=0)).max(axis=1).min() > 0.01


def test_the_only_segment_of_a_short_track_is_followed_by_silence(tagger):
    samples = np.random.default_rng(0).normal(size=100 * 256).astype(np.float32)
    found = tagger.hear_around(samples, tagging.SAMPLE_RATE, np.array([0.8]))
    _, expected = musicnn.predictor(taggers.random_weights(7))(
        tagging.patches(samples, tagging.SAMPLE_RATE)
    )
    np.testing.assert_allclose(found["segment_embeddings"], expected, rtol=6e-4, atol=1e-3)


def test_weights_are_those_of_the_checkpoints(package, tagger, tmp_path):
    with np.load(tagger.path) as file:
        for number, network in enumerate(("msd", "mtt")):
            weights = taggers.random_weights(7 + number)
            assert {n for n in file.files if n.startswith(network)} == {
                f"{network}/{name}" for name in weights
            }
            for name, value in weights.items():
                np.testing.assert_array_equal(file[f"{network}/{name}"], value)
    assert tagging.export(package, tmp_path / "again.npz").digest == tagger.digest
    other = taggers.install(tmp_path / "other", seed=8)
    assert tagging.export(other, tmp_path / "other.npz").digest != tagger.digest


def test_each_network_has_fifty_tags():
    assert {name: len(set(tags)) for name, tags in tagging.TAGS.items()} == {"msd": 50, "mtt": 50}


def test_the_package_is_found_but_not_imported(package, monkeypatch):
    monkeypatch.syspath_prepend(package.parent)
    assert tagging.find() == package
    assert "musicnn" not in sys.modules


def test_a_missing_package_is_explained(monkeypatch, tmp_path):
    message = r"without MusiCNN: pip install --no-deps musicnn==0\.1\.0, or leave out 'tags'"
    monkeypatch.setattr(tagging.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=message):
        tagging.find()


def test_a_package_without_checkpoints_is_not_the_one(monkeypatch, tmp_path):
    (tmp_path / "musicnn").mkdir()
    (tmp_path / "musicnn" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="without MusiCNN"):
        tagging.find()


def test_a_damaged_checkpoint_is_named(tmp_path):
    package = taggers.install(tmp_path)
    (package / "MTT_musicnn" / ".index").write_bytes(b"half a file")
    with pytest.raises(ValueError, match="MTT_musicnn: not a readable checkpoint of MusiCNN"):
        tagging.export(package, tmp_path / "weights.npz")
    assert not (tmp_path / "weights.npz").exists()
