"""Measures of readings against plain loops, scikit-learn and mir_eval."""

import itertools

import librosa
import mir_eval
import numpy as np
import pytest
import sklearn.metrics

from input_pipeline.hearing import baselines
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.tracks import KEYS
from jaxsim.evaluation import metrics, reading_metrics


@pytest.mark.parametrize(
    ("found", "true", "one", "two", "octaves"),
    [
        (120.0, 120.0, 1, 1, 1),
        (124.7, 120.0, 1, 1, 1),  # within 4 %
        (125.0, 120.0, 0, 0, 0),
        (60.0, 120.0, 0, 1, 1),
        (240.0, 120.0, 0, 1, 1),
        (40.0, 120.0, 0, 1, 0),  # a third is no octave
        (360.0, 120.0, 0, 1, 0),
        (30.0, 120.0, 0, 0, 1),  # a quarter is two of them
        (90.0, 120.0, 0, 0, 0),
        (0.0, 120.0, 0, 0, 0),  # unknown
    ],
)
def test_tempo(found: float, true: float, one: int, two: int, octaves: int) -> None:
    scores = reading_metrics.tempo_scores(np.array([found, true]), np.array([true, true]))
    expected = {"accuracy 1": one, "accuracy 2": two, "octaves": octaves}
    assert {name: each.tolist() for name, each in scores.items()} == {
        name: [value, 1] for name, value in expected.items()
    }


def test_every_pair_of_keys_scores_as_in_mir_eval() -> None:
    pairs = np.array(list(itertools.product(range(24), repeat=2)))
    scores = reading_metrics.key_scores(*pairs.T)
    for number, (found, true) in enumerate(pairs):
        expected = mir_eval.key.weighted_score(KEYS[true], KEYS[found])
        assert scores["MIREX"][number] == expected, (KEYS[found], KEYS[true])
        assert scores["exact"][number] == (found == true)
    unknown = reading_metrics.key_scores(np.array([-1, -1]), np.array([0, 23]))
    assert [each.tolist() for each in unknown.values()] == [[0, 0], [0, 0]]


def test_average_precision_with_ties_and_weights() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 6, 50) / 5.0
    labels = random.random(50) < 0.3
    weights = np.concatenate([np.ones((1, 50)), random.integers(0, 3, (7, 50)), np.zeros((1, 50))])
    found = reading_metrics.average_precision(scores, labels, weights)
    for each, weight in zip(found[:-1], weights[:-1], strict=True):
        expected = sklearn.metrics.average_precision_score(labels, scores, sample_weight=weight)
        assert each == pytest.approx(expected, abs=1e-12)
    assert np.isnan(found[-1])
    groups = np.arange(50) % 11
    mean, each = metrics.over_tags(
        reading_metrics.average_precision,
        np.stack([scores, -scores, scores], axis=1),
        np.stack([labels, ~labels, np.zeros(50, bool)], axis=1),
        groups,
    )
    assert set(each) == {0, 1}, "nobody has the third tag"
    assert mean.value == pytest.approx(np.mean(list(each.values())))
    assert mean.low < mean.value < mean.high


def test_calibration_error_is_that_of_a_loop() -> None:
    random = np.random.default_rng(0)
    probabilities = np.append(random.random(300), [0.0, 1.0, 0.1, 0.3])
    labels = random.random(304) < probabilities**2
    expected = 0.0
    for low in range(10):
        inside = [
            (p, y) for p, y in zip(probabilities, labels, strict=True) if low == min(int(p * 10), 9)
        ]
        if inside:
            p, y = np.mean(inside, axis=0)
            expected += len(inside) / 304 * abs(p - y)
    found = reading_metrics.calibration_error(probabilities, labels, np.arange(304) // 4)
    assert found.value == pytest.approx(expected)
    assert 0.1 < found.low < found.value < found.high < 0.25
    # What is calibrated has an interval that reaches to 0, though every sample has some error.
    fair = reading_metrics.calibration_error(
        probabilities, random.random(304) < probabilities, np.arange(304)
    )
    assert fair.low < 0.02 < fair.value < fair.high


def test_the_key_of_profiles() -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        cens = random.random((30, 12)).astype(np.float16)
        mean = cens.astype(float).mean(axis=0)
        scores = {}
        for mode, profile in zip(("major", "minor"), baselines.PROFILES, strict=True):
            for tonic in range(12):
                expected = [profile[(pitch - tonic) % 12] for pitch in range(12)]
                scores[12 * (mode == "minor") + tonic] = np.corrcoef(expected, mean)[0, 1]
        assert baselines.key(cens) == max(scores, key=scores.__getitem__)
    assert baselines.key(np.zeros((30, 12))) == baselines.key(np.ones((30, 12))) == -1


def test_the_tempo_of_librosa() -> None:
    config = FeatureConfig()
    onset = np.zeros(1000, np.float32)
    onset[::20] = 1  # 2.15 a second
    found = baselines.tempo(onset, config)
    assert found == pytest.approx(60 * config.sample_rate / config.hop_length / 20, rel=0.03)
    assert found in librosa.tempo_frequencies(400, hop_length=512, sr=22050)
