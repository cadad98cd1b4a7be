"""Whatever is wrong with a file is a reason for that file."""

import pytest

from input_pipeline.features import FeatureConfig
from jaxsim.library import listening


def test_whatever_goes_wrong_is_a_reason(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_, **__):
        raise MemoryError("out of memory")

    path = tmp_path / "a.wav"
    path.write_bytes(b"x")
    monkeypatch.setattr(listening.features, "load_audio", fail)
    heard = listening.listen(str(path), FeatureConfig())
    assert heard.reason == "cannot be read (MemoryError: out of memory)"
    assert (heard.size, len(heard.digest)) == (1, 64)
