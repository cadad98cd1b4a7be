"""Files of every kind become samples, or say why they cannot."""

import io
import os
import pickle
import re
import tracemalloc

import numpy as np
import pytest
import scipy.signal
import soundfile

from input_pipeline.hearing import audio
from input_pipeline.hearing.audio import UnusableTrack, decode, load_audio, resample
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone
from tests.helpers.encoding import encode, write_dsd


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


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"this is no audio at all", "not audio in a known"),
    ],
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


def test_a_file_of_hours_is_refused(tmp_path):
    path, seconds, rate = tmp_path / "long.wav", 3 * 3600, 8000
    soundfile.write(path, np.zeros(0, np.int16), rate, subtype="PCM_16")
    header, size = bytearray(path.read_bytes()), 2 * seconds * rate
    header[4:8] = (len(header) - 8 + size).to_bytes(4, "little")
    header[40:44] = size.to_bytes(4, "little")
    path.write_bytes(header)
    os.truncate(path, len(header) + size)  # sparse: nothing is written
    with pytest.raises(UnusableTrack, match="too long: more than 1800 s"):
        load_audio(path, SAMPLE_RATE)


RATE = 44100
SECONDS = 5


@pytest.fixture(scope="module")
def music():
    """Noise that falls with the frequency, different in both channels: [2, n]."""
    rng = np.random.default_rng(0)
    noise = np.cumsum(rng.standard_normal((2, RATE * SECONDS)), axis=1)
    drift = [np.convolve(channel, np.ones(2000) / 2000, "same") for channel in noise]
    noise -= np.array(drift)
    return 0.3 * noise / np.abs(noise).max()


def aligned(samples, expected):
    """The correlation of both at the lag where it is greatest, and that lag."""
    products = scipy.signal.correlate(samples, expected, method="fft")
    lag = int(products.argmax()) - (len(expected) - 1)
    later = samples[max(lag, 0) :]
    earlier = expected[max(-lag, 0) :]
    common = min(len(later), len(earlier))
    return np.corrcoef(later[:common], earlier[:common])[0, 1], lag


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        *(
            ("flac", "flac"),
            ("m4a", "alac"),
            ("caf", "pcm_s16be"),
            ("tta", "tta"),
            ("wv", "wavpack"),
        ),
        *(("aiff", "pcm_s16be"), ("au", "pcm_s16be"), ("w64", "pcm_s16le"), ("mka", "pcm_s16le")),
        *(("mp3", "libmp3lame"), ("mp4", "aac"), ("aac", "aac"), ("mp2", "mp2"), ("ac3", "ac3")),
        *(("opus", "libopus"), ("webm", "libopus"), ("eac3", "eac3")),
    ],
)
def test_what_is_decoded_is_what_was_encoded(tmp_path, music, suffix, codec):
    """Of every kind: the samples from a lossless codec, and from others the sound."""
    rate = 48000 if codec == "libopus" else RATE
    path = tmp_path / f"a.{suffix}"
    encode(path, music, rate, codec)
    decoded = decode(path)
    likeness, lag = aligned(decoded.samples, music.mean(axis=0))
    assert (decoded.rate, decoded.note) == (rate, "")
    assert decoded.seconds == len(decoded.samples) / rate
    if codec in ("flac", "alac", "pcm_s16be", "pcm_s16le"):
        assert (len(decoded.samples), lag) == (music.shape[1], 0)
        assert likeness > 0.99999
    else:  # codecs add a block or two at the ends
        assert abs(len(decoded.samples) - music.shape[1]) < 2 * 1152 + 1
        assert 0 <= lag < 1152
        assert likeness > (0.98 if codec == "libopus" else 0.998)


@pytest.mark.parametrize("suffix", ["dsf", "dff"])
def test_one_bit_audio_is_heard(tmp_path, suffix):
    rate = 64 * RATE
    time = np.arange(rate // 2) / rate
    sound = 0.4 * np.sin(2 * np.pi * 440 * time) * np.minimum(1, time / 0.1)
    path = tmp_path / f"a.{suffix}"
    write_dsd(path, sound, rate)
    decoded = decode(path, SAMPLE_RATE)
    assert decoded.note == ""
    assert decoded.seconds == pytest.approx(0.5, abs=32768 / rate)
    heard = decoded.samples[: SAMPLE_RATE // 2]
    expected = np.interp(np.arange(len(heard)) / SAMPLE_RATE, time, sound)
    assert np.corrcoef(heard, expected)[0, 1] > 0.999
    assert np.abs(heard).max() == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize(
    ("suffix", "subtype", "rate"),
    [("mp3", "MPEG_LAYER_III", 44100), ("ogg", "VORBIS", 44100), ("opus", "OPUS", 48000)],
)
def test_an_independent_decoder_hears_the_same(tmp_path, music, suffix, subtype, rate):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(
        path, music.T, rate, format="OGG" if suffix == "opus" else None, subtype=subtype
    )
    expected = soundfile.read(path)[0].mean(axis=1)
    samples = decode(path).samples
    assert abs(len(samples) - len(expected)) <= 1152
    likeness, lag = aligned(samples, expected)
    assert lag == 0
    assert likeness > 0.9999


def test_a_length_that_the_header_guesses_is_not_believed(tmp_path):
    """A variable bit rate without a header of its own, quiet at first: libsndfile hears copies."""
    time = np.arange(RATE * 20) / RATE
    noise = np.random.default_rng(0).normal(size=len(time), scale=0.2)
    loud = np.sin(np.pi * time) + scipy.signal.lfilter([0.2], [1, -0.8], noise)
    for name, sound, seconds in (
        ("quiet_first", np.concatenate([np.zeros(3 * RATE), loud]), 23),
        ("loud_first", np.concatenate([loud, np.zeros(20 * RATE)]), 40),
    ):
        path = tmp_path / f"{name}.mp3"
        channels = 0.3 * np.stack([sound] * 2)
        encode(path, channels, RATE, "libmp3lame", options={"write_xing": "0"}, quality=2)
        assert abs(soundfile.info(path).duration - seconds) > 2  # what the header seems to say
        decoded = decode(path)
        assert decoded.seconds == pytest.approx(seconds, abs=0.1)
        likeness, _ = aligned(decoded.samples, sound)
        assert likeness > 0.99
        assert decoded.note == ""


def test_a_file_written_to_a_pipe_has_the_length_of_its_sound(tmp_path, music):
    """Its header says that nothing is known."""
    path = tmp_path / "a.flac"
    soundfile.write(path, music.T, RATE)
    content = bytearray(path.read_bytes())
    content[21:26] = bytes([content[21] & 0xF0, 0, 0, 0, 0])  # the number of samples
    path.write_bytes(content)
    decoded = decode(path)
    assert (decoded.seconds, decoded.note) == (SECONDS, "")
    content[21:26] = bytes([content[21] | 0x0F, 255, 255, 255, 255])  # 18 days
    path.write_bytes(content)
    assert decode(path).seconds == SECONDS


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg"])
def test_several_streams_in_one_file_are_all_heard(tmp_path, music, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, music.T, RATE)
    path.write_bytes(path.read_bytes() * 2)
    decoded = decode(path)
    assert decoded.seconds == pytest.approx(2 * SECONDS, abs=0.1)
    assert "10 s heard" in decoded.note
    assert "the header says 5 s" in decoded.note
    likeness, _ = aligned(decoded.samples, np.concatenate([music.mean(axis=0)] * 2))
    assert likeness > 0.99


def test_streams_of_two_kinds_in_one_file_keep_the_first_rate(tmp_path, music):
    content = io.BytesIO()
    encode(content, music, RATE, "libmp3lame", container="mp3")
    encode(content, music[:1], 32000, "libmp3lame", container="mp3")
    path = tmp_path / "a.mp3"
    path.write_bytes(content.getvalue())
    decoded = decode(path)
    assert decoded.rate == RATE
    assert decoded.seconds == pytest.approx(SECONDS + SECONDS * RATE / 32000, abs=0.2)


@pytest.mark.parametrize(("subtype", "rate"), [("OPUS", 48000), ("VORBIS", RATE)])
def test_ogg_streams_of_two_kinds_are_all_heard(tmp_path, music, subtype, rate):
    content, second = io.BytesIO(), io.BytesIO()
    encode(content, music, 48000, "libopus", container="ogg")
    soundfile.write(second, music[0], rate, subtype=subtype, format="OGG")
    content.write(second.getvalue())
    path = tmp_path / "a.ogg"
    path.write_bytes(content.getvalue())
    decoded = decode(path)
    first = SECONDS * RATE / 48000
    assert decoded.rate == 48000
    assert decoded.seconds == pytest.approx(first + SECONDS * RATE / rate, abs=0.1)
    assert f"{decoded.seconds:.0f} s heard (the header says {first:.0f} s)" == decoded.note
    assert decoded.fingerprint == audio.fingerprint(path)
    path.write_bytes(content.getvalue() + b"OggS\0\2 is no stream")
    assert decode(path).seconds == decoded.seconds


@pytest.mark.parametrize(
    ("suffix", "codec"), [("wav", "pcm_s16le"), ("aiff", "pcm_s16be"), ("caf", "pcm_s16be")]
)
def test_a_second_file_that_no_decoder_reaches_is_noted(tmp_path, music, suffix, codec):
    path = tmp_path / f"a.{suffix}"
    encode(path, music, RATE, codec)
    path.write_bytes(path.read_bytes() * 2)
    decoded = decode(path)
    assert decoded.seconds == SECONDS
    assert re.fullmatch(r"5 s heard \(nothing in the last (49|50|51)% of the file\)", decoded.note)


@pytest.mark.parametrize("after", [b"", b"LIST\4\0\0\0INFO", b"id3 \4\0\0\0ID3\3"])
@pytest.mark.parametrize("stated", [0, 1000, 2**31 - 1, 2**32 - 1])
def test_a_wav_file_that_lies_about_its_size_is_heard(tmp_path, music, stated, after):
    """Written to a pipe, or by a program that died; chunks after honest data are no sound."""
    path = tmp_path / "a.wav"
    soundfile.write(path, music.T, RATE)
    content = path.read_bytes()
    place = content.index(b"data") + 4
    path.write_bytes(content + after)
    assert (decode(path).seconds, decode(path).note) == (SECONDS, "")
    path.write_bytes(content[:place] + stated.to_bytes(4, "little") + content[place + 4 :] + after)
    decoded = decode(path)
    assert decoded.seconds == pytest.approx(SECONDS, abs=0.001)
    likeness, lag = aligned(decoded.samples, music.mean(axis=0))
    assert (likeness > 0.9999, lag) == (True, 0)
    assert ("the header says" in decoded.note) == (stated > 0)


def test_a_compressed_wav_file_says_nothing_odd(tmp_path, music):
    encode(tmp_path / "a.wav", music, RATE, "adpcm_ms")
    assert decode(tmp_path / "a.wav").note == ""


@pytest.mark.parametrize("suffix", ["caf", "w64"])
def test_sizes_that_lead_out_of_the_file_are_no_surprise(tmp_path, music, suffix):
    path = tmp_path / f"a.{suffix}"
    encode(path, music, RATE, "pcm_s16le")
    content = bytearray(path.read_bytes())
    size, width = content.index(b"data") + (4 if suffix == "caf" else 16), 8
    order = "big" if suffix == "caf" else "little"
    content[size : size + width] = (100_004).to_bytes(width, order)
    path.write_bytes(content)
    decoded = decode(path)
    assert 0.4 < decoded.seconds < 0.7
    assert "nothing in the last 89% of the file" in decoded.note


@pytest.mark.parametrize("suffix", ["flac", "wav", "aiff", "mp3"])
def test_a_file_that_ends_early_is_heard_as_far_as_it_goes(tmp_path, music, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, music.T, RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    decoded = decode(path)
    assert decoded.seconds == pytest.approx(SECONDS / 2, abs=0.3)
    assert decoded.note.startswith(f"{decoded.seconds:.0f} s heard")
    assert "the header says 5 s" in decoded.note


@pytest.mark.parametrize("suffix", ["mp3", "flac"])
def test_a_damaged_file_is_heard_around_the_damage(tmp_path, music, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.tile(music, 3).T, RATE)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 5000] = np.random.default_rng(0).bytes(5000)
    path.write_bytes(content)
    decoded = decode(path)
    assert 3 * SECONDS - 1 < decoded.seconds <= 3 * SECONDS
    if suffix == "mp3":
        assert "damaged" in decoded.note


@pytest.mark.parametrize("name", ["a.aac", "a.mp3", "a.m4a", "a.wav"])
def test_a_playlist_in_disguise_is_never_followed(tmp_path, music, name):
    song = tmp_path / "song.wav"
    soundfile.write(song, music.T, RATE)
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{song}\n#EXT-X-ENDLIST\n"
    for text in (hls, f"ffconcat version 1.0\nfile '{song}'\n", f"{song}\n"):
        (tmp_path / name).write_text(text)
        with pytest.raises(UnusableTrack, match="not audio in a known format"):
            decode(tmp_path / name)


def test_channels_that_cancel_are_heard(tmp_path):
    """Whole, for a while, or beside what they share; what does not cancel is their mean."""
    time = np.arange(RATE * 8) / RATE
    tone, other = np.sin(2 * np.pi * 440 * time), np.sin(2 * np.pi * 660 * time)
    late = time >= 4

    def level_of(channels, frequency, part=slice(None)):
        soundfile.write(tmp_path / "a.wav", 0.3 * channels.T, RATE, subtype="FLOAT")
        samples = decode(tmp_path / "a.wav").samples[part] / 0.3
        wave = np.exp(2j * np.pi * frequency * time[part])
        return 2 * abs((samples * wave).mean())

    opposed = np.stack([tone, -tone])
    assert level_of(opposed, 440) > 0.3
    assert level_of(np.where(late, opposed, [tone, tone]), 440, slice(6 * RATE, None)) > 0.3
    assert level_of(np.where(late, opposed, [tone, tone]), 440, slice(0, 3 * RATE)) > 0.99
    beside = opposed + 0.2 * other
    assert level_of(beside, 440) > 0.3
    assert level_of(beside, 660) == pytest.approx(0.2, rel=0.02)
    surround = np.stack([tone, -tone, tone, -tone, tone, -tone])
    assert level_of(surround, 440) > 0.1
    turned = [np.sin(2 * np.pi * (440 * time + turn / 3)) for turn in range(3)]
    assert level_of(np.stack(turned), 440) > 0.1
    front = np.stack([tone, -tone, other, other])
    assert level_of(front, 440) > 0.1
    assert level_of(front, 660) > 0.5
    rear = np.stack([*[np.zeros_like(tone)] * 6, tone, -tone])
    assert level_of(rear, 440) > 0.05
    rng = np.random.default_rng(0)
    independent = rng.normal(size=(2, 5 * RATE), scale=0.1).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", independent.T, RATE, subtype="FLOAT")
    samples = decode(tmp_path / "a.wav").samples
    np.testing.assert_allclose(samples, independent.mean(axis=0), atol=1e-7)


@pytest.mark.parametrize("channels", [3, 7, 8, 9, 16, 32])
def test_any_number_of_channels_is_heard(tmp_path, channels):
    samples = np.random.default_rng(0).normal(size=(channels, RATE * 4), scale=0.1)
    soundfile.write(tmp_path / "a.wav", samples.T, RATE, subtype="FLOAT")
    decoded = decode(tmp_path / "a.wav")
    np.testing.assert_allclose(decoded.samples, samples.mean(axis=0), atol=1e-6)


def test_the_downmix_changes_without_a_click(tmp_path):
    time = np.arange(RATE * 8) / RATE
    tone = np.sin(2 * np.pi * 100 * time)
    channels = np.stack([tone, np.where(time >= 4, -tone, tone)])
    soundfile.write(tmp_path / "a.wav", channels.T, RATE, subtype="FLOAT")
    steps = np.diff(decode(tmp_path / "a.wav").samples)
    largest = 2 * np.pi * 100 / RATE
    assert np.abs(steps).max() < 1.1 * largest


@pytest.mark.parametrize(
    ("value", "reason"),
    [(np.nan, "not finite"), (np.inf, "not finite"), (1e30, "up to 1e.30, expected at most 1e.06")],
)
def test_numbers_that_are_no_sound(tmp_path, value, reason):
    samples = pulsed_tone(0, seconds=4).copy()
    samples[50_000] = value
    soundfile.write(tmp_path / "a.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(UnusableTrack, match=reason):
        decode(tmp_path / "a.wav")


def test_blocks_resampled_one_by_one_are_the_whole_resampled(tmp_path, music):
    soundfile.write(tmp_path / "a.wav", music.T, RATE)
    for rate in (22050, 16000, 48000):
        whole = resample(decode(tmp_path / "a.wav").samples, RATE, rate)
        np.testing.assert_allclose(load_audio(tmp_path / "a.wav", rate), whole, atol=1e-6)


def test_a_long_file_is_not_held_at_its_own_rate(tmp_path):
    path, rate, seconds = tmp_path / "a.flac", 192_000, 60
    with soundfile.SoundFile(path, "w", rate, 2) as file:
        for _ in range(seconds):
            file.write(np.full((rate, 2), 0.1))
    load_audio(path, SAMPLE_RATE)
    tracemalloc.start()
    samples = load_audio(path, SAMPLE_RATE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(samples) == seconds * SAMPLE_RATE
    assert peak < 2 * samples.nbytes + 16 * audio.BLOCK * 4
