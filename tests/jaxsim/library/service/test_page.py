"""The page in a real browser, against a real server.

The marker `browser`: these tests run wherever there is a Chromium or Chrome with its driver on the
PATH (Debian: chromium and chromium-driver), and are skipped only where there is none of either.
A browser that is there but does not start is a failure, not a skip.
"""

import contextlib
import dataclasses
import re
import shutil
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from mutagen import id3, wave
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from jaxsim.library import store
from jaxsim.library.search import preferences, projection, query, words
from jaxsim.library.service.app import create_app
from jaxsim.library.store import Store, writing
from jaxsim.network import subspaces
from tests.helpers.libraries import (
    DIMENSIONS,
    describe,
    embed_file,
    entry,
    random_vectors,
    write_reading,
)

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
DRIVER = shutil.which("chromedriver") or ""
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not BROWSER and not DRIVER, reason="there is no browser and no driver"),
]

TRACKS = 40
ATTACK = "<script>window.attacked = 1</script><img src=x onerror='window.attacked = 1'>"
PATIENCE = 90
MINUS = "\N{MINUS SIGN}"


def add_cover(audio: Path) -> None:
    """A red picture of 300 by 200 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        code = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", code)

    header = struct.pack(">IIBBBBB", 300, 200, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + 300 * b"\xc0\x20\x20") * 200)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")
    file = wave.WAVE(audio)
    file.add_tags()
    file.tags.add(id3.APIC(3, "image/png", 3, "", b"\x89PNG\r\n\x1a\n" + b"".join(parts)))
    file.save()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Tracks with sound; the title and the genre of track 7 are markup."""
    folder = tmp_path_factory.mktemp("page").resolve()
    entries = []
    for i, vector in enumerate(subspaces.normalised(random_vectors(TRACKS), len(DIMENSIONS))):
        given: dict[str, Any] = {"title": f"Song {i}", "artist": f"Artist {i % 5}"}
        given |= {"genre": ("rock", "jazz")[i % 2], "tempo": 60.0 + i, "album": f"Album {i % 3}"}
        if i == 7:
            given |= {"title": ATTACK, "genre": ATTACK}
        audio = folder / f"{i}.wav"
        soundfile.write(audio, 0.1 * np.sin(np.arange(8000 * 20) * (0.1 + i / 100)), 8000)
        if i % 2:
            add_cover(audio)
        entries.append(dataclasses.replace(entry(i, vector, **given), path=str(audio)))
    with writing.open(folder / "store", describe(), b"model") as writer:
        writer.add(entries)
        writer.measure_cosines()
    with store.open(folder / "store") as opened:
        yield opened


@pytest.fixture(scope="module")
def address(library: Store) -> Iterator[str]:
    with served(library) as found:
        yield found


def served(library: Store) -> contextlib.AbstractContextManager[str]:
    """The address of a server of a library."""
    return running(create_app(library, embed_file=embed_file))


@contextlib.contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """The address of a server in a thread."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--mute-audio"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_window_size(1300, 900)
    yield driver
    driver.quit()


class Page:
    """The page in the browser, with the words of a user."""

    def __init__(self, browser: webdriver.Chrome, address: str):
        self.browser = browser
        self.address = address

    def open(self, path: str = "/") -> None:
        self.browser.get("about:blank")
        self.browser.get(self.address + path)
        self.wait(lambda: self.run("return document.body.dataset.ready"))

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def wait(self, condition: Callable[[], Any]) -> Any:
        """What the condition gives, once it is true."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            # What was found may be replaced before it is looked at.
            with contextlib.suppress(StaleElementReferenceException):
                if found := condition():
                    return found
            time.sleep(0.02)
        raise AssertionError("it did not happen")

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def hits(self) -> list[str]:
        """Ids of the hits that are shown."""
        script = "return [...document.querySelectorAll('#hits > .hit')].map((e) => e.dataset.id)"
        return self.run(script)

    def glides(self) -> bool:
        """Whether hits still move to their places: what is clicked then may be a neighbour."""
        return self.run("return hits.getAnimations({ subtree: true }).length > 0")

    def shows(self, library: Store, seeds: list, weights: Any, **options: Any) -> None:
        """Waits until the hits are those of a search, each in its place."""
        expected = [
            library.ids[hit.row] for hit in query.search(library, seeds, weights, **options)
        ]
        self.wait(lambda: self.hits() == expected and not self.glides())

    def view(self, name: str) -> None:
        self.one(f"#tab-{name}").click()


@pytest.fixture
def page(browser: webdriver.Chrome, address: str) -> Iterator[Page]:
    """A page; what the browser complains of is a failure, but for refusals that are asked for."""
    opened = Page(browser, address)
    browser.get_log("browser")
    yield opened
    complaints = [line["message"] for line in browser.get_log("browser")]
    assert not [text for text in complaints if "the server responded with" not in text]


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


LETTER = "const [what, at] = arguments; const hit = document.querySelectorAll('.hit')[at];"
LETTER += "return hit.querySelector(what).dataset.letter ?? null"
LETTERS = """
    const found = [];
    for (const box of document.querySelectorAll(".cover[data-letter]")) {
        const { content, color } = getComputedStyle(box, "::before");
        const { width, height, display, backgroundColor } = getComputedStyle(box);
        found.push([content, width, height, display, color, backgroundColor]);
    }
    return found;
"""


def luminance(colour: str) -> float:
    """As WCAG 2 defines it, of a colour such as rgb(1, 2, 3)."""
    shares = np.array(re.findall(r"[\d.]+", colour)[:3], float) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1300, "light")])
def test_albums_without_pictures_have_letters(
    browser: webdriver.Chrome, tmp_path: Path, width: int, theme: str
) -> None:
    """In place of the picture, so that nothing moves; what has no letter has a note."""
    given = [{"title": "any", "album": name} for name in ("...on", "élan", "99 Luft", "?!")]
    given += [{"title": "untitled"}, {"title": "xyz", "album": "Zoo"}]
    vectors = subspaces.normalised(random_vectors(len(given)), len(DIMENSIONS))
    with writing.open(tmp_path / "store", describe(), b"model") as writer:
        writer.add([entry(i, v, **given[i]) for i, v in enumerate(vectors)])
        writer.measure_cosines()
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    with store.open(tmp_path / "store") as opened, served(opened) as address:
        page = Page(browser, address)
        with window(page, width, 2000):
            page.open("/?like=0005")
            places = "return [...document.querySelectorAll('.hit > *')].map((e) => e.offsetTop)"
            before = page.run(places)
            page.wait(lambda: len(page.run(LETTERS)) == len(given))
            assert page.run(places) == before
            seed, *hits = page.run(LETTERS)
            assert seed[:3] == ['"Z"', "40px", "40px"]
            side = "64px" if width == 390 else "56px"
            assert {each[0] for each in hits} == {'"O"', '"É"', '"9"', '"♪"', '"U"'}
            assert {tuple(each[1:4]) for each in hits} == {(side, side, "grid")}
            for *_, colour, behind in (seed, *hits):
                low, high = sorted(map(luminance, (colour, behind)))
                assert (high + 0.05) / (low + 0.05) >= 4.5
            art = f"{RESOURCES}.filter((name) => name.includes('/api/art/'))"
            assert len(page.run(art)) == len(given)
            for by in ("album", "track"):  # lists of other elements
                page.run(CHOOSE, page.one("#by"), by)
                page.wait(page.hits)
            assert len(page.run(LETTERS)) == len(page.run(art)) == len(given), "asked for once"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.get_log("browser")


@pytest.mark.parametrize("width", [390, 1300])
def test_albums_have_pictures(page: Page, library: Store, width: int) -> None:
    """In boxes that are there before them, and have a letter where there is none."""
    with window(page, width, 900):
        page.open("/?like=0003")
        page.shows(library, [3], None)
        odd = [hit.row % 2 == 1 for hit in query.search(library, [3])]
        found = "const hit = document.querySelectorAll('.hit')[arguments[0]]; hit.scrollIntoView();"
        found += "return hit.querySelector('.cover img')?.naturalWidth ?? null"
        page.wait(lambda: page.run(found, odd.index(True)) == 300)
        page.wait(lambda: page.run(found, odd.index(False)) is None)
        assert page.run(LETTER, "[aria-hidden=true].cover", odd.index(False)) == "A", "of its album"
        assert page.run(LETTER, ".cover", odd.index(True)) is None
        sizes = "return [...document.querySelectorAll('.hit .cover')].map((e) => e.offsetWidth)"
        assert set(page.run(sizes)) == {64 if width == 390 else 56}
        every = page.run(
            "return [...document.querySelectorAll('img')].map((e) => [e.alt, e.loading])"
        )
        assert ["", "lazy"] in every and all(alt == "" for alt, _ in every)
        play = page.run(BOX, page.one(".hit .play"))
        title = page.run(BOX, page.one(".hit h3"))
        assert play[2] <= title[0], "they do not cover what is said"
        page.run("arguments[0].click()", page.all(".hit .play")[odd.index(True)])
        shown = "return document.querySelector('#player .cover img')?.complete"
        page.wait(lambda: page.run(shown))


def test_a_file_is_a_query(page: Page, library: Store, tmp_path: Path) -> None:
    vector = np.random.default_rng(1).normal(size=12).astype(np.float32)
    (tmp_path / "my song.mp3").write_bytes(vector.tobytes())
    (tmp_path / "notes.mp3").write_bytes(b"text")
    page.open()
    page.one("#file").send_keys(str(tmp_path / "notes.mp3"))
    refusal = "notes.mp3: not audio in a known format"
    page.wait(lambda: page.one("#upload-status").text == refusal)
    page.one("#file").send_keys(str(tmp_path / "my song.mp3"))
    page.shows(library, [vector], None)
    assert "my song.mp3" in page.one("#seeds").text
    assert page.one("#upload-status").text == ""


def test_a_file_is_dropped_anywhere(page: Page, library: Store) -> None:
    vector = np.random.default_rng(2).normal(size=12).astype(np.float32)
    page.open()
    page.run(
        """
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(arguments[0])], "dropped.wav"));
        const options = { dataTransfer: data, bubbles: true, cancelable: true };
        const event = new DragEvent("drop", options);
        document.querySelector("main").dispatchEvent(event);
        if (!event.defaultPrevented) throw new Error("the browser would leave the page");
        """,
        list(vector.tobytes()),
    )
    page.shows(library, [vector], None)


PLAYED = """
    const [done] = arguments;
    import("/player.js").then(({ element }) =>
        done([element.currentTime, element.duration, element.paused, element.src]));
"""


def test_hits_are_played_and_sought(page: Page, library: Store) -> None:
    page.open("/?like=0003")
    first, second = page.all(".hit .play")[:2]
    first.click()

    def played() -> Any:
        return page.browser.execute_async_script(PLAYED)

    page.wait(lambda: played()[0] > 0.2)
    assert played()[1] == pytest.approx(20, abs=0.1)
    assert first.get_attribute("aria-label").startswith("Pause ")
    page.run("""
        const seek = document.querySelector("#player .seek");
        seek.value = 0.75;
        seek.dispatchEvent(new Event("input"));
    """)
    page.wait(lambda: played()[0] > 14.9)
    second.click()
    page.wait(lambda: first.get_attribute("aria-label").startswith("Play "))
    row = query.search(library, [3])[1].row
    assert played()[3].endswith(f"/api/audio/{row}?id={library.ids[row]}")
    second.click()
    page.wait(lambda: played()[2])
    page.one("#player button[aria-label=Stop]").click()
    assert not page.one("#player").is_displayed()


def test_a_file_that_is_gone_says_so(page: Page, library: Store) -> None:
    page.open("/?like=0003")
    row = query.search(library, [3])[0].row
    path = library.path_of(row)
    path.rename(path.with_suffix(".away"))
    try:
        page.one(".hit .play").click()
        page.wait(lambda: "No such file" in page.one("#player").text)
    finally:
        path.with_suffix(".away").rename(path)


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


ROLES = (
    *("application", "button", "checkbox", "combobox", "image", "img", "link", "listbox"),
    *("option", "searchbox", "slider", "spinbutton", "tab", "tabpanel", "textbox"),
)
VIEWS = ("search", "map", "playlist", "judge")


def test_every_control_has_a_name(page: Page) -> None:
    """As a screen reader is told it, in every view."""
    page.open("/?like=0003")
    page.one(".hit [aria-controls]").click()
    page.one("#filters summary").click()
    page.one(".hit .play").click()
    for view in VIEWS:
        page.view(view)
        page.wait(lambda: page.one("[role=tabpanel]:not([hidden]) *"))
        tree = page.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        controls = [n for n in tree if not n["ignored"] and n["role"]["value"] in ROLES]
        assert len(controls) > 15
        nameless = [n for n in controls if not n.get("name", {}).get("value", "").strip()]
        assert not nameless, [(n["role"]["value"], n.get("properties")) for n in nameless]
    ids = page.run("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    referred = page.run("""
        const names = ["for", "aria-controls", "aria-labelledby", "aria-describedby"];
        const all = (name) => [...document.querySelectorAll(`[${name}]`)];
        return names.flatMap((name) => all(name).map((element) => element.getAttribute(name)));
    """)
    assert len(referred) > 10
    assert set(referred) <= set(ids)


def test_tabs_go_by_arrow_keys(page: Page) -> None:
    page.open("/#map")
    tab = page.one("#tab-map")
    tab.send_keys(Keys.ARROW_RIGHT)
    assert page.browser.switch_to.active_element.get_attribute("id") == "tab-playlist"
    assert page.one("#playlist").is_displayed() and not page.one("#map").is_displayed()
    page.browser.switch_to.active_element.send_keys(Keys.END)
    assert page.one("#judge").is_displayed()
    page.browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert page.one("#search").is_displayed()


CONTRAST = """
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const linear = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const luminance = (colour) => {
        const [r, g, b] = numbers(colour).map(linear);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        const colour = getComputedStyle(element).backgroundColor;
        return (numbers(colour)[3] ?? 1) === 1 ? colour : behind(element.parentElement);
    };
    const other = "svg, option, noscript, .hidden, .skip";
    const low = [];
    for (const element of document.querySelectorAll("body *")) {
        const isText = (node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim();
        if (![...element.childNodes].some(isText)) continue;
        if (!element.checkVisibility() || element.closest(other)) continue;
        const pair = [getComputedStyle(element).color, behind(element)].map(luminance);
        const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        if (ratio < 4.5) low.push(`${element.outerHTML.slice(0, 80)}: ${ratio.toFixed(2)}`);
    }
    return low;
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_can_be_read_on_a_phone(page: Page, theme: str) -> None:
    with window(page, 390, 844):
        page.open("/?like=0003&like=0009")
        while page.run("return document.documentElement.dataset.theme") != theme:
            page.one("#theme").click()
        page.run("document.querySelector('.hit .play').click()")
        page.wait(lambda: page.all(".hit .play.current"))
        for is_open in (False, True):
            page.run("document.getElementById('adjust').open = arguments[0]", is_open)
            time.sleep(0.4)  # colours change in 120 ms
            assert page.run(CONTRAST) == []
        page.run("localStorage.clear()")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_can_be_read(page: Page, theme: str) -> None:
    """Contrast 4.5 to 1, as WCAG AA asks for."""
    page.open("/?like=0003")
    while page.run("return document.documentElement.dataset.theme") != theme:
        page.one("#theme").click()
    page.one(".hit [aria-controls]").click()
    page.one(".hit .play").click()
    page.wait(lambda: page.all(".hit .play.current"))
    for view in VIEWS:
        page.view(view)
        page.wait(lambda: page.one("[role=tabpanel]:not([hidden])"))
        time.sleep(0.4)  # colours change in 120 ms
        assert page.run(CONTRAST) == []
    page.open("/")
    assert page.run("return document.documentElement.dataset.theme") == theme
    page.run("localStorage.clear()")


@contextlib.contextmanager
def window(page: Page, width: int, height: int = 800) -> Iterator[None]:
    """Another size of the window, smaller than a browser's own can be."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        yield
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("width", [320, 768, 1024])
def test_no_view_is_wider_than_the_window(page: Page, width: int) -> None:
    with window(page, width):
        page.open("/?like=0003&like=0009")
        page.run("document.querySelector('.hit [aria-controls]').click()")
        page.run("document.querySelector('.hit .play').click()")
        for view in VIEWS:
            page.run(f"document.getElementById('tab-{view}').click()")
            time.sleep(0.2)
            assert page.run("return document.documentElement.scrollWidth") <= width


PHONES = [(320, 568), (390, 844), (844, 390)]
BOX = "const b = arguments[0].getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]"


@pytest.mark.parametrize(("width", "height"), PHONES)
def test_on_a_phone_the_hits_come_first(
    page: Page, library: Store, width: int, height: int
) -> None:
    with window(page, width, height):
        page.open("/?like=0003&like=0009&like=0011")
        page.shows(library, [3, 9, 11], None)
        title = page.one(".hit h3")
        assert page.run("return scrollY") == 0
        assert page.run(BOX, page.one(".seed"))[1] < page.run(BOX, title)[1]
        assert page.run(BOX, title)[3] < height, "the first hit is in sight"
        assert not page.one("#weight-tempo").is_displayed()
        page.run("arguments[0].click()", page.one(".hit .play"))
        left, top, right, bottom = page.run(BOX, page.one("#player"))
        assert (left, bottom) == (0, height) and top > height / 2
        for button in page.all("#player button"):
            left, top, right, bottom = page.run(BOX, button)
            assert bottom - top >= 44 and right - left >= 44 and right <= width
        page.run("scrollTo(0, document.body.scrollHeight)")
        last = page.run(BOX, page.all(".hit button")[-1])
        assert last[3] <= page.run(BOX, page.one("#player"))[1], "nothing stays behind the player"


def test_what_is_folded_away_is_found_by_keyboard(page: Page, library: Store) -> None:
    with window(page, 390, 844):
        page.open("/?like=0003&weights=1,2,1")
        summary = page.one("#adjust > summary")
        assert summary.text == "Weights and filters tempo +2.0"
        summary.send_keys(Keys.ENTER)
        page.wait(lambda: page.one("#weight-tempo").is_displayed())
        page.one("#weight-tempo").send_keys(Keys.ARROW_LEFT)
        page.shows(library, [3], (1, 1.9, 1))
        page.one("#filters summary").click()
        page.one("#where").send_keys("tempo>70")
        page.shows(library, [3], (1, 1.9, 1), where="tempo>70")
        assert summary.text == "Weights and filters tempo +1.9, tempo>70"
        summary.send_keys(Keys.SPACE)
        page.wait(lambda: not page.one("#weight-tempo").is_displayed())
    page.wait(lambda: page.one("#weight-tempo").is_displayed())
    assert not summary.is_displayed(), "there is room for everything again"
    with window(page, 390, 844):
        page.open("/?like=0003&where=tempo>")
        page.wait(lambda: page.one("#where-status").is_displayed())


def test_nothing_moves_for_those_who_ask_for_it(page: Page, library: Store) -> None:
    media = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        page.open("/?like=0003")
        page.run("Element.prototype.animate = () => { throw new Error('it moves'); }")
        page.one("button[aria-label='Only key']").click()
        page.shows(library, [3], {"key": 1})
    finally:
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


RESOURCES = "return performance.getEntriesByType('resource').map((entry) => entry.name)"


def test_everything_comes_from_this_server(page: Page) -> None:
    for path in ("/?like=0003#map", "/docs.html"):
        page.browser.get("about:blank")
        page.browser.get(page.address + path)
        page.wait(lambda: page.all(".docs article, #map-legend li"))
        names = page.run(RESOURCES)
        assert len(names) > 3
        assert all(name.startswith(page.address) for name in names)


def test_the_service_is_described(page: Page) -> None:
    page.browser.get(f"{page.address}/docs.html")
    page.wait(lambda: page.all(".docs article"))
    text = page.one("#docs").text
    for path in (
        "/api/search",
        "/api/embed",
        "/rest/getSonicSimilarTracks",
        "/api/judge/{judge}",
    ):
        assert path in text
    assert "undefined" not in text and "[object" not in text


def test_other_pages_cannot_use_the_service(page: Page, address: str) -> None:
    """A page of another origin (the same server by another name) in the same browser."""
    page.open()
    other = address.replace("127.0.0.1", "localhost")
    script = """
        const [address, done] = arguments;
        const body = '{"weights": {}}';
        const tries = [
            fetch(`${address}/api/library`, { mode: "no-cors" }),
            fetch(`${address}/api/presets/x`, { method: "PUT", body, mode: "cors" }),
            fetch(`${address}/api/embed`, { method: "POST", body: "x", mode: "no-cors" }),
        ];
        Promise.allSettled(tries).then((all) => done(all.map(({ status }) => status)));
    """
    # The policy of the page itself forbids it too, so it is asked from a page without any.
    page.browser.get("about:blank")
    found = page.browser.execute_async_script(script, other)
    assert found[1] == "rejected"
    page.browser.get_log("browser")
    page.open()
    assert "x" not in [p.text for p in page.all("button.preset")]


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


CHOOSE = "const [by, what] = arguments; by.value = what; by.dispatchEvent(new Event('change'))"


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
