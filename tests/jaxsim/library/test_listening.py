"""Worker processes that die are a reason for one file, not the end of the run."""

import os
import signal

import pytest

from input_pipeline.features import FeatureConfig
from jaxsim.library import listening
from jaxsim.library.listening import Heard


def hear(path: str, *_, **__) -> Heard:
    """Stands for `listen`; its worker is killed by some files."""
    if path.startswith("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    return Heard(path, size=len(path))


def test_a_file_that_kills_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "listen", hear)
    names = [f"{i}" for i in range(12)]
    names[3:3], names[9:9] = ["deadly 1"], ["deadly 2"]
    heard = listening.listen_all(
        [(name, frozenset()) for name in names], FeatureConfig(), workers_count=2
    )
    found = {result.path: result.reason for result in heard}
    assert sorted(found) == sorted(names)
    died = "cannot be read (its worker process died)"
    assert found == {name: died if name.startswith("deadly") else "" for name in names}


def test_whatever_goes_wrong_is_a_reason(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_, **__):
        raise MemoryError("out of memory")

    path = tmp_path / "a.wav"
    path.write_bytes(b"x")
    monkeypatch.setattr(listening, "load", fail)
    heard = listening.listen(str(path), FeatureConfig())
    assert heard.reason == "cannot be read (MemoryError: out of memory)"
    assert (heard.size, len(heard.digest)) == (1, 64)
