"""What people write into tags, and what they mean."""
# ruff: noqa: RUF001  letters of full width and long dashes are among what people write

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from input_pipeline.spellings import divided, main_artist, year_in


@pytest.mark.parametrize(
    ("date", "year"),
    [
        ("1997", 1997),
        ("01/02/1997", 1997),
        ("1.2.1997", 1997),
        ("Oct 3, 1995", 1995),
        ("3rd of October 1995", 1995),
        ("20010101", 2001),
        ("19690926", 1969),
        ("26091969", 1969),
        ("20012010", 2010),  # 20 January: 20 is no month
        ("20010101120000", 2001),
        ("2001-00-00", 2001),
        ("1997-05-06T07:08:09Z", 1997),
        ("1997-05-06 07:08:09+0000", 1997),
        ("0000-00-00 / 1968", 1968),
        ("(P) 1974", 1974),
        ("1969-70", 1969),
        ("2099", 2099),
        ("", None),
        ("0000", None),
        ("0000-00-00", None),
        ("97", None),
        ("01/02/97", None),
        ("999", None),
        ("2100", None),
        ("19945", None),
        ("1990s", None),
        ("1990's", None),
        ("20011301", None),
        ("9" * 5000, None),
        ("soon", None),
    ],
)
def test_years(date, year):
    assert year_in(date) == year


FORMATS = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d%m%Y", "%b %d, %Y", "%d.%m.%Y %H:%M")


@given(
    st.datetimes(datetime.datetime(1860, 1, 1), datetime.datetime(2099, 12, 31)),
    st.sampled_from(FORMATS),
)
def test_the_year_of_any_date_in_any_order(date, form):
    assert year_in(date.strftime(form)) == date.year


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("Rock", ["Rock"]),
        ("Rock; Pop", ["Rock", "Pop"]),
        ("Rock/Pop", ["Rock", "Pop"]),
        ("Rock, Pop", ["Rock", "Pop"]),
        (r"Rock\\Pop", ["Rock", "Pop"]),
        ("Rock|Pop", ["Rock", "Pop"]),
        ("R&B/Soul", ["R&B", "Soul"]),
        ("Hip-Hop/Rap", ["Hip-Hop", "Rap"]),
        ("Drum & Bass", ["Drum & Bass"]),
        ("Jazz+Funk", ["Jazz+Funk"]),
        ("Rock and Roll", ["Rock and Roll"]),
        ("Folk, World, & Country", ["Folk", "World", "Country"]),
        ("Andean, and Cumbia", ["Andean", "Cumbia"]),
        ("Singer/Songwriter; Pop", ["Singer/Songwriter", "Pop"]),
        ("singer / songwriter", ["Singer/Songwriter"]),
        ("  Acid   Jazz ", ["Acid Jazz"]),
        ("ロック、ポップ；Jazz", ["ロック", "ポップ", "Jazz"]),
        ("Rock • Pop", ["Rock", "Pop"]),
        ("N/A", []),
        (" ;/, ", []),
        ("", []),
    ],
)
def test_tags_in_one_text(text, tags):
    assert divided(text) == tags


@given(st.text())
def test_divided_tags_are_whole(text):
    for tag in divided(text):
        assert divided(tag) == [tag] == [" ".join(tag.split())]


@pytest.mark.parametrize(
    "text",
    [
        *("Main", "Main feat. Other", "Main Feat. Other", "Main feat Other", "Main ft. Other"),
        *("Main FT Other", "Main featuring Other", "Main (feat. Other)", "Main [ft. Other]"),
        *("Main (with Other)", "Main (featuring A & B)", "Main w/ Other", "Main, feat.Other"),
        *("Main; Other", "Main;Other feat. Third", "Main / Other", "Main (Feat Other)"),
        *("Main - feat. Other", "Main {feat. Other}", "Main（feat. Other）"),
    ],
)
def test_guests_do_not_count(text):
    assert main_artist(text) == "Main"
    assert main_artist(text.replace("Main", "Little Feat")) == "Little Feat"


@pytest.mark.parametrize(
    "name",
    [
        *("AC/DC", "Simon & Garfunkel", "Tyler, The Creator", "Earth, Wind & Fire", "Little Feat"),
        *("Dance With the Dead", "Chase and Status", "Sub Focus x Wilkinson", "Little Feat & Co"),
        *("Little Feat Live", "Little Feat"),
        *("feat. Nobody", "Defeat of Kings", "Lift Off", "FT Island", ""),
    ],
)
def test_names_stay_whole(name):
    assert main_artist(name) == name
