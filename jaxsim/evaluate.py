"""Measures models and baselines on one data set: everything that its labels allow, in one report.

python -m jaxsim.evaluate --checkpoint=runs/demo --out=runs/demo/evaluation

Writes `evaluation.json` (every number) and the report of it, `report.html` and `report.md`.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import tqdm
from absl import app, flags, logging

from jaxsim import compilation, judgements, report, systems
from jaxsim.checkpoints import located, restore_for_inference
from jaxsim.comparison import compare
from jaxsim.data import open_splits
from jaxsim.systems import System


def main(
    *,
    checkpoints: Sequence[str],
    data_directory: str,
    split: str,
    triplet_files: Sequence[str],
    embedding_files: Sequence[str],
    out: str,
    count: int,
    batch_size: int,
) -> None:
    """Evaluates and writes the report; expected problems are one line on stderr and exit code 1."""
    began = time.monotonic()
    compilation.prepare()
    logging.set_verbosity(logging.WARNING)  # JAX and orbax log through absl
    try:
        if batch_size < 1:
            raise ValueError(f"--batch_size is {batch_size}, expected at least 1")
        judged = [judgements.read(path) for path in triplet_files]
        restored = {run: restore_for_inference(run) for run in checkpoints}
        configs = [systems.completed(config) for config, *_ in restored.values()]
        config = max(configs, key=lambda config: len(config.dimensions))
        opened = open_splits(config, ("train", split), directory=data_directory)
        data = {"train": opened["train"], "test": opened[split]}
        compared: list[System] = []
        baselines: list[System] = []
        for run in tqdm.tqdm(restored, desc="embedding", unit="model", file=sys.stderr):
            system, *untrained = systems.of_run(
                run, restored[run], data, batch_size=batch_size, untrained=not compared
            )
            compared.append(system)
            baselines += untrained
        baselines.append(systems.mfcc(data))
        baselines += [systems.external(path, data) for path in embedding_files]
        _check_names([*compared, *baselines])
        results = compare(
            [*compared, *baselines],
            data["test"],
            data["train"],
            config=config,
            count=count,
            judgements=judged,
        )
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    beside, step = located(checkpoints[0])
    folder = Path(out or beside / ("evaluation" if step is None else f"evaluation-{step}"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "evaluation.json"
    path.write_text(json.dumps(results) + "\n")
    report.print_summary(results)
    for written in (path, *report.write(results, folder)):
        print(written)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


def _check_names(compared: Sequence[System]) -> None:
    for name, count in Counter(system.name for system in compared).items():
        if count > 1:
            raise ValueError(f"{count} systems are called {name!r}; rename their folder or file")


if __name__ == "__main__":
    _CHECKPOINT = flags.DEFINE_list(
        "checkpoint", None, "Run directories (or RUN/checkpoints/STEP), with commas between."
    )
    _DATA = flags.DEFINE_string("data", "", "A prepared data set; default: that of the training.")
    _SPLIT = flags.DEFINE_string("split", "test", "The split to evaluate on.")
    _TRIPLETS = flags.DEFINE_list("triplets", [], "Files of judged triplets (jaxsim.triplets).")
    _EMBEDDINGS = flags.DEFINE_list("embeddings", [], "Files of track id to vector (.npz).")
    _OUT = flags.DEFINE_string("out", "", "Folder of the report; default: in the run's directory.")
    _COUNT = flags.DEFINE_integer("count", 40_000, "Triplets per dimension (B Table 3).")
    _BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Segments of all devices together.")
    flags.mark_flag_as_required("checkpoint")

    def _main(arguments: list[str]) -> None:
        if len(arguments) > 1:
            raise app.UsageError(f"unexpected argument {arguments[1]!r}")
        main(
            checkpoints=_CHECKPOINT.value or [],
            data_directory=_DATA.value,
            split=_SPLIT.value,
            triplet_files=_TRIPLETS.value,
            embedding_files=_EMBEDDINGS.value,
            out=_OUT.value,
            count=_COUNT.value,
            batch_size=_BATCH_SIZE.value,
        )

    app.run(_main)
