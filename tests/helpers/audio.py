"""Audio that tests make, and the CSV files that name it."""

import csv
import struct
import sys
from pathlib import Path

import numpy as np

from input_pipeline.hearing.audio import UnusableTrack

SAMPLE_RATE = 22050


def pulsed_tone(seed: int, *, seconds: float, beats_per_minute: float = 120.0) -> np.ndarray:
    """A tone of its own pitch that decays after every beat, with a little noise; float32 [n]."""
    random = np.random.default_rng(seed)
    time = np.arange(int(SAMPLE_RATE * seconds)) / SAMPLE_RATE
    since_beat = time % (60 / beats_per_minute)
    tone = np.sin(2 * np.pi * 220 * 2 ** (seed / 12) * time) * np.exp(-8 * since_beat)
    return (0.4 * tone + 0.01 * random.normal(size=len(time))).astype(np.float32)


def report_loaded_modules() -> np.ndarray:
    """Audio of an unusable track whose reason lists what its worker process has loaded."""
    loaded = [name for name in ("tensorflow", "jax") if name in sys.modules]
    raise UnusableTrack(f"loaded: {loaded}")


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    """Writes rows with the columns of the first one."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def _atom(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), name) + content


def empty_m4a() -> bytes:
    """The least that is an MPEG-4 file with a sound track; libsndfile writes none."""
    header = _atom(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 44100, 44100, 0, 0))
    handler = _atom(b"hdlr", struct.pack(">II4s12x", 0, 0, b"soun"), b"\0")
    movie = _atom(b"moov", _atom(b"trak", _atom(b"mdia", header, handler)))
    return _atom(b"ftyp", b"M4A \0\0\0\0M4A ") + movie
