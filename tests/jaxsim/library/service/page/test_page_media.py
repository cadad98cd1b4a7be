"""Pictures and sound on the page, and files that are queries."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium import webdriver

from jaxsim.library import store
from jaxsim.library.search import query
from jaxsim.library.store import Store, writing
from jaxsim.network import subspaces
from tests.helpers import pages
from tests.helpers.libraries import DIMENSIONS, describe, entry, random_vectors
from tests.helpers.pages import BOX, CHOOSE, RESOURCES, Page, served, window

pytestmark = pages.MARKS
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
