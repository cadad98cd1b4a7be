"""Relations equal naive loops over all pairs, and the tables that musicians would write down."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.objective.relations import (
    TEMPO_RELATIONS,
    Relation,
    by_key,
    by_sampled_tag,
    by_tags,
    by_tempo,
    key_classes,
    relations,
    tempo_classes,
)

TONICS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def key_number(name: str) -> int:
    tonic, mode = name.split()
    return TONICS.index(tonic) + 12 * (mode == "minor")


def as_arrays(relation: Relation) -> Relation:
    """The same in NumPy, where reading single elements is fast."""
    return Relation(*map(np.asarray, relation))


@pytest.mark.parametrize("unlabelled", ["excluded", "negative"])
@pytest.mark.parametrize("rule", ["any_shared", "sampled_label"])
def test_tags_equal_a_naive_loop(rule: str, unlabelled: str) -> None:
    random = np.random.default_rng(0)
    anchor, candidate = random.random((9, 5)) < 0.4, random.random((13, 5)) < 0.3
    anchor[2] = candidate[4] = False
    if rule == "any_shared":
        relation = by_tags(jnp.asarray(anchor), jnp.asarray(candidate), unlabelled=unlabelled)
    else:
        numbers = random.random((9, 5))
        arguments = jnp.asarray(anchor), jnp.asarray(candidate), jnp.float32(numbers)
        relation = by_sampled_tag(*arguments, unlabelled=unlabelled)
        assert (anchor.sum(axis=1) > 1).any()
    found = as_arrays(relation)
    for a, own in enumerate(anchor):
        own_tags = set(np.flatnonzero(own))
        if rule == "sampled_label" and own_tags:
            own_tags = {max(own_tags, key=lambda tag: numbers[a, tag])}
        for c, other in enumerate(candidate):
            other_tags = set(np.flatnonzero(other))
            comparable = own_tags and (other_tags or unlabelled == "negative")
            shared = bool(own_tags & other_tags)
            assert bool(found.similar[a, c]) == (bool(comparable) and shared)
            assert bool(found.dissimilar[a, c]) == (bool(comparable) and not shared)


def test_tempo_classes_divide_an_octave() -> None:
    found = np.asarray(tempo_classes(jnp.float32([0, 61, 90, 181, 119]), count=4, tolerance=5.0))
    # Centres 65.4, 77.8, 92.5 and 110.0 BPM, and their octaves.
    expected = [[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    expected[3] = [0, 0, 1, 0]  # 181 is 4.1 from 185.1
    np.testing.assert_array_equal(found, np.array(expected, bool))


def test_every_tempo_has_a_class_of_the_default_number() -> None:
    tempi = jnp.float32(np.linspace(40, 240, 401))
    assert np.asarray(tempo_classes(tempi, count=30, tolerance=5.0)).any(axis=1).all()


def test_key_classes_are_the_key_and_the_one_similar_to_it() -> None:
    found = np.asarray(key_classes(jnp.int32([-1, 9, 21]), relation="relative"))
    expected = [[], [key_number("A major"), key_number("F# minor")]]
    expected.append([key_number("C major"), key_number("A minor")])
    assert [sorted(np.flatnonzero(row)) for row in found] == [sorted(row) for row in expected]


@pytest.mark.parametrize(
    ("anchor", "candidate", "similar"),
    [
        (100.0, 100.0, True),
        (105.0, 100.0, True),  # exactly the tolerance
        (95.0, 100.0, True),
        (105.01, 100.0, False),
        (94.99, 100.0, False),
        (60.0, 120.0, True),  # octaves
        (240.0, 60.0, True),
        (125.0, 60.0, True),  # the tolerance is of the anchor's tempo: 2 x 60 + 5
        (125.01, 60.0, False),
        (60.0, 125.0, True),  # 125 / 2 is 2.5 from 60
        (55.0, 125.0, False),
        (20.0, 320.0, True),
        (320.0, 20.0, True),
        (90.0, 120.0, False),
    ],
)
def test_tempo_tolerance_and_octaves(anchor: float, candidate: float, similar: bool) -> None:
    found = by_tempo(jnp.float32([anchor]), jnp.float32([candidate]), tolerance=5.0)
    assert (bool(found.similar[0, 0]), bool(found.dissimilar[0, 0])) == (similar, not similar)


@pytest.mark.parametrize("relation", TEMPO_RELATIONS)
def test_tempo_equals_a_naive_loop(relation: str) -> None:
    random = np.random.default_rng(1)
    anchor, candidate = random.uniform(20, 320, 20), random.uniform(20, 320, 30)
    anchor[3] = candidate[5] = candidate[6] = 0  # unknown
    tempi = jnp.float32(anchor), jnp.float32(candidate)
    found = as_arrays(by_tempo(*tempi, tolerance=5.0, relation=relation))
    one_sided = 0
    for a, own in enumerate(anchor):
        for c, other in enumerate(candidate):
            known = own > 0 and other > 0
            octaves = [2.0**k for k in range(-10, 11)]
            near = any(abs(own - other * octave) <= 5 for octave in octaves)
            reverse = any(abs(other - own * octave) <= 5 for octave in octaves)
            one_sided += known and near != reverse
            near |= relation == "symmetric" and reverse
            assert bool(found.similar[a, c]) == (known and near)
            assert bool(found.dissimilar[a, c]) == (known and not near)
    assert one_sided > 10


@pytest.mark.parametrize(
    ("relation", "pairs"),
    [
        ("parallel", [("C major", "C minor"), ("A major", "A minor"), ("F# major", "F# minor")]),
        (
            "relative",
            [
                ("C major", "A minor"),
                ("G major", "E minor"),
                ("D# major", "C minor"),
                ("A major", "F# minor"),
                ("B major", "G# minor"),
            ],
        ),
    ],
)
def test_keys_are_similar_to_themselves_and_one_other(
    relation: str, pairs: list[tuple[str, str]]
) -> None:
    keys = jnp.arange(24)
    found = by_key(keys, keys, relation=relation)
    similar = np.asarray(found.similar)
    for major, minor in pairs:
        assert similar[key_number(major), key_number(minor)]
        assert similar[key_number(minor), key_number(major)]
    assert np.diag(similar).all()
    assert (similar.sum(axis=0) == 2).all()
    np.testing.assert_array_equal(np.asarray(found.dissimilar), ~similar)


@pytest.mark.parametrize("relation", ["parallel", "relative"])
def test_an_unknown_key_is_not_comparable(relation: str) -> None:
    found = by_key(jnp.int32([-1, 0]), jnp.int32([-1, 11, 0, 23]), relation=relation)
    assert not found.similar[0].any()
    assert not found.dissimilar[0].any()
    assert not found.similar[:, 0].any()
    assert not found.dissimilar[:, 0].any()


def test_all_dimensions_are_stacked_in_order_and_nothing_is_its_own_positive() -> None:
    labels = {
        "genre": jnp.array([[1, 0], [1, 1], [0, 1], [0, 0]], bool),
        "tempo": jnp.float32([100, 50, 75, 0]),
        "key": jnp.int32([0, 12, 9, -1]),
        "index": jnp.arange(4),
    }
    anchors = {name: values[1:] for name, values in labels.items()}  # the second device's, say
    found = relations(
        anchors, labels, ("key", "genre", "tempo"), tempo_tolerance=5.0, key_relation="parallel"
    )
    expected_similar = {  # (anchor, candidate) by global index
        "key": {(1, 0)},
        "genre": {(1, 0), (1, 2), (2, 1)},
        "tempo": {(1, 0)},
    }
    expected_dissimilar = {
        "key": {(1, 2), (2, 0), (2, 1)},
        "genre": {(2, 0)},
        "tempo": {(1, 2), (2, 0), (2, 1)},
    }
    for number, dimension in enumerate(("key", "genre", "tempo")):
        similar = {(int(a) + 1, int(c)) for a, c in np.argwhere(found.similar[number])}
        dissimilar = {(int(a) + 1, int(c)) for a, c in np.argwhere(found.dissimilar[number])}
        assert similar == expected_similar[dimension]
        assert dissimilar == expected_dissimilar[dimension]
