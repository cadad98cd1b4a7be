"""Clips of the embedded scores as audio files, for benchmarks that need music."""

from pathlib import Path

import soundfile
import tqdm

from input_pipeline import scores
from input_pipeline.tracks import Track

SAMPLE_RATE = 22050  # Hz, of the renderings


def tracks(count: int, *, seconds: float) -> list[Track]:
    """`count` renderings, equally many of every genre."""
    per_genre = -(-count // (6 * 4))
    config = scores.ScoresConfig(pieces_per_genre=max(per_genre, 3), seconds=seconds)
    found = scores.tracks(config)
    return found[:: max(len(found) // count, 1)][:count]


def write(found: list[Track], folder: Path) -> list[Path]:
    """Renders tracks to Ogg Vorbis files and returns their paths."""
    paths = []
    for number, track in enumerate(tqdm.tqdm(found, desc="rendering", unit="clip")):
        assert callable(track.audio), "tracks of the scores are rendered by a function"
        paths.append(folder / f"{number}.ogg")
        soundfile.write(paths[-1], track.audio(), SAMPLE_RATE)
    return paths
