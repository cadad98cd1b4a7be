"""A teacher says of every crop what a tagger heard there, in few numbers."""

import csv
from pathlib import Path

import numpy as np
import pytest

from input_pipeline.datasets import teacher as teachers
from input_pipeline.datasets.teacher import tag_count, tag_teacher, teacher
from input_pipeline.hearing import tagging
from input_pipeline.tracks import TAG_DIMENSIONS
from tests.helpers.batches import FRAMES, fake_data

SIZE = 7  # of the tagger's embeddings
HEARD = np.arange(12) % 4 != 3
SEGMENTS = np.where(HEARD, 1 + np.arange(12) % 3, 0)
random = np.random.default_rng(0)
TRACKS = random.normal(size=(12, SIZE)) * np.arange(1, SIZE + 1) + 5
TRACKS[:, 2] = 0.1  # never differs; a number that float16 rounds
TRACKS[:, 4] = 0.1 + random.normal(size=12) * 1e-7  # differs by less than float16 can say
OF_SEGMENTS = TRACKS[:, None] + random.normal(size=(12, 3, SIZE)) * ~np.isin(
    np.arange(SIZE), (2, 4)
)
LOGITS = random.normal(size=(12, 100)) * 3
SEGMENT_LOGITS = LOGITS[:, None] + random.normal(size=(12, 3, 100))
OF_SEGMENTS, SEGMENT_LOGITS = OF_SEGMENTS.astype(np.float16), SEGMENT_LOGITS.astype(np.float16)


class Data:
    """Twelve tracks, of which the tagger has heard nine, and of these one to three segments."""

    directory, split = "somewhere", "train"
    feature_config = fake_data().feature_config
    has_tag_estimate, num_segments_heard = HEARD, SEGMENTS

    def __len__(self) -> int:
        return len(TRACKS)

    def tag_estimate(self, index: int) -> dict[str, np.ndarray]:
        msd, mtt = LOGITS[index].reshape(2, 50)
        embedding = TRACKS[index].astype(np.float32)
        return {"tag_embedding": embedding, "msd_logits": msd, "mtt_logits": mtt}

    def read_of_segments(self, name, tracks, segments) -> np.ndarray:
        found = {"segment_embeddings": OF_SEGMENTS, "segment_logits": SEGMENT_LOGITS}[name]
        assert (np.array(segments) < np.maximum(SEGMENTS[tracks], 1)).all()
        return found[tracks, segments] * HEARD[tracks][:, None]


def compact(rows: np.ndarray) -> np.ndarray:
    """Z-scored over the tracks that were heard: cosines are those of all principal components."""
    known = TRACKS[HEARD].astype(np.float32).astype(np.float64)
    deviation = known.std(axis=0)
    return unit((rows - known.mean(axis=0)) / np.where(deviation > 1e-6, deviation, np.inf))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def cosines(rows: np.ndarray) -> np.ndarray:
    return rows @ rows.T


def test_crops_of_a_track_have_what_was_heard_in_it() -> None:
    found = teacher(Data())(np.array([0, 5, 3, 5]), np.array([0, 9, 3, 200]))
    assert (found.shape, found.dtype) == ((4, 64), np.float32)
    assert not found[2].any() and (found[1] == found[3]).all()
    np.testing.assert_allclose(
        cosines(found[:2]), cosines(compact(TRACKS[[0, 5]])), rtol=0, atol=1e-6
    )


def test_crops_have_what_was_heard_in_the_segments_that_they_overlap() -> None:
    """Track 2 has three segments; 3 none; 4, two; and 6, one."""
    tracks = np.array([2, 2, 2, 4, 4, 6, 6, 3])
    starts = np.array([0, 32, FRAMES + 43, 129, 200, 0, 50, 0])
    found = teacher(Data(), "segment")(tracks, starts)
    assert (found.shape, found.dtype) == ((8, 64), np.float32) and not found[-1].any()
    each = compact(OF_SEGMENTS)
    share, later = 32 / 129, 43 / 129
    expected = np.stack(
        [
            each[2, 0],
            unit((1 - share) * each[2, 0] + share * each[2, 1]),
            unit((1 - later) * each[2, 1] + later * each[2, 2]),
            each[4, 1],
            each[4, 1],  # what is left at the end of a track is no segment
            each[6, 0],
            each[6, 0],
        ]
    )
    np.testing.assert_allclose(cosines(found[:-1]), cosines(expected), rtol=0, atol=1e-6)
    assert (cosines(expected) < 0.99).sum() > 20


def spoken_of(dimension: str) -> list[int]:
    """The columns of a dimension's tags among the logits of both networks."""
    with open(f"{Path(teachers.__file__).parent}/musicnn_tags.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dimension"] == dimension]
    first = {"msd": 0, "mtt": 50}
    return [first[r["network"]] + tagging.TAGS[r["network"]].index(r["tag"]) for r in rows]


@pytest.mark.parametrize("dimension", TAG_DIMENSIONS)
def test_a_dimension_has_what_is_said_of_its_tags(dimension: str) -> None:
    columns = spoken_of(dimension)
    assert len(columns) == tag_count(dimension) > 2
    known = LOGITS[HEARD][:, columns]

    def expected(logits):
        return unit((logits[..., columns] - known.mean(axis=0)) / known.std(axis=0))

    tracks, starts = np.array([0, 2, 3, 2]), np.array([0, 32, 5, 32])
    found = tag_teacher(Data(), dimension)(tracks, starts)
    assert found.dtype == np.float32 and not found[2].any()
    np.testing.assert_allclose(found[[0, 1]], expected(LOGITS[[0, 2]]), rtol=0, atol=1e-6)
    found = tag_teacher(Data(), dimension, "segment")(tracks, starts)
    first, second = expected(SEGMENT_LOGITS[2, :2])
    mixed = unit(first * 97 / 129 + second * 32 / 129)
    assert found.dtype == np.float32 and not found[2].any()
    np.testing.assert_allclose(
        found[[0, 1]], [expected(SEGMENT_LOGITS[0, 0]), mixed], rtol=0, atol=1e-6
    )


def test_few_components_are_the_principal_ones(monkeypatch) -> None:
    monkeypatch.setattr(teachers, "TEACHER_SIZE", 2)
    found = teacher(Data())(np.flatnonzero(HEARD), np.zeros(9, int))
    known = TRACKS[HEARD]
    deviation = np.where(known.std(axis=0) > 1e-6, known.std(axis=0), np.inf)
    left, size, _ = np.linalg.svd((known - known.mean(axis=0)) / deviation)
    expected = unit(left[:, :2] * size[:2])
    assert found.shape == (9, 2)
    np.testing.assert_allclose(cosines(found), cosines(expected), rtol=0, atol=1e-5)


def test_what_was_not_heard_is_named() -> None:
    data = Data()
    data.num_segments_heard = np.zeros(12, int)
    with pytest.raises(ValueError, match=r"somewhere: split 'train' has no track whose segments"):
        teacher(data, "segment")
    data.has_tag_estimate = np.arange(12) == 4
    with pytest.raises(ValueError, match=r"has 1 tracks with estimated tags, expected at least 2"):
        teacher(data)
    with pytest.raises(ValueError, match=r"has 1 tracks with estimated tags, expected at least 2"):
        tag_teacher(data, "era")
