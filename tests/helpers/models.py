"""Files of exported models with random parameters."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.hearing.features import FeatureConfig
from jaxsim.exported import model_format

Parts = tuple[dict[str, Any], dict[str, Any]]  # metadata, arrays


def metadata_of(inputs: list[str]) -> dict[str, Any]:
    return {
        "format": "jaxsim-model",
        "format_version": 2,
        "jaxsim_version": "0",
        "dimensions": ["genre", "tempo", "key"],
        "tag_names": {"genre": ["jazz", "rock"]},
        "model": {
            "inputs": inputs,
            "embedding_size": 6,
            "width": 0.05,
            "trunk_width": 1,
            "embedding_norm": "layer",
        },
        "standardise": {"mel": [0.2, 0.25], "tempogram": [0.1, 0.5], "cens": [0.3, 0.2]},
        "feature_config": {
            "segment_frames": 129,
            "n_mels": 128,
            "n_chroma": 12,
            "tempogram_window": 384,
        },
        "feature_version": 1,
    }


def parts(inputs: tuple[str, ...] = ("mel", "tempogram", "cens")) -> Parts:
    """The contents of a valid file, with random parameters."""
    metadata = metadata_of(list(inputs))
    random = np.random.default_rng(0)
    shapes = model_format.expected_shapes(metadata)
    return metadata, {
        name: np.float32(random.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape))
        for name, shape in shapes.items()
    }


def write(path: Path, metadata: Any, arrays: dict[str, Any]) -> Path:
    text = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    np.savez(path, allow_pickle=True, metadata=text, **arrays)
    return path


def model_file(path: Path, inputs: tuple[str, ...] = ("mel", "tempogram", "cens")) -> Path:
    metadata, arrays = parts(inputs)
    metadata["feature_config"] = dataclasses.asdict(FeatureConfig())
    return write(path, metadata, arrays)
