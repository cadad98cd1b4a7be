"""Is a recording still the first hit for itself, at another level, with silence, or recoded?

python -m benchmarks.same_recording music/manifest.csv --split=test

Embeds tracks of a manifest as they are, changes 24 of them with ffmpeg, and searches for each by
what it became, with equal weights, as a listener would. "farthest" is the largest distance
(1 - cosine) between a recording and what it became, in any sub-space, as a share of the distance
between random tracks there; `jaxsim.library.search.versions` goes by it. The caption has the
smallest such number of two different tracks.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rich.console
import rich.table
import tqdm

from input_pipeline import command_line
from input_pipeline.command_line import comma_separated, positive_integer
from input_pipeline.hearing.audio import UnusableTrack
from jaxsim.exported import numpy_model
from jaxsim.library.intake.embedding import Embedder
from jaxsim.network import subspaces
from jaxsim.network.likeness import cosine_statistics, standard_scales

REMASTER = (
    "acompressor=threshold=-20dB:ratio=3,equalizer=f=100:t=q:w=1:g=3,"
    "equalizer=f=8000:t=q:w=1:g=2,volume=3dB"
)
CHANGES: dict[str, tuple[str, Sequence[str]]] = {  # suffix and ffmpeg's options
    "12 dB softer": (".flac", ["-af", "volume=-12dB"]),
    "20 dB softer": (".flac", ["-af", "volume=-20dB"]),
    "30 s of silence after it": (".flac", ["-af", "apad=pad_dur=30"]),
    "180 s of silence after it": (".flac", ["-af", "apad=pad_dur=180"]),
    "30 s of silence before it": (".flac", ["-af", "adelay=30000:all=1"]),
    "MP3, 64 kbit/s": (".mp3", ["-b:a", "64k"]),
    "Opus, 48 kbit/s": (".ogg", ["-c:a", "libopus", "-b:a", "48k"]),
    "mono": (".flac", ["-ac", "1"]),
    "stereo": (".flac", ["-ac", "2"]),
    "22.05 kHz": (".flac", ["-ar", "22050"]),
    "48 kHz": (".flac", ["-ar", "48000"]),
    "MP3, 320 kbit/s": (".mp3", ["-b:a", "320k"]),
    "compressed, equalised, louder": (".flac", ["-af", REMASTER]),
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        measure(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.same_recording", __doc__)
    add = parser.add_argument
    add("manifest", type=Path, help="CSV with the columns path and split")
    add("--split", type=comma_separated, default=["test"], metavar="NAME,...", help="its tracks")
    add("--count", type=positive_integer, default=24, help="how many tracks are changed")
    add("--seconds", type=positive_integer, default=60, help="of a track, from its start")
    add("--model", type=Path, default=numpy_model.SHIPPED, metavar="FILE", help="a model or run")
    return parser


def measure(*, manifest: Path, split: Sequence[str], count: int, seconds: int, model: Path) -> None:
    """Counts, for every change, how many tracks are still their own first hit."""
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in split]
    paths = [manifest.parent / row["path"] for row in rows]
    embedder = Embedder(model)
    table = rich.table.Table("the recording", "first hit", "worst rank", "farthest")
    with tempfile.TemporaryDirectory() as folder:
        originals, vectors = [], []
        for i, path in enumerate(tqdm.tqdm(paths, desc="embedding")):
            cut = _changed(path, Path(folder, f"{i}.flac"), ["-t", str(seconds)])
            try:
                vectors.append(embedder(cut))
                originals.append(cut)
            except UnusableTrack as error:  # such as a silent beginning
                tqdm.tqdm.write(f"{path}: {error.reason}", file=sys.stderr)
        library = np.stack(vectors)
        parts = len(embedder.model.dimensions)
        number = min(count, len(library))
        chosen = np.arange(number) * len(library) // number
        for name, (suffix, options) in tqdm.tqdm(CHANGES.items(), desc="changing"):
            queries = np.stack(
                [
                    embedder(_changed(originals[i], Path(folder, "changed" + suffix), options))
                    for i in chosen
                ]
            )
            found = ranks(queries, library, chosen, parts=parts)
            farthest = distances(queries, library[chosen], library, parts=parts).max()
            first = f"{np.sum(found == 1)} of {len(chosen)}"
            table.add_row(name, first, str(found.max()), f"{farthest:.3f}")
    one, other = np.triu_indices(len(library), 1)
    nearest = distances(library[one], library[other], library, parts=parts).min()
    table.caption = (
        f"{len(library)} tracks, {model.name}; two different tracks: at least {nearest:.3f}"
    )
    rich.console.Console(width=100).print(table)


def ranks(queries: np.ndarray, library: np.ndarray, own: np.ndarray, *, parts: int) -> np.ndarray:
    """The rank of each query's own track by the score of a search with equal weights; 1 = first.

    Args:
      queries: [n, E], of unit sub-spaces.
      library: [N, E].
      own: the row in the library that each query was made from, int [n].
      parts: S, number of sub-spaces.
    """
    _, deviation = cosine_statistics(library, np.arange(len(library)), parts)
    scales = standard_scales(np.ones(parts), deviation)
    scaled = subspaces.split(library, parts) * scales[:, None]
    scores = queries @ scaled.reshape(library.shape).T
    return 1 + np.sum(scores > scores[np.arange(len(own)), own][:, None], axis=1)


def distances(a: np.ndarray, b: np.ndarray, library: np.ndarray, *, parts: int) -> np.ndarray:
    """The largest distance [n] of pairs a, b [n, E] in any sub-space; random pairs have 1."""
    mean, _ = cosine_statistics(library, np.arange(len(library)), parts)
    cosines = subspaces.split(a * b, parts).sum(axis=2)
    return ((1 - cosines) / (1 - mean)).max(axis=1)


def _changed(source: Path, path: Path, options: Sequence[str]) -> Path:
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), *options, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


if __name__ == "__main__":
    main()
