"""Measures models and baselines on one data set: everything that its labels allow, in one report.

python -m jaxsim.evaluate --checkpoint=runs/demo --out=runs/demo/evaluation

Writes `evaluation.json` (every number) and the report of it, `report.html` and `report.md`.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import tqdm
from absl import logging

from input_pipeline import command_line
from input_pipeline.dataset import DataSet
from jaxsim import compilation, report, systems
from jaxsim import judgements as human
from jaxsim.checkpoints import Restored, located, restore_for_inference
from jaxsim.comparison import compare
from jaxsim.data import open_splits
from jaxsim.systems import System


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        evaluate(
            options.checkpoint,
            data_dir=options.data_dir,
            split=options.split,
            triplet_files=options.triplets,
            embedding_files=options.embeddings,
            out=options.out,
            triplets_per_dimension=options.triplets_per_dimension,
            batch_size=options.batch_size,
        )


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("jaxsim.evaluate", __doc__)
    add = parser.add_argument
    add(
        "--checkpoint",
        required=True,
        type=command_line.comma_separated,
        metavar="RUN,...",
        help="run directories; RUN/checkpoints/STEP is the checkpoint of one step",
    )
    add(
        "--data_dir",
        "--data",
        default="",
        metavar="FOLDER",
        help="the prepared data set; default: the one that the model was trained on",
    )
    add("--split", default="test", help="the split to evaluate on")
    add(
        "--triplets",
        default="",
        type=command_line.comma_separated,
        metavar="FILE,...",
        help="triplets judged by people: CSV files with the columns anchor, positive, negative, or "
        "the files that dim-sim and MagnaTagATune publish",
    )
    add(
        "--embeddings",
        default="",
        type=command_line.comma_separated,
        metavar="FILE,...",
        help="embeddings from elsewhere, to compare with: .npz files with a vector per track id",
    )
    add(
        "--out",
        default="",
        metavar="FOLDER",
        help="where to write the report; default: a folder in the run's directory",
    )
    add(
        "--triplets_per_dimension",
        "--count",
        type=command_line.positive_integer,
        default=40_000,
        help="how many triplets to sample from the labels of each dimension",
    )
    add(
        "--batch_size",
        type=command_line.positive_integer,
        default=64,
        help="segments to embed at once, on all devices together",
    )
    return parser


def evaluate(
    runs: Sequence[str],
    *,
    data_dir: str = "",
    split: str = "test",
    triplet_files: Sequence[str] = (),
    embedding_files: Sequence[str] = (),
    out: str = "",
    triplets_per_dimension: int = 40_000,
    batch_size: int = 64,
) -> None:
    """Evaluates runs, writes the report and prints its summary.

    Args:
      runs: directories of runs or of checkpoints; others are compared with the first.
      data_dir: a prepared data set; "" for that of the training.
      split: of the data set.
      triplet_files: of human judgements, as `triplets.read` reads them.
      embedding_files: as `systems.external` reads them.
      out: the folder of the report; "" for one in the directory of the first run.
      triplets_per_dimension: how many are sampled (B Table 3 has 40,000).
      batch_size: segments of all devices together.

    Raises:
      OSError, ValueError: a run, the data set or a file cannot be used; two systems have one name.
    """
    began = time.monotonic()
    compilation.prepare()
    logging.set_verbosity(logging.WARNING)  # JAX and orbax log through absl
    if not runs:
        raise ValueError("--checkpoint is empty, expected the directory of a run")
    judgements = [human.read(path) for path in triplet_files]
    restored = {run: restore_for_inference(run) for run in runs}
    configs = [systems.completed(config) for config, *_ in restored.values()]
    config = max(configs, key=lambda config: len(config.dimensions))
    opened = open_splits(config, ("train", split), directory=data_dir)
    data = {"train": opened["train"], "test": opened[split]}
    results = compare(
        _systems(restored, data, embedding_files, batch_size=batch_size),
        data["test"],
        data["train"],
        config=config,
        count=triplets_per_dimension,
        judgements=judgements,
    )
    beside, step = located(runs[0])
    folder = Path(out or beside / ("evaluation" if step is None else f"evaluation-{step}"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "evaluation.json"
    path.write_text(json.dumps(results) + "\n")
    report.print_summary(results)
    for written in (path, *report.write(results, folder)):
        print(written)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


def _systems(
    restored: Mapping[str, Restored],
    data: Mapping[str, DataSet],
    embedding_files: Sequence[str],
    *,
    batch_size: int,
) -> list[System]:
    """The trained models, then what they are compared with."""
    trained: list[System] = []
    baselines: list[System] = []
    for run in tqdm.tqdm(restored, desc="embedding", unit="model", file=sys.stderr):
        system, *untrained = systems.of_run(
            run, restored[run], data, batch_size=batch_size, untrained=not trained
        )
        trained.append(system)
        baselines += untrained
    baselines.append(systems.mfcc(data))
    baselines += [systems.external(path, data) for path in embedding_files]
    for name, count in Counter(system.name for system in (*trained, *baselines)).items():
        if count > 1:
            raise ValueError(f"{count} systems are called {name!r}; rename their folder or file")
    return [*trained, *baselines]


if __name__ == "__main__":
    main()
