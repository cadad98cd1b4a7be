"""A data set without files, whose values show where they were read."""

import dataclasses
from pathlib import Path

import numpy as np

from input_pipeline.datasets.dataset import DataSet
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.tracks import DIMENSIONS, TAG_DIMENSIONS

FRAMES = 129


class FakeDataSet(DataSet):
    """Labels as given; every value read encodes its track and frame."""

    def read_crops(self, tracks, starts, frames: int):
        crops = [
            self.read(track, start, frames) for track, start in zip(tracks, starts, strict=True)
        ]
        return tuple(np.stack(column) for column in zip(*crops, strict=True))

    def read(self, index: int, start: int, frames: int):
        assert 0 <= start <= start + frames <= self.num_frames[index]
        frame = np.arange(start, start + frames)
        mel = np.broadcast_to(index + frame[:, None] / 1024, (frames, 128)).astype(np.float16)
        onset = np.float32(1000 * index + np.arange(start, start + frames + 383))
        return mel, mel[:, :12], onset

    def stored(self, index: int) -> dict[str, np.ndarray]:
        mel, cens, onset = self.read(index, 0, int(self.num_frames[index]))
        return {"mel": mel, "cens": cens, "onset": onset[: len(mel)]}


def fake_data(tracks: int = 60, **changes) -> FakeDataSet:
    """Random labels, a quarter of them missing; random tempi between 50 and 200 BPM."""
    random = np.random.default_rng(0)
    missing = {dimension: random.random(tracks) < 0.25 for dimension in DIMENSIONS}
    names = [str(number) for number in range(tracks)]
    data = FakeDataSet(
        directory=Path("fake"),
        split="train",
        feature_config=FeatureConfig(),
        track_ids=names,
        groups=names,
        artists=names,
        titles=names,
        tag_names={dimension: tuple("abcdef") for dimension in TAG_DIMENSIONS},
        tags={d: (random.random((tracks, 6)) < 0.2) & ~missing[d][:, None] for d in TAG_DIMENSIONS},
        tempo=np.where(missing["tempo"], 0, random.uniform(50, 200, tracks)).astype(np.float32),
        key=np.where(missing["key"], -1, random.integers(0, 24, tracks)).astype(np.int32),
        num_frames=random.integers(FRAMES, 400, tracks).astype(np.int32),
        contents=names,
        seconds=np.zeros(tracks, np.float32),
        tempo_estimated=np.zeros(tracks, bool),
        tempo_confidence=np.zeros(tracks, np.float32),
        key_estimated=np.zeros(tracks, bool),
        key_confidence=np.zeros(tracks, np.float32),
        tags_estimated={dimension: np.zeros(tracks, bool) for dimension in TAG_DIMENSIONS},
        tags_confidence={dimension: np.zeros(tracks, np.float32) for dimension in TAG_DIMENSIONS},
        has_tag_estimate=np.zeros(tracks, bool),
        _shards=[],
        _shard_of_track=np.zeros(tracks, int),
        _offsets={},
    )
    return dataclasses.replace(data, **changes)
