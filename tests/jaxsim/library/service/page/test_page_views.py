"""The page's map, playlist and judge."""

from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from jaxsim.library import store
from jaxsim.library.search import preferences, projection
from jaxsim.library.service.app import create_app
from jaxsim.library.store import Store, writing
from jaxsim.network import subspaces
from tests.helpers import pages
from tests.helpers.libraries import DIMENSIONS, describe, entry, random_vectors
from tests.helpers.pages import RESOURCES, TRACKS, Page, running

pytestmark = pages.MARKS


def test_points_of_the_map_are_clicked(page: Page, library: Store) -> None:
    points = projection.load(library)
    page.open("/?like=0003#map")
    page.wait(lambda: not page.one("#map-waiting").is_displayed() and page.all("#map-legend li"))
    canvas = page.one("#map-canvas")
    size = page.run("const c = arguments[0]; return [c.clientWidth, c.clientHeight]", canvas)
    side = min(size) - 48
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + np.eye(TRACKS)
    row = int(np.argmax(apart.min(axis=1)))  # the one whose neighbours are farthest
    x, y = (points[row] - 0.5) * side
    action = webdriver.ActionChains(page.browser)
    action.move_to_element_with_offset(canvas, round(float(x)), round(float(y))).click().perform()
    title = library.metadata([row])[0]["title"]
    page.wait(lambda: title in page.one("#map-selected").text)
    page.one("#map-selected button[aria-label^='More like']").click()
    page.wait(lambda: title in page.one("#seeds").text)
    canvas.send_keys(Keys.ARROW_LEFT if points[row, 0] > 0.5 else Keys.ARROW_RIGHT)
    page.wait(lambda: title not in page.one("#map-selected").text)
    next_title = page.one("#map-selected strong").text
    canvas.send_keys(Keys.ENTER)
    page.wait(lambda: next_title in page.one("#seeds").text)


def test_the_map_has_colours(page: Page) -> None:
    page.open("/?like=0003#map")
    page.wait(lambda: page.one("#map-legend").text.startswith("rock"))
    drawn = """
        const canvas = document.getElementById("map-canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const seen = new Set();
        for (let i = 0; i < data.length; i += 4)
            if (data[i + 3] > 220) seen.add(data.slice(i, i + 3).join());
        return seen.size;
    """
    page.wait(lambda: page.run(drawn) >= 3)
    select = page.one("#map-colour")
    for value, text in (("field tempo", "tempo"), ("query key", "key"), ("query score", "score")):
        page.run("arguments[0].value = arguments[1]", select, value)
        page.run("arguments[0].dispatchEvent(new Event('change'))", select)
        page.wait(lambda text=text: page.one("#map-legend").text.endswith(text))
    page.run("arguments[0].value = 'none'; arguments[0].dispatchEvent(new Event('change'))", select)
    page.wait(lambda: not page.all("#map-legend li"))


def click_on_map(page: Page, library: Store, name: str) -> None:
    """Clicks where a track's point is on the whole map."""
    canvas = page.one("#map-canvas")
    size = page.run("const c = arguments[0]; return [c.clientWidth, c.clientHeight]", canvas)
    (place,) = projection.load(library)[library.ids[library.rows] == name]
    x, y = (place - 0.5) * (min(size) - 48)
    action = webdriver.ActionChains(page.browser)
    action.move_to_element_with_offset(canvas, round(float(x)), round(float(y)))
    action.click().perform()


@pytest.mark.parametrize("is_noticed", [True, False])
def test_no_other_track_is_shown_after_pruning(
    browser: webdriver.Chrome, tmp_path: Path, is_noticed: bool
) -> None:
    """Neither when the page has noticed it, nor before, while it shows the map as it was."""
    gone, kept = ("0000", "0001", "0004"), ("0002", "0007", "0011")
    vectors = subspaces.normalised(random_vectors(12), len(DIMENSIONS))
    about = {"genre": "jazz"}
    with writing.open(tmp_path / "store", describe(), b"model") as writer:
        writer.add([entry(i, v, title=f"Song {i}", **about) for i, v in enumerate(vectors)])
        writer.measure_cosines()
    with store.open(tmp_path / "store") as opened, running(app := create_app(opened)) as address:
        page = Page(browser, address)
        page.open("/?like=0005#map")
        page.wait(lambda: page.all("#map-legend li"))
        selected = "return document.getElementById('map-selected').textContent"
        click_on_map(page, opened, "0002")
        page.wait(lambda: "Song 2" in page.run(selected))
        if not is_noticed:  # a page out of sight does not look
            page.run("Object.defineProperty(document, 'hidden', { value: true })")
        with writing.open(tmp_path / "store", describe(), b"model") as writer:
            writer.hide([f"/music/{int(name)}.wav" for name in gone])
            assert writer.prune() == len(gone)
        assert app.state.serving.refresh()
        if is_noticed:
            page.run("document.dispatchEvent(new Event('visibilitychange'))")
            page.wait(lambda: "(3 gone)" in page.one("#library").text)
        else:
            for name in kept:
                click_on_map(page, opened, name)
                page.wait(lambda name=name: f"Song {int(name)}" in page.run(selected))
            click_on_map(page, opened, "0004")  # the pointer alone shows that it is gone
        now = app.state.serving.current.library
        edition = TestClient(app, base_url=address).get("/api/library").json()["edition"]
        drawn = f"{address}/api/map/values?by=genre&edition={edition}"
        page.wait(lambda: drawn in page.run(RESOURCES))
        for name in kept:
            click_on_map(page, now, name)
            page.wait(lambda name=name: f"Song {int(name)}" in page.run(selected))
        page.view("search")
        if is_noticed:
            titles = "return [...document.querySelectorAll('.hit h3')].map((e) => e.textContent)"
            page.wait(lambda: len(page.hits()) == 8)
            assert page.run(titles) == [f"Song {int(name)}" for name in page.hits()]
            assert not set(gone) & set(page.hits())


def test_a_playlist_goes_from_song_to_song(page: Page, library: Store) -> None:
    page.open("/?like=0003#playlist")
    page.wait(lambda: page.one("#end").get_attribute("value"))
    end = page.one("#end")
    end.clear()
    end.send_keys("song 21", Keys.ENTER)  # before the list is there
    page.wait(lambda: end.get_attribute("value") == "Song 21, Artist 1")
    page.one("#length").clear()
    page.one("#length").send_keys("6")
    page.one("#playlist-form .primary").click()
    page.wait(lambda: len(page.all(".steps > li")) == 6)
    titles = [element.text for element in page.all(".steps strong")]
    assert (titles[0], titles[-1], len(set(titles))) == ("Song 3", "Song 21", 6)
    assert len(page.all(".ways svg")) == len(DIMENSIONS)
    page.one("#playlist-result .primary").click()
    page.wait(lambda: "Song 3" in page.one("#player").text)
    page.one("#player button[aria-label='Next track']").click()
    page.wait(lambda: titles[1] in page.one("#player").text)
    page.one("#length").clear()
    page.one("#length").send_keys("50")
    page.one("#playlist-form .primary").click()
    page.wait(lambda: "expected at most 40" in page.one("#playlist-status").text)


def test_the_judge_is_answered_by_keyboard(page: Page, library: Store) -> None:
    page.open("/#judge")
    listener = page.one("#listener")
    listener.clear()
    listener.send_keys("clara", Keys.TAB)
    page.wait(lambda: page.one("#question").get_attribute("aria-busy") == "false")
    assert len(page.all("#question .card")) == 3
    assert "Song" not in page.one("#question").text  # titles are hidden
    body = page.one("body")
    for number, key in enumerate("ab1sa", start=1):
        body.send_keys(key)
        if key == "1":
            page.wait(lambda: page.all("#question .play.plays"))
        answers = number - (number > 2)
        page.wait(lambda n=answers: len(preferences.answers_of(library, "clara")) == n)
        page.wait(lambda: page.one("#question").get_attribute("aria-busy") == "false")
    choices = [answer.choice for answer in preferences.answers_of(library, "clara")]
    assert choices == ["a", "b", "skip", "a"]
    page.wait(lambda: "3 answers, 1 skipped" in page.one("#fitted").text)
    page.one("#reveal").click()
    page.wait(lambda: "Song" in page.one("#question").text)
    page.one("#reveal").send_keys("b")  # keys are heard there too
    page.wait(lambda: "4 answers, 1 skipped" in page.one("#fitted").text)
    page.one("#fitted button").click()
    page.wait(lambda: any("clara" in p.text for p in page.all(".presets button")))
