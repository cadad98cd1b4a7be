"""librosa's filters are the oracles; the features do without librosa."""

import subprocess
import sys

import librosa
import numpy as np
import pytest

from input_pipeline.hearing import filters


@pytest.mark.parametrize("length", [1, 2, 7, 1024])
def test_hann_is_librosas(length):
    expected = librosa.filters.get_window("hann", length)
    np.testing.assert_allclose(filters.hann(length), expected, atol=1e-15)


@pytest.mark.parametrize(
    ("rate", "n_fft", "n_mels"), [(22050, 1024, 128), (1600, 256, 12), (44100, 2047, 40)]
)
def test_mel_is_librosas(rate, n_fft, n_mels):
    expected = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels)
    found = filters.mel(rate, n_fft, n_mels)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * expected.max())


@pytest.mark.parametrize(
    ("rate", "octave", "bins", "tuning"),
    [(22050, 6, 36, 0.0), (22050, 6, 36, -0.37), (16000, 3, 12, 0.2), (44100, 6, 24, 0.49)],
)
def test_wavelets_are_librosas(rate, octave, bins, tuning):
    frequencies = librosa.cqt_frequencies(
        (octave + 1) * bins, fmin=librosa.note_to_hz("C1"), bins_per_octave=bins, tuning=tuning
    )[-bins:]
    basis, lengths = librosa.filters.wavelet(freqs=frequencies, sr=rate)
    expected_n_fft = basis.shape[1]
    spectra = np.fft.fft(basis * (lengths[:, None] / expected_n_fft))
    spectra = spectra[:, : expected_n_fft // 2 + 1]
    expected = librosa.util.sparsify_rows(spectra, quantile=0.01).toarray()
    n_fft, found = filters.wavelets(rate, octave=octave, bins_per_octave=bins, tuning=tuning)
    assert n_fft == expected_n_fft
    np.testing.assert_allclose(found * np.sqrt(lengths)[:, None], expected, atol=1e-6)
    assert np.abs(expected).max() > 0.4


@pytest.mark.parametrize(("bins", "n_chroma"), [(36, 12), (24, 12), (12, 12), (36, 36), (60, 12)])
def test_fold_is_librosas(bins, n_chroma):
    expected = librosa.filters.cq_to_chroma(bins, bins_per_octave=bins, n_chroma=n_chroma)
    np.testing.assert_array_equal(filters.fold(bins, n_chroma), expected)


def test_bins_that_cannot_be_shared_out():
    with pytest.raises(ValueError, match=r"bins_per_octave is 36, expected a multiple .* \(10\)"):
        filters.fold(36, 10)


LOADED = """
import sys
import numpy as np
from input_pipeline.hearing.features import FeatureConfig, extract
samples = np.random.default_rng(0).normal(size=6 * 22050).astype(np.float32)
extract(samples, FeatureConfig(loudness="track", silence="left_out"))
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_features_load_neither_librosa_nor_numba():
    command = [sys.executable, "-c", LOADED]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert {"numpy", "soxr"} <= set(loaded)
    assert not {"librosa", "numba", "llvmlite", "sklearn", "joblib"} & set(loaded)
