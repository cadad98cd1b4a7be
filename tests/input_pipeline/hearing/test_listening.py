"""The one way from audio to features, and what becomes of its surprises."""

import numpy as np
import pytest
import soundfile

from input_pipeline.hearing import audio, estimates
from input_pipeline.hearing.audio import UnusableTrack
from input_pipeline.hearing.estimates import Estimate
from input_pipeline.hearing.features import FeatureConfig, extract
from input_pipeline.hearing.listening import listen
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone

CONFIG = FeatureConfig()


def test_a_file_and_a_callable_give_the_same(tmp_path):
    samples = pulsed_tone(1, seconds=4)
    soundfile.write(tmp_path / "a.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    expected = extract(samples, CONFIG)
    for given in (tmp_path / "a.wav", str(tmp_path / "a.wav"), lambda: samples):
        heard = listen(given, CONFIG)
        assert (heard.seconds, heard.estimate) == (4.0, Estimate())
        for name, array in expected.items():
            np.testing.assert_array_equal(heard.features[name], array)


def test_seconds_are_those_of_the_decoded_audio(tmp_path):
    samples = pulsed_tone(1, seconds=4)[:71234]
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    assert listen(tmp_path / "a.wav", CONFIG).seconds == 71234 / 16000


def test_only_what_is_asked_for_is_estimated(monkeypatch):
    asked = []

    def hear(samples, rate, *, estimate):
        asked.append((len(samples), rate, estimate))
        return Estimate(tempo=90.0)

    monkeypatch.setattr(estimates, "estimate_tempo_and_key", hear)
    heard = listen(lambda: pulsed_tone(1, seconds=4), CONFIG, estimate=("tempo",))
    assert heard.estimate.tempo == 90.0
    assert asked == [(4 * SAMPLE_RATE, SAMPLE_RATE, {"tempo"})]


class Tagger:
    """Gives back what it is asked to listen to."""

    def estimate(self, samples, rate):
        return {"track": (samples, rate)}

    def hear_around(self, samples, rate, middles):
        return {"segments": (samples, rate, middles)}


@pytest.mark.parametrize("asked", [{"track"}, {"segments"}, {"track", "segments"}])
def test_a_tagger_hears_what_the_segments_are_cut_from_as_loud_as_it_is(tmp_path, asked):
    """Seven seconds after four of silence, at another rate than that of the features."""
    samples = np.concatenate([np.zeros(4 * 16000, np.float32), pulsed_tone(1, seconds=5.1)])
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    config = FeatureConfig(loudness="track", silence="left_out")
    labels = {"track": "tags", "segments": "segments"}
    wanted = [labels[each] for each in asked]
    heard = listen(tmp_path / "a.wav", config, estimate=wanted, tagger=Tagger())
    assert set(heard.estimate.tags) == asked
    if "track" in asked:
        whole, rate = heard.estimate.tags["track"]
        np.testing.assert_array_equal(whole, samples)
        assert rate == 16000
    if "segments" in asked:
        part, rate, middles = heard.estimate.tags["segments"]
        assert rate == SAMPLE_RATE and isinstance(part, np.ndarray)
        assert len(middles) == len(heard.features["mel"]) // 129 == 2
        expected = audio.resample(samples, 16000, SAMPLE_RATE)[-len(part) :]
        np.testing.assert_array_equal(part, expected)
        assert len(part) / SAMPLE_RATE == pytest.approx(5.1 * SAMPLE_RATE / 16000, abs=0.2)


@pytest.mark.parametrize("error", [MemoryError("no memory"), KeyError("x")])
def test_a_decoders_surprise_is_a_reason_with_its_cause(tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(audio, "decode", fail)
    with pytest.raises(UnusableTrack) as refused:
        listen(tmp_path / "a.wav", CONFIG)
    assert refused.value.reason == f"cannot be read ({type(error).__name__}: {error})"
    assert refused.value.path == tmp_path / "a.wav"
    assert refused.value.__cause__ is error


def test_what_is_foreseen_has_no_cause(tmp_path):
    (tmp_path / "a.wav").write_text("no music")
    with pytest.raises(UnusableTrack, match="too long: more than 3 s") as refused:
        soundfile.write(tmp_path / "b.wav", pulsed_tone(0, seconds=4), SAMPLE_RATE)
        listen(tmp_path / "b.wav", CONFIG, longest=3)
    assert refused.value.__cause__ is None
    with pytest.raises(UnusableTrack, match="not audio in a known format") as refused:
        listen(tmp_path / "a.wav", CONFIG)
    assert refused.value.__cause__ is None


def test_a_callable_that_fails_is_no_unusable_track():
    def fail():
        raise KeyError("oops")

    with pytest.raises(RuntimeError, match="its audio failed: KeyError"):
        listen(fail, CONFIG)
    with pytest.raises(UnusableTrack, match="too short"):
        listen(lambda: pulsed_tone(0, seconds=1), CONFIG)
