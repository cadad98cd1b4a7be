"""Several data sets as one: nothing is mixed up, and weights say how often each is drawn."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from input_pipeline.datasets import dataset
from input_pipeline.datasets.joining import joined, splits_together
from input_pipeline.datasets.partners import partners_of
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.tracks import TAG_DIMENSIONS
from tests.helpers.batches import fake_data

DIMENSIONS = ("genre", "tempo", "key")


@pytest.fixture
def parts(prepared_directory):
    return [dataset.open(prepared_directory, split, FeatureConfig()) for split in ("train", "test")]


def tags_of(data, dimension: str, row: int) -> list[str]:
    return [data.tag_names[dimension][tag] for tag in np.flatnonzero(data.tags[dimension][row])]


def fakes():
    names = dict.fromkeys(TAG_DIMENSIONS, tuple("bcdxyz"))
    second = fake_data(25, directory=Path("other"), tag_names=names)
    return [fake_data(40), second]


def groups_of(name: str, weights, *, parts=None, count: int = 400, size: int = 3):
    """Drawn groups in one dimension, and the joined data."""
    data = joined(parts or fakes(), weights)
    partners = partners_of(
        data, DIMENSIONS, tempo_tolerance=5.0, key_relation="parallel", track_pairs=True
    )
    random = np.random.default_rng(0)
    return [partners[name].draw(random, size) for _ in range(count)], data


def test_every_track_is_what_it_was(parts):
    data = joined(parts, [1, 1])
    assert len(data) == len(parts[0]) + len(parts[1])
    place = 0
    for part in parts:
        for index in range(len(part)):
            assert data.track_ids[place].endswith(f"/{part.track_ids[index]}")
            assert (data.titles[place], data.artists[place]) == (
                part.titles[index],
                part.artists[index],
            )
            assert data.tempo[place] == part.tempo[index] and data.key[place] == part.key[index]
            for name in TAG_DIMENSIONS:
                given = [
                    part.tag_names[name][tag] for tag in np.flatnonzero(part.tags[name][index])
                ]
                found = [
                    data.tag_names[name][tag] for tag in np.flatnonzero(data.tags[name][place])
                ]
                assert found == given
            for found, expected in zip(
                data.read(place, 3, 129), part.read(index, 3, 129), strict=True
            ):
                np.testing.assert_array_equal(found, expected)
            place += 1


def test_splits_together_keep_their_tracks(parts):
    """Under the ids that they have: those of other embeddings are the same."""
    data = splits_together(parts)
    assert data.split == "train,test" and data.parts == ()
    assert data.track_ids == [*parts[0].track_ids, *parts[1].track_ids]
    assert data.groups == [*parts[0].groups, *parts[1].groups]
    assert data.tag_names == parts[0].tag_names
    first = len(parts[0])
    for index in range(len(parts[1])):
        for name in TAG_DIMENSIONS:
            np.testing.assert_array_equal(
                data.tags[name][first + index], parts[1].tags[name][index]
            )
        for found, expected in zip(
            data.read_track(first + index), parts[1].read_track(index), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_tags_of_one_name_are_one_tag():
    data = joined(fakes(), [1, 1])
    assert data.tag_names["genre"] == tuple("abcdefxyz")
    first, second = fakes()
    expected = second.tags["genre"][:, second.tag_names["genre"].index("c")]
    np.testing.assert_array_equal(data.tags["genre"][40:, 2], expected)
    np.testing.assert_array_equal(data.tags["genre"][:40, 2], first.tags["genre"][:, 2])


def test_ids_stay_unique():
    same = joined([fake_data(4), fake_data(4, directory=Path("elsewhere/fake"))], [1, 1])
    assert len(set(same.track_ids)) == len(set(same.groups)) == 8


@pytest.mark.parametrize("name", [*DIMENSIONS, "track"])
def test_groups_are_of_one_data_set_drawn_by_weight(name: str):
    groups, _ = groups_of(name, [3, 1], size=4)
    second = [group.tracks[0] >= 40 for group in groups]
    for group, is_second in zip(groups, second, strict=True):
        assert all((track >= 40) == is_second for track in group.tracks)
    assert np.mean(second) == pytest.approx(0.25, abs=0.07)


@pytest.mark.parametrize("name", ["genre", "key"])
def test_groups_are_similar_in_the_joined_labels(name: str):
    groups, data = groups_of(name, [1, 1])
    for group in groups:
        if name == "genre":
            assert data.tags["genre"][list(group.tracks), group.number].all()
        else:
            assert len({data.key[track] % 12 for track in group.tracks}) == 1


def test_a_data_set_without_a_label_takes_no_part_in_its_dimension():
    first, second = fakes()
    silent = dataclasses.replace(second, tempo=np.zeros(25, np.float32))
    groups, _ = groups_of("tempo", [1, 9], parts=[first, silent])
    assert all(track < 40 for group in groups for track in group.tracks)
    groups, _ = groups_of("key", [1, 9], parts=[first, silent])
    assert np.mean([group.tracks[0] >= 40 for group in groups]) > 0.8


def test_every_track_can_lead_a_group():
    data = joined(fakes(), [3, 1])
    partners = partners_of(data, DIMENSIONS, tempo_tolerance=5.0, key_relation="parallel")
    random = np.random.default_rng(0)
    for name, each in partners.items():
        for track in range(len(data)):
            if track in each:
                tracks = each.around(random, track, 2).tracks
                assert tracks[0] == track
                assert (tracks[1] >= 40) == (track >= 40), name


def test_what_no_data_set_has_is_an_error():
    silent = [dataclasses.replace(each, key=np.full(len(each), -1, np.int32)) for each in fakes()]
    with pytest.raises(ValueError, match="has no two tracks that are similar in 'key'"):
        groups_of("key", [1, 1], parts=silent)
