"""The page's query and its hits: tracks, words, weights and filters."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from jaxsim.library import store
from jaxsim.library.search import query, words
from jaxsim.library.service.app import create_app
from jaxsim.library.store import Store, writing
from jaxsim.network import subspaces
from tests.helpers import pages
from tests.helpers.libraries import DIMENSIONS, describe, entry, random_vectors, write_reading
from tests.helpers.pages import (
    ATTACK,
    CHOOSE,
    CONTRAST,
    MINUS,
    TRACKS,
    Page,
    running,
    served,
    window,
)

pytestmark = pages.MARKS


def test_a_track_is_found_by_keyboard(page: Page, library: Store) -> None:
    page.open()
    assert page.one("#welcome").is_displayed() and not page.one("#by").is_displayed()
    assert len(page.all("#suggestions button")) == 6
    page.one("body").send_keys("/")
    find = page.browser.switch_to.active_element
    assert find.get_attribute("id") == "find"
    find.send_keys("song 1")
    page.wait(lambda: len(page.all("#find-list [role=option]")) == 12)
    find.send_keys(Keys.ARROW_DOWN)
    chosen = page.one(f"#{find.get_attribute('aria-activedescendant')}")
    assert chosen.get_attribute("aria-selected") == "true"
    assert "Song 10" in chosen.text
    find.send_keys(Keys.ENTER)
    page.shows(library, [10], None)
    assert "Song 10" in page.one("#seeds").text
    assert not page.one("#welcome").is_displayed() and page.one("#by").is_displayed()
    find.send_keys("nothing like it")
    page.wait(lambda: "No track matches" in page.one("#find-list").text)
    find.send_keys(Keys.ESCAPE)
    assert find.get_attribute("aria-expanded") == "false"


def test_several_seeds_are_one_query(page: Page, library: Store) -> None:
    page.open("/?like=0003&like=0009")
    page.shows(library, [3, 9], None)
    page.all("#seeds button[aria-label^=Remove]")[0].click()
    page.shows(library, [9], None)
    page.all(".hit button[aria-label^=Add]")[2].click()
    third = query.search(library, [9])[2].row
    page.shows(library, [9, third], None)
    page.all(".hit button[aria-label^='More like']")[0].click()
    first = query.search(library, [9, third])[0].row
    page.shows(library, [first], None)
    assert f"like={library.ids[first]}" in page.browser.current_url


def test_sliders_rank_anew(page: Page, library: Store) -> None:
    page.open("/?like=0003")
    slider = page.one("#weight-tempo")
    for _ in range(25):
        slider.send_keys(Keys.ARROW_LEFT)
    page.shows(library, [3], {"genre": 1, "tempo": -1.5, "key": 1})
    assert page.one("output[for=weight-tempo]").text == f"{MINUS}1.5"
    assert slider.get_attribute("aria-valuetext") == f"{MINUS}1.5, unlike"
    assert re.search(r"[Uu]nlike in tempo \(.*\), as asked", page.one("#hits").text)
    page.one("button[aria-label='Only key']").click()
    page.shows(library, [3], {"key": 1})
    page.one("#equal").click()
    page.shows(library, [3], None)


def test_the_newest_weights_win(page: Page, library: Store) -> None:
    """However fast a slider moves, what is shown in the end belongs to where it is."""
    page.open("/?like=0003")
    page.run("""
        const slider = document.getElementById("weight-genre");
        for (let i = 0; i <= 40; i++) {
            slider.value = 2 - i / 10;
            slider.dispatchEvent(new Event("input"));
        }
    """)
    page.shows(library, [3], {"genre": -2, "tempo": 1, "key": 1})


def test_why_adds_up(page: Page, library: Store) -> None:
    page.open("/?like=0003&weights=1,-0.5,2")
    page.shows(library, [3], (1, -0.5, 2))
    toggle = page.one(".hit [aria-controls]")
    toggle.click()
    assert toggle.get_attribute("aria-expanded") == "true"
    details = page.one(".hit .details")
    assert details.is_displayed()
    (hit, *_) = query.search(library, [3], (1, -0.5, 2))
    cells = [cell.text for cell in page.all(".details tbody td:last-child")]
    found = [float(cell.replace(MINUS, "-")) for cell in cells]
    np.testing.assert_allclose(found, hit.contributions, atol=0.0051)
    closer = [cell.text for cell in page.all(".details tbody td:nth-child(4)")]
    assert closer == [f"{int(100 * share)} %" for share in hit.closer_in]
    share = f"closer than {int(100 * hit.closer_than)} % of your library"
    assert hit.closer_than == 38 / 40 and page.one(".hit .share").text == share
    total = page.one(".details tfoot td:last-child").text.replace(MINUS, "-")
    assert float(total) == pytest.approx(hit.score, abs=0.0051)
    radar = page.one(".details svg.radar")
    label = radar.get_attribute("aria-label").replace(MINUS, "-")
    assert label.startswith(f"Contributions: genre {hit.contributions[0]:+.2f}, tempo ")
    points = page.one(".details .of-hit").get_attribute("points").split()
    assert len(points) == len(DIMENSIONS)


def test_filters_limit_the_hits(page: Page, library: Store) -> None:
    page.open("/?like=0003")
    page.one("#filters summary").click()
    page.one("#where").send_keys("tempo>70 and genre='rock'")
    page.one("#max-per-artist").send_keys("1")
    where = "tempo>70 and genre='rock'"
    page.shows(library, [3], None, where=where, max_per_artist=1)
    page.one("#max-per-artist").send_keys(Keys.BACKSPACE)
    page.one("#max-per-album").send_keys("1")
    page.shows(library, [3], None, where=where, max_per_album=1)
    page.one("#where").send_keys(" and")
    page.wait(lambda: "ends too early" in page.one("#where-status").text)


def test_more_hits_are_shown(page: Page, library: Store) -> None:
    page.open("/?like=0003")
    page.shows(library, [3], None, top=20)
    page.one("#more").click()
    page.shows(library, [3], None, top=40)
    assert not page.one("#more").is_displayed()


def test_titles_are_text(page: Page, library: Store) -> None:
    page.open("/?like=0007")
    assert page.one("#seeds strong").text == ATTACK
    page.open("/?like=0003")
    page.one("#more").click()
    page.wait(lambda: "0007" in page.hits())
    assert page.one("[data-id='0007'] h3").text == ATTACK
    page.one("#find").send_keys("window attacked")
    page.wait(lambda: page.all("#find-list [role=option]"))
    page.one("[data-id='0007'] .play").click()
    page.wait(lambda: ATTACK in page.one("#player").text)
    page.view("map")
    page.wait(lambda: ATTACK in page.one("#map-legend").text)
    assert page.run("return window.attacked ?? null") is None
    others = "main img:not(.cover > img), main script, aside img:not(.cover > img), aside script"
    assert not page.all(others)


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with write_reading(tmp_path_factory.mktemp("words")) as opened:
        yield opened


@pytest.mark.parametrize(("width", "theme"), [(1300, "light"), (390, "dark")])
def test_words_are_chips(browser: webdriver.Chrome, reading: Store, width: int, theme: str) -> None:
    asked = [("genre", "hard rock"), ("tempo", "90")]
    rock, tempo = (words.example(reading, [pair]) for pair in asked)
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    with served(reading) as found, window(page := Page(browser, found), width, 844):
        page.open()
        field = page.one("#word")
        assert field.is_displayed()
        field.send_keys("roc")
        page.wait(lambda: "hard rock" in page.one("#word-list").text)
        field.send_keys(Keys.ENTER)
        page.shows(reading, [rock], {"genre": 1})
        assert page.one("#words").text.startswith("genre: hard rock")
        page.run("document.querySelector('.hit [aria-controls]').click()")
        assert len(page.all(".hit .details tbody tr")) == 1, "nothing is said of the others"
        field.send_keys("90", Keys.ENTER)  # before the list is there
        page.shows(reading, [rock, tempo], {"genre": 1, "tempo": 1})
        assert page.run(CONTRAST) == []
        page.open(page.run("return location.pathname + location.search"))
        page.shows(reading, [rock, tempo], {"genre": 1, "tempo": 1})
        assert len(page.all(".chip")) == 2, "it can be shared"
        page.one("#find").send_keys("song 7", Keys.ENTER)
        page.shows(reading, [rock, tempo, 7], None)
        page.one("#word").send_keys("yazz")
        page.wait(lambda: "“yazz” is not a known word" in page.one("#word-list").text)
        page.one("#word").send_keys(Keys.ENTER)
        assert len(page.all(".chip")) == 2, "what was not typed must be chosen"
        page.one("#word").send_keys(Keys.ARROW_DOWN, Keys.ENTER)
        page.wait(lambda: len(page.all(".chip")) == 3)
        assert "genre: jazz" in page.one("#words").text
        page.one("#word").send_keys(Keys.BACKSPACE)
        page.shows(reading, [rock, tempo, 7], None)
        button = page.one(".chip button")
        assert button.get_attribute("aria-label") == "Remove genre: hard rock from the query"
        button.send_keys(Keys.ENTER)
        page.shows(reading, [tempo, 7], None)
        assert browser.switch_to.active_element.get_attribute("id") == "word"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    complaints = [line["message"] for line in browser.get_log("browser")]
    assert not [text for text in complaints if "the server responded with" not in text]


def test_a_model_that_reads_nothing_is_asked_no_words(page: Page) -> None:
    page.open("/?like=0003")
    assert not page.one("#word").is_displayed()


def test_artists_are_queries_and_answers(page: Page, library: Store) -> None:
    page.open(f"/?like={library.ids[3]}")
    page.run("document.querySelector('.hit .maker').click()")
    page.wait(lambda: "artist%3AArtist" in page.run("return location.search"))
    (seed,) = page.wait(
        lambda: page.run(
            "return [...document.querySelectorAll('.seed strong')].map((e) => e.textContent)"
        )
    )
    assert seed.startswith("Artist ")
    own = [i for i in range(TRACKS) if i % 5 == int(seed.removeprefix("Artist "))]
    expected = query.search(library, own, top=20)
    listed = "return [...document.querySelectorAll('.hit')].map((e) => e.dataset.id)"
    page.wait(lambda: page.run(listed) == [library.ids[hit.row] for hit in expected])
    page.open(page.run("return location.pathname + location.search"))
    assert page.run(listed) == [library.ids[hit.row] for hit in expected], "it can be shared"
    page.run(CHOOSE, page.one("#by"), "artist")
    artists = {f"artist:Artist {i}" for i in range(5)} - {f"artist:{seed}"}
    page.wait(lambda: set(page.run(listed)) == artists)


def test_presets_are_saved_used_and_deleted(page: Page, library: Store) -> None:
    page.open("/?like=0003&weights=2,0,-1")
    page.one("#preset-name").send_keys(ATTACK[:60], Keys.ENTER)
    page.wait(lambda: any(p.text == ATTACK[:60] for p in page.all("button.preset")))
    page.one("#equal").click()
    page.shows(library, [3], None)
    preset = next(p for p in page.all("button.preset") if p.text == ATTACK[:60])
    preset.click()
    page.shows(library, [3], (2, 0, -1))
    assert preset.get_attribute("aria-pressed") == "true"
    delete = next(
        button
        for button in page.all("#presets button.quiet")
        if ATTACK[:60] in button.get_attribute("aria-label")
    )
    delete.click()
    page.wait(lambda: not any(p.text == ATTACK[:60] for p in page.all("button.preset")))


def test_new_tracks_are_announced(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """They appear among the hits without a reload."""
    vectors = subspaces.normalised(random_vectors(12), len(DIMENSIONS))

    def add(first: int, last: int) -> None:
        with writing.open(tmp_path / "store", describe(), b"model") as writer:
            numbers = range(first, last)
            writer.add([entry(i, vectors[i], title=f"Song {i}") for i in numbers])
            writer.measure_cosines()

    add(0, 8)
    with store.open(tmp_path / "store") as opened:
        app = create_app(opened, root_path="/music")
        with running(app) as address:
            page = Page(browser, f"{address}/music")
            page.open("/?like=0003")
            assert page.run("return document.querySelectorAll('.hit').length") == 7
            add(8, 12)
            assert app.state.serving.refresh()
            page.wait(lambda: page.run("return document.querySelectorAll('.hit').length") == 11)
            shown = page.run("return document.getElementById('library').textContent")
            assert shown == "store 12 tracks (4 new)"
