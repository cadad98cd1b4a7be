"""The page in a real browser, with the words of a user.

The marker `browser`: tests with these marks run wherever there is a Chromium or Chrome with its
driver on the PATH (Debian: chromium and chromium-driver), and are skipped only where there is none
of either. A browser that is there but does not start is a failure, not a skip.
"""

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from jaxsim.library.search import query
from jaxsim.library.service.app import create_app
from jaxsim.library.store import Store
from tests.helpers.libraries import embed_file

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
DRIVER = shutil.which("chromedriver") or ""
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(not BROWSER and not DRIVER, reason="there is no browser and no driver"),
]
TRACKS = 40
ATTACK = "<script>window.attacked = 1</script><img src=x onerror='window.attacked = 1'>"
PATIENCE = 90
MINUS = "\N{MINUS SIGN}"
BOX = "const b = arguments[0].getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]"
CHOOSE = "const [by, what] = arguments; by.value = what; by.dispatchEvent(new Event('change'))"
RESOURCES = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
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


@contextlib.contextmanager
def window(page: Page, width: int, height: int = 800) -> Iterator[None]:
    """Another size of the window, smaller than a browser's own can be."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        yield
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
