"""Sentences about hits: they say what contributes, in its order, and nothing that is not so."""
# ruff: noqa: E501  sentences that wrap are hard to check

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from input_pipeline.tracks import KEYS
from jaxsim.library.search import hits, query, readings, reasons
from jaxsim.library.search.query import Example, Hit
from jaxsim.library.search.readings import Sound
from jaxsim.library.store import Store
from tests.helpers.libraries import DIMENSIONS, random_vectors

GENRE, TEMPO, KEY = range(3)


def heard(tempo: float, key: str, **genre: float) -> dict[str, Any]:
    return {
        "heard_tempo": tempo,
        "heard_tempo_confidence": 0.9,
        "heard_tempo_level": 0.8,
        "heard_key": key,
        "heard_key_confidence": 0.7,
        "heard_tags": json.dumps({"genre": genre}),
    }


SOUNDS = [
    heard(120.4, "A minor", rock=0.71, pop=0.35),
    heard(60.0, "C major", rock=0.66, jazz=0.4),
    heard(118.9, "A minor", blues=0.5),
    heard(93.0, "E minor", ambient=0.2),
    heard(241.0, "F# major"),
]
FASTER = {"tempo": 124.0, "genre": "Rock; Soul"}


@pytest.fixture
def library(make_store: Callable[..., Store]) -> Store:
    known = [{"heard": one} for one in SOUNDS] + [
        {"tempo": 119.0, "genre": "Rock; Soul"},
        {},
        FASTER,
    ]
    return make_store(random_vectors(len(known)), known)


def sentence(library: Store, row: int, *contributions: float, seeds=(0,), signs=(1, 1, 1)) -> str:
    values = np.array(contributions)
    likeness = values * np.array(signs)
    hit = Hit(row, float(values.sum()), values, likeness, 0.5, np.full_like(values, 0.5))
    return reasons.sentences(library, seeds, [hit])[0]


@pytest.mark.parametrize(
    ("row", "contributions", "expected"),
    [
        (1, (1, 3, 2), "Alike in tempo (this one at 60 BPM, half time), key (this one in the relative "
                       "key: C major, 8B) and genre (both rock 0.66)."),
        (2, (0.1, 1, 3), "Alike in key (both A minor, 8A) and tempo (both about 119 BPM)."),
        (2, (-2, 1, 0), "Alike in tempo (both about 119 BPM); against it: genre (this one blues 0.50)."),
        (2, (0, 1, -2), "Alike in tempo (both about 119 BPM); against it: key."),
        (2, (0, -1, 2), "Alike in key (both A minor, 8A); against it: tempo."),
        (3, (2, 1, 1.5), "Alike in genre, key (this one a fifth up: E minor, 9A) and tempo "
                         "(though the readings differ: this one at 93 BPM, not 120)."),
        (3, (-2, 0, 0), "Against it: genre (this one not rock and pop)."),
        (4, (0, 2, -1), "Alike in tempo (this one at 241 BPM, double time); against it: key (this one in "
                        "F# major, 2B, not A minor, 8A)."),
        (5, (3, 1, 0), "Alike in genre (both Rock) and tempo (both about 119 BPM)."),
        (6, (3, 1, 2), "Alike in genre, key and tempo."),
        (7, (0, 2, 0), "Alike in tempo (about 120 and 124 BPM)."),
        (2, (0, 0, 0), "No dimension sets it apart from the others."),
    ],
)  # fmt: skip
def test_sentences(library: Store, row: int, contributions: tuple, expected: str) -> None:
    assert sentence(library, row, *contributions) == expected


@pytest.mark.parametrize(
    ("row", "contributions", "expected"),
    [
        (2, (3, 1, 2), "Alike most of all in genre; also in key (both A minor, 8A) and tempo (both about 119 BPM)."),
        (2, (3, 0.5, 2), "Alike most of all in genre; also in key (both A minor, 8A)."),
        (1, (1, 2, 3), "Alike most of all in key (this one in the relative key: C major, 8B); also in tempo (this one "
                       "at 60 BPM, half time)."),
        (3, (3, 1, -2), "Alike most of all in genre; against it: key."),
        (6, (3, 1, 2), "Alike most of all in genre."),
        (4, (1, 2, 3), "Alike most of all in key (though the readings differ: this one in F# major, 2B, not A minor, "
                       "8A); also in tempo (this one at 241 BPM, double time)."),
    ],
)  # fmt: skip
def test_a_tempo_and_a_key_are_told_after_what_contributes_more(
    library: Store, monkeypatch: pytest.MonkeyPatch, row: int, contributions: tuple, expected: str
) -> None:
    monkeypatch.setattr(reasons, "MOST_NAMED", 1)
    assert sentence(library, row, *contributions) == expected


def test_what_was_asked_to_differ(library: Store) -> None:
    found = sentence(library, 2, 3, 1, 0.1, signs=(-1, 1, 1))
    assert found == (
        "Unlike in genre (this one blues 0.50), as asked; alike in tempo (both about 119 BPM)."
    )


def test_several_seeds_say_what_they_share(library: Store) -> None:
    found = sentence(library, 5, 2, 1, 0, seeds=(0, 2))
    assert found == "Alike in genre and tempo (all about 119 BPM)."
    found = sentence(library, 2, 0, 1, 2, seeds=(0, 1))
    assert found == "Alike in key (this one in A minor, 8A) and tempo (this one at 119 BPM)."
    audio = np.ones(12)
    assert sentence(library, 1, 1, 2, 0, seeds=(audio,)) == (
        "Alike in tempo (this one at 60 BPM) and genre."
    )


def test_other_audio_has_a_sentence_as_a_track_has(library: Store) -> None:
    heard_in_it = library.heard([0])[0]
    example = Example(np.ones(12), readings.of({}, heard_in_it))
    for row in range(8):
        for values in ((1, 3, 2), (-2, 1, 0), (0, -1, 2)):
            expected = sentence(library, row, *values)
            assert sentence(library, row, *values, seeds=(example,)) == expected
    tagged = Example(np.ones(12), readings.of({"tempo": 60.0, "genre": "Blues"}, heard_in_it))
    assert sentence(library, 2, 2, 1, 0, seeds=(tagged,)) == (
        "Alike in genre (both blues 0.50) and tempo (this one at 119 BPM, double time)."
    )


ASKED = Sound(tempo=62.0, key=KEYS.index("A minor"), tags={"genre": {"rock": 1.0}}, asked=True)


@pytest.mark.parametrize(
    ("row", "contributions", "expected"),
    [
        (0, (1, 3, 2), "Alike in tempo (this one at 120 BPM, double time), key (A minor, 8A) and "
                       "genre (rock 0.71)."),
        (1, (1, 3, 2), "Alike in tempo (about 60 BPM), key (this one in the relative key: C major, "
                       "8B) and genre (rock 0.66)."),
        (3, (1, 2, -1), "Alike in tempo (though the readings differ: this one at 93 BPM, not 62) "
                        "and genre; against it: key."),
        (2, (-3, 0, 1), "Alike in key (A minor, 8A); against it: genre (this one blues 0.50)."),
        (5, (2, 0, 0), "Alike in genre (Rock)."),
    ],
)  # fmt: skip
def test_words_have_a_sentence(library: Store, row: int, contributions, expected: str) -> None:
    words = Example(np.ones(12), ASKED)
    assert sentence(library, row, *contributions, seeds=(words,)) == expected


def test_words_beside_a_track_are_silent_on_the_rest(library: Store) -> None:
    rock = Example(np.ones(12), Sound(tags={"genre": {"rock": 1.0}}, asked=True))
    slow = Example(np.ones(12), Sound(tempo=60.0, asked=True))
    assert sentence(library, 2, 0, 2, 1, seeds=(0, rock)) == (
        "Alike in tempo (all about 119 BPM) and key (all A minor, 8A)."
    )
    assert sentence(library, 1, 2, 1, 0, seeds=(rock, slow)) == (
        "Alike in genre (rock 0.66) and tempo (about 60 BPM)."
    )
    assert sentence(library, 2, 0, 2, 1, seeds=(0, slow)) == (
        "Alike in tempo (this one at 119 BPM) and key (all A minor, 8A)."
    )
    unknown = np.ones(12)
    assert sentence(library, 1, 2, 1, 0, seeds=(rock, unknown)) == (
        "Alike in genre and tempo (this one at 60 BPM)."
    )


def test_camelot_is_a_circle_of_fifths() -> None:
    for key in range(24):
        fifth = (key + 7) % 12 + 12 * (key // 12)
        number, ring = int(readings.camelot(key)[:-1]), readings.camelot(key)[-1]
        assert readings.camelot(fifth) == f"{number % 12 + 1}{ring}"
    assert readings.camelot(KEYS.index("A minor")) == "8A"
    assert readings.camelot(KEYS.index("C major")) == "8B"


@pytest.mark.parametrize("weights", [None, (1, 2, -0.5), (0, 1, 1)])
def test_the_dimension_named_first_matters_most(
    make_store: Callable[..., Store], weights: tuple | None
) -> None:
    """Without it a hit's score falls more than without any other."""
    library = make_store(random_vectors(200), [{"heard": SOUNDS[i % 5]} for i in range(200)])
    found = query.search(library, [7], weights, top=20)
    chosen = query.weight_vector(library, weights)
    for hit, why in zip(found, reasons.sentences(library, [7], found), strict=True):
        named = next(
            word for word in why.replace("(", " ").split() if word.strip(",.;") in DIMENSIONS
        )
        falls = {}
        for number, dimension in enumerate(DIMENSIONS):
            without = chosen.copy()
            without[number] = 0
            (scored,) = query.score_tracks(library, [7], without, [hit.row])
            falls[dimension] = hit.score - scored.score
        assert max(falls, key=lambda name: falls[name]) == named.strip(",.;"), why


def test_hits_carry_reasons_and_readings(library: Store) -> None:
    found = query.search(library, [0], top=3)
    described = hits.as_json(library, found, [0])
    assert [one["reason"] for one in described] == reasons.sentences(library, [0], found)
    for one, hit in zip(described, found, strict=True):
        (read,) = library.heard([hit.row])
        assert library.known([hit.row]) == [(library.metadata([hit.row])[0], read)]
        assert one["heard"] == read
        if hit.row < 5:
            assert read["tempo"] == SOUNDS[hit.row]["heard_tempo"]
            assert read["tags"] == json.loads(SOUNDS[hit.row]["heard_tags"])
        else:
            assert read == {}
    assert hits.as_json(library, found)[0]["reason"] == ""
