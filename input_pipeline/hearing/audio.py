"""From an audio file to mono samples.

Decoding trusts what comes out of a file and nothing that its header says about its length. Nothing
here imports librosa, TensorFlow or JAX, so that worker processes start quickly.
"""

import contextlib
import dataclasses
import errno
import hashlib
import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import av
import av.container
import mutagen
import numpy as np
import soxr

from input_pipeline.hearing import riff

DECODER = f"av {av.__version__}"
LONGEST = 1800.0  # seconds; a worker needs 10 MB for each minute
BLOCK = 1 << 16  # frames that are decoded at a time
PLANES = 8  # of an FFmpeg frame, one for each channel, or one for all together
LARGEST = 1e6  # of a sample; files of floats may hold numbers that are no sound
# FFmpeg's demultiplexers that may read a file. Others take a text for a playlist of other files.
CONTAINERS = (
    "aac,ac3,aiff,ape,asf,au,caf,dsf,dts,dtshd,eac3,flac,iff,matroska,mov,mp3,mpc,mpc8,ogg,shn,tak,"
    "tta,w64,wav,wv"
)
UNREADABLE = (av.FFmpegError, EOFError, ValueError)
CANCELLED = 0.25  # of the power that independent channels would leave in their sum
FADE = 1 << 12  # frames in which the downmix changes
UNEQUAL = 1.0  # seconds between the length that is stated and the one that is heard
UNHEARD = 0.25  # of a file, after the last audio in it: more is noted
PAGE = 1 << 16  # bytes that a container may hold after the place that it gives for audio
UNCOMPRESSED = (1, 3, 6, 7, 0xFFFE)  # WAV's numbers of formats whose size tells their length


class UnusableTrack(Exception):
    """A track that cannot be used.

    Attributes:
      reason: why, in words, without the path.
      path: of the audio file; None if the audio is not a file or its name does not help.
    """

    def __init__(self, reason: str, path: str | Path | None = None):
        super().__init__(reason, path)  # pickle passes these to this method
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        return self.reason if self.path is None else f"{self.reason}: {self.path}"


@dataclasses.dataclass(frozen=True, eq=False)
class Decoded:
    """What was in an audio file.

    Attributes:
      samples: float32 [n], mono.
      rate: of the samples, in Hz.
      seconds: duration of what was decoded.
      fingerprint: see `fingerprint`.
      note: how that differs from what the file should hold; empty if it does not.
    """

    samples: np.ndarray
    rate: float
    seconds: float
    fingerprint: str = ""
    note: str = ""


def load_audio(path: str | Path, sample_rate: int, *, longest: float = LONGEST) -> np.ndarray:
    """Decodes an audio file into float32 [samples], mono, at `sample_rate` Hz; see `decode`."""
    return decode(path, sample_rate, longest=longest).samples


def resample(samples: np.ndarray, rate: float, sample_rate: float) -> np.ndarray:
    """Converts samples [n] from `rate` Hz to `sample_rate` Hz."""
    return soxr.resample(samples, rate, sample_rate, quality="HQ")


def decode(
    path: str | Path, sample_rate: float | None = None, *, longest: float = LONGEST
) -> Decoded:
    """Decodes an audio file as far as it goes, block by block.

    Channels are mixed by their mean, except where that would cancel most of what some of them say.

    Args:
      path: of the file.
      sample_rate: Hz of the samples that are returned; the file's own by default.
      longest: seconds of audio; a file from which more comes out is not decoded further.

    Raises:
      UnusableTrack: the file is missing, empty, too long, not finite or in a format that cannot be
        decoded.
    """
    path = Path(path)
    stream = _Stream(path)
    samples = bytearray()  # which grows in place
    resampler = None
    for block in stream.mono():
        if stream.frames > longest * stream.rate:
            raise UnusableTrack(f"too long: more than {longest:.0f} s", path)
        if sample_rate not in (None, stream.rate):
            resampler = resampler or soxr.ResampleStream(
                stream.rate, sample_rate, 1, dtype="float32", quality="HQ"
            )
            block = resampler.resample_chunk(block)
        samples += block.tobytes()
    if resampler is not None:
        samples += resampler.resample_chunk(np.zeros(0, np.float32), last=True).tobytes()
    seconds = stream.frames / stream.rate
    return Decoded(
        np.frombuffer(samples, np.float32),
        sample_rate or stream.rate,
        seconds,
        stream.fingerprint,
        _note(path, seconds, stream),
    )


def fingerprint(path: str | Path) -> str:
    """A hash of the encoded audio in a file: the same whatever its tags, its name and its place.

    Raises:
      UnusableTrack: the file is missing, empty or in an unknown format.
    """
    stream = _Stream(Path(path))
    for _ in stream.packets():
        pass
    return stream.fingerprint


def metadata(path: str | Path) -> dict[str, str]:
    """The tags of a file as FFmpeg reads and names them, of the whole and of its audio stream.

    Raises:
      UnusableTrack: the file is missing, empty, in an unknown format or has no audio.
    """
    with _opened(Path(path)) as (container, stream):
        return dict(container.metadata) | dict(stream.metadata)


def check_file(path: str | Path) -> None:
    """Raises UnusableTrack unless `path` is a regular file that is not empty."""
    if not os.path.isfile(path):  # reading from a pipe might never end
        raise UnusableTrack("not a regular file" if os.path.exists(path) else "no such file", path)
    if os.path.getsize(path) == 0:
        raise UnusableTrack("file is empty", path)


class _Stream:
    """The best audio stream of a file.

    Attributes:
      rate: frames per second, those of its first frame.
      frames: how many have been decoded.
      damaged: packets that could not be decoded.
      broken_off: why nothing after what was decoded can be read; empty if the file has ended.
      end: the place in the file after the last audio; 0 if it is unknown.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rate = 0
        self.frames = self.damaged = self.end = 0
        self.broken_off = ""
        self._hash = hashlib.blake2b(digest_size=16)

    @property
    def fingerprint(self) -> str:
        """The hash of the packets that have been read."""
        return self._hash.hexdigest()

    def mono(self) -> Iterator[np.ndarray]:
        """Yields float32 [n]; raises UnusableTrack if nothing can be decoded."""
        before = np.zeros(0, np.float32)
        for block in self._blocks():
            with np.errstate(invalid="ignore", over="ignore"):  # what is too large is refused
                products = block @ block.T
            if not products.max() <= LARGEST**2:  # nan fails too
                _check_values(block, self.path)
            self.frames += block.shape[1]
            weights = _weights(products)
            yield _mixed(block, before if len(before) == len(weights) else weights, weights)
            before = weights
        if not self.frames:
            raise UnusableTrack("contains no sound", self.path)

    def _blocks(self) -> Iterator[np.ndarray]:
        """Yields float32 [channels, n]; streams that change on their way keep the first rate."""
        decoded = itertools.chain.from_iterable(map(self._decoded, self.packets()))
        for _, frames in itertools.groupby(decoded, key=_kind):
            first = next(frames)
            self.rate = self.rate or first.sample_rate
            channels = first.layout.nb_channels
            # PyAV counts the planes of eight channels and more wrongly, and crashes.
            form = "fltp" if channels < PLANES else "flt"
            resampler = av.AudioResampler(form, first.layout, self.rate, BLOCK)
            for frame in itertools.chain([first], frames, [None]):
                for block in resampler.resample(frame):
                    samples = block.to_ndarray()
                    yield samples if form == "fltp" else samples.reshape(-1, channels).T.copy()

    def packets(self) -> Iterator[av.Packet]:
        """Yields encoded audio until the file ends or breaks off; may raise UnusableTrack."""
        yield from self._packets_from(0)
        start: int | None = 0
        while self.broken_off and start is not None:
            start = _next_ogg(self.path, max(self.end, start + 1))
            if start is not None:
                with contextlib.suppress(UnusableTrack):  # what came before was heard
                    yield from self._packets_from(start)

    def _packets_from(self, start: int) -> Iterator[av.Packet]:
        with _opened(self.path, start) as (container, stream):
            self.broken_off = ""
            context = stream.codec_context
            context.thread_count = 1
            kind = f"{context.name} {context.sample_rate} {context.layout.name}"
            self._hash.update(kind.encode())
            try:
                for packet in container.demux(stream):
                    self._hash.update(packet)
                    self.end = max(self.end, start + (packet.pos or 0) + packet.size)
                    yield packet
            except UNREADABLE as error:
                self.broken_off = type(error).__name__

    def _decoded(self, packet: av.Packet) -> Iterator[av.AudioFrame]:
        """Yields the frames of a packet, none if it is damaged."""
        try:
            for frame in packet.decode():
                assert isinstance(frame, av.AudioFrame)
                frame.pts = None  # a gap in the time stamps is no silence
                yield frame
        except UNREADABLE:
            self.damaged += 1


def _next_ogg(path: Path, place: int) -> int | None:
    """Where in an Ogg file, after a place, the next stream begins; None if there is none.

    FFmpeg reads streams that follow one another only if they are of one kind.
    """
    first = b"OggS\0\2"  # a page with the beginning of a stream
    with path.open("rb") as file:
        if file.read(4) != first[:4]:
            return None
        file.seek(place)
        before = b""
        while block := file.read(PAGE):
            if (found := (before + block).find(first)) >= 0:
                return file.tell() - len(block) - len(before) + found
            before = block[1 - len(first) :]
    return None


class _File(io.BufferedReader):
    """A file, or the part of it after `start`, as FFmpeg reads it.

    It may look for places that the file does not have, as lying headers say.
    """

    def __init__(self, path: Path, start: int):
        super().__init__(io.FileIO(path))
        self._start = start
        self.seek(0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """The new place; as FFmpeg's own files, a negative number for one that cannot be."""
        start = self._start if whence == os.SEEK_SET else 0
        try:
            return super().seek(offset + start, whence) - self._start
        except (OSError, OverflowError, ValueError):
            return -errno.EINVAL

    def tell(self) -> int:
        return super().tell() - self._start


@contextlib.contextmanager
def _opened(
    path: Path, start: int = 0
) -> Iterator[tuple[av.container.InputContainer, av.AudioStream]]:
    """The container that begins in a file at `start`, and its best audio stream."""
    check_file(path)
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none"}
    with _File(path, start) as file:
        if riff.understates(file, UNHEARD):
            options["ignore_length"] = "1"
        file.seek(0)
        try:
            container = av.open(file, "r", options=options, metadata_errors="replace")
        except UNREADABLE:
            raise UnusableTrack("not audio in a known format", path) from None
        with container:
            stream = container.streams.best("audio")
            if not isinstance(stream, av.AudioStream):
                raise UnusableTrack("has no audio", path)
            yield container, stream


def _kind(frame: av.AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name


def _weights(products: np.ndarray) -> np.ndarray:
    """How much of each channel is mono: float32 [channels], which sum to 1.

    Equal shares, except where channels would cancel in their mean: the second of two that do has
    half the share of the first, and if all do together, channel c has the share 1 / c. So neither
    what they have in common nor what they have in opposition vanishes.

    Args:
      products: float32 [channels, channels], of every channel with every other one.
    """
    channels = len(products)
    power = products.diagonal()
    weights = np.ones(channels, np.float32)
    for one, other in itertools.combinations(range(channels), 2):
        both = power[one] + power[other]
        if both + 2 * products[one, other] < CANCELLED * both:
            weights[other] = weights[one] / 2
    if (weights == 1).all() and products.sum() < CANCELLED * power.sum():
        weights /= np.arange(1, channels + 1, dtype=np.float32)
    return weights / weights.sum()


def _mixed(block: np.ndarray, before: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mono float32 [n] from a block [channels, n], whose weights [channels] change at its start."""
    equal = np.float32(1 / len(block))
    mean = block.mean(axis=0)
    if (weights == equal).all() and (before == equal).all():
        return mean
    mixed = mean + (weights - equal) @ block
    fade = min(FADE, block.shape[1])
    course = np.linspace(1, 0, FADE, endpoint=False, dtype=np.float32)[:fade]
    mixed[:fade] += course * ((before - weights) @ block[:, :fade])
    return mixed


def _check_values(block: np.ndarray, path: Path) -> None:
    largest = np.abs(block).max(initial=0)
    if not np.isfinite(largest):
        raise UnusableTrack("has samples that are not finite", path)
    if largest > LARGEST:
        raise UnusableTrack(
            f"has samples up to {largest:.0e}, expected at most {LARGEST:.0e}", path
        )


def _note(path: Path, seconds: float, stream: _Stream) -> str:
    notes = []
    if stream.damaged:
        notes.append("damaged" if stream.damaged == 1 else f"damaged in {stream.damaged} places")
    if stream.broken_off:
        notes.append(f"breaks off ({stream.broken_off})")
    size = path.stat().st_size
    if stream.end and size - stream.end > max(PAGE, UNHEARD * size):
        notes.append(f"nothing in the last {1 - stream.end / size:.0%} of the file")
    stated = _stated_seconds(path)
    if stated is not None and abs(stated - seconds) > UNEQUAL:
        notes.append(f"the header says {stated:.0f} s")
    return f"{seconds:.0f} s heard ({', '.join(notes)})" if notes else ""


def _stated_seconds(path: Path) -> float | None:
    """The length in a file's header; None where there is none or it is only estimated."""
    try:
        file = mutagen.File(path)
    except Exception:  # broken tags are no reason not to hear
        return None
    if file is None or type(file).__name__ in ("AAC", "AC3"):
        return None
    if getattr(file.info, "bitrate_mode", 1) == 0:  # MP3 without a header of its own
        return None
    if getattr(file.info, "audio_format", 1) not in UNCOMPRESSED:  # WAV
        return None
    return getattr(file.info, "length", 0.0) or None
