"""A read-only file system, no home and no environment: what a container gives.

Linux's own mount namespaces stand in for a container: the whole file system is read-only, apart
from a fresh /tmp and what is mounted on /mnt.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from input_pipeline import cache
from jaxsim.library.store import writing
from jaxsim.network import subspaces
from tests.helpers.libraries import DIMENSIONS, describe, entry, random_vectors

MOUNT = """
mount --bind "$1" /mnt && { [ "$2" = rw ] || mount -o remount,ro,bind /mnt; } || exit 99
mount --bind / / && mount -o remount,ro,bind / && mount -t tmpfs tmpfs /tmp || exit 99
shift 2; exec env -i "$@"
"""
UNSHARE = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]
LAUNCH = Path(__file__).parents[4] / "launch/library"


def _can_mount() -> bool:
    if not shutil.which("unshare"):
        return False
    command = [*UNSHARE, "sh", "-c", "mount --bind / / && mount -t tmpfs tmpfs /tmp"]
    return subprocess.run(command, capture_output=True).returncode == 0


contained = pytest.mark.skipif(not _can_mount(), reason="this system lets nobody mount anything")


def command(mounted: Path, mode: str, *arguments: str) -> list[str]:
    return [*UNSHARE, "sh", "-c", MOUNT, "sh", str(mounted), mode, sys.executable, *arguments]


@contained
@pytest.mark.parametrize("module", ["embed", "serve", "search"])
def test_a_command_describes_itself(tmp_path: Path, module: str) -> None:
    started = command(tmp_path, "ro", "-m", f"jaxsim.{module}", "--help")
    done = subprocess.run(started, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")


@contained
def test_a_library_that_is_read_only_is_served(tmp_path: Path) -> None:
    with writing.open(tmp_path / "store", describe(), b"model") as writer:
        vectors = subspaces.normalised(random_vectors(20), len(DIMENSIONS))
        writer.add([entry(i, vector) for i, vector in enumerate(vectors)])
        writer.measure_cosines()
    started = command(tmp_path, "ro", "-m", "jaxsim.serve", "/mnt/store", "--port=0")
    process = subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split(": ", 1)[1].strip()
        body = json.dumps({"like": ["0003"]}).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{address}api/search", body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert len(json.load(answer)["hits"]) == 19
        wait_for_map(address)
        save = urllib.request.Request(
            f"{address}api/presets/x", b'{"weights": {"key": 1}}', headers
        )
        save.method = "PUT"
        with pytest.raises(urllib.request.HTTPError) as refused:
            urllib.request.urlopen(save, timeout=60)
        assert refused.value.code == 503
        assert "/mnt/store is read-only" in refused.value.read().decode()
    finally:
        process.terminate()
        _, problems = process.communicate(timeout=60)
    assert "Traceback" not in problems


def wait_for_map(address: str) -> None:
    deadline = time.monotonic() + 120
    while urllib.request.urlopen(f"{address}api/map/all", timeout=60).status == 202:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contained
@pytest.mark.slow
def test_music_is_embedded(tmp_path: Path) -> None:
    """librosa compiles its functions first, which takes a while."""
    (tmp_path / "music").mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 16000 * 12)
    soundfile.write(tmp_path / "music/a.flac", noise, 16000)
    options = ["--store=/mnt/store", "--workers=1", "/mnt/music"]
    started = command(tmp_path, "rw", "-m", "jaxsim.embed", *options)
    done = subprocess.run(started, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "1 embedded\n1 tracks in /mnt/store\n" in done.stdout


def test_the_service_does_not_import_librosa() -> None:
    listed = "import sys, jaxsim.serve, jaxsim.library.service.app; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", listed], capture_output=True, text=True, check=True
    )
    assert not {"librosa", "numba", "jax", "tensorflow"} & set(done.stdout.split())


# Where files are kept


def test_files_are_kept_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAXSIM_DATA", raising=False)
    monkeypatch.delenv(cache.NUMBA, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_directory() == tmp_path / ".cache/jaxsim"
    cache.make_room_for_numba()
    assert cache.NUMBA not in os.environ
    monkeypatch.setenv("JAXSIM_DATA", "/elsewhere")
    assert cache.cache_directory() == Path("/elsewhere")


@pytest.mark.parametrize("home", ["/dev/null", "/dev/null/x"])
def test_without_a_home_they_are_kept_in_a_folder_of_this_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.delenv("JAXSIM_DATA", raising=False)
    monkeypatch.delenv(cache.NUMBA, raising=False)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cache._temporary.cache_clear()
    expected = tmp_path / f"jaxsim-{os.getuid()}"
    assert cache.cache_directory() == expected
    assert expected.stat().st_mode & 0o777 == 0o700
    cache.make_room_for_numba()
    assert os.environ[cache.NUMBA] == str(expected / "numba")
    monkeypatch.delenv(cache.NUMBA)
    cache._temporary.cache_clear()


def test_a_folder_of_another_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.delenv("JAXSIM_DATA", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "theirs").mkdir()
    (tmp_path / f"jaxsim-{os.getuid()}").symlink_to(tmp_path / "theirs")
    cache._temporary.cache_clear()
    found = cache.cache_directory()
    assert found.parent == tmp_path and not found.is_symlink()
    cache._temporary.cache_clear()


# What describes the container


def test_the_container_is_as_closed_as_it_says() -> None:
    services = yaml.safe_load((LAUNCH / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert service["read_only"] is True and service["tmpfs"] == "/tmp"
        assert service["cap_drop"] == ["ALL"]
        assert service["volumes"][0].endswith(":/music:ro")
    assert all(port.startswith("127.0.0.1:") for port in services["serve"]["ports"])
    lines = (LAUNCH / "Dockerfile").read_text().splitlines()
    user = lines.index("USER jaxsim")
    assert not any(re.match("RUN|COPY|USER root", line) for line in lines[user + 1 :])
    assert not any(line.startswith("ENV") for line in lines), "it works without any variable"


@pytest.mark.parametrize("name", ["jaxsim.service", "jaxsim-embed.service", "jaxsim-embed.timer"])
def test_units_name_options_that_exist(name: str) -> None:
    from jaxsim import embed, serve

    text = (LAUNCH / name).read_text()
    assert text.count("[Unit]") == 1
    for line in re.findall(r"^#?ExecStart=((?:.*\\\n)*.*)", text, re.MULTILINE):
        _, _, module, *arguments = re.sub(r"\\\n#?", " ", line).split()
        parser = {"jaxsim.serve": serve._parser, "jaxsim.embed": embed._parser}[module]()
        parser.parse_args(arguments)
