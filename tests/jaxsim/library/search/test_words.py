"""Queries in words: what they are made of, and what is answered to words that mean nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from input_pipeline.tracks import KEYS
from jaxsim import search
from jaxsim.exported import model_writing, readings
from jaxsim.exported.readings import Prototypes
from jaxsim.library.search import query, words
from jaxsim.library.search.query import Example
from jaxsim.library.search.readings import Sound
from jaxsim.library.store import Store
from tests.helpers.libraries import random_vectors
from tests.helpers.models import model_file


def prototypes(names: tuple[str, ...]) -> Prototypes:
    angles = np.linspace(0.1, 6, len(names))
    both = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float16)
    one = np.ones(len(names), np.float32)
    return Prototypes(names, both.astype(np.float32), one, one)


GIVEN = {
    "genre": prototypes(("hard rock", "jazz", "Bebop")),
    "tempo": prototypes(readings.TEMPI),
    "key": prototypes(("C major", "A minor")),
}


@pytest.fixture
def library(make_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> Store:
    """Its model has embeddings of another size, as the one that reads here."""
    opened = make_store(random_vectors(30))
    source = model_file(opened.path / "old.npz")
    (opened.path / "model.npz").unlink()
    model_writing.add_readings(source, GIVEN, opened.path / "model.npz")
    return opened


def test_terms() -> None:
    dimensions = ("genre", "tempo", "key")
    asked = words.terms(' genre:"hard rock"  TEMPO:90 key:8A ', dimensions)
    assert asked == [("genre", "hard rock"), ("tempo", "90"), ("key", "8A")]
    for text in ("", "so what", "mood:sad", "genre:jazz more", "genre: jazz", "re:genre"):
        assert words.terms(text, dimensions) is None, text


def test_words_stand_for_their_prototypes(library: Store) -> None:
    asked = [("genre", "JAZZ"), ("genre", "bebop"), ("tempo", "61,7"), ("key", "8A")]
    example = words.example(library, asked)
    found = example.vector.reshape(3, 2)
    genre, tempo, key = (GIVEN[name].prototypes for name in ("genre", "tempo", "key"))
    np.testing.assert_allclose(found[0], genre[1] + genre[2])
    np.testing.assert_allclose(found[1], tempo[1], err_msg="61.76 BPM is twice the second one")
    np.testing.assert_allclose(found[2], key[1])
    sound = example.sound
    assert (sound.tempo, sound.key, sound.asked) == (61.7, KEYS.index("A minor"), True)
    assert sound.tags == {"genre": {"jazz": 1.0, "Bebop": 1.0}}
    only = words.example(library, [("tempo", "240")])
    own = only.vector.reshape(3, 2)
    assert not own[[0, 2]].any() and np.allclose(own[1], tempo[0])
    assert only.sound == Sound(tempo=240.0, asked=True)
    several = words.example(library, [("tempo", "60"), ("tempo", "70")])
    assert several.sound == Sound(asked=True), "no one tempo is asked for"


def test_unknown_words_are_answered_with_known_ones(library: Store, capsys) -> None:
    for asked, answer in (
        (("genre", "jaz"), "expected one such as jazz"),
        (("key", "F# minor"), "not a known word, expected one such as"),
        (("tempo", "fast"), "tempo is 'fast'"),
    ):
        with pytest.raises(ValueError, match=answer):
            words.example(library, [asked])
    with pytest.raises(SystemExit):
        search.main([str(library.path), "--like", "genre:jaz"])


def test_a_model_without_readings_says_so(library: Store, tmp_path: Path) -> None:
    (library.path / "old.npz").replace(library.path / "model.npz")
    with pytest.raises(ValueError, match="its model has no readings"):
        words.example(library, [("genre", "jazz")])


@pytest.mark.parametrize(
    ("text", "expected", "known"),
    [
        ("", ["genre:hard rock", "genre:jazz", "genre:Bebop", "key:C major", "key:A minor"], True),
        ("b", ["genre:Bebop"], True),
        ("R", ["genre:hard rock", "key:C major", "key:A minor"], True),
        ("ro", ["genre:hard rock"], True),
        ("genre:", ["genre:hard rock", "genre:jazz", "genre:Bebop"], True),
        (" Genre:JA", ["genre:jazz"], True),
        ("90,5 bpm", ["tempo:90.5"], True),
        ("tempo:120", ["tempo:120"], True),
        ("8A", ["key:A minor"], True),
        ("a", ["genre:hard rock", "genre:jazz", "key:A minor", "key:C major"], True),
        ("genre:yazz", ["genre:jazz"], False),
        ("mood:sad", [], False),
        ("tempo:fast", [], False),
    ],
)
def test_suggestions(library: Store, text: str, expected: list[str], known: bool) -> None:
    found, is_known = words.suggestions(library, text, 12)
    listed = [":".join(pair) for pair in found]
    assert is_known == known
    if known:
        assert sorted(listed) == sorted(expected)
    else:
        assert listed[:1] == expected
    starts = [pair[1].lower().startswith(text.lower()) for pair in found]
    assert starts == sorted(starts, reverse=True), "words that begin with it come first"
    for pair in found:  # what is suggested can be asked for
        assert words.terms(words.term(*pair), library.dimensions) == [pair]
        words.example(library, [pair])
    assert len(words.suggestions(library, "", 2)[0]) == 2


def test_a_new_model_is_noticed(library: Store) -> None:
    assert words.suggestions(library, "jazz", 1) == ([("genre", "jazz")], True)
    (library.path / "old.npz").replace(library.path / "model.npz")
    assert words.suggestions(library, "jazz", 1) == ([], False)


def test_only_what_is_said_counts(make_store: Callable[..., Store]) -> None:
    library = make_store(random_vectors(30))
    seed = np.zeros(12)
    seed[4:8] = 1.0, 2.0, 0.0, -1.0  # tempo
    asked = Example(seed, Sound(asked=True))
    assert words.weights(library, [asked]) == {"tempo": 1.0}
    assert words.weights(library, [asked, 3]) is None
    assert words.weights(library, [np.ones(12)]) is words.weights(library, [Example(seed)]) is None
    found = query.search(library, [asked], words.weights(library, [asked]), top=30)
    unit = np.asarray(library.vectors[:, 4:8], np.float64) @ seed[4:8]
    assert [hit.row for hit in found] == np.argsort(-unit).tolist()
