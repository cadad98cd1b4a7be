"""Libraries of given vectors, without audio, to test only the store and the search."""

from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.hearing.audio import UnusableTrack
from jaxsim.library import store
from jaxsim.library.search.query import Example
from jaxsim.library.search.readings import Sound
from jaxsim.library.store.writing import Entry

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
        path=f"/music/{number}.wav",
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


SOUND = Sound(tempo=120.0, key=21, tags={"genre": {"rock": 0.8}})


def embed_file(path: Path) -> tuple[Example, float]:
    """Stands in for the model: the file's bytes are the embedding, and it sounds like `SOUND`."""
    content = path.read_bytes()
    if content.startswith(b"text"):
        raise UnusableTrack("not audio in a known format")
    return Example(np.frombuffer(content, np.float32), SOUND), 12.5
