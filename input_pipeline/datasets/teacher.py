"""What a tagger heard in each track, as a teacher of likeness: its embedding, made compact."""

import numpy as np

from input_pipeline.datasets.dataset import DataSet

TEACHER_SIZE = 64  # principal components that are kept


def teacher_vectors(data: DataSet) -> np.ndarray:
    """Unit vectors whose cosines say how alike the tagger finds two tracks.

    The tagger's embeddings, each column z-scored over the tracks, in their principal components.

    Returns:
      float32 [N, TEACHER_SIZE]; zeros for tracks that the tagger has not heard.

    Raises:
      ValueError: it has heard fewer than two tracks.
    """
    heard = np.flatnonzero(data.has_tag_estimate)
    if len(heard) < 2:
        raise ValueError(
            f"{data.directory}: split {data.split!r} has {len(heard)} tracks with estimated tags, "
            "expected at least 2, because config.loss.soft_weight is above 0; prepare the data set "
            "with --estimate=tempo,key,tags"
        )
    rows = np.stack([data.tag_estimate(int(index))["tag_embedding"] for index in heard])
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    deviation = centred.std(axis=0)
    scaled = centred / np.where(deviation > 0, deviation, 1.0)
    _, directions = np.linalg.eigh(scaled.T @ scaled)  # by rising eigenvalue
    found = scaled @ directions[:, ::-1][:, :TEACHER_SIZE]
    vectors = np.zeros((len(data), TEACHER_SIZE), np.float32)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    vectors[heard, : found.shape[1]] = found / np.where(length > 0, length, 1.0)
    return vectors
