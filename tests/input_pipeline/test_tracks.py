import re

import pytest

from input_pipeline.tracks import KEYS, Track, compatible_keys, parse_key, parse_tempo


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("C", 0),
        ("c", 0),
        ("C major", 0),
        ("C:maj", 0),
        ("CM", 0),
        ("Am", 21),
        ("A minor", 21),
        ("A:min", 21),
        ("a-minor", 21),
        ("A MINOR", 21),
        ("Bb major", 10),
        ("bb", 10),
        ("b-flat", 10),
        ("B flat", 10),
        ("B- major", 10),
        ("B♭", 10),
        ("F#m", 18),
        ("F♯ minor", 18),
        ("f sharp minor", 18),
        ("Cb major", 11),
        ("E# minor", 17),
        ("bm", 23),
        (" D minor ", 14),
        ("8A", 21),  # Camelot
        ("8B", 0),
        ("09a", 16),
        ("12B", 4),
        ("1A", 20),
        ("1m", 21),  # Open Key
        ("1d", 0),
        ("12m", 14),
        ("4d", 9),
        ("08A", 21),
        ("1M", 21),
        ("Abm", 20),
        ("A♭m", 20),
        ("A♭ Minor", 20),
        ("A ♭ m", 20),
        ("A flat minor", 20),
        ("Amin", 21),
        ("A min.", 21),
        ("a-moll", 21),  # German
        ("C-Dur", 0),
        ("fis-Moll", 18),
        ("As-Dur", 8),
        ("Es-Dur", 3),
        ("B-Dur", 10),
        ("h-moll", 23),
        ("Bb-Dur", 10),
        ("8A (Am)", 21),
        ("8A - Am", 21),
        ("F♯/G♭", 6),
        ("D♯m/E♭m", 15),
        ("F♯/G♭m", 18),
        ("F#/Gb minor", 18),
        ("F#/Gb major", 6),
        ("Ami", 21),
        ("C ma", 0),
        ("La minore", 21),  # Italian
        ("Do maggiore", 0),
        ("Do♯ minore", 13),
        ("SI BEMOLLE MAGGIORE", 10),
        ("Fa diesis min", 18),
        ("sol m", 19),
        ("la mineur", 21),  # French
        ("Ré majeur", 2),
        ("mi bémol majeur", 3),
        ("ut dièse mineur", 13),
        ("Fá sustenido menor", 18),  # Portuguese
        ("Do mayor", 0),  # Spanish
        ("Solb mayor", 6),
    ],
)
def test_parse_key_reads_common_spellings(name, expected):
    assert parse_key(name) == expected


def test_keys_are_read_back_from_their_own_names():
    assert [parse_key(name) for name in KEYS] == list(range(24))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "H",
        "minor",
        "A dorian",
        "Am7",
        "C##",
        "A minor B",
        "13A",
        "0B",
        "o",
        "8A/9A",
        "mi",
        "La",
    ],
)
def test_parse_key_rejects_what_is_no_key(name):
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        parse_key(name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"track_id": ""}, "track_id is empty"),
        ({"split": "dev"}, "split is 'dev', expected one of train, validation, test"),
        ({"tags": {"colour": ("blue",)}}, r"tags has \['colour'\], expected only"),
        ({"tags": {"genre": "rock"}}, "genre is 'rock', expected a tuple of tags"),
        ({"tempo": 0.0}, "tempo is 0.0, expected"),
        ({"tempo": float("nan")}, "tempo is nan, expected"),
        ({"key": "X"}, "key is 'X', expected"),
        ({"title": "\udcff"}, r"title is '\\udcff', expected text that UTF-8 can encode"),
        ({"artist": 5}, "artist is 5, expected text"),
        ({"tags": {"mood": ("\ud800",)}}, "mood is .*, expected text"),
    ],
)
def test_track_rejects_bad_fields(fields, message):
    with pytest.raises(ValueError, match=message):
        Track(**{"track_id": "a", "split": "train", "audio": "a.wav"} | fields)


def test_track_fills_in_group_and_canonical_key():
    track = Track(track_id="a", split="train", audio="a.wav", key="Bbm")
    assert (track.group, track.key) == ("a", "A# minor")


@pytest.mark.parametrize(
    "value", [0, -1, 1000, "abc", "", "nan", "inf", True, None, [120], "1,2,3"]
)
def test_parse_tempo_rejects_what_is_no_tempo(value):
    with pytest.raises(ValueError, match=r"tempo is .*, expected beats per minute in \(0, 1000\)"):
        parse_tempo(value)


@pytest.mark.parametrize("value", [120.5, "120.5", " 120.5 ", "1.205e2", "120,5", "120.50 BPM"])
def test_parse_tempo_reads_numbers_and_texts(value):
    assert parse_tempo(value) == 120.5


def test_camelot_and_open_key_walk_the_circle_of_fifths():
    """Camelot calls the keys of signature 0 (C, A minor) 8; Open Key calls them 1."""
    for number in range(1, 13):
        for minor, camelot, open_key in ((False, "B", "d"), (True, "A", "m")):
            sharps = number - 1
            tonic = (7 * sharps + (9 if minor else 0)) % 12
            expected = tonic + 12 * minor
            assert parse_key(f"{number}{open_key}") == expected
            assert parse_key(f"{(number + 6) % 12 + 1}{camelot}") == expected


def test_compatible_keys_are_neighbours_on_the_camelot_wheel():
    for number in range(1, 13):
        for ring, other in ("AB", "BA"):
            names = (f"{number}{ring}", f"{number}{other}", f"{number % 12 + 1}{ring}")
            names += (f"{(number - 2) % 12 + 1}{ring}",)
            assert compatible_keys(parse_key(names[0])) == set(map(parse_key, names))
