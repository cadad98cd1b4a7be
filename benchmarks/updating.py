"""How long it takes to find that nothing has changed in a library.

python -m benchmarks.updating --tracks=10000

The files are small and no audio; the library knows them already, so none is read.
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks import library
from input_pipeline import command_line
from input_pipeline.command_line import positive_integer
from input_pipeline.hearing.features import FeatureConfig
from jaxsim.library import store
from jaxsim.library.intake.updating import update
from jaxsim.library.store import writing

ALBUM = 12  # files in a folder


def make(folder: Path, count: int) -> None:
    """Writes files below `folder`/music and the library `folder`/store that knows them."""
    for number in range(count):
        file = _file(folder, number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"no audio")
    with writing.open(folder / "store", library.description(), b"none") as writer:
        number = 0
        for vectors in library.embeddings(count):
            entries = []
            for vector in vectors:
                status = _file(folder, number).stat()
                known = {"path": str(_file(folder, number)), "size": status.st_size}
                known |= {"modified": status.st_mtime_ns, "fingerprint": f"{number:032x}"}
                entry = library.entry(number, vector)
                entries.append(dataclasses.replace(entry, given={}, **known))
                number += 1
            writer.add(entries)
        writer.measure_cosines()


def _file(folder: Path, number: int) -> Path:
    return folder / "music" / f"{number // ALBUM}" / f"{number}.flac"


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    described = library.description()
    embedder: Any = SimpleNamespace(
        description=lambda: described, file=b"none", feature_config=FeatureConfig()
    )
    with tempfile.TemporaryDirectory(prefix="updating-") as name:
        folder = Path(name)
        make(folder, options.tracks)
        times = []
        for _ in range(options.rounds):
            began = time.perf_counter()
            report = update([folder / "music"], folder / "store", embedder=embedder)
            times.append(time.perf_counter() - began)
            if report.unchanged != options.tracks:
                raise SystemExit(f"not all tracks are unchanged:\n{report.describe()}")
        began = time.perf_counter()
        with writing.open(folder / "store") as writer:
            writer.relocate(str(folder / "music"), "/elsewhere")
        moved = time.perf_counter() - began
        began = time.perf_counter()
        with store.open(folder / "store"):
            opened = time.perf_counter() - began
    print(
        f"{options.tracks:,} tracks: unchanged in {min(times):.2f} s (best of {options.rounds}), "
        f"relocated in {moved:.2f} s, opened in {opened:.2f} s"
    )


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.updating", __doc__)
    parser.add_argument("--tracks", type=positive_integer, default=10_000, help="number of tracks")
    parser.add_argument("--rounds", type=positive_integer, default=3, help="number of updates")
    return parser


if __name__ == "__main__":
    main()
