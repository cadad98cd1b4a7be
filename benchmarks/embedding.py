"""Speed of embedding a library: by stage on one core, and of `jaxsim.embed` end to end.

python -m benchmarks.embedding --clips=40 --seconds=60

Speeds are multiples of real time: seconds of audio per second. The model is the shipped one.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import rich.console
import rich.table
import threadpoolctl

from benchmarks import clips
from input_pipeline import command_line
from input_pipeline.command_line import number, positive_integer
from input_pipeline.hearing import audio, features
from jaxsim.exported.numpy_model import SHIPPED
from jaxsim.library.intake import examination, updating
from jaxsim.library.intake.embedding import Embedder

REPEATS = 5


def _seconds(function: Callable[[], object]) -> float:
    """The median time of a call, after one that compiles."""
    function()
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def stages(embedder: Embedder, path: Path) -> dict[str, Callable[[], object]]:
    """The stages of processing one file, to be timed separately."""
    config = embedder.feature_config
    samples = audio.load_audio(path, config.sample_rate)
    arrays = features.extract(samples, config)
    return {
        "decoding and resampling": lambda: audio.load_audio(path, config.sample_rate),
        "features": lambda: features.extract(samples, config),
        "all of a file, with tags and hash": lambda: examination.examine(str(path), config),
        "network, one file": lambda: list(embedder.stream([(0, arrays)])),
        "network, ten files": lambda: list(embedder.stream([(i, arrays) for i in range(10)])),
    }


def measure(*, count: int, seconds: float, workers: int) -> None:
    """Times every stage, then the whole command."""
    embedder = Embedder(SHIPPED)
    with tempfile.TemporaryDirectory() as folder:
        audio, library = Path(folder, "audio"), Path(folder, "library")
        audio.mkdir()
        paths = clips.write(clips.tracks(count, seconds=seconds), audio)
        table = rich.table.Table(title="Stages")
        for heading in ("stage", "ms per minute of audio", "x real time"):
            table.add_column(heading, justify="right" if heading != "stage" else "left")
        with threadpoolctl.threadpool_limits(limits=1):
            for name, stage in stages(embedder, paths[0]).items():
                audio_seconds = seconds * (10 if "ten" in name else 1)
                speed = audio_seconds / _seconds(stage)
                table.add_row(name, f"{60000 / speed:.0f}", f"{speed:.0f}")
        began = time.perf_counter()
        report = updating.update([audio], library, embedder=embedder, workers=workers)
        took = time.perf_counter() - began
        again = time.perf_counter()
        updating.update([audio], library, embedder=embedder, workers=workers)
        unchanged = time.perf_counter() - again
    rich.console.Console(width=100).print(table)
    print(
        f"{report.embedded} files, {report.seconds / 60:.0f} minutes of audio, "
        f"{workers} reading processes: {took:.1f} s, {report.seconds / took:.0f} x real "
        f"time; again, unchanged: {unchanged:.2f} s"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        measure(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.embedding", __doc__)
    add = parser.add_argument
    add("--clips", dest="count", type=positive_integer, default=40, help="files to render")
    add("--seconds", type=number(0), default=60.0, help="length of each file")
    add(
        "--workers",
        "--processes",
        type=positive_integer,
        default=2,
        help="processes that read audio",
    )
    return parser


if __name__ == "__main__":
    main()
