"""What a tagger heard, as a teacher of likeness: vectors whose cosines say how alike two crops are.

In all sub-spaces of tags together they are its embeddings, made compact; in one of them alone, what
it says of the tags of that dimension.
"""

from collections.abc import Callable

import numpy as np

from input_pipeline.datasets.dataset import DataSet
from input_pipeline.datasets.tag_labels import TABLE, read_table
from input_pipeline.hearing.tagging import EMBEDDING, LOGITS, SEGMENT_EMBEDDINGS, SEGMENT_LOGITS

HEARS = ("track", "segment")
TEACHER_SIZE = 64  # principal components that are kept

OfCrops = Callable[[np.ndarray, np.ndarray], np.ndarray]
Vectors = Callable[[np.ndarray], np.ndarray]


def teacher(data: DataSet, hears: str = "track") -> OfCrops:
    """What the tagger's embeddings say: z-scored over the tracks, in their principal components.

    Args:
      data: the split that is trained on.
      hears: "track": a crop has the vector of its whole track; or "segment": that of the segments
        it overlaps, each as much as it does.

    Returns:
      A function of tracks and first frames, int [B] each, that gives unit vectors, float32
      [B, TEACHER_SIZE]; zeros for what the tagger has not heard.

    Raises:
      ValueError: it has heard fewer than two tracks, or no segments.
    """
    heard = _heard(data)
    rows = np.stack([data.tag_estimate(int(index))[EMBEDDING] for index in heard])
    vectors_of = _principal_components(rows)
    if hears == "segment":
        return _of_segments(data, SEGMENT_EMBEDDINGS, vectors_of)
    return _of_tracks(data, heard, vectors_of(rows))


def tag_teacher(data: DataSet, dimension: str, hears: str = "track") -> OfCrops:
    """What the tagger says of the tags of one dimension: their logits, z-scored over the tracks.

    `tag_labels.TABLE` says which tags these are.

    Returns:
      As `teacher`, vectors of `tag_count` numbers.

    Raises:
      ValueError: as in `teacher`.
    """
    heard = _heard(data)
    columns = _columns(dimension)
    estimates = [data.tag_estimate(int(index)) for index in heard]
    rows = np.stack([np.concatenate([one[name] for name in LOGITS]) for one in estimates])
    scaled = _z_scores(rows[:, columns])
    if hears == "segment":
        return _of_segments(data, SEGMENT_LOGITS, lambda logits: _unit(scaled(logits[:, columns])))
    return _of_tracks(data, heard, _unit(scaled(rows[:, columns])))


def tag_count(dimension: str) -> int:
    """How many of the tagger's tags a dimension has."""
    return len(_columns(dimension))


def _columns(dimension: str) -> list[int]:
    return [rule.column for rule in read_table(TABLE)[dimension]]


def _heard(data: DataSet) -> np.ndarray:
    heard = np.flatnonzero(data.has_tag_estimate)
    if len(heard) < 2:
        raise ValueError(
            f"{data.directory}: split {data.split!r} has {len(heard)} tracks with estimated tags, "
            "expected at least 2, because config.loss.soft_weight or tag_weight is above 0; "
            "prepare the data set with --estimate=tempo,key,tags"
        )
    return heard


def _z_scores(rows: np.ndarray) -> Vectors:
    """Standardises as fitted to some rows [N, K]; what is equal in all of them becomes 0.

    Equal is also what differs by less than float16 resolves, in which segments are stored: divided
    by so small a deviation, its rounding would drown everything else.
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    deviation = (rows - mean).std(axis=0)
    differs = deviation > np.spacing(np.abs(rows).max(axis=0).astype(np.float16))
    scale = np.where(differs, deviation, 1.0)
    return lambda given: np.where(differs, (given - mean) / scale, 0.0)


def _principal_components(rows: np.ndarray) -> Vectors:
    """What makes unit vectors [n, TEACHER_SIZE] of embeddings [n, E], as fitted to some [N, E]."""
    scaled = _z_scores(rows)
    fitted = scaled(rows)
    _, directions = np.linalg.eigh(fitted.T @ fitted)  # by rising eigenvalue
    kept = directions[:, ::-1][:, :TEACHER_SIZE]
    missing = TEACHER_SIZE - kept.shape[1]
    return lambda given: np.pad(_unit(scaled(given) @ kept), ((0, 0), (0, missing)))


def _of_tracks(data: DataSet, heard: np.ndarray, found: np.ndarray) -> OfCrops:
    vectors = np.zeros((len(data), found.shape[1]), np.float32)
    vectors[heard] = found
    return lambda tracks, starts: vectors[tracks]


def _of_segments(data: DataSet, name: str, vectors_of: Vectors) -> OfCrops:
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
            vectors_of(data.read_of_segments(name, tracks.tolist(), each.tolist())) for each in ends
        )
        share = (place - first)[:, None]
        found = _unit(at_first * (1 - share) + at_second * share).astype(np.float32)
        found[data.num_segments_heard[tracks] == 0] = 0
        return found

    return of_crops


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)
