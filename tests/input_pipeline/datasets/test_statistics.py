"""Means and deviations of a training split, against librosa and NumPy."""

import json
import shutil

import librosa
import numpy as np
import pytest

from input_pipeline.datasets import dataset, statistics
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.hearing.tempo_axis import folding


def test_are_those_of_the_training_split_alone(prepared_directory):
    found = dataset.statistics(prepared_directory)
    data = dataset.open(prepared_directory, "train", FeatureConfig())
    stored = [data.stored(index) for index in range(len(data))]
    lags = [
        librosa.feature.tempogram(onset_envelope=arrays["onset"], win_length=384)
        for arrays in stored
    ]
    heard = [tempogram[:, :: statistics.TEMPOGRAM_STEP] for tempogram in lags]
    matrix = folding(384, data.feature_config.frame_rate)
    values = {
        "mel": [arrays["mel"] for arrays in stored],
        "cens": [arrays["cens"] for arrays in stored],
        "autocorrelation": heard,
        "cyclic": [matrix @ tempogram for tempogram in heard],
    }
    assert found.keys() == values.keys()
    for name, arrays in values.items():
        every = np.concatenate([array.astype(np.float64).ravel() for array in arrays])
        assert found[name] == pytest.approx((every.mean(), every.std()), rel=1e-4), name


def test_every_sixteenth_frame_is_enough(prepared_directory):
    data = dataset.open(prepared_directory, "train", FeatureConfig())
    lags = [
        librosa.feature.tempogram(onset_envelope=data.stored(index)["onset"], win_length=384)
        for index in range(len(data))
    ]
    every = np.concatenate([tempogram.ravel() for tempogram in lags])
    mean, deviation = dataset.statistics(prepared_directory)["autocorrelation"]
    assert mean == pytest.approx(every.mean(), abs=0.02)
    assert deviation == pytest.approx(every.std(), abs=0.02)


def test_a_data_set_that_does_not_know_them(prepared_directory, tmp_path):
    shutil.copytree(prepared_directory, tmp_path / "old")
    path = tmp_path / "old" / "metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["statistics"]
    path.write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="statistics is None, expected mean and deviation of the"):
        dataset.statistics(tmp_path / "old")
