"""The page for everyone: by keyboard, by ear, in every window, and from this server alone."""

import time

import pytest
from selenium.webdriver.common.keys import Keys

from jaxsim.library.store import Store
from tests.helpers import pages
from tests.helpers.pages import BOX, CONTRAST, RESOURCES, Page, window

pytestmark = pages.MARKS
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
