"""Updates a library of tones, without a network."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.hearing.readings import Evidence
from input_pipeline.tracks import KEYS
from jaxsim.library import store
from jaxsim.library.intake.updating import Report, update
from jaxsim.network import subspaces
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone
from tests.helpers.libraries import describe


class Embedder:
    """Stands in for the real one: its vectors show what was embedded, and how often."""

    file = b"model"
    feature_config = FeatureConfig()
    seconds = None

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def description(self) -> dict:
        return describe()

    def stream(self, tracks: Iterable) -> Iterator:
        for key, arrays in tracks:
            self.embedded.append(Path(key[0].path).name)
            yield key, vector_of(arrays["mel"])

    def read(self, vector: np.ndarray, evidence: Evidence) -> dict:
        reading = evidence.reading()
        return {"heard_tempo": reading.tempo, "heard_key": KEYS[reading.key], "heard_tags": "{}"}


def vector_of(mel: np.ndarray) -> np.ndarray:
    bands = mel[:, :12].astype(np.float64).mean(axis=0) + np.linspace(0.1, 1, 12)
    return subspaces.normalised(bands[None], 3)[0]


def write_tone(path: Path, number: int) -> None:
    soundfile.write(path, pulsed_tone(number, seconds=3.1), SAMPLE_RATE)


def run(music: Path, **options) -> tuple[Report, list[str], store.Store]:
    embedder = Embedder()
    library = options.pop("library", [music])
    report = update(library, music.parent / "store", embedder=embedder, **options)
    return report, embedder.embedded, store.open(music.parent / "store")
