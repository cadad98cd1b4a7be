"""What a checkpoint says about its run, in JSON; and whether a run may resume from it."""

import dataclasses
import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from input_pipeline.datasets.dataset import DataSet
from input_pipeline.hearing.features import FEATURE_VERSION
from input_pipeline.tracks import DIMENSIONS
from jaxsim.network.plan import PUBLISHED_DEPTH
from jaxsim.training.schedule import Plateau

# Fields that the records of older runs lack, and the values these were trained with.
ADDED = {f"model.{name}": value for name, value in PUBLISHED_DEPTH.items()} | {
    "parallel.dimensions_at_once": 0,
    "relation.tempo": "anchor",
    "start_from": "",
    "data.dirs": [],
    "loss.track": "triplets",
    "loss.soft_weight": 0.0,
    "loss.teacher": "track",
    "loss.tag_weight": 0.0,
    "loss.tag_temperature": 0.2,
    "loss.temperature": 0.1,
    "data.draw": "balanced",
    **{f"data.unsure.{name}": 0.0 for name in DIMENSIONS},
    "model.embedding_relu": False,
    "model.statistics": [],
    "model.dropout": 0.0,
    "features.sample_rate": 22050,
    "features.hop_length": 512,
    "features.n_fft": 1024,
    "features.n_mels": 128,
    "features.segment_frames": 129,
    "features.loudness": "none",
    "features.silence": "kept",
    "features.tempogram": "autocorrelation",
    "features.standardisation": "constants",
    "loss.decorrelation_weight": 0.0,
    "optimiser.layers": "all",
    "augmentation.transpose": False,
    "augmentation.stretch": 0.0,
    "augmentation.level": 0.0,
    "augmentation.tilt": 0.0,
    "augmentation.band_limit": 0.0,
    "augmentation.noise": 0.0,
}
# Fields of older runs, whose validation loss was that of mined triplets in some batches.
REMOVED = ("evaluation.loss_batches",)
FREE = (  # fields that may change when a run resumes
    "num_steps",
    "checkpoint_minutes",
    "log_steps",
    "data.dir",
    "data.read_ahead",
    "parallel.dimensions_at_once",
    "parallel.mapping",
)


def record(config: ConfigDict, data: DataSet) -> dict[str, Any]:
    """Configuration, commit, names of the labels and features of a training."""
    return {
        "config": json.loads(config.to_json()),
        "tag_names": {name: list(tags) for name, tags in data.tag_names.items()},
        "feature_config": data.feature_config.described(),
        "commit": _commit(),
        "feature_version": FEATURE_VERSION,  # also the data set's: no other is opened
    }


def completed(saved: dict[str, Any]) -> ConfigDict:
    """The configuration of a run, with the fields that it lacks because it is older than they."""
    config = ConfigDict(saved)
    for name, value in ADDED.items():
        *sections, field = name.split(".")
        part = config
        for section in sections:
            if section not in part:
                part[section] = ConfigDict()
            part = part[section]
        if field not in part:
            part[field] = value
    return config


def check_same_config(saved: dict[str, Any], config: ConfigDict, workdir: Path) -> None:
    """Raises ValueError if a run would resume with fields other than the `FREE` ones changed."""
    now, before = _flat(json.loads(config.to_json())), ADDED | _flat(saved)
    for name in sorted(now.keys() | before.keys()):
        if name not in (*FREE, *REMOVED) and now.get(name) != before.get(name):
            raise ValueError(
                f"{workdir}: was trained with config.{name} = {before.get(name)}, "
                f"now it is {now.get(name)}; use another --workdir or the same configuration"
            )


def comparable(plateau: Plateau, saved: dict[str, Any]) -> Plateau:
    """The plateau, without the best loss if another rule computed it."""
    if any(name in _flat(saved) for name in REMOVED):
        return dataclasses.replace(plateau, best=math.inf)
    return plateau


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, object]:
    items: dict[str, object] = {}
    for name, value in tree.items():
        items |= (
            _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        )
    return items


def _commit() -> str | None:
    """$JAXSIM_COMMIT; else that of this file's checkout, with "-dirty" if changed; else None."""
    if told := os.environ.get("JAXSIM_COMMIT"):  # for launchers that copy files without .git
        return told
    here = Path(__file__)

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=here.parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # an installed copy has no commit
        return git("describe", "--always", "--dirty", "--abbrev=12")
    except (OSError, subprocess.CalledProcessError):
        return None
