"""Libraries without audio: given vectors, so that only the store and the search are looked at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxsim import subspaces
from jaxsim.library import store, writing
from jaxsim.library.writing import Entry

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
        given=given,
        size=1,
        modified=1,
        digest=str(number),
        tags={},
        seconds=10.0,
        vector=vector,
    )


def random_vectors(count: int, seed: int = 0) -> np.ndarray:
    """[count, 12]; sub-spaces of different spread around different directions."""
    random = np.random.default_rng(seed)
    centre = random.normal(size=(1, 3, 4)) * np.array([0.0, 1.0, 3.0])[:, None]
    return (centre + random.normal(size=(count, 3, 4))).reshape(count, 12)


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., store.Store]:
    """Writes vectors [N, 12] with metadata per track, and opens the store."""

    def make(vectors: np.ndarray, metadata: list[dict[str, Any]] | None = None) -> store.Store:
        unit = subspaces.normalised(vectors, len(DIMENSIONS))
        given = metadata or [{}] * len(unit)
        with writing.open(tmp_path / "store", describe(), b"model") as writer:
            writer.add([entry(i, v, **g) for i, (v, g) in enumerate(zip(unit, given, strict=True))])
            writer.measure_cosines()
        return store.open(tmp_path / "store")

    return make
