"""What a track sounds like, as the columns of a store: from its features and its embedding."""

import json
from typing import Any

import numpy as np

from input_pipeline.hearing.readings import Evidence
from input_pipeline.tracks import KEYS, TAG_DIMENSIONS
from jaxsim.exported.numpy_model import Model

LEAST = 0.1  # probability of a tag that is kept


def columns(model: Model, vector: np.ndarray, evidence: Evidence) -> dict[str, Any]:
    """The columns `schema.HEARD` of a track; what cannot be read is None.

    Args:
      model: reads tags, and helps to read the tempo, as far as it has readings.
      vector: the track's embedding [E], sub-spaces at length 1.
      evidence: what its features say about tempo and key.
    """
    part = {name: vector[own].astype(np.float64) for name, own in model.subspaces.items()}
    by_embedding = None
    if "tempo" in model.readings:
        by_embedding = model.readings["tempo"].scores(part["tempo"])
    reading = evidence.reading(by_embedding)
    tags: dict[str, dict[str, float]] = {}
    for dimension in TAG_DIMENSIONS:
        if dimension in model.readings:
            own = model.readings[dimension]
            probabilities = own.probabilities(part[dimension])
            pairs = zip(own.names, np.round(probabilities, 3).tolist(), strict=True)
            likely = sorted((pair for pair in pairs if pair[1] >= LEAST), key=lambda one: -one[1])
            tags[dimension] = dict(likely)
    has_tempo, has_key = reading.tempo > 0, reading.key >= 0
    return {
        "heard_tempo": round(reading.tempo, 2) if has_tempo else None,
        "heard_tempo_confidence": round(reading.tempo_confidence, 3) if has_tempo else None,
        "heard_tempo_level": round(reading.tempo_level, 3) if has_tempo else None,
        "heard_key": KEYS[reading.key] if has_key else None,
        "heard_key_confidence": round(reading.key_confidence, 3) if has_key else None,
        "heard_tags": json.dumps(tags),
    }
