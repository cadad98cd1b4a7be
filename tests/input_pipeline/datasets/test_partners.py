"""Similar tracks are found in ranges of sorted tempi; few tempi give the compositions they gave."""

import jax.numpy as jnp
import numpy as np
import pytest

from input_pipeline.datasets.batches import compose
from input_pipeline.datasets.partners import Mixed, Partners, TempoPartners, partners_of
from input_pipeline.scores import TEMPI
from input_pipeline.tracks import DIMENSIONS
from jaxsim.objective.relations import by_tempo
from tests.helpers.batches import FRAMES, fake_data

# Tracks and first frames by (group_size, track_pairs, step), from the code at 0104359, which
# compared all tempi with each other.
COMPOSITIONS = {
    (2, False, 0): (
        "30 35 13 71 46 11 16 29 37 24 49 3 34 30 41 39 70 66 72 85 30 31 51 65 81 4 78 40 28 4 "
        "51 50 52 13 40 4 63 40 34 4 59 52 88 9 38 23 30 53 63 44 28 71 58 11 18 78",
        "117 45 83 75 16 170 60 19 75 165 51 76 23 61 6 33 22 12 74 16 81 127 23 71 27 32 101 "
        "70 34 34 149 1 55 15 7 42 28 133 8 32 208 63 25 27 18 139 75 41 139 51 255 61 203 117 "
        "58 248",
    ),
    (2, False, 7): (
        "74 83 19 43 37 24 71 17 71 58 27 74 4 63 4 49 57 6 87 73 43 85 75 13 76 39 3 4 11 79 4 "
        "67 87 3 18 15 4 12 86 17 0 88 29 67 42 65 14 43 70 86 28 9 37 11 25 29",
        "23 68 16 224 63 53 82 21 53 195 154 10 47 72 48 2 36 105 163 105 88 35 2 75 44 216 134 "
        "4 136 67 46 79 159 36 110 56 33 104 5 76 30 45 39 71 51 232 86 213 94 37 162 99 7 162 "
        "112 52",
    ),
    (8, True, 0): (
        "30 35 37 83 84 50 16 39 70 63 34 22 74 3 4 41 82 61 57 70 66 25 73 84 23 28 57 69 80 "
        "83 0 4 68 27 12 29 4 55 51 25 38 76 66 76 66 66 76 76 18 18 54 54 56 56 21 21",
        "38 51 94 43 84 4 34 89 87 132 17 1 38 43 46 14 31 169 169 34 15 83 14 69 139 173 88 95 "
        "127 57 8 12 132 202 68 119 49 1 44 113 42 98 7 31 11 16 240 7 33 111 142 63 3 225 89 6",
    ),
    (8, True, 7): (
        "74 83 68 27 52 34 19 78 76 34 3 74 89 70 65 4 88 74 24 51 37 78 17 73 29 69 0 5 87 83 "
        "4 9 8 54 40 19 4 51 81 12 6 86 46 79 22 61 22 86 33 33 6 6 14 14 31 31",
        "25 61 87 19 67 12 58 214 50 13 182 34 47 87 119 48 1 9 146 156 97 99 63 2 165 18 51 "
        "184 12 104 32 109 60 142 32 200 34 95 23 7 103 92 42 24 165 99 224 135 108 216 3 79 "
        "100 2 69 3",
    ),
}


@pytest.mark.parametrize("case", COMPOSITIONS)
def test_the_scores_have_the_batches_they_always_had(case: tuple[int, bool, int]) -> None:
    size, track_pairs, step = case
    data = fake_data(90, tempo=np.random.default_rng(5).choice(np.float32([0, *TEMPI]), 90))
    partners = partners_of(
        data, DIMENSIONS, tempo_tolerance=5.0, key_relation="parallel", track_pairs=track_pairs
    )
    shape = dict(batch_size=56, frames=FRAMES, group_size=size)
    found = compose(partners, data.num_frames, **shape, seed=3, step=step)
    for values, expected in zip((found.track, found.start), COMPOSITIONS[case], strict=True):
        assert values.tolist() == [int(number) for number in expected.split()]


def tempi(kind: str) -> tuple[np.ndarray, float]:
    """Tempi [80] in BPM, a few of them unknown, and a tolerance."""
    random = np.random.default_rng(2)
    free = random.uniform(40, 240, 80)
    found, tolerance = {
        "free": (free, 5.0),
        "slow": (random.uniform(3, 30, 80), 5.0),  # whose ranges meet
        "at the bounds": (random.choice([50, 55, 60, 105, 105.01, 110, 210.02, 440], 80), 5.0),
        "a fraction": (random.choice([100, 100.1, 100.2, 50.05, 200.4, 201], 80), 0.1),
        "equal": (free, 0.0),
    }[kind]
    if kind == "equal":
        found[40:60] = 2 * found[:20]
        found[61] = found[60]
    found[[3, 30, 79]] = 0
    return found.astype(np.float32), tolerance


@pytest.mark.parametrize("kind", ["free", "slow", "at the bounds", "a fraction", "equal"])
def test_tempi_are_drawn_as_the_relation_says(kind: str) -> None:
    """Every track with a similar one is drawn first; its others are all those similar to it."""
    tempo, tolerance = tempi(kind)
    labels = jnp.asarray(tempo)
    similar = np.asarray(by_tempo(labels, labels, tolerance=tolerance).similar)
    partners = TempoPartners(tempo, tolerance=tolerance)
    for track in np.flatnonzero(tempo):  # each similar one is in one range, and so as likely
        members = np.sort(partners._similar(track))
        np.testing.assert_array_equal(members, np.flatnonzero(similar[track]))
    found = np.zeros_like(similar)
    random = np.random.default_rng(0)
    for _ in range(4_000):
        first, *others = partners.draw(random, 9).tracks
        found[first, others] = True
    expected = similar & ~np.eye(80, dtype=bool)
    assert (found & ~expected).sum() == 0
    np.testing.assert_array_equal(found.any(axis=1), expected.any(axis=1))
    assert found.sum() > 0.98 * expected.sum()


def test_tempi_are_drawn_evenly() -> None:
    tempo = np.float32([*np.linspace(99.96, 100.04, 97), 70, 70.04, 140])  # 100.0, 70.0 and 140.0
    partners = TempoPartners(tempo, tolerance=5.0)
    assert len(partners) == 3
    random = np.random.default_rng(0)
    firsts = tempo[[partners.draw(random).tracks[0] for _ in range(3000)]]
    for low, high in ((99, 101), (69, 71), (139, 141)):
        assert abs(np.mean((low < firsts) & (firsts < high)) - 1 / 3) < 0.04


def test_partners_of_a_large_data_set_are_found_at_once() -> None:
    """300,000 different tempi: comparing all with each other would take hours and 80 GiB."""
    tempo = np.random.default_rng(0).uniform(40, 240, 300_000).astype(np.float32)
    partners = TempoPartners(tempo, tolerance=5.0)
    random = np.random.default_rng(1)
    drawn = tempo[[partners.draw(random).tracks for _ in range(20)]]
    similar = by_tempo(*jnp.asarray(drawn.T), tolerance=5.0).similar
    assert np.diag(similar).all()


def test_a_class_of_one_track_is_not_drawn() -> None:
    classes = np.zeros((20, 4), bool)
    classes[[3, 7, 9], 2] = classes[3, 0] = True
    partners = Partners(classes)
    assert len(partners) == 1
    assert {partners.draw(np.random.default_rng(seed)).number for seed in range(10)} == {2}


def test_draws_are_those_of_choice() -> None:
    """So a run goes on with the batches that it began with, before `choice` was avoided."""
    drawn, expected = np.random.default_rng(7), np.random.default_rng(7)
    classes = np.arange(12)[:, None] % 5 == np.arange(5)
    parts = [Partners(classes[:, :3]), Partners(classes), Partners(classes[:, 2:])]
    mixed = Mixed([(3.0, parts[0]), (1.0, parts[1]), (0.5, parts[2])])
    for _ in range(300):
        part = parts[expected.choice(3, p=np.array([3, 1, 0.5]) / 4.5)]
        number = part._numbers[expected.integers(len(part._numbers))]
        first = expected.choice(part._members(number))
        group = mixed.draw(drawn, 1)
        assert group == ((first,), number)
