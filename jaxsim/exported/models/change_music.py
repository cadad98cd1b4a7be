"""Plays the training recordings of a prepared data set faster and slower, for more of them.

python jaxsim/exported/models/change_music.py music/manifest.csv data/music changed

Writes two versions of every training track as FLAC, one faster and one slower by two to five
semitones, and their manifest, `changed/manifest.csv`. A tape that runs at another speed has another
pitch, tempo and timbre, so a version is a recording of its own: its tempo and key follow from those
of the original (of the keys that were estimated, from the surer two thirds). Its tags do not:
`python -m input_pipeline.prepare --source=manifest --path=changed/manifest.csv
--estimate=tags,segments` has MusiCNN hear them. If you interrupt it, run it again: it resumes.
"""

import argparse
import csv
import io
import json
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import joblib
import numpy as np
import soundfile
import tqdm

from input_pipeline import command_line, manifest
from input_pipeline.datasets import dataset
from input_pipeline.datasets.dataset import DataSet
from input_pipeline.files import write_text
from input_pipeline.hearing import audio
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.tracks import KEYS, TONICS, Track

RATE = 22050  # Hz
SEMITONES = (2, 3, 4, 5)
UNSURE = 1 / 3  # of the estimated keys are left out
PEAK = 0.99  # at most, so that nothing clips
COLUMNS = ("path", "track_id", "split", "group", "artist", "title", "source", "tempo", "key")

Row = dict[str, str]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        rows = list(versions(options.manifest, options.data_dir, seed=options.seed))
        options.folder.mkdir(parents=True, exist_ok=True)
        jobs = (
            joblib.delayed(change)(original, options.folder / row["path"], semitones)
            for original, row, semitones in rows
        )
        done = joblib.Parallel(options.workers, return_as="generator")(jobs)
        for _ in tqdm.tqdm(done, total=len(rows), unit="track"):
            pass
        path = options.folder / "manifest.csv"
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, COLUMNS)
        table.writeheader()
        table.writerows(row for _, row, _ in rows)
        write_text(path, text.getvalue())
        print(f"{path}: {len(rows)} tracks")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("manifest", type=Path, help="of the originals")
    parser.add_argument("data_dir", type=Path, help="the data set that was prepared from it")
    parser.add_argument("folder", type=Path, help="where to put the versions")
    parser.add_argument("--seed", type=int, default=0, help="of the speeds")
    parser.add_argument("--workers", type=int, default=joblib.cpu_count(), help="processes")
    return parser


def versions(path: Path, directory: Path, *, seed: int) -> Iterator[tuple[Path, Row, int]]:
    """The file of every original, the row of each of its versions, and its semitones."""
    metadata = json.loads((directory / "metadata.json").read_text(encoding="utf-8"))
    data = dataset.open(directory, "train", FeatureConfig(**metadata["feature_config"]))
    place = {track_id: index for index, track_id in enumerate(data.track_ids)}
    sure = surely(data.key_confidence, data.key_estimated)
    for track in manifest.read(path).tracks:
        if track.track_id not in place:
            continue
        draw = random.Random(f"{seed} {track.track_id}")
        for semitones in (draw.choice(SEMITONES), -draw.choice(SEMITONES)):
            row = version(track, data, place[track.track_id], semitones, sure=sure)
            yield Path(str(track.audio)), row, semitones


def surely(confidence: np.ndarray, estimated: np.ndarray) -> np.ndarray:
    """Which keys were given, or estimated with more confidence than the least sure ones, [N]."""
    if not estimated.any():
        return ~estimated
    return ~estimated | (confidence >= np.quantile(confidence[estimated], UNSURE))


def version(track: Track, data: DataSet, index: int, semitones: int, *, sure: np.ndarray) -> Row:
    """The row of a version that is so many semitones higher, and as much faster."""
    tempo, key = float(data.tempo[index]), int(data.key[index])
    mode, tonic = divmod(key, len(TONICS))
    moved = KEYS[mode * len(TONICS) + (tonic + semitones) % len(TONICS)]
    name = f"{track.track_id}{semitones:+d}"
    return {
        "path": f"{name}.flac",
        "track_id": name,
        "split": "train",
        "group": track.group,
        "artist": track.artist,
        "title": f"{track.title} ({semitones:+d} semitones)",
        "source": track.source,
        "tempo": f"{tempo * 2 ** (semitones / 12):.2f}" if tempo > 0 else "",
        "key": moved if key >= 0 and sure[index] else "",
    }


def change(original: Path, path: Path, semitones: int) -> None:
    """Writes a version of a recording, whole or not at all, unless it is there."""
    if path.is_file():
        return
    speed = 2 ** (semitones / 12)
    samples = audio.resample(audio.load_audio(original, RATE), RATE * speed, RATE)
    samples = samples * min(1.0, PEAK / max(float(np.abs(samples).max(initial=0)), PEAK))
    unfinished = path.with_suffix(".unfinished.flac")
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(unfinished, samples, RATE, subtype="PCM_16")
    os.replace(unfinished, path)


if __name__ == "__main__":
    main()
