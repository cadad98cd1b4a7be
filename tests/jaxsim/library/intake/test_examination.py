"""Whatever is wrong with a file is a reason for that file."""

import dataclasses

import pytest
import soundfile

from input_pipeline.hearing import audio
from input_pipeline.hearing.features import FeatureConfig
from jaxsim.library.intake import examination
from jaxsim.library.intake.examination import Examined
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone


def test_whatever_goes_wrong_is_a_reason(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_, **__):
        raise MemoryError("out of memory")

    path = tmp_path / "a.wav"
    path.write_bytes(b"x")
    monkeypatch.setattr(audio, "decode", fail)
    found = examination.examine(str(path), FeatureConfig())
    assert found.reason == "cannot be read (MemoryError: out of memory)"
    assert (found.size, found.digest) == (0, "")  # so that it is tried again


def test_what_is_known_of_a_file_without_hearing_it(tmp_path) -> None:
    soundfile.write(tmp_path / "a.wav", pulsed_tone(0, seconds=4), SAMPLE_RATE)
    heard = examination.examine(str(tmp_path / "a.wav"), FeatureConfig())
    known = examination.identify(str(tmp_path / "a.wav"))
    assert len(known.fingerprint) == 32
    assert known == dataclasses.replace(heard, features=None, seconds=0.0, evidence=known.evidence)
    missing = examination.identify(str(tmp_path / "none.wav"))
    assert missing == Examined(missing.path, evidence=missing.evidence)
