"""What a tagger heard, as a teacher of likeness: its embeddings, made compact."""

from collections.abc import Callable

import numpy as np

from input_pipeline.datasets.dataset import DataSet
from input_pipeline.hearing.tagging import SEGMENT_EMBEDDINGS

HEARS = ("track", "segment")
TEACHER_SIZE = 64  # principal components that are kept

OfCrops = Callable[[np.ndarray, np.ndarray], np.ndarray]


def teacher(data: DataSet, hears: str = "track") -> OfCrops:
    """Unit vectors whose cosines say how alike the tagger finds two crops.

    The tagger's embeddings, each column z-scored over the tracks, in the principal components of
    the tracks.

    Args:
      data: the split that is trained on.
      hears: "track": a crop has the vector of its whole track; or "segment": that of the segments
        it overlaps, each as much as it does.

    Returns:
      A function of tracks and first frames, int [B] each, that gives float32 [B, TEACHER_SIZE];
      zeros for what the tagger has not heard.

    Raises:
      ValueError: it has heard fewer than two tracks, or no segments.
    """
    heard = np.flatnonzero(data.has_tag_estimate)
    if len(heard) < 2:
        raise ValueError(
            f"{data.directory}: split {data.split!r} has {len(heard)} tracks with estimated tags, "
            "expected at least 2, because config.loss.soft_weight is above 0; prepare the data set "
            "with --estimate=tempo,key,tags"
        )
    rows = np.stack([data.tag_estimate(int(index))["tag_embedding"] for index in heard])
    vectors_of = _principal_components(rows)
    if hears == "segment":
        return _of_segments(data, vectors_of)
    vectors = np.zeros((len(data), TEACHER_SIZE), np.float32)
    vectors[heard] = vectors_of(rows)
    return lambda tracks, starts: vectors[tracks]


def _principal_components(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What makes unit vectors [n, TEACHER_SIZE] of embeddings [n, E], as fitted to some [N, E]."""
    mean = rows.mean(axis=0, dtype=np.float64)
    deviation = (rows - mean).std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    scaled = (rows - mean) / scale
    _, directions = np.linalg.eigh(scaled.T @ scaled)  # by rising eigenvalue
    kept = directions[:, ::-1][:, :TEACHER_SIZE]

    def vectors_of(embeddings: np.ndarray) -> np.ndarray:
        found = (embeddings - mean) / scale @ kept
        return np.pad(_unit(found), ((0, 0), (0, TEACHER_SIZE - kept.shape[1])))

    return vectors_of


def _of_segments(data: DataSet, vectors_of: Callable[[np.ndarray], np.ndarray]) -> OfCrops:
    if not data.num_segments_heard.any():
        raise ValueError(
            f"{data.directory}: split {data.split!r} has no track whose segments were heard, "
            "expected some, because config.loss.teacher is 'segment'; prepare the data set with "
            "--estimate=tempo,key,tags,segments"
        )
    frames = data.feature_config.segment_frames

    def of_crops(tracks: np.ndarray, starts: np.ndarray) -> np.ndarray:
        last = np.maximum(data.num_segments_heard[tracks] - 1, 0)
        place = np.minimum(starts / frames, last)
        first = place.astype(int)
        ends = first, np.minimum(first + 1, last)
        at_first, at_second = (
            vectors_of(data.read_of_segments(SEGMENT_EMBEDDINGS, tracks.tolist(), each.tolist()))
            for each in ends
        )
        share = (place - first)[:, None]
        found = _unit(at_first * (1 - share) + at_second * share).astype(np.float32)
        found[data.num_segments_heard[tracks] == 0] = 0
        return found

    return of_crops


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)
