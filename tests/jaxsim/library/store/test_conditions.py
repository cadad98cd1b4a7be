"""Conditions on metadata: what they match, and that nothing but conditions is let through."""
# ruff: noqa: RUF001  the letters that look like others are what some of this is about

import operator
from collections.abc import Callable

import numpy as np
import pytest

from jaxsim.library.store import Store, conditions
from tests.helpers.libraries import random_vectors

TRACKS = [
    {"title": "One", "artist": "Miles Davis", "genre": "Jazz; Modal", "year": 1959, "tempo": 136.5},
    {"title": "it's", "artist": "Björk", "genre": "electronic", "year": 1995, "tempo": 88.0},
    {"title": 'say "hi"', "artist": "miles davis", "genre": "jazz", "year": 1970},
    {"title": "1999", "artist": "Prince", "year": 1982, "tempo": 120.0},
    {},
]


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    return make_store(random_vectors(len(TRACKS)), TRACKS)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("tempo>120", [0]),
        ("tempo >= 120", [0, 3]),
        ("TEMPO=88", [1]),
        ("tempo!=88", [0, 3]),  # unknown is neither
        ("not tempo>120", [1, 3]),
        ("year<1971 and year<>1959", [2]),
        ("genre='jazz'", [0, 2]),
        ("genre='JAZZ' or genre='modal'", [0, 2]),
        ("genre!='jazz'", [1]),
        ("genre!='jaz'", [0, 1, 2]),
        ("genre='Jazz; Modal'", [0]),
        ("artist='bjork'", [1]),
        ("artist~'mile'", [0, 2]),
        ("title='it''s'", [1]),
        ('title="it\'s"', [1]),
        ("title='say \"hi\"'", [2]),
        ("title=1999", [3]),
        ("year>1980 and (tempo<100 or tempo>110)", [1, 3]),
        ("tempo<100 or tempo>110 and year<1970", [0, 1]),
        ("(tempo<100 or tempo>110) and year<1970", [0]),
        ("not (genre='jazz' or year>1980)", []),
        ("seconds=10", [0, 1, 2, 3, 4]),
        ("id='0003'", [3]),
        ("year > -5", [0, 1, 2, 3]),
        ("tempo=.5e", None),
        ("tempo>", None),
        ("tempo 120", None),
        ("tempo>'120'", None),
        ("tempo~120", None),
        ("genre>'a'", None),
        ("(tempo>1", None),
        ("tempo>1)", None),
        ("tempo>1 tempo<2", None),
        ("and", None),
        ("", None),
        ("genre='jazz", None),
        ("colour='red'", None),
        ("present=1", None),
        ("digest='0'", None),
        ("tempo>1; DROP TABLE tracks", None),
        ("tempo>1 -- comment", None),
        ("tempo>(SELECT 1)", None),
        ("tempo>1 UNION SELECT row FROM tracks", None),
        ("1=1", None),
        ("tempo=tempo", None),
        ("genre=char(39)", None),
        ("not " * 30 + "tempo>1", None),
        ("(" * 1500 + "tempo>1" + ")" * 1500, None),
        ("tempo>1" + " or tempo>1" * 300, None),
    ],
)
def test_condition(store: Store, condition: str, expected: list[int] | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match=r"^where: "):
            store.select(condition)
    else:
        assert np.flatnonzero(store.select(condition)).tolist() == expected


@pytest.mark.parametrize(
    "text", ["' OR 1=1 --", "'; DROP TABLE tracks; --", "%", "?", "') OR (1=1", "\0", "\\'"]
)
def test_values_stay_values(store: Store, text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    for compared in ("=", "~"):
        assert not store.select(f"artist{compared}{quoted}").any()
    assert len(store.metadata(store.rows.tolist())) == len(TRACKS)


KEYS = ["A minor", "8A", "Am", "C major", "1d", "a-moll; Db", "E minor", "9B", "o", None, "D:min"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        *(
            (f"key='{name}'", [0, 1, 2, 5])
            for name in ("A minor", "8A", "08a", "1m", "Am", "a-moll")
        ),
        ("key='D♭'", [5]),
        ("key='C'", [3, 4]),
        ("key!='8A'", [3, 4, 6, 7, 10]),  # what is no key is unknown
        ("not key='8A'", [3, 4, 6, 7, 10]),
        ("key~'8A'", [0, 1, 2, 3, 4, 5, 6, 10]),  # 8A, 8B, 9A and 7A
        ("key~'G'", [3, 4, 6, 7]),  # G major, E minor, C and D major
        ("key~'minor'", [0, 1, 2, 5, 6, 10]),
        ("key~'a-moll'", [0, 1, 2, 3, 4, 5, 6, 10]),
        ("key~'mol'", [5]),
        ("key='H'", None),
        ("key!=''", None),
        ("key=8", None),
    ],
)
def test_keys_in_any_spelling(
    make_store: Callable[..., Store], condition: str, expected: list[int] | None
) -> None:
    """Also of libraries that were written before keys had one spelling."""
    store = make_store(random_vectors(len(KEYS)), [{"key": key} for key in KEYS])
    if expected is None:
        with pytest.raises(ValueError, match=r"^where: .* expected a key such as 'A minor'"):
            store.select(condition)
    else:
        assert np.flatnonzero(store.select(condition)).tolist() == expected


def test_albums_and_numbers(make_store: Callable[..., Store]) -> None:
    tracks = [
        {"album_artist": "MØ", "track_number": 3, "disc_number": 2, "compilation": 0},
        {"album_artist": "Various Artists", "track_number": 12, "compilation": 1},
        {"title": "Don’t… – “Stop”"},
    ]
    store = make_store(random_vectors(3), tracks)
    for condition, expected in (
        ("album_artist='mo'", [0]),
        ("track_number>2 and disc_number=2", [0]),
        ("compilation=1", [1]),
        ("compilation!=1", [0]),
        ("title~'don''t... - \"stop\"'", [2]),
    ):
        assert np.flatnonzero(store.select(condition)).tolist() == expected
    assert store.find('don\'t "STOP"') == [2]


HEARD = [
    {"heard_tempo": 90.0, "heard_tempo_confidence": 0.9, "heard_key": "A minor",
     "heard_key_confidence": 0.8, "heard_tags": '{"genre": {"rock": 0.6, "blues": 0.2}}'},
    {"heard_tempo": 141.0, "heard_tempo_confidence": 0.4, "heard_key": "C major",
     "heard_key_confidence": 0.6, "heard_tags": '{"genre": {"jazz": 0.31, "pop": 0.3}}'},
    {"heard_tags": "{}"},
    {},
]  # fmt: skip
STATED = [{"tempo": 120.0, "genre": "jazz"}, {}, {"key": "A minor"}, {}]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("tempo>=120", [0, 1]),  # the tag of 0, what is heard of 1
        ("tempo<100", []),
        ("heard.tempo<100", [0]),
        ("tag.tempo>1", [0]),
        ("tempo>1", [0, 1]),
        ("not tempo>130", [0]),
        ("heard.tempo_confidence>0.5", [0]),
        ("heard.key_confidence>=0.6 and HEARD.KEY='C'", [1]),
        ("key='Am'", [0, 2]),
        ("tag.key='8A'", [2]),
        ("heard.key='a-Moll'", [0]),
        ("key~'8A'", [0, 1, 2]),
        ("heard.key~'minor'", [0]),
        ("genre='jazz'", [0, 1]),
        ("heard.genre='jazz'", [1]),
        ("heard.genre='blues'", []),  # hardly heard
        ("heard.genre='pop' and tag.genre!='x' or heard.genre~'RO'", [0]),
        ("heard.genre!='jazz'", [0]),
    ],
)
def test_what_was_heard_counts_where_there_is_no_tag(
    make_store: Callable[..., Store], condition: str, expected: list[int]
) -> None:
    both = [{**tags, "heard": heard} for tags, heard in zip(STATED, HEARD, strict=True)]
    library = make_store(random_vectors(4), both)
    assert np.flatnonzero(library.select(condition)).tolist() == expected


def test_what_is_heard_of_cannot_be_anything() -> None:
    for field in ("heard.title", "tag.year", "heard.", "heard_tempo", "tempo.heard"):
        with pytest.raises(ValueError, match="expected"):
            conditions.parse(f"{field}=1")


def _random_condition(random: np.random.Generator, depth: int) -> tuple[str, Callable]:
    """A condition, and what it says of a track: True, False, or None where that is unknown."""
    kind = random.integers(5) if depth else random.integers(2)
    if kind == 0:
        wanted = float(random.integers(3))
        compare = [operator.lt, operator.ge, operator.ne][random.integers(3)]
        sign = {operator.lt: "<", operator.ge: ">=", operator.ne: "!="}[compare]
        return (
            f"year{sign}{wanted}",
            lambda track: None if track["year"] is None else compare(track["year"], wanted),
        )
    if kind == 1:
        wanted = ["", "a", "b"][random.integers(3)]
        return (
            f"artist='{wanted}'",
            lambda track: None if track["artist"] is None else wanted in track["artist"].split(";"),
        )
    first, says = _random_condition(random, depth - 1)
    if kind == 2:
        return f"not ({first})", lambda track: None if says(track) is None else not says(track)
    second, other = _random_condition(random, depth - 1)
    decides = kind == 3  # "or" is true, and "and" false, whatever else is unknown

    def both(track: dict) -> bool | None:
        found = {says(track), other(track)}
        return decides if decides in found else None if None in found else not decides

    return f"({first}) {'or' if decides else 'and'} ({second})", both


def test_what_is_unknown_decides_nothing(make_store: Callable[..., Store]) -> None:
    """Random conditions against a loop with three truth values, one track after the other."""
    random = np.random.default_rng(0)
    texts, years = [None, "", "a", "b", "a;b", "b;"], [None, 0, 1, 2]
    tracks = [{"artist": text, "year": year} for text in texts for year in years]
    store = make_store(random_vectors(len(tracks)), tracks)
    kept = store.metadata(store.rows)
    chosen = set()
    for _ in range(300):
        condition, says = _random_condition(random, 3)
        expected = [row for row, track in enumerate(kept) if says(track)]
        assert np.flatnonzero(store.select(condition)).tolist() == expected, condition
        chosen.add(len(expected))
    assert len(chosen) > 10
