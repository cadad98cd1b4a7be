"""Tempo and key as the usual simple methods read them from the stored features, to compare with."""

import numpy as np

from input_pipeline.hearing.features import FeatureConfig

# How well each pitch class fits a major and a minor key, from the tonic on (Krumhansl & Kessler,
# "Tracing the dynamic changes in perceived tonal organization", 1982).
PROFILES = np.array(
    (
        (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
        (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
    )
)


def tempo(onset: np.ndarray, config: FeatureConfig) -> float:
    """Beats per minute by `librosa.feature.tempo` from an onset envelope [T]."""
    import librosa

    (found,) = librosa.feature.tempo(
        onset_envelope=onset, sr=config.sample_rate, hop_length=config.hop_length
    )
    return float(found)


def key(cens: np.ndarray) -> int:
    """The index in `KEYS` of the key whose profile correlates best with the mean of CENS [T, 12].

    -1 if no pitch stands out.
    """
    mean = cens.mean(axis=0, dtype=np.float64)
    mean -= mean.mean()
    if np.abs(mean).max() < 1e-9:
        return -1
    turned = np.array([np.roll(profile, tonic) for profile in PROFILES for tonic in range(12)])
    turned -= turned.mean(axis=1, keepdims=True)
    return int(np.argmax(turned @ mean / np.linalg.norm(turned, axis=1)))
