"""Which triplets are drawn, and how tracks are made of segments."""

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
from ml_collections import ConfigDict

from input_pipeline.tracks import DIMENSIONS, TAG_DIMENSIONS
from jaxsim.evaluation import sampled_triplets, track_embeddings
from jaxsim.network import subspaces
from tests.helpers import naive
from tests.helpers.batches import fake_data

COUNT = 700


def labels_of(data, dimension: str, row: int) -> set:
    if dimension in TAG_DIMENSIONS:
        return set(np.flatnonzero(data.tags[dimension][row]))
    if dimension == "key":
        return {data.key[row] % 12} if data.key[row] >= 0 else set()
    return {data.tempo[row]} if data.tempo[row] > 0 else set()


def similar(data, dimension: str, anchor: int, other: int) -> bool:
    own, others = labels_of(data, dimension, anchor), labels_of(data, dimension, other)
    if dimension != "tempo":
        return bool(own & others)
    (a,), (b,) = own, others
    return any(abs(a - b * 2.0**k) <= 5 for k in range(-4, 5))


@pytest.mark.parametrize("block", [7, 512])
def test_triplets_are_what_they_say(config: ConfigDict, monkeypatch, block: int) -> None:
    """Similar, dissimilar, all labelled, of three groups; the same whatever the blocks."""
    data = fake_data()
    data = dataclasses.replace(data, groups=[str(row // 3) for row in range(60)])
    expected = sampled_triplets.sample_triplets(data, config, count=COUNT, seed=1)
    monkeypatch.setattr(sampled_triplets, "ANCHORS", block)
    found = sampled_triplets.sample_triplets(data, config, count=COUNT, seed=1)
    assert tuple(found) == DIMENSIONS
    for dimension, rows in found.items():
        np.testing.assert_array_equal(
            dataclasses.astuple(rows), dataclasses.astuple(expected[dimension])
        )
        assert len(rows) == COUNT
        assert len(set(rows.anchor)) > 20 and len(set(rows.positive)) > 20
        for a, p, n in zip(rows.anchor, rows.positive, rows.negative, strict=True):
            assert all(labels_of(data, dimension, row) for row in (a, p, n))
            assert similar(data, dimension, a, p)
            assert not similar(data, dimension, a, n)
            assert len({a // 3, p // 3, n // 3}) == 3


def all_triplets(data, dimension: str) -> set[tuple[int, int, int]]:
    """By brute force."""
    found = set()
    for a, p, n in itertools.permutations(range(len(data)), 3):
        if all(labels_of(data, dimension, row) for row in (a, p, n)):
            of_three_groups = len({data.groups[row] for row in (a, p, n)}) == 3
            is_triplet = similar(data, dimension, a, p) and not similar(data, dimension, a, n)
            if of_three_groups and is_triplet:
                found.add((a, p, n))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_exactly_the_triplets_of_three_groups_are_drawn(config: ConfigDict, seed: int) -> None:
    """Few groups, so that often all negatives are of the positive's group, or the other way round.

    Every anchor that has a triplet is drawn as often as any other, and so is every positive of it
    that leaves a negative, and every such negative.
    """
    count = 6000
    random = np.random.default_rng(seed)
    groups = [str(number) for number in random.choice(4, 9, p=(0.5, 0.2, 0.2, 0.1))]
    tags = {name: random.random((9, 3)) < 0.3 for name in TAG_DIMENSIONS}
    data = fake_data(9, groups=groups, tags=tags)
    found = sampled_triplets.sample_triplets(data, config, count=count, seed=seed)
    for dimension in DIMENSIONS:
        expected = all_triplets(data, dimension)
        assert (dimension in found) == bool(expected)
        if not expected:
            continue
        rows = found[dimension]
        drawn = Counter(zip(rows.anchor, rows.positive, rows.negative, strict=True))
        assert drawn.keys() <= expected
        anchors = {a for a, _, _ in expected}
        for a, p, n in expected:
            positives = {other for anchor, other, _ in expected if anchor == a}
            negatives = {other for *pair, other in expected if pair == [a, p]}
            share = 1 / (len(anchors) * len(positives) * len(negatives))
            deviation = np.sqrt(share * (1 - share) / count)
            assert abs(drawn[a, p, n] / count - share) < 5 * deviation


@pytest.mark.parametrize("key", ["parallel", "relative"])
@pytest.mark.parametrize("tolerance", [1.5, 14.0])
def test_triplets_are_related_as_configured(config, key: str, tolerance: float) -> None:
    """And other seeds draw others."""
    data = fake_data()
    config.relation.update(key=key, tempo_tolerance=tolerance)
    found = sampled_triplets.sample_triplets(data, config, count=400, seed=1)
    for dimension, labels in (("tempo", data.tempo), ("key", data.key)):
        rows = found[dimension]
        for a, p, n in zip(rows.anchor, rows.positive, rows.negative, strict=True):
            if dimension == "tempo":
                alike = [naive.near(labels[a], labels[other], tolerance) for other in (p, n)]
            else:
                alike = [naive.in_one_group(labels[a], labels[other], key) for other in (p, n)]
            assert alike == [True, False]
    others = sampled_triplets.sample_triplets(data, config, count=400, seed=2)
    assert not np.array_equal(others["key"].anchor, found["key"].anchor)


def test_a_dimension_without_triplets_is_left_out(config: ConfigDict) -> None:
    data = fake_data()
    data.tags["mood"][:] = False
    found = sampled_triplets.sample_triplets(data, config, count=5, seed=0)
    assert tuple(found) == tuple(name for name in DIMENSIONS if name != "mood")


def test_track_triplets_are_of_two_tracks() -> None:
    track = np.array([0, 0, 0, 1, 2, 2, 3])
    rows = sampled_triplets.track_triplets(track, count=500, seed=0)
    assert (track[rows.anchor] == track[rows.positive]).all()
    assert (rows.anchor != rows.positive).all()
    assert (track[rows.anchor] != track[rows.negative]).all()
    assert set(track[rows.anchor]) == {0, 2}
    assert set(track[rows.negative]) == {0, 1, 2, 3}
    assert len(sampled_triplets.track_triplets(np.array([0, 1, 2]), count=5, seed=0)) == 0
    assert len(sampled_triplets.track_triplets(np.array([0, 0]), count=5, seed=0)) == 0


def test_embeddings_of_tracks_are_normalised_means_of_their_segments(config: ConfigDict) -> None:
    data = fake_data(7)

    def embed(batch) -> np.ndarray:
        return np.asarray(batch["mel"][:, 0, :12], np.float64) - 0.5

    segments, track = track_embeddings.segment_embeddings(data, embed, batch_size=4)
    assert (np.bincount(track) == data.num_frames // 129).all()
    config.dimensions = ("genre", "tempo", "key")
    streamed = track_embeddings.embed_tracks(config, data, embed, batch_size=4)
    together = subspaces.divided(track_embeddings.means(segments, track, 7), 3)
    np.testing.assert_allclose(streamed, together, rtol=1e-6)
    for row in range(7):
        mean = segments[track == row].astype(np.float64).mean(axis=0)
        for part in range(3):
            own = mean[4 * part : 4 * part + 4]
            np.testing.assert_allclose(streamed[row, part], own / np.sqrt(own @ own), rtol=1e-5)
