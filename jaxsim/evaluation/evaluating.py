"""An evaluation from beginning to end: runs and files in, numbers and a report out."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from input_pipeline import progress
from input_pipeline.files import write_text
from jaxsim.evaluation import estimate_files as others
from jaxsim.evaluation import excerpts, readings_section, reporting, systems, track_embeddings
from jaxsim.evaluation import judgements as human
from jaxsim.evaluation.comparison import compare
from jaxsim.evaluation.excerpts import Excerpts
from jaxsim.evaluation.systems import System
from jaxsim.exported import numpy_model
from jaxsim.training.data import open_splits
from jaxsim.training.saving.checkpoints import Restored, located, restore_for_inference

FITTED_TRACKS = 1000  # of the training split at most, whose excerpts a whitening is fitted to


def evaluate(
    runs: Sequence[str],
    *,
    models: Sequence[str] = (),
    data_dir: str = "",
    split: str = "test",
    triplet_files: Sequence[str] = (),
    embedding_files: Sequence[str] = (),
    estimate_files: Sequence[str] = (),
    out: str = "",
    triplets_per_dimension: int = 40_000,
    batch_size: int = 64,
    excerpt_seconds: float = 30.0,
) -> None:
    """Evaluates runs and models, writes the report and prints its summary.

    Args:
      runs: directories of runs or of checkpoints; the first is compared with the others.
      models: exported models; if there is no run, the first of them is.
      data_dir: a prepared data set; "" for the one used in training.
      split: of the data set.
      triplet_files: of human judgements, as `judgements.read` reads them.
      embedding_files: as `systems.external` reads them.
      estimate_files: of tempo and key by other systems, as `estimate_files.read` reads them.
      out: the folder of the report; "" for one in the directory of the first run.
      triplets_per_dimension: how many are sampled (B Table 3 has 40,000).
      batch_size: segments of all devices together.
      excerpt_seconds: of the excerpts whose retrieval is measured; 0 = none.

    Raises:
      OSError, ValueError: a run, the data set or a file cannot be used; two systems have the same
        name; or without a run, something is missing that only a run could tell.
    """
    began = time.monotonic()
    _check_given(runs, models, data_dir=data_dir, out=out)
    _check_names(runs, models, embedding_files)
    if estimate_files:
        _check_readers(models, estimate_files)
    judgements = [human.read(path) for path in triplet_files]
    estimates = [others.read(path) for path in estimate_files]
    restored = {run: restore_for_inference(run) for run in runs}
    configs = [systems.completed(config) for config, *_ in restored.values()]
    if not configs:
        configs = [track_embeddings.config_of_model(numpy_model.load(path)) for path in models]
    config = max(configs, key=lambda config: len(config.dimensions))
    opened = open_splits(config, ("train", split), directory=data_dir)
    data = {"train": opened["train"], "test": opened[split]}
    for each in estimates:
        each.check(data["test"])
    cuts = _cuts(data, excerpt_seconds)
    results = compare(
        _systems(
            restored,
            models,
            data,
            embedding_files,
            batch_size=batch_size,
            cuts={split: cut for split, cut in cuts.items() if len(cut)},
        ),
        data["test"],
        data["train"],
        config=config,
        count=triplets_per_dimension,
        judgements=judgements,
        estimates=estimates,
        cut=cuts.get("test"),
    )
    folder = Path(out) if out else _beside(runs[0])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "evaluation.json"
    write_text(path, json.dumps(results) + "\n")
    reporting.print_summary(results)
    for written in (path, *reporting.write(results, folder)):
        print(written)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


def _check_given(runs: Sequence[str], models: Sequence[str], *, data_dir: str, out: str) -> None:
    if not runs and not models:
        raise ValueError(
            "--checkpoint is empty, expected the directory of a run, or an exported model as "
            "--model"
        )
    for option, value in (("--data_dir", data_dir), ("--out", out)):
        if not runs and not value:
            raise ValueError(
                f"{option} is missing, expected a folder: there is no --checkpoint to say which"
            )


def _check_names(
    runs: Sequence[str], models: Sequence[str], embedding_files: Sequence[str]
) -> None:
    """Raises ValueError if two systems would have one name, before any of them is computed."""
    sources = [(systems.MFCC, "the baseline")]
    sources += [(systems.name_of_run(run), run) for run in runs]
    sources += [(systems.name_of_model(path), path) for path in models]
    sources += [(systems.name_of_file(path), path) for path in embedding_files]
    _check_unique(sources)


def _check_readers(models: Sequence[str], estimate_files: Sequence[str]) -> None:
    """Raises ValueError if two would have one name in the tables of tempo and key."""
    sources = [(name, "what is read without a model") for name in readings_section.RESERVED]
    sources += [(systems.name_of_model(path), path) for path in models]
    sources += [(systems.name_of_file(path), path) for path in estimate_files]
    _check_unique(sources)


def _check_unique(sources: Sequence[tuple[str, str]]) -> None:
    """Raises ValueError if two of (name, what is called so) have the same name."""
    named: dict[str, list[str]] = {}
    for name, source in sources:
        named.setdefault(name, []).append(source)
    for name, same in named.items():
        if len(same) > 1:
            raise ValueError(
                f"{' and '.join(same)} would both be called {name!r} in the report: rename a "
                "folder or file"
            )


def _beside(run: str) -> Path:
    """The folder of a report in the directory of a run."""
    directory, step = located(run)
    return directory / ("evaluation" if step is None else f"evaluation-{step}")


def _cuts(data: systems.Splits, seconds: float) -> dict[str, Excerpts]:
    """The excerpts of both splits: of all evaluated tracks, and of enough to fit a whitening."""
    if not seconds:
        return {}
    return {
        "train": excerpts.cut(data["train"], seconds=seconds, at_most=FITTED_TRACKS),
        "test": excerpts.cut(data["test"], seconds=seconds),
    }


def _systems(
    restored: Mapping[str, Restored],
    models: Sequence[str],
    data: systems.Splits,
    embedding_files: Sequence[str],
    *,
    batch_size: int,
    cuts: systems.Cuts,
) -> list[System]:
    """The trained models, then the baselines they are compared with."""
    trained: list[System] = []
    baselines: list[System] = []
    for run in _shown(list(restored), "embedding"):
        system, *untrained = systems.of_run(
            run, restored[run], data, batch_size=batch_size, untrained=not trained, cuts=cuts
        )
        trained.append(system)
        baselines += untrained
    for path in _shown(models, "embedding exports"):
        trained.append(systems.of_model(path, data, batch_size=batch_size, cuts=cuts))
    baselines.append(systems.mfcc(data, cuts))
    baselines += [systems.external(path, data, cuts) for path in embedding_files]
    return [*trained, *baselines]


def _shown(models: Sequence[str], description: str) -> Iterator[str]:
    """Yields the models, with a bar if there are any."""
    if models:
        yield from progress.over(models, names=models, desc=description, unit="model")
