"""Files of every kind become samples, or say why they cannot."""

import contextlib
import os
import pickle
import types

import audioread
import numpy as np
import pytest
import soundfile

from input_pipeline.hearing.audio import UnusableTrack, decode, load_audio
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone


def test_a_reason_and_its_path_survive_a_process(tmp_path):
    for error, text in (
        (UnusableTrack("silent"), "silent"),
        (UnusableTrack("no such file", tmp_path / "a"), f"no such file: {tmp_path / 'a'}"),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is UnusableTrack
        assert (copy.reason, copy.path, str(copy)) == (error.reason, error.path, text)


def test_load_audio_mixes_and_resamples(tmp_path):
    time = np.arange(48000 * 2) / 48000
    left, right = np.sin(2 * np.pi * 440 * time), 0.5 * np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "a.flac", np.stack([left, right], axis=1) * 0.5, 48000)
    loaded = load_audio(tmp_path / "a.flac", SAMPLE_RATE)
    expected = 0.375 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE * 2) / SAMPLE_RATE)
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded[1000:-1000], expected[1000:-1000], atol=1e-3)


def test_load_audio_keeps_samples_at_the_same_rate(tmp_path):
    samples = pulsed_tone(1, seconds=1)
    soundfile.write(tmp_path / "a.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    np.testing.assert_array_equal(load_audio(tmp_path / "a.wav", SAMPLE_RATE), samples)


@pytest.mark.filterwarnings("ignore:.*is deprecated and slated:DeprecationWarning:audioread")
@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no such file"), (b"", "is empty"), (b"this is no audio at all", "cannot be decoded")],
)
def test_unusable_files(tmp_path, content, reason):
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnusableTrack, match=f"{reason}.*a.wav"):
        load_audio(path, SAMPLE_RATE)


@pytest.mark.parametrize(
    ("suffix", "subtype", "rate", "channels"),
    [
        ("wav", "PCM_U8", 8000, 1),
        ("wav", "PCM_24", 96000, 2),
        ("wav", "FLOAT", 192000, 6),
        ("wav", "DOUBLE", 11025, 1),
        ("flac", "PCM_16", 44100, 2),
        ("ogg", "VORBIS", 32000, 1),
        ("mp3", "MPEG_LAYER_III", 44100, 2),
        ("aiff", "PCM_16", 48000, 2),
    ],
)
def test_kinds_of_files(tmp_path, suffix, subtype, rate, channels):
    time = np.arange(rate * 4) / rate
    tone = 0.5 * np.sin(2 * np.pi * 440 * time)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.stack([tone] * channels, axis=1), rate, subtype=subtype)
    samples = load_audio(path, SAMPLE_RATE)
    assert len(samples) == pytest.approx(4 * SAMPLE_RATE, abs=0.06 * SAMPLE_RATE)
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * SAMPLE_RATE / len(samples) == pytest.approx(440, abs=0.5)
    assert samples.std() == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


def test_a_file_of_hours_is_refused_before_it_is_decoded(tmp_path):
    path, seconds, rate = tmp_path / "long.wav", 3 * 3600, 8000
    soundfile.write(path, np.zeros(0, np.int16), rate, subtype="PCM_16")
    header, size = bytearray(path.read_bytes()), 2 * seconds * rate
    header[4:8] = (len(header) - 8 + size).to_bytes(4, "little")
    header[40:44] = size.to_bytes(4, "little")
    path.write_bytes(header)
    os.truncate(path, len(header) + size)  # sparse: nothing is written
    with pytest.raises(UnusableTrack, match="too long: 10800 s, expected at most 1800 s"):
        load_audio(path, SAMPLE_RATE)


def test_what_only_audioread_decodes(tmp_path, monkeypatch):
    """ffmpeg's way, with its program or without."""
    blocks = [np.array([[1000, 3000]] * 500, "<i2").tobytes()] * 2
    path = tmp_path / "a.m4a"
    path.write_bytes(b"not for libsndfile")

    @contextlib.contextmanager
    def opened(_):
        file = types.SimpleNamespace(channels=2, samplerate=100, duration=10.0)
        yield _Blocks(file, blocks)

    monkeypatch.setattr(audioread, "audio_open", opened)
    samples, rate = decode(path)
    assert rate == 100
    np.testing.assert_allclose(samples, np.full(1000, 2000 / 32768), rtol=1e-6)

    def missing(_):
        raise audioread.NoBackendError

    monkeypatch.setattr(audioread, "audio_open", missing)
    with pytest.raises(UnusableTrack, match="NoBackendError; is ffmpeg installed"):
        decode(path)


class _Blocks:
    """Decoded audio as audioread gives it: attributes, and an iterator of bytes."""

    def __init__(self, attributes, blocks):
        vars(self).update(vars(attributes))
        self._blocks = blocks

    def __iter__(self):
        return iter(self._blocks)
