"""A library of given vectors for every test that asks for one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxsim.library import store
from jaxsim.library.store import writing
from jaxsim.network import subspaces
from tests.helpers.libraries import DIMENSIONS, describe, entry


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
