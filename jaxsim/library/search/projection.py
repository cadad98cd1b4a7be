"""A map of a library: its tracks in two dimensions, close together where they sound alike.

Small libraries are laid out by t-SNE where scikit-learn is installed (the extra `map`), all others
by their first two principal components. A map is computed once and kept in the library's folder as
long as the tracks stay the same.
"""

import contextlib
import hashlib
import zipfile
from pathlib import Path

import numpy as np
import threadpoolctl

from input_pipeline import extras
from input_pipeline.files import replacing
from jaxsim.library.store import Store
from jaxsim.network import subspaces
from jaxsim.network.likeness import TINY_DEVIATION

VERSION = 2  # Raise it whenever `compute` gives different maps.
WHOLE = "all"
MAX_TSNE = 3000  # tracks; its time grows faster than their number
SAMPLE = 10_000  # tracks whose principal components are computed
BLOCK = 8192


def load(store: Store, space: str = WHOLE) -> np.ndarray:
    """The map of a library, computed if there is none yet.

    Args:
      store: the library.
      space: a dimension, or `WHOLE`: all sub-spaces with equal influence.

    Returns:
      float32 [N, 2], in the order of `store.rows`; all within 0 to 1, on the same scale both ways.

    Raises:
      ValueError: there is no such space.
    """
    file = _file(store, space)
    points = _read(file, store)
    if points is None:
        points = compute(store, space)
        with contextlib.suppress(OSError):  # the library may be read-only
            _write(file, store, points)
    return points


def is_there(store: Store, space: str = WHOLE) -> bool:
    """Whether `load` need not compute the map."""
    return _read(_file(store, space), store) is not None


def compute(store: Store, space: str = WHOLE) -> np.ndarray:
    """A map as `load` returns it."""
    count = len(store)
    if count < 3:  # too few to spread over a plane
        return np.stack([np.linspace(0, 1, count), np.full(count, 0.5)], 1).astype(np.float32)
    layout = _by_tsne if _is_by_tsne(count) else _by_components
    points = layout(store, space)
    low, high = points.min(axis=0), points.max(axis=0)
    centred = (points - (low + high) / 2) / max((high - low).max(), 1e-12)
    return np.asarray(np.clip(centred + 0.5, 0, 1), np.float32)


def _is_by_tsne(count: int) -> bool:
    return count <= MAX_TSNE and extras.are_there("map")


def _by_tsne(store: Store, space: str) -> np.ndarray:
    from sklearn.manifold import TSNE

    vectors = _vectors(store, space, store.rows)
    if np.ptp(vectors, axis=0).max() < 1e-3:  # all equal in float16, on which TSNE fails
        return np.zeros((len(vectors), 2))
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=0, n_jobs=1)
    # The threads of the libraries imported by now wait for each other in busy loops: on a busy
    # machine this takes minutes instead of a second.
    with threadpoolctl.threadpool_limits(limits=1):
        return tsne.fit_transform(vectors)


def _by_components(store: Store, space: str) -> np.ndarray:
    random = np.random.default_rng(0)
    chosen = np.sort(random.choice(store.rows, min(SAMPLE, len(store)), replace=False))
    sample = _vectors(store, space, chosen)
    centre = sample.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov(sample, rowvar=False))  # in ascending order
    plane = directions[:, :-3:-1]
    plane = plane * np.sign(plane[np.abs(plane).argmax(axis=0), [0, 1]])  # else they are arbitrary
    blocks = [store.rows[i : i + BLOCK] for i in range(0, len(store), BLOCK)]
    return np.concatenate([(_vectors(store, space, rows) - centre) @ plane for rows in blocks])


def _vectors(store: Store, space: str, rows: np.ndarray) -> np.ndarray:
    """float32 vectors of a space; for `WHOLE`, inner products are scores with equal weights."""
    vectors = np.asarray(store.vectors[rows], np.float32)
    if space != WHOLE:
        return vectors[:, store.subspaces[space]]
    deviation = np.where(store.deviation >= TINY_DEVIATION, store.deviation, np.inf)
    scale = np.asarray(deviation**-0.5, np.float32)
    return vectors * (scale @ subspaces.masks(len(scale), store.embedding_size))


def _file(store: Store, space: str) -> Path:
    if space != WHOLE and space not in store.dimensions:
        spaces = ", ".join((WHOLE, *store.dimensions))
        raise ValueError(f"map: {space!r} is not a space of this library, expected one of {spaces}")
    return store.path / f"map-{space}.npz"


def _key(store: Store) -> str:
    """Identifies layout, tracks and vectors: rows of a matrix are never written twice."""
    about = f"{VERSION} {_is_by_tsne(len(store))} {store.matrix} "
    return hashlib.sha256(about.encode() + store.rows.tobytes()).hexdigest()


def _read(file: Path, store: Store) -> np.ndarray | None:
    """The map in a file, if it is complete and of the same tracks."""
    try:
        with np.load(file, allow_pickle=False) as content:
            points, key = content["points"], str(content["key"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if key != _key(store) or points.shape != (len(store), 2):
        return None
    return points


def _write(file: Path, store: Store, points: np.ndarray) -> None:
    with replacing(file) as content:
        np.savez_compressed(content, points=points, key=np.array(_key(store)))
