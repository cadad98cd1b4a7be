"""An evaluation from beginning to end: runs and files in, numbers and a report out."""

import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import tqdm

from input_pipeline.datasets.dataset import DataSet
from input_pipeline.files import write_text
from jaxsim.evaluation import judgements as human
from jaxsim.evaluation import reporting, systems
from jaxsim.evaluation.comparison import compare
from jaxsim.evaluation.systems import System
from jaxsim.training.data import open_splits
from jaxsim.training.saving.checkpoints import Restored, located, restore_for_inference


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
      runs: directories of runs or of checkpoints; the first is compared with the others.
      data_dir: a prepared data set; "" for the one used in training.
      split: of the data set.
      triplet_files: of human judgements, as `judgements.read` reads them.
      embedding_files: as `systems.external` reads them.
      out: the folder of the report; "" for one in the directory of the first run.
      triplets_per_dimension: how many are sampled (B Table 3 has 40,000).
      batch_size: segments of all devices together.

    Raises:
      OSError, ValueError: a run, the data set or a file cannot be used; or two systems have the
        same name.
    """
    began = time.monotonic()
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
    write_text(path, json.dumps(results) + "\n")
    reporting.print_summary(results)
    for written in (path, *reporting.write(results, folder)):
        print(written)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


def _systems(
    restored: Mapping[str, Restored],
    data: Mapping[str, DataSet],
    embedding_files: Sequence[str],
    *,
    batch_size: int,
) -> list[System]:
    """The trained models, then the baselines they are compared with."""
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
            raise ValueError(f"{count} systems are called {name!r}; rename a folder or file")
    return [*trained, *baselines]
