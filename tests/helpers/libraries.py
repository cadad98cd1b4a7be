"""Libraries of given vectors, without audio, to test only the store and the search."""

from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.hearing.audio import UnusableTrack
from jaxsim.exported import model_writing
from jaxsim.exported.readings import TEMPI, Prototypes
from jaxsim.library import store
from jaxsim.library.search.query import Example
from jaxsim.library.search.readings import Sound
from jaxsim.library.store import writing
from jaxsim.library.store.entries import Entry
from jaxsim.network import subspaces
from tests.helpers.models import model_file

DIMENSIONS = ("genre", "tempo", "key")


def describe(model: str = "a" * 64) -> dict[str, Any]:
    return store.describe(
        model=model,
        dimensions=DIMENSIONS,
        embedding_size=12,
        feature_version=1,
        feature_config={},
        tag_names={},
    )


def entry(number: int, vector: np.ndarray, **given: Any) -> Entry:
    return Entry(
        path=given.pop("path", f"/music/{number}.wav"),
        track_id=given.pop("id", f"{number:04d}"),
        heard=given.pop("heard", {}),
        given=given,
        size=1,
        modified=1,
        digest=str(number),
        tags={},
        seconds=10.0,
        vector=vector,
    )


def random_vectors(count: int, seed: int = 0) -> np.ndarray:
    """[count, 12]; sub-spaces spread differently around different directions."""
    random = np.random.default_rng(seed)
    centre = random.normal(size=(1, 3, 4)) * np.array([0.0, 1.0, 3.0])[:, None]
    return (centre + random.normal(size=(count, 3, 4))).reshape(count, 12)


def prototypes(*names: str) -> Prototypes:
    """Directions in a plane, one for each name."""
    angles = np.linspace(0.1, 6, len(names))
    both = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return Prototypes(names, both, *2 * [np.ones(len(names), np.float32)])


def write_reading(folder: Path) -> store.Store:
    """A library whose model reads genres, tempi and keys, from sub-spaces of two numbers."""
    given = {
        "genre": prototypes("hard rock", "jazz", "Bebop"),
        "tempo": prototypes(*TEMPI),
        "key": prototypes("C major", "A minor"),
    }
    model_writing.add_readings(model_file(folder / "old.npz"), given, folder / "new.npz")
    vectors = subspaces.normalised(random_vectors(29)[:, :6], len(DIMENSIONS))
    about = describe() | {"embedding_size": 6}
    with writing.open(folder / "store", about, (folder / "new.npz").read_bytes()) as writer:
        writer.add([entry(i, vector, title=f"Song {i}") for i, vector in enumerate(vectors)])
        writer.measure_cosines()
    return store.open(folder / "store")


SOUND = Sound(tempo=120.0, key=21, tags={"genre": {"rock": 0.8}})


def embed_file(path: Path) -> tuple[Example, float]:
    """Stands in for the model: the file's bytes are the embedding, and it sounds like `SOUND`."""
    content = path.read_bytes()
    if content.startswith(b"text"):
        raise UnusableTrack("not audio in a known format")
    return Example(np.frombuffer(content, np.float32), SOUND), 12.5
