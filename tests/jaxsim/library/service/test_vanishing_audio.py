"""A file that vanishes while it is asked for, between one step of the answer and the next."""

from pathlib import Path

import anyio
import pytest
from starlette.testclient import TestClient

from jaxsim.library.service.playing import Audio

GONE = {"error": "song.flac: cannot be read (it has just gone)"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "song.flac"
    path.write_bytes(bytes(range(200)))
    return path


def test_what_is_there_is_played(file: Path) -> None:
    client = TestClient(Audio(file, media_type="audio/flac"))
    answer = client.get("/", headers={"range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, bytes(range(10, 20)))
    assert client.get("/").content == file.read_bytes()
    answer = client.head("/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "200"


def test_gone_before_its_size_is_known(file: Path) -> None:
    client = TestClient(Audio(file, media_type="audio/flac"))
    file.unlink()
    answer = client.get("/")
    assert (answer.status_code, answer.json()) == (403, GONE)


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=10-19"}])
def test_gone_before_it_is_opened(
    file: Path, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    opens = anyio.open_file

    async def late(*arguments, **options):
        file.unlink()
        return await opens(*arguments, **options)

    monkeypatch.setattr(anyio, "open_file", late)
    answer = TestClient(Audio(file, media_type="audio/flac")).get("/", headers=headers)
    assert (answer.status_code, answer.json()) == (403, GONE)
