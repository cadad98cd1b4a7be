"""The validation table: printed for people, written as JSON for programs."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rich.console
import rich.table

from input_pipeline.dataset import DataSet
from jaxsim.metrics import CHANCE, Score

Table = Mapping[str, Mapping[str, Score]]


def show(table: Table, *, data: DataSet) -> None:
    """Prints one row per dimension and their mean."""
    shown = rich.table.Table(
        title=f"Triplet score on {len(data)} validation tracks of {len(set(data.groups))} pieces "
        f"never trained on (chance {CHANCE}, 95 % interval over pieces)"
    )
    shown.add_column("dimension")
    for heading in ("own sub-space", "whole space", "untrained, own", "gain", "own - whole"):
        shown.add_column(heading, justify="right")
    columns = ("own", "whole", "untrained", "gain", "margin")
    for dimension, scores in table.items():
        shown.add_row(dimension, *(str(scores[column]) for column in columns))
    means = (np.mean([scores[column].value for scores in table.values()]) for column in columns)
    shown.add_section()
    shown.add_row("mean", *(f"{mean:.3f}" for mean in means))
    rich.console.Console(width=130).print(shown)
    learned = [dimension for dimension, scores in table.items() if scores["gain"].low > 0]
    print(
        f"above the untrained network by more than the interval: {len(learned)} of {len(table)}"
        + (f" ({', '.join(learned)})" if learned else "")
    )


def write(table: Table, path: Path, *, data: DataSet) -> None:
    """Writes the table with the data set it came from."""
    content = {
        "data": str(data.directory),
        "split": data.split,
        "tracks": len(data),
        "scores": {
            dimension: {name: dataclasses.asdict(score) for name, score in scores.items()}
            for dimension, scores in table.items()
        },
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
