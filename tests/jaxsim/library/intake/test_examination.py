"""Whatever is wrong with a file is a reason for that file."""

import pytest

from input_pipeline.hearing import audio
from input_pipeline.hearing.features import FeatureConfig
from jaxsim.library.intake import examination


def test_whatever_goes_wrong_is_a_reason(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_, **__):
        raise MemoryError("out of memory")

    path = tmp_path / "a.wav"
    path.write_bytes(b"x")
    monkeypatch.setattr(audio, "decode", fail)
    found = examination.examine(str(path), FeatureConfig())
    assert found.reason == "cannot be read (MemoryError: out of memory)"
    assert (found.size, len(found.digest)) == (1, 64)
