"""Speed of embedding a library: by stage on one core, and `jaxsim.embed` from end to end.

python -m benchmarks.embedding --clips=40 --seconds=60

Speeds are in x real time: seconds of audio per second. The model is the one that comes with jaxsim.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import rich.console
import rich.table
import threadpoolctl
from absl import app, flags

from benchmarks import clips
from input_pipeline import audio, features
from jaxsim.library import examination, updating
from jaxsim.library.embedding import Embedder
from jaxsim.numpy_model import SHIPPED

REPEATS = 5


def _seconds(function: Callable[[], object]) -> float:
    """Median, after a call that compiles."""
    function()
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def stages(embedder: Embedder, path: Path) -> dict[str, Callable[[], object]]:
    """Each stage of one file, to be timed alone."""
    config = embedder.feature_config
    samples = audio.load_audio(path, config.sample_rate)
    arrays = features.extract(samples, config)
    return {
        "decoding and resampling": lambda: audio.load_audio(path, config.sample_rate),
        "features": lambda: features.extract(samples, config),
        "all of a file, tags and hash too": lambda: examination.examine(str(path), config),
        "network, one file": lambda: list(embedder.stream([(0, arrays)])),
        "network, ten files": lambda: list(embedder.stream([(i, arrays) for i in range(10)])),
    }


def main(_) -> None:
    embedder = Embedder(SHIPPED)
    with tempfile.TemporaryDirectory() as folder:
        audio, library = Path(folder, "audio"), Path(folder, "library")
        audio.mkdir()
        paths = clips.write(clips.tracks(_CLIPS.value, seconds=_SECONDS.value), audio)
        table = rich.table.Table(title="Stages")
        for heading in ("stage", "ms per minute of audio", "x real time"):
            table.add_column(heading, justify="right" if heading != "stage" else "left")
        with threadpoolctl.threadpool_limits(limits=1):
            for name, stage in stages(embedder, paths[0]).items():
                audio_seconds = _SECONDS.value * (10 if "ten" in name else 1)
                speed = audio_seconds / _seconds(stage)
                table.add_row(name, f"{60000 / speed:.0f}", f"{speed:.0f}")
        began = time.perf_counter()
        report = updating.update([audio], library, embedder=embedder, workers=_PROCESSES.value)
        took = time.perf_counter() - began
        again = time.perf_counter()
        updating.update([audio], library, embedder=embedder, workers=_PROCESSES.value)
        unchanged = time.perf_counter() - again
    rich.console.Console(width=100).print(table)
    print(
        f"{report.embedded} files, {report.seconds / 60:.0f} minutes of audio, "
        f"{_PROCESSES.value} reading processes: {took:.1f} s, {report.seconds / took:.0f} x real "
        f"time; again, unchanged: {unchanged:.2f} s"
    )


if __name__ == "__main__":
    _CLIPS = flags.DEFINE_integer("clips", 40, "Rendered files.")
    _SECONDS = flags.DEFINE_float("seconds", 60.0, "Length of a file.")
    _PROCESSES = flags.DEFINE_integer("processes", 2, "Processes that read audio.")
    app.run(main)
