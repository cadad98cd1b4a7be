"""Speed of feature extraction, compared with calling librosa and madmom one after the other.

Needs madmom and MusiCNN too, whose estimates are timed as stages.

python -m benchmarks.features --clips=32 --copies=6 --rounds=3
python -m benchmarks.features --against=../another-checkout --clips=12 --seconds=60 --rounds=15

Speeds are multiples of real time: seconds of audio per second. Both ways read the same files; the
rounds alternate, and the ratio is their median. The time includes starting the processes, so every
clip is copied: real collections are larger than what can be rendered here in a minute. With
`--against`, only extraction is timed, in turns with that of another checkout.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import librosa
import numpy as np
import rich.console
import rich.table
import threadpoolctl

from benchmarks import against, clips
from input_pipeline import command_line
from input_pipeline.command_line import number, positive_integer
from input_pipeline.datasets import pool, workers
from input_pipeline.hearing import audio, chroma, estimates, features, tagging
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.tracks import Track

CONFIG = FeatureConfig()
RATE, HOP, N_FFT = CONFIG.sample_rate, CONFIG.hop_length, CONFIG.n_fft


def naive(paths: Sequence[Path]) -> None:
    """What one would write in an evening: every feature from the samples, file by file."""
    for path in paths:
        samples, _ = librosa.load(path, sr=RATE)
        mel = librosa.feature.melspectrogram(
            y=samples, sr=RATE, n_fft=N_FFT, hop_length=HOP, power=1.0
        )
        np.log10(1 + 10 * mel)
        librosa.feature.tempogram(y=samples, sr=RATE, hop_length=HOP, win_length=384)
        librosa.feature.chroma_cens(y=samples, sr=RATE, hop_length=HOP, bins_per_octave=36)


def ours(paths: Sequence[Path], processes: int) -> None:
    """The features of all files by worker processes, as in `input_pipeline.prepare`."""
    with tempfile.TemporaryDirectory() as folder:
        job = workers.Job(Path(folder), CONFIG, estimate=())
        tasks = [(Track(str(path), "train", path), workers.NOTHING) for path in paths]
        for outcome in workers.analyse_all(tasks, job, workers=processes):
            if outcome.reason:
                raise ValueError(outcome.reason)


def stages(path: Path, tagger: tagging.Tagger) -> dict[str, Callable[[], object]]:
    """The stages of processing one file, by name, to be timed separately."""
    samples, rate = audio.decode(path)
    magnitude = np.abs(librosa.stft(samples, n_fft=N_FFT, hop_length=HOP))
    filters = librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=CONFIG.n_mels)
    power = librosa.power_to_db(filters @ magnitude**2)
    octave = dict(sample_rate=RATE, bins_per_octave=36)

    def estimate(what: str) -> Callable[[], object]:
        return lambda: estimates.estimate_tempo_and_key(samples, rate, estimate=[what])

    return {
        "decoding and resampling": lambda: audio.load_audio(path, RATE),
        "mel": lambda: (
            filters @ np.abs(librosa.stft(samples, n_fft=N_FFT, hop_length=HOP)),
            librosa.power_to_db(filters @ magnitude**2),
        ),
        "onset envelope, from mel": lambda: librosa.onset.onset_strength(S=power, sr=RATE),
        "tuning": lambda: chroma.estimate_tuning(samples, **octave),
        "constant-Q transform": lambda: chroma.constant_q(
            samples, hop_length=HOP, tuning=0.0, **octave
        ),
        "all features": lambda: features.extract(samples, CONFIG),
        "librosa's CENS, for comparison": lambda: librosa.feature.chroma_cens(
            y=samples, sr=RATE, hop_length=HOP, bins_per_octave=36
        ),
        "madmom's tempo": estimate("tempo"),
        "madmom's key": estimate("key"),
        "MusiCNN's spectrogram": lambda: tagging.patches(samples, rate),
        "MusiCNN's tags, with its spectrogram": lambda: tagger.estimate(samples, rate),
    }


def _processor_seconds(function: Callable[[], object]) -> float:
    function()
    began = time.process_time()
    function()
    return time.process_time() - began


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def compare(other: Path, *, count: int, seconds: float, rounds: int) -> None:
    """Extraction alone, in turns with another checkout."""
    with tempfile.TemporaryDirectory() as folder:
        samples = []
        for path in clips.write(clips.tracks(count, seconds=seconds), Path(folder)):
            samples.append(path.with_suffix(".npy"))
            np.save(samples[-1], audio.load_audio(path, RATE))
        against.compare(other.resolve(), samples, sample_rate=RATE, rounds=rounds)


def measure(*, count: int, copies: int, seconds: float, processes: int, rounds: int) -> None:
    """Times every stage, then alternates between both ways."""
    with tempfile.TemporaryDirectory() as folder:
        tagger = tagging.export(tagging.find(), Path(folder) / "musicnn.npz")
        chosen = clips.tracks(count, seconds=seconds)
        paths = clips.write(chosen, Path(folder))
        with threadpoolctl.threadpool_limits(limits=1):
            table = rich.table.Table(title="Stages, on one core")
            for heading in ("stage", "ms per minute of audio", "x real time"):
                table.add_column(heading, justify="right" if heading != "stage" else "left")
            for name, stage in stages(paths[0], tagger).items():
                speed = seconds / _processor_seconds(stage)
                table.add_row(name, f"{60000 / speed:.0f}", f"{speed:.0f}")
        paths = [
            Path(shutil.copy(path, path.with_stem(f"{path.stem}-{copy}")))
            for copy in range(copies)
            for path in paths
        ]
        naive(paths[:2])  # compiled and cached, as ours will be
        ours(paths[: 2 * processes], processes)
        rounds = [
            (_seconds(lambda: naive(paths)), _seconds(lambda: ours(paths, processes)))
            for _ in range(rounds)
        ]
    rich.console.Console(width=100).print(table)
    audio = seconds * len(paths)
    ratios = [slow / fast for slow, fast in rounds]
    slow, fast = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"{len(paths)} files of {seconds:g} s, features without madmom: one after the other "
        f"{audio / slow:.0f} x real time, by {processes} processes {audio / fast:.0f} x; "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); "
        f"librosa {librosa.__version__}"
    )
    clip_hours = 250_000 * 30 / (audio / fast) / 3600 * processes
    print(f"250,000 clips of 30 s at this rate: {clip_hours:.0f} core-hours")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    os.environ |= pool.ENVIRONMENT  # XLA's threads are counted when JAX starts
    fields = vars(options)
    other = fields.pop("against")
    with command_line.problems_in_one_line():
        if other is None:
            measure(**fields)
        else:
            compare(other, **{name: fields[name] for name in ("count", "seconds", "rounds")})


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.features", __doc__)
    add = parser.add_argument
    add("--clips", dest="count", type=positive_integer, default=32, help="clips to render")
    add("--copies", type=positive_integer, default=6, help="copies of each clip")
    add("--seconds", type=number(0), default=30.0, help="length of each clip")
    add(
        "--workers",
        "--processes",
        dest="processes",
        type=positive_integer,
        default=2,
        help="processes that extract features",
    )
    add("--rounds", type=positive_integer, default=3, help="rounds of timing")
    add(
        "--against",
        type=Path,
        help="another checkout, whose extraction takes turns with this one's",
    )
    return parser


if __name__ == "__main__":
    main()
