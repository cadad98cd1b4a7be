"""Fixtures shared by all tests; imports no JAX, so that tests can choose its devices first."""

import os
import runpy
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from ml_collections import ConfigDict

from tests.helpers.audio import SAMPLE_RATE, pulsed_tone, write_csv

LONG = 5.0  # seconds
MANY = 20_000  # memory maps, of which one test adds some thousands at most

if "PYTEST_XDIST_WORKER" not in os.environ:  # workers of pytest-xdist inherit all this
    os.environ["JAXSIM_CHECK_SHAPES"] = "1"
    # Eight devices; and tests compile much more than they compute.
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "")
        + " --xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    )
    # What one test compiles, another one of the same run loads.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxsim-tests-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests are run first, so that no worker waits long for one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module", autouse=True)
def _programs() -> Iterator[None]:
    """Frees the programs that a file has compiled.

    Their code takes memory maps, of which Linux allows a process 65,530. A worker that keeps all
    programs of a whole run needs more, and then the compiler crashes.
    """
    yield
    _free_programs()


@pytest.fixture(autouse=True)
def _many_programs() -> Iterator[None]:
    """Frees programs between two tests of a file that compiles dozens of whole steps.

    Each of those takes thousands of memory maps. It also takes seconds: only then are they counted.
    """
    began, maps = time.monotonic(), Path("/proc/self/maps")
    yield
    if time.monotonic() - began > LONG and maps.exists():
        with maps.open() as lines:
            if sum(1 for _ in lines) > MANY:
                _free_programs()


def _free_programs() -> None:
    if (jax := sys.modules.get("jax")) is not None:
        jax.clear_caches()


@pytest.fixture(scope="session")
def track_rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, str]]]:
    """A folder of eight WAV files of 6 to 8 s, and the rows of a CSV file that names them."""
    folder = tmp_path_factory.mktemp("audio")
    rows = []
    for number in range(8):
        samples = pulsed_tone(number, seconds=6 + 0.25 * number, beats_per_minute=90 + 10 * number)
        soundfile.write(folder / f"{number}.wav", samples, SAMPLE_RATE, subtype="FLOAT")
        rows.append(
            {
                "path": f"{number}.wav",
                "track_id": f"track-{7 - number}",  # in another order than the rows
                "split": ("train", "train", "validation", "test")[number % 4],
                "group": f"album {number}",
                "artist": f"artist {number}",
                "title": f"title {number}",
                "genre": ("rock", "jazz;pop", "rock;jazz", "")[number % 4],
                "mood": ("happy", "sad")[number % 2],
                "instrument": "",
                "era": ("60s", "90s")[number // 4],
                "tempo": str(90 + 10 * number),
                "key": ("A minor", "C", "")[number % 3],
            }
        )
    return folder, rows


@pytest.fixture(scope="session")
def tracks_csv(track_rows: tuple[Path, list[dict[str, str]]]) -> Path:
    """The CSV file of the eight tracks, beside their audio."""
    folder, rows = track_rows
    return write_csv(folder / "tracks.csv", rows)


@pytest.fixture(scope="session")
def prepared_directory(tracks_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared data set of the eight tracks: four in train, two in validation, two in test.

    Two tracks have no genre, none has an instrument, two have no key, all have a tempo.
    """
    from input_pipeline import manifest
    from input_pipeline.datasets.builder import prepare

    directory = tmp_path_factory.mktemp("data") / "prepared"
    prepare(
        manifest.read(tracks_csv).tracks,
        directory,
        name="toy",
        description="eight pulsed tones",
        estimate=(),
        workers=2,
    )
    return directory


@pytest.fixture
def config() -> ConfigDict:
    """The configuration of configs/six_dim.py, for the tests to change."""
    path = Path(__file__).parent.parent / "configs" / "six_dim.py"
    return runpy.run_path(str(path))["get_config"]()
