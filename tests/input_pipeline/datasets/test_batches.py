"""Batches: a function of (seed, step), the same for any number of processes, with enough pairs."""

import itertools
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from input_pipeline.datasets import dataset
from input_pipeline.datasets.batches import compose, composed_batches, track_segments
from input_pipeline.datasets.dataset import DataSet
from input_pipeline.datasets.partners import Partners, partners_of
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.tracks import DIMENSIONS, TAG_DIMENSIONS
from jaxsim.objective.relations import relations
from tests.helpers.batches import FRAMES, FakeDataSet, fake_data

OPTIONS = dict(tempo_tolerance=5.0, key_relation="parallel")


def batches(data: DataSet, first: int, last: int, **changes) -> list[dict[str, np.ndarray]]:
    partners = partners_of(data, changes.pop("dimensions", DIMENSIONS), **OPTIONS)
    options = dict(batch_size=24, seed=3) | changes
    return list(composed_batches(data, partners, first_step=first, num_steps=last, **options))


def test_an_error_of_reading_is_told_as_it_is(monkeypatch):
    read = FakeDataSet.read

    def read_until_it_fails(self, index, start, frames):
        if index % 7 == 3:
            raise ValueError(f"track {index} cannot be read")
        return read(self, index, start, frames)

    data = fake_data()
    partners = partners_of(data, DIMENSIONS, **OPTIONS)
    following = composed_batches(data, partners, batch_size=24, seed=3, first_step=0, num_steps=20)
    assert len(next(following)["mel"]) == 24
    monkeypatch.setattr(FakeDataSet, "read", read_until_it_fails)
    with pytest.raises(ValueError, match=r"^track \d+ cannot be read$"):
        list(following)


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_a_last_group_may_be_cut_short() -> None:
    data = fake_data()
    (found,) = batches(data, 0, 1, batch_size=22, group_size=4)
    (longer,) = batches(data, 0, 1, batch_size=24, group_size=4)
    np.testing.assert_array_equal(found["track"], longer["track"][:22])
    assert len(found["mel"]) == 22


def test_a_run_from_the_middle_reads_the_same_batches() -> None:
    data = fake_data()
    whole = batches(data, 0, 6)
    assert len(whole) == 6
    for found, expected in zip(batches(data, 4, 6, read_ahead=1), whole[4:], strict=True):
        assert_equal(found, expected)
    assert batches(data, 6, 6) == []


def test_batches_differ_by_step_and_by_seed() -> None:
    data = fake_data()
    draws = [*batches(data, 0, 2), *batches(data, 0, 2, seed=4)]
    for one, other in itertools.combinations(draws, 2):
        assert not np.array_equal(one["track"], other["track"])


def test_three_processes_read_the_batch_of_one() -> None:
    data = fake_data()
    parts = [batches(data, 0, 2, process_index=i, process_count=3) for i in range(3)]
    whole = batches(data, 0, 2)
    assert [len(part) for part in parts] == [2, 2, 2] and len(whole) == 2
    for step, expected in enumerate(whole):
        together = {name: np.concatenate([part[step][name] for part in parts]) for name in expected}
        assert_equal(together, expected)
        assert len(parts[0][step]["index"]) == 8
        np.testing.assert_array_equal(expected["index"], np.arange(24))


@pytest.mark.parametrize("key_relation", ["parallel", "relative"])
@pytest.mark.parametrize("dimensions", [DIMENSIONS, ("key", "tempo"), ("tempo",)])
def test_every_dimension_finds_its_pairs(dimensions: tuple[str, ...], key_relation: str) -> None:
    """Rows 2i and 2i + 1 are similar in dimension i mod S, by the relations that training uses."""
    data = fake_data()
    options = dict(tempo_tolerance=5.0, key_relation=key_relation)
    partners = partners_of(data, dimensions, **options)
    for step in range(40):
        batch = compose(partners, data.num_frames, batch_size=24, frames=FRAMES, seed=0, step=step)
        labels = {d: jnp.asarray(data.tags[d][batch.track]) for d in TAG_DIMENSIONS}
        labels |= {"tempo": jnp.asarray(data.tempo[batch.track])}
        labels |= {"key": jnp.asarray(data.key[batch.track]), "index": jnp.arange(24)}
        similar = np.asarray(relations(labels, labels, dimensions, **options).similar)
        for row, track in enumerate(batch.track):
            name = dimensions[row // 2 % len(dimensions)]
            assert batch.drawn_dimension[row] == DIMENSIONS.index(name)
            if name in TAG_DIMENSIONS:
                assert data.tags[name][track, batch.drawn_tag[row]]
            else:
                assert batch.drawn_tag[row] == -1
        for pair in range(12):
            dimension = pair % len(dimensions)
            assert similar[dimension, 2 * pair, 2 * pair + 1]
        found = np.triu(similar | similar.swapaxes(1, 2)).sum(axis=(1, 2))
        assert (found >= 24 // 2 // len(dimensions)).all()


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_an_unlabelled_track_is_not_drawn_for_the_dimension(dimension: str) -> None:
    data = fake_data()
    unlabelled = {
        "tempo": data.tempo == 0,
        "key": data.key < 0,
        **{d: ~data.tags[d].any(axis=1) for d in TAG_DIMENSIONS},
    }[dimension]
    assert unlabelled.any()
    partners = partners_of(data, [dimension], **OPTIONS)[dimension]
    random = np.random.default_rng(0)
    drawn = np.array([partners.draw(random).tracks for _ in range(500)])
    assert not unlabelled[drawn].any()
    assert (drawn[:, 0] != drawn[:, 1]).all()
    assert len(np.unique(drawn)) > 0.8 * np.sum(~unlabelled)


def test_classes_are_drawn_evenly() -> None:
    tags = {d: np.zeros((100, 6), bool) for d in TAG_DIMENSIONS}
    tags["genre"][:97, 2] = tags["genre"][97:, 4] = True  # 97 tracks and 3
    data = fake_data(100, tags=tags)
    partners = partners_of(data, ["genre"], **OPTIONS)["genre"]
    random = np.random.default_rng(0)
    groups = [partners.draw(random) for _ in range(1000)]
    assert 0.45 < np.mean([group.tracks[0] >= 97 for group in groups]) < 0.55
    assert all(group.number == (4 if group.tracks[0] >= 97 else 2) for group in groups)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_a_dimension_without_a_pair_is_an_error(dimension: str) -> None:
    alone = np.zeros((4, 6), bool)
    alone[[0, 1], [2, 3]] = True
    data = fake_data(
        4,
        tags=dict.fromkeys(TAG_DIMENSIONS, alone),
        tempo=np.float32([100, 150, 0, 0]),
        key=np.int32([0, 4, -1, -1]),
    )
    with pytest.raises(ValueError, match=rf"fake: split 'train' has no two .* in '{dimension}'"):
        partners_of(data, [dimension], **OPTIONS)


def test_rounding_makes_no_pair_of_dissimilar_tempi() -> None:
    """To a tenth, 100.04 and 105.044 are 5 BPM apart."""
    data = fake_data(4, tempo=np.float32([100.04, 105.044, 0, 0]))
    with pytest.raises(ValueError, match="no two tracks"):
        partners_of(data, ["tempo"], **OPTIONS)


def test_rounding_is_multiplied_by_the_octave() -> None:
    """155.1 is 4.9 from 8 x 20.0 but 5.22 from 8 x 20.04, so only the other one is an anchor."""
    data = fake_data(4, tempo=np.float32([155.1, 20.04, 0, 0]))
    partners = partners_of(data, ["tempo"], **OPTIONS)["tempo"]
    random = np.random.default_rng(0)
    assert {partners.draw(random).tracks for _ in range(20)} == {(1, 0)}


def test_crops_and_labels_are_the_data_sets(prepared_directory: Path) -> None:
    data = dataset.open(prepared_directory, "train", FeatureConfig())
    dimensions = ("genre", "mood", "era")
    starts = set()
    for batch in batches(data, 0, 3, dimensions=dimensions, batch_size=6):
        assert batch["mel"].shape == (6, FRAMES, 128)
        assert batch["cens"].shape == (6, FRAMES, 12)
        assert batch["onset"].shape == (6, FRAMES + 383)
        for row, track in enumerate(batch["track"]):
            whole = data.read_track(track)[0]
            (start,) = [
                start
                for start in range(len(whole) - FRAMES + 1)
                if np.array_equal(whole[start : start + FRAMES], batch["mel"][row])
            ]
            assert batch["start"][row] == start
            starts.add(start)
            _, cens, onset = data.read(track, start, FRAMES)
            np.testing.assert_array_equal(batch["cens"][row], cens)
            np.testing.assert_array_equal(batch["onset"][row], onset)
            for dimension in TAG_DIMENSIONS:
                np.testing.assert_array_equal(batch[dimension][row], data.tags[dimension][track])
            assert batch["tempo"][row] == data.tempo[track]
            assert batch["key"][row] == data.key[track]
    assert len(starts) > 8


def test_crops_reach_the_last_frame() -> None:
    data = fake_data(num_frames=np.full(60, FRAMES + 1, np.int32))
    options = dict(batch_size=24, frames=FRAMES, seed=0, step=0)
    starts = compose(partners_of(data, DIMENSIONS, **OPTIONS), data.num_frames, **options).start
    assert set(starts.tolist()) == {0, 1}


def test_track_segments_cover_every_segment_once() -> None:
    data = fake_data(7, num_frames=np.int32([129, 257, 258, 400, 386, 387, 130]))
    found = list(track_segments(data, batch_size=4))
    assert {batch["mel"].shape for batch in found} == {(4, FRAMES, 128)}
    assert {batch["onset"].shape for batch in found} == {(4, FRAMES + 383)}
    track = np.concatenate([batch["track"] for batch in found])
    onset = np.concatenate([batch["onset"] for batch in found])
    mel = np.concatenate([batch["mel"] for batch in found])
    starts = [[0], [0], [0, 129], [0, 129, 258], [0, 129], [0, 129, 258], [0]]
    expected = [(number, start) for number in range(7) for start in starts[number]]
    assert track.tolist() == [number for number, _ in expected] + [-1] * 3
    assert not onset[track < 0].any()
    assert not mel[track < 0].any()
    for row, (number, start) in enumerate(expected):
        assert onset[row, 0] == 1000 * number + start
        np.testing.assert_array_equal(mel[row], data.read(number, start, FRAMES)[0])


def test_groups_are_similar_to_their_first() -> None:
    """P x K: each group of eight is similar to its first row in its dimension, by the relations."""
    data = fake_data(200)
    size, dimensions = 8, ("genre", "tempo", "key")
    partners = partners_of(data, dimensions, **OPTIONS)
    options = dict(batch_size=6 * size, frames=FRAMES, seed=0, group_size=size)
    for step in range(20):
        track = compose(partners, data.num_frames, step=step, **options).track
        labels = {"genre": data.tags["genre"], "tempo": data.tempo, "key": data.key}
        labels = {name: jnp.asarray(values[track]) for name, values in labels.items()}
        labels["index"] = jnp.arange(len(track))
        similar = np.asarray(relations(labels, labels, dimensions, **OPTIONS).similar)
        for group in range(6):
            first = group * size
            members = track[first : first + size]
            assert similar[group % 3, first, first + 1 : first + size].all()
            if group % 3 == 0:  # every genre has ten tracks and more
                assert len(set(members)) == size


def test_a_class_that_is_smaller_than_a_group_repeats_all_of_its_tracks() -> None:
    classes = np.zeros((20, 1), bool)
    classes[[3, 7, 9]] = True
    for seed in range(10):
        drawn = Partners(classes).draw(np.random.default_rng(seed), 7).tracks
        first, *others = drawn
        assert set(others[:2]) == set(others[2:4]) == set(others[4:]) == {3, 7, 9} - {first}


def test_segments_of_one_track_overlap_by_half_at_most() -> None:
    data = fake_data(12)
    long_enough = set(np.flatnonzero(data.num_frames >= FRAMES + 65))
    assert 0 < len(long_enough) < 12
    partners = partners_of(data, ("tempo",), track_pairs=True, **OPTIONS)
    apart, tracks = set(), set()
    for step in range(60):
        batch = compose(partners, data.num_frames, batch_size=8, frames=FRAMES, seed=0, step=step)
        assert (batch.start + FRAMES <= data.num_frames[batch.track]).all()
        assert batch.drawn_dimension.tolist() == [4, 4, -1, -1] * 2
        for row in (2, 6):  # the pairs alternate: tempo, track
            first, second = batch.start[row : row + 2]
            assert batch.track[row] == batch.track[row + 1]
            apart.add(int(second - first))
            tracks.add(batch.track[row])
    assert tracks == long_enough
    assert min(abs(distance) for distance in apart) == 65
    assert min(apart) < 0 < max(apart)


def test_a_data_set_of_short_tracks_has_no_track_regularisation() -> None:
    short = fake_data(num_frames=np.full(60, FRAMES + 64))
    with pytest.raises(ValueError, match=r"track_weight = 0"):
        partners_of(short, ("tempo",), track_pairs=True, **OPTIONS)


@pytest.mark.parametrize("size", [2, 4])
def test_an_epoch_of_every_track_starts_a_group_with_each_once(size: int) -> None:
    """60 tracks in batches of 14 groups: epochs end inside a batch."""
    data = fake_data()
    partners = partners_of(data, DIMENSIONS, track_pairs=True, **OPTIONS)
    shape = dict(batch_size=14 * size, frames=FRAMES, group_size=size, draw="every_track")

    def firsts(seed: int, steps: range) -> np.ndarray:
        each = (compose(partners, data.num_frames, **shape, seed=seed, step=t) for t in steps)
        return np.concatenate([batch.track[::size] for batch in each])

    found = firsts(0, range(30))  # 7 epochs
    for epoch in range(7):
        assert sorted(found[60 * epoch : 60 * epoch + 60]) == list(range(60))
    assert len({tuple(found[60 * epoch : 60 * epoch + 60]) for epoch in range(7)}) == 7
    np.testing.assert_array_equal(firsts(0, range(11, 13)), found[11 * 14 : 13 * 14])
    assert not np.array_equal(firsts(1, range(2)), found[:28])


def test_every_track_has_partners_in_its_groups_dimension_if_it_can() -> None:
    """Against a loop by the relations; a fifth of the tracks has no label at all."""
    data = fake_data(80)
    bare = np.arange(80) % 5 == 0
    tags = {d: data.tags[d] & ~bare[:, None] for d in TAG_DIMENSIONS}
    tempo, key = np.where(bare, 0, data.tempo), np.where(bare, -1, data.key)
    data = fake_data(80, tags=tags, tempo=np.float32(tempo), key=np.int32(key))
    labels = {d: jnp.asarray(tags[d]) for d in TAG_DIMENSIONS} | {"index": jnp.arange(80)}
    labels |= {"tempo": jnp.asarray(data.tempo), "key": jnp.asarray(data.key)}
    similar = np.asarray(relations(labels, labels, DIMENSIONS, **OPTIONS).similar)
    partners = partners_of(data, DIMENSIONS, **OPTIONS)
    shape = dict(batch_size=32, frames=FRAMES, draw="every_track")
    seen = set()
    for step in range(20):
        batch = compose(partners, data.num_frames, **shape, seed=0, step=step)
        for row in range(0, 32, 2):
            first, second = batch.track[row : row + 2]
            able = np.flatnonzero(similar[:, first].any(axis=1))
            dimension, wanted = batch.drawn_dimension[row], row // 2 % 6
            if bare[first]:
                assert dimension == -1 and not len(able)
            else:
                assert dimension == wanted if wanted in able else dimension in able
                assert similar[dimension, first, second]
                tag = batch.drawn_tag[row]
                name = DIMENSIONS[dimension]
                assert (tag >= 0) == (name in TAG_DIMENSIONS)
                assert tag < 0 or tags[name][[first, second], tag].all()
            seen.add((wanted in able, dimension == -1))
    assert seen == {(True, False), (False, False), (False, True)}
