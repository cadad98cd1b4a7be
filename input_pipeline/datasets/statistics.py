"""Mean and deviation of the network's inputs over a training split, found while it is written."""

from collections.abc import Mapping

import numpy as np

from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.hearing.segments import pad_onset
from input_pipeline.hearing.tempo_axis import folding

TEMPOGRAM_STEP = 16  # a tempogram changes slowly: every 16th frame (0.37 s) is enough


class Statistics:
    """Running sums, in float64, of mel, CENS and both kinds of tempogram."""

    def __init__(self, config: FeatureConfig):
        self._config = config
        self._sums: dict[str, np.ndarray] = {}  # number of values, their sum and sum of squares

    def add(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Counts a track, whose features are as `features.extract` gives them."""
        self._add("mel", arrays["mel"])
        self._add("cens", arrays["cens"])
        lags = _tempogram(arrays["onset"], self._config.tempogram_window)
        self._add("autocorrelation", lags)
        matrix = self._folding()
        if matrix is not None:
            self._add("cyclic", lags @ matrix.T)

    def _folding(self) -> np.ndarray | None:
        config = self._config
        try:
            return folding(config.tempogram_window, config.frame_rate)
        except ValueError:  # such features have no cyclic tempogram
            return None

    def _add(self, name: str, values: np.ndarray) -> None:
        values = values.astype(np.float64)
        sums = np.array([values.size, values.sum(), (values**2).sum()])
        self._sums[name] = self._sums.get(name, 0.0) + sums

    def result(self) -> dict[str, tuple[float, float]]:
        """(mean, deviation) of "mel", "cens", "autocorrelation" and, if it exists, "cyclic"."""
        found = {}
        for name, (count, total, squares) in self._sums.items():
            mean = total / count
            found[name] = (float(mean), float(np.sqrt(max(squares / count - mean**2, 0.0))))
        return found


def _tempogram(onset: np.ndarray, window: int) -> np.ndarray:
    """Every `TEMPOGRAM_STEP`th frame of `librosa.feature.tempogram`, transposed: [n, window]."""
    padded = pad_onset(onset.astype(np.float64), window)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[: len(onset)]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    spectrum = np.fft.rfft(frames[::TEMPOGRAM_STEP] * hann, 2 * window)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, :window]
    peak = np.abs(correlation).max(axis=1, keepdims=True)
    return correlation / np.where(peak < np.finfo(np.float32).tiny, 1.0, peak)
