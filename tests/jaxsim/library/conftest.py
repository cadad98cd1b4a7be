"""A store without audio: random vectors, so that only the search is looked at."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxsim.library import store, writing
from jaxsim.library.writing import Entry

DIMENSIONS = ("genre", "tempo", "key")


def describe(dimensions: tuple[str, ...] = DIMENSIONS, size: int = 12, model: str = "a" * 64):
    return store.describe(
        model=model,
        dimensions=dimensions,
        embedding_size=size,
        feature_version=1,
        feature_config={},
        tag_names={},
    )


def entry(number: int, vector: np.ndarray, **given) -> Entry:
    return Entry(
        path=f"/music/{number}.wav",
        track_id=f"{number:04d}",
        given=given,
        size=1,
        modified=1,
        digest=str(number),
        tags={},
        seconds=10.0,
        vector=vector,
    )


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., store.Store]:
    """Writes vectors [N, 12] with metadata per track, and opens the store."""

    def make(vectors: np.ndarray, metadata=None, name: str = "store") -> store.Store:
        unit = store.normalised(vectors, len(DIMENSIONS))
        given = metadata or [{}] * len(unit)
        with writing.open(tmp_path / name, describe(), b"model") as writer:
            writer.add([entry(i, v, **g) for i, (v, g) in enumerate(zip(unit, given, strict=True))])
            writer.measure_spread()
        return store.open(tmp_path / name)

    return make
