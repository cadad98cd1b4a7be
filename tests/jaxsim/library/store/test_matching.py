"""What is typed finds what is written; whom and what a limit counts."""
# ruff: noqa: RUF001  the letters that look like others are what this is about

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsim.library.store.matching import folded, limited_album, limited_artist


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        ("Don’t Stop", "don't stop"),
        ("‘Heroes’", "'heroes'"),
        ("“Heroes”", '"heroes"'),
        ("«Été»", '"ete"'),
        ("a‐ha", "a-ha"),
        ("1–2—3−4", "1-2-3-4"),
        ("…Baby", "...baby"),
        ("Sigur Rós", "sigur ros"),
        ("Mø", "mo"),
        ("MØ", "mo"),
        ("Łona", "lona"),
        ("Đorđe", "dorde"),
        ("Ænima", "aenima"),
        ("Œuvre", "oeuvre"),
        ("Straße", "strasse"),
        ("Þursaflokkurinn", "thursaflokkurinn"),
        ("Ðe", "de"),
        ("Işık", "isik"),
        ("İstanbul", "istanbul"),
        ("Ǿ", "o"),
        ("Ƶɇȼ Əliyev", "zec eliyev"),
        ("Hawai´i", "hawai'i"),
        ("Hawai`i", "hawai'i"),
        ("Hawaiʻi", "hawai'i"),
        ("Ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("№ 5", "no 5"),
        ("soft\u00adhyphen", "softhyphen"),
        ("\u200bhidden\ufeff", "hidden"),
        ("Hunter × Hunter", "hunter x hunter"),
        ("  ABBA ", "abba"),
        ("東京", "東京"),
    ],
)
def test_folded(written: str, typed: str) -> None:
    assert folded(written) == typed
    assert folded(typed) == typed


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    once = folded(text)
    assert folded(once) == once == folded(text.swapcase().swapcase())


@pytest.mark.parametrize(
    ("artist", "album_artist", "compilation", "expected"),
    [
        ("Main", None, None, "main"),
        ("Main feat. Other", None, None, "main"),
        ("Main feat. Other", "Main", 0, "main"),
        ("Other", "Main", None, "main"),
        ("Main; Other", None, None, "main"),
        ("MØ (with Other)", None, None, "mo"),
        ("Main & Other", None, None, "main & other"),
        ("Singer", "Various Artists", None, "singer"),
        ("Singer", "VA", 0, "singer"),
        ("Singer", "Verschiedene Interpreten", None, "singer"),
        ("Singer", "Artistes variés", None, "singer"),
        ("Singer", "The Label", 1, "singer"),
        (None, "Various Artists", 1, ""),
        (None, "Main", None, "main"),
        (None, None, None, ""),
        (" ", "", None, ""),
    ],
)
def test_whom_a_limit_counts(
    artist: str | None, album_artist: str | None, compilation: int | None, expected: str
) -> None:
    assert limited_artist(artist, album_artist, compilation) == expected


def test_whose_an_album_is() -> None:
    assert limited_album(None, "A", "A", 0) is limited_album(" ", "A", "A", 0) is None
    of_a = limited_album("Greatest Hits", "A", None, None)
    assert of_a == limited_album("greatest hits", "A feat. B", None, 0)
    assert of_a == limited_album("Greatest Hits", "B", "A", None)
    assert of_a != limited_album("Greatest Hits", "B", None, None)
    mixed = limited_album("Hits", "A", "Various Artists", None)
    assert mixed == limited_album("Hits", "B", "various artists", 1) is not None
    assert limited_album("Hits", "A", None, 1) == limited_album("Hits", "B", None, 1) is not None
