"""Simulated recording media: how a clip might have been recorded and played back."""

from collections.abc import Callable

import numpy as np
from scipy import signal


def shellac(samples: np.ndarray, rate: int, generator: np.random.Generator) -> np.ndarray:
    """Simulates a shellac record of the 1920s: narrow band, surface noise, crackle.

    The swish of the turning record is left out: 78 turns a minute would be heard as a tempo.

    Args:
      samples: [n], not silent.
      rate: Hz.
      generator: of the noise.
    """
    loudness = _root_mean_square(samples)
    saturated = loudness * np.tanh(samples / loudness / 2) * 2
    band = _filter(saturated, rate, (300, 3400), order=4)
    surface = _filter(generator.standard_normal(len(samples)), rate, (200, 4500), order=1)
    clicks = np.zeros(len(samples))
    count = generator.poisson(25 * len(samples) / rate)  # 25 clicks a second
    heights = generator.exponential(1.0, count) * generator.choice([-1.0, 1.0], count)
    clicks[generator.integers(0, len(samples), count)] = heights
    crackle = _filter(clicks, rate, (800, 4500), order=1)
    crackle *= 2 * loudness / max(np.abs(crackle).max(), 1e-12)
    return band + _scaled(surface, 0.12 * loudness) + crackle


def tape(samples: np.ndarray, rate: int, generator: np.random.Generator) -> np.ndarray:
    """Simulates a worn tape of the 1960s: dull, hissing, saturated, with wow and flutter.

    Wow (0.8 Hz) and flutter (7 Hz) shift the pitch by at most 5 cents and keep the mean speed.

    Args:
      samples: [n], not silent.
      rate: Hz.
      generator: of the noise.
    """
    loudness = _root_mean_square(samples)
    seconds = np.arange(len(samples)) / rate
    delay = np.zeros(len(samples))  # seconds; its slope is the relative deviation of the speed
    for frequency, deviation in ((0.8, 0.002), (7.0, 0.0008)):
        phase = generator.uniform(0, 2 * np.pi)
        circular = 2 * np.pi * frequency
        delay += deviation / circular * np.sin(circular * seconds + phase)
    moved = np.interp(seconds + delay, seconds, samples)
    saturated = loudness * np.tanh(moved / loudness / 1.5) * 1.5
    dull = _filter(saturated, rate, (60, 5000), order=2)
    hiss = _filter(generator.standard_normal(len(samples)), rate, (1000, 9500), order=1)
    return dull + _scaled(hiss, 0.05 * loudness)


def modern(samples: np.ndarray, rate: int, generator: np.random.Generator) -> np.ndarray:
    """Returns the samples unchanged: a clean digital recording."""
    del rate, generator
    return samples


MEDIA: dict[str, Callable[[np.ndarray, int, np.random.Generator], np.ndarray]] = {
    "1920s shellac": shellac,
    "1960s tape": tape,
    "modern digital": modern,
}


def normalise(samples: np.ndarray, level: float) -> np.ndarray:
    """Brings samples to a given loudness, with all peaks below full scale.

    Rounding off the peaks costs loudness, which is then made up for; a few rounds suffice.

    Args:
      samples: [n], not silent.
      level: root mean square, below 0.25.
    """
    knee = 0.7
    for _ in range(8):
        samples = samples * (level / _root_mean_square(samples))
        over = np.abs(samples) > knee
        if not over.any():
            break
        excess = (np.abs(samples[over]) - knee) / (1 - knee)
        samples[over] = np.sign(samples[over]) * (knee + (1 - knee) * np.tanh(excess))
    return samples


def _root_mean_square(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


def _scaled(samples: np.ndarray, level: float) -> np.ndarray:
    return samples * (level / _root_mean_square(samples))


def _filter(samples: np.ndarray, rate: int, band: tuple[float, float], *, order: int) -> np.ndarray:
    sections = signal.butter(order, band, btype="bandpass", fs=rate, output="sos")
    return signal.sosfilt(sections, samples)
