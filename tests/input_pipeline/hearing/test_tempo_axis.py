"""The axis of the cyclic tempogram is the one that its authors define."""

import numpy as np
import pytest
import scipy.interpolate

from input_pipeline.hearing.tempo_axis import folding

FRAME_RATE = 22050 / 512


@pytest.mark.parametrize(("window", "frame_rate"), [(384, FRAME_RATE), (200, 86.1)])
def test_is_the_mean_over_interpolated_octaves(window: int, frame_rate: float) -> None:
    """Interpolated over a linear axis of tempo, then averaged over the octaves."""
    by_lag = np.random.default_rng(0).normal(size=(window, 5))
    tempi = 60 * frame_rate / np.arange(1, window)
    wanted = 30 * 2.0 ** (np.arange(4 * window) / window)
    by_tempo = scipy.interpolate.interp1d(tempi, by_lag[1:], axis=0)(wanted)
    expected = by_tempo.reshape(4, window, 5).mean(axis=0)
    found = folding(window, frame_rate) @ by_lag
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_tempi_an_octave_apart_share_their_row() -> None:
    def loudest(beats_per_minute: float) -> int:
        lag = 60 * FRAME_RATE / beats_per_minute
        by_lag = np.exp(-(((np.arange(384) - lag) / 1.5) ** 2))
        return int(np.argmax(folding(384, FRAME_RATE) @ by_lag))

    assert loudest(50) == pytest.approx(384 * np.log2(50 / 30), abs=6)
    assert loudest(100) == pytest.approx(loudest(50), abs=12)
    assert abs(loudest(70) - loudest(50)) > 100


def test_lags_that_do_not_cover_the_octaves() -> None:
    expected = "tempogram_window is 64: lags of 23.2 ms do not cover 30 to 480 BPM"
    with pytest.raises(ValueError, match=expected):
        folding(64, FRAME_RATE)
