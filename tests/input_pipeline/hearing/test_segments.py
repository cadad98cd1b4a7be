"""Segments are what a track is cut into, with the padding that librosa gives a tempogram."""

import subprocess
import sys

import librosa
import numpy as np
import pytest

from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.hearing.segments import middles, pad_onset, segments

CONFIG = FeatureConfig(segment_frames=10, tempogram_window=8, n_mels=3, n_chroma=2)


def track(frames: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(frames)
    return {
        "mel": random.random((frames, 3)).astype(np.float16),
        "cens": random.random((frames, 2)).astype(np.float16),
        "onset": random.random(frames).astype(np.float32),
    }


@pytest.mark.parametrize(("frames", "count"), [(9, 0), (10, 1), (39, 3), (40, 4)])
def test_segments_follow_each_other_and_the_rest_is_dropped(frames: int, count: int) -> None:
    arrays = track(frames)
    cut = segments(arrays, CONFIG)
    shapes = {"mel": (count, 10, 3), "cens": (count, 10, 2), "onset": (count, 17)}
    assert {name: array.shape for name, array in cut.items()} == shapes
    for name in ("mel", "cens"):
        for number in range(count):
            part = arrays[name][10 * number : 10 * (number + 1)]
            np.testing.assert_array_equal(cut[name][number], part)
        assert cut[name].dtype == np.float16


@pytest.mark.parametrize(("frames", "count"), [(9, 0), (10, 1), (39, 3), (40, 4)])
def test_every_segment_has_a_middle(frames: int, count: int) -> None:
    """Frame t is centred at sample 512 t, and a segment of ten has its middle between two."""
    found = middles(range(512 * (frames - 1)), CONFIG)
    expected = [512 * (10 * number + 4.5) / 22050 for number in range(count)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_onset_is_padded_as_librosas_tempogram_pads_it() -> None:
    onset = track(40)["onset"]
    expected = librosa.feature.tempogram(onset_envelope=onset, win_length=8, norm=None)  # [8, 40]
    windows = np.lib.stride_tricks.sliding_window_view(pad_onset(onset, 8), 8)[:40]
    weights = librosa.filters.get_window("hann", 8)
    found = librosa.autocorrelate((windows * weights).T, axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    cut = segments(track(40), CONFIG)["onset"]
    for number, seen in enumerate(cut):
        np.testing.assert_array_equal(
            np.lib.stride_tricks.sliding_window_view(seen, 8), windows[10 * number :][:10]
        )


def test_one_end_is_padded_where_the_other_is_no_end() -> None:
    onset = np.ones(5, np.float32)
    assert pad_onset(onset, 4, right=False).tolist() == [0, 0.5, 1, 1, 1, 1, 1]
    assert pad_onset(onset, 4, left=False).tolist() == [1, 1, 1, 1, 1, 0.5, 0]


def test_numpy_is_enough() -> None:
    code = "import sys, input_pipeline.hearing.segments as s; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "numpy" in done.stdout.split()
    assert not {"librosa", "tensorflow", "jax", "scipy"} & set(done.stdout.split())
