"""Files of strangers: whatever they are, an answer comes, and the next file is heard."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from input_pipeline.hearing import audio
from input_pipeline.hearing.audio import UnusableTrack
from input_pipeline.hearing.features import FeatureConfig, extract
from jaxsim.library.intake import decoding
from jaxsim.library.search import readings
from jaxsim.library.service import uploads
from jaxsim.library.service.uploads import COMMAND, Decoder
from tests.helpers import programs
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone


def write_day(path: Path) -> None:
    """A small file of 24 hours: silence, compressed."""
    with soundfile.SoundFile(path, "w", 1000, 1, format="FLAC") as file:
        for _ in range(24):
            file.write(np.zeros(3600 * 1000, np.int16))


def write_cut(path: Path) -> None:
    soundfile.write(path, pulsed_tone(0, seconds=6), SAMPLE_RATE, format="FLAC")
    path.write_bytes(path.read_bytes()[:2000])


FILES = {
    "text.mp3": lambda path: path.write_text("This is no music. " * 1000),
    "playlist.m4a": lambda path: path.write_text("#EXTM3U\nfile:///etc/passwd\n"),
    "empty.wav": lambda path: path.touch(),
    "short.wav": lambda path: soundfile.write(path, pulsed_tone(0, seconds=1), SAMPLE_RATE),
    "silent.wav": lambda path: soundfile.write(path, np.zeros(5 * SAMPLE_RATE), SAMPLE_RATE),
    "day.flac": write_day,
    "noise.mp3": lambda path: path.write_bytes(np.random.default_rng(0).bytes(100_000)),
    "cut.flac": write_cut,
}
REASONS = {
    "text.mp3": "not audio in a known format",
    "playlist.m4a": "not audio in a known format",
    "empty.wav": "file is empty",
    "short.wav": "too short",
    "silent.wav": "silent",
    "day.flac": "too long: more than 900 s",
    "noise.mp3": "",  # a decoder may find a frame in it
    "cut.flac": "",
}


def ask(decoder: Decoder, audio: Path, out: Path, patience: float = 60) -> float:
    request = {
        "audio": str(audio),
        "out": str(out),
        "config": {},
        "max_seconds": uploads.MAX_SECONDS,
    }
    return decoder.ask(request, patience)["seconds"]


@pytest.fixture(scope="module")
def decoders() -> Iterator[list[Decoder]]:
    """One process for all files, and another one after it is killed."""
    living = [Decoder()]
    yield living
    living[0].kill()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_heard_gives_its_reason(
    decoders: list[Decoder], tmp_path: Path, name: str
) -> None:
    FILES[name](tmp_path / name)
    if not decoders[0].lives:
        decoders[0] = Decoder()
    with pytest.raises(UnusableTrack) as refused:
        ask(decoders[0], tmp_path / name, tmp_path / "out.npz")
    assert REASONS[name] in str(refused.value)
    assert str(tmp_path) not in str(refused.value)
    if REASONS[name]:
        assert decoders[0].lives


def test_a_file_that_can_be_heard_gives_its_features(
    decoders: list[Decoder], tmp_path: Path
) -> None:
    samples = pulsed_tone(3, seconds=6)
    soundfile.write(tmp_path / "a.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    if not decoders[0].lives:
        decoders[0] = Decoder()
    assert ask(decoders[0], tmp_path / "a.wav", tmp_path / "out.npz") == 6.0
    expected = extract(samples, FeatureConfig())
    with np.load(tmp_path / "out.npz") as found:
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)


def test_what_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    decoder = Decoder(programs.command("decode_for_ever", pid))
    began = time.monotonic()
    with pytest.raises(UnusableTrack, match="takes more than 1 seconds to decode"):
        ask(decoder, tmp_path, tmp_path, patience=1)
    assert time.monotonic() - began < 30
    assert not decoder.lives
    status = Path("/proc", pid.read_text(), "stat")
    for _ in range(50):
        # A child whose parent is dead is gone, or waits for its end to be noticed.
        if not status.exists() or status.read_text().split()[2] in "ZX":
            return
        time.sleep(0.1)
    raise AssertionError("the child lives")


@pytest.mark.parametrize("when", ["asked", "unasked"])
def test_a_process_that_dies_is_an_answer(tmp_path: Path, when: str) -> None:
    decoder = Decoder(programs.command("decode_and_die", when))
    with pytest.raises(UnusableTrack, match="the decoding process died"):
        ask(decoder, tmp_path, tmp_path)
    assert not decoder.lives


def test_memory_is_limited() -> None:
    pytest.importorskip("resource")
    done = subprocess.run(
        programs.command("exceed_memory"),
        env=programs.environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "refused\n", done.stderr


def test_a_surprise_is_an_answer_and_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def surprise(*_, **__) -> None:
        raise error

    monkeypatch.setattr(decoding, "listen", surprise)
    request = {"audio": "a", "config": {}, "max_seconds": 1}
    error: BaseException = RuntimeError("/secret/path")
    found = decoding.answer(request)
    assert found == {"reason": "cannot be decoded (RuntimeError)", "broken": True}
    error = MemoryError()
    full = {"reason": "needs more than 4 GB of memory", "broken": True}
    assert decoding.answer(request) == full


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "needs more than 4 GB of memory"),
        (KeyError("/secret/path"), "cannot be decoded (KeyError)"),
    ],
)
def test_a_decoders_own_surprise_is_the_end_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def surprise(*_, **__):
        raise error

    soundfile.write(tmp_path / "a.wav", pulsed_tone(0, seconds=4), SAMPLE_RATE)
    monkeypatch.setattr(audio, "decode", surprise)
    request = {"audio": str(tmp_path / "a.wav"), "config": {}, "max_seconds": 10, "out": "x"}
    assert decoding.answer(request) == {"reason": reason, "broken": True}


def test_the_server_hears_as_the_library_does(
    finished: Path, track_rows: tuple, tmp_path: Path
) -> None:
    """The embedding of an upload is that of the same file in the library."""
    from jaxsim.library import store
    from jaxsim.library.intake.embedding import Embedder
    from jaxsim.library.intake.updating import update

    folder, _ = track_rows
    embedder = Embedder(finished)
    update([folder / "0.wav", folder / "1.wav"], tmp_path / "store", embedder=embedder)
    with store.open(tmp_path / "store") as library:
        upload = uploads.UploadEmbedder(library)
        try:
            example, seconds = upload(folder / "1.wav")
        finally:
            upload.close()
        row = library.row_of_path(folder / "1.wav")
        assert row is not None
        np.testing.assert_allclose(example.vector, library.vectors[row], atol=1e-3)
        assert example.sound == readings.of({}, library.heard([row])[0])
        assert example.sound.tempo is not None
        assert seconds == pytest.approx(library.metadata([row])[0]["seconds"])


def test_the_decoder_ends_in_silence_when_nobody_waits_for_it() -> None:
    """A server that is stopped while its decoder starts leaves it alone."""
    process = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=120) == 0  # though its input is still open
    assert process.stderr.read() == b""
    process.stdin.close()
    process.stderr.close()
