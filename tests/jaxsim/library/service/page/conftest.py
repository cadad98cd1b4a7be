"""A library with sound, a server of it, and a browser that looks at its page."""

import dataclasses
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from mutagen import id3, wave
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from jaxsim.library import store
from jaxsim.library.store import Store, writing
from jaxsim.network import subspaces
from tests.helpers.libraries import DIMENSIONS, describe, entry, random_vectors
from tests.helpers.pages import ATTACK, BROWSER, DRIVER, TRACKS, Page, served


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


@pytest.fixture
def page(browser: webdriver.Chrome, address: str) -> Iterator[Page]:
    """A page; what the browser complains of is a failure, but for refusals that are asked for."""
    opened = Page(browser, address)
    browser.get_log("browser")
    yield opened
    complaints = [line["message"] for line in browser.get_log("browser")]
    assert not [text for text in complaints if "the server responded with" not in text]
