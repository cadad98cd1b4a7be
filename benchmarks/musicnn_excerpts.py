"""MusiCNN's embeddings of the excerpts that an evaluation cut, for `jaxsim.evaluate --embeddings`.

python -m benchmarks.musicnn_excerpts music/manifest.csv evaluation.json musicnn.npz

It hears the same seconds of the same recordings: what the evaluated data set leaves out because it
is silent, it does not hear either.
"""

import argparse
import csv
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tqdm

from input_pipeline import command_line
from input_pipeline.files import replacing
from input_pipeline.hearing import audio, level, tagging

RATE = 22050  # Hz, of the features


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        with options.manifest.open(newline="", encoding="utf-8") as file:
            paths = {row["track_id"]: row["path"] for row in csv.DictReader(file)}
        cut = json.loads(options.evaluation.read_text())["excerpts"]["cut"]
        found = {}
        with tempfile.TemporaryDirectory() as folder:
            tagger = tagging.export(tagging.find(), Path(folder, "weights.npz"))
            for track_id, places in tqdm.tqdm(cut.items(), unit="track"):
                samples = audio.load_audio(options.manifest.parent / paths[track_id], RATE)
                samples = level.sounding(samples, RATE, level.loudness(samples, RATE))
                for number, start in enumerate(places["start"], 1):
                    first, last = (int(s * RATE) for s in (start, start + places["seconds"]))
                    heard = tagger.estimate(samples[first:last], RATE)
                    found[f"{track_id}#{number}"] = heard[tagging.EMBEDDING]
                means = [found[f"{track_id}#{number}"] for number in (1, 2)]
                found[track_id] = np.mean(means, axis=0)
        with replacing(options.out) as file:
            np.savez(file, allow_pickle=False, **found)
        print(options.out)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.musicnn_excerpts", __doc__)
    add = parser.add_argument
    add("manifest", type=Path, help="CSV with the columns track_id and path")
    add("evaluation", type=Path, help="evaluation.json, which says where the excerpts are")
    add("out", type=Path, help="the .npz file to write")
    return parser


if __name__ == "__main__":
    main()
