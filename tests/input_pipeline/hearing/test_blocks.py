"""A track's features do not depend on the blocks in which it is read."""

import subprocess
import sys

import librosa
import numpy as np
import pytest
from pyloudnorm import Meter

from input_pipeline.hearing import blocks, chroma, level, mel
from input_pipeline.hearing.features import FeatureConfig, extract
from tests.helpers.audio import SAMPLE_RATE

HOP, FRAMES = 512, 24


def _random(size, random):
    return 0.1 * random.normal(size=size)


def _tonal(size, random):
    """Three tones out of tune, whose level changes slowly."""
    time = np.arange(size) / SAMPLE_RATE
    tones = sum(np.sin(2 * np.pi * hertz * time) for hertz in (111.3, 337.1, 1409.7))
    return 0.2 * tones * (0.2 + np.sin(1.3 * time) ** 2) + 1e-3 * random.normal(size=size)


def _percussive(size, random):
    """Bursts of noise that die away, over almost nothing."""
    since = np.arange(size) % 9001
    return random.normal(size=size) * (0.5 * np.exp(-since / 700) + 1e-5)


SIGNALS = {"random": _random, "tonal": _tonal, "percussive": _percussive}


def _signal(name, size):
    return SIGNALS[name](size, np.random.default_rng(size)).astype(np.float32)


def _small(monkeypatch, *, frames=FRAMES):
    """Blocks so small that a short track has many of them."""
    monkeypatch.setattr(blocks, "FRAMES", frames)
    monkeypatch.setattr(mel, "KEPT_BLOCKS", 2)
    monkeypatch.setattr(chroma, "CENS_FRAMES", 16)
    monkeypatch.setattr(level, "AT_ONCE", 3)


def _one_piece(monkeypatch):
    for module, name in [(blocks, "FRAMES"), (chroma, "CENS_FRAMES"), (level, "AT_ONCE")]:
        monkeypatch.setattr(module, name, 10**5)


def librosas(samples):
    """Mel float64, CENS and onset of the whole track by librosa alone."""
    magnitude = librosa.feature.melspectrogram(
        y=samples, sr=SAMPLE_RATE, n_fft=1024, hop_length=HOP, power=1.0
    )
    cens = librosa.feature.chroma_cens(
        y=samples, sr=SAMPLE_RATE, hop_length=HOP, bins_per_octave=36
    )
    onset = librosa.onset.onset_strength(y=samples, sr=SAMPLE_RATE, n_fft=1024, hop_length=HOP)
    return {
        "mel": np.log10(1 + 10 * magnitude.astype(np.float64)).T,
        "cens": cens.T,
        "onset": onset,
    }


SIZES = [  # samples: about a block's end, and about that of the last frame
    extra + HOP * (FRAMES * count + frame)
    for count, frame, extra in [(6, 0, 0), (6, 0, -1), (6, -1, 1), (7, 1, 0), (5, 12, 511)]
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SIGNALS)
def test_small_blocks_give_librosas_features_of_the_whole(name, size, monkeypatch):
    samples = _signal(name, size)
    _small(monkeypatch)
    found, expected = extract(samples, FeatureConfig(segment_frames=64)), librosas(samples)
    assert found["mel"].shape == expected["mel"].shape
    np.testing.assert_allclose(found["mel"], expected["mel"], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found["onset"], expected["onset"], rtol=1e-5, atol=2e-5)
    assert _flips(found["cens"], expected["cens"]) == 0


def _flips(found, expected):
    """The share of CENS that rounding cannot explain: a quantisation fell on the other side."""
    found = found.astype(np.float64)
    return float((np.abs(found - expected) > 1e-3 * expected + 1e-6).mean())


@pytest.mark.parametrize("frames", [1, 5, 64])
@pytest.mark.parametrize("name", SIGNALS)
def test_blocks_of_any_size_give_what_one_piece_gives(name, frames, monkeypatch):
    samples = _signal(name, SIZES[-1])
    config = FeatureConfig(segment_frames=64, loudness="track", silence="left_out")
    with monkeypatch.context() as whole:
        _one_piece(whole)
        expected = extract(samples, config)
    _small(monkeypatch, frames=frames)
    found = extract(samples, config)
    np.testing.assert_allclose(found["mel"], expected["mel"], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found["onset"], expected["onset"], rtol=1e-5, atol=2e-5)
    assert _flips(found["cens"], expected["cens"]) == 0


def test_hardly_any_quantisation_of_cens_falls_on_the_other_side():
    """Of two minutes of music-like noise, at most one entry in ten thousand."""
    samples = np.concatenate([_signal(name, 40 * SAMPLE_RATE) for name in SIGNALS])
    found, expected = extract(samples, FeatureConfig())["cens"], librosas(samples)["cens"]
    assert _flips(found, expected) <= 1e-4


def test_the_loudest_moment_may_come_last(monkeypatch):
    """What is 80 dB below the track's loudest band is cut off in blocks before it too."""
    samples = _signal("random", HOP * FRAMES * 6)
    samples *= np.linspace(-6, 0, len(samples), dtype=np.float32).__rpow__(10)
    _small(monkeypatch)
    found = extract(samples, FeatureConfig(segment_frames=64))["onset"]
    np.testing.assert_allclose(found, librosas(samples)["onset"], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("n_fft", [1023, 600, 2048])
def test_spectra_are_librosas(n_fft, monkeypatch):
    monkeypatch.setattr(blocks, "FRAMES", 7)
    samples = _signal("tonal", 20001)
    expected = librosa.stft(samples, n_fft=n_fft, hop_length=192)
    places, spectra = zip(*blocks.spectra(samples, n_fft=n_fft, hop_length=192), strict=True)
    found = np.concatenate(spectra).T
    assert [place.start for place in places] == list(range(0, found.shape[1], 7))
    assert blocks.frame_count(samples, n_fft, 192) == found.shape[1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("rate", [22050, 16000, 44100, 11025.5])
@pytest.mark.parametrize("seconds", [0.4, 0.43, 0.46, 3.141, 8.0])
@pytest.mark.parametrize("name", SIGNALS)
def test_loudness_is_pyloudnorms(name, seconds, rate, monkeypatch):
    samples = _signal(name, int(np.ceil(seconds * rate)))
    samples[len(samples) // 3 : len(samples) // 2] *= np.float32(1e-4)  # for the gates
    expected = Meter(rate).integrated_loudness(samples.astype(np.float64))
    assert level.loudness(samples, rate) == pytest.approx(expected, abs=1e-6)
    monkeypatch.setattr(level, "AT_ONCE", 3)
    assert level.loudness(samples, rate) == pytest.approx(expected, abs=1e-6)


def test_loudness_of_too_little():
    with pytest.raises(ValueError, match=r"0\.30 s of audio, expected at least 0\.4 s"):
        level.loudness(np.ones(int(0.3 * SAMPLE_RATE), np.float32), SAMPLE_RATE)


def test_a_cut_is_read_like_the_array_of_its_parts():
    random = np.random.default_rng(0)
    samples = random.normal(size=1000).astype(np.float32)
    edges = np.sort(random.choice(1000, 16, replace=False)).tolist()
    parts = [slice(*edges[i : i + 2]) for i in range(0, 16, 2)]
    cut = level.Cut(samples, parts)
    whole = np.concatenate([samples[part] for part in parts])
    np.testing.assert_array_equal(cut, whole)
    bounds = [None, 0, len(whole), len(whole) + 9, *np.cumsum([len(samples[p]) for p in parts])]
    for start in bounds + random.integers(0, len(whole), 30).tolist():
        for stop in bounds + random.integers(0, len(whole), 30).tolist():
            np.testing.assert_array_equal(cut[start:stop], whole[start:stop])
    assert len(level.Cut(samples, [])) == len(level.Cut(samples, [])[:]) == 0


@pytest.mark.parametrize("seed", range(5))
def test_sounding_is_what_a_loop_keeps(seed, monkeypatch):
    """Every block of 50 ms by itself, in float64; pauses of up to 20 blocks between them."""
    random = np.random.default_rng(seed)
    size, lengths = 1102, random.integers(1, 45, 12)
    gains = np.repeat(np.tile([1.0, 1e-5], 6)[seed % 2 :][: len(lengths) - 1], lengths[1:][:11])
    samples = np.repeat(gains, size) * random.normal(size=len(gains) * size)
    samples = samples[: len(samples) - int(random.integers(0, size))].astype(np.float32)
    heard = [
        np.square(samples[i : i + size].astype(np.float64)).sum() / size > 10**-6.0
        for i in range(0, len(samples), size)
    ]
    kept = [
        any(heard[i] for i in range(block + 1) if block - i < 21)
        and any(
            heard[i] and heard[j] and j - i <= 21
            for i in range(block + 1)
            for j in range(block, len(heard))
        )
        for block in range(len(heard))
    ]
    expected = np.concatenate([samples[i * size :][:size] for i in np.flatnonzero(kept)])
    monkeypatch.setattr(level, "AT_ONCE", 4)
    np.testing.assert_array_equal(level.sounding(samples, SAMPLE_RATE, -10.0), expected)


GROWTH = """
import sys, tracemalloc
import numpy as np
from input_pipeline.hearing.features import FeatureConfig, extract
config = FeatureConfig(loudness="track", silence="left_out")
minute = np.random.default_rng(0).normal(size=60 * 22050).astype(np.float32) * 0.1
time = np.arange(len(minute), dtype=np.float32) / 22050
minute = 0.1 * minute + 0.2 * np.sin(2 * np.pi * 220 * time, dtype=np.float32)
minute[-9 * 22050 :] = 0  # a pause that is cut out of every minute
extract(minute, config)  # caches and compiles
for minutes in map(int, sys.argv[1:]):
    samples = np.tile(minute, minutes)
    tracemalloc.start()
    arrays = extract(samples, config)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(peak - sum(array.nbytes for array in arrays.values()))
"""


@pytest.mark.slow
def test_memory_beside_samples_and_features_does_not_grow_with_the_track():
    """From 8 to 24 minutes by less than a tenth of the samples: chroma and the tuning's peaks."""
    command = [sys.executable, "-c", GROWTH, "8", "24"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    short, long = map(int, output.split())
    assert long - short < 0.1 * 16 * 60 * 22050 * 4, (short, long)
