"""The part of a file's tags that a library keeps."""

import dataclasses
from pathlib import Path
from typing import Any

from input_pipeline.hearing import file_tags


def read(path: str | Path) -> dict[str, Any]:
    """Reads the fields of `file_tags.FileTags` that a file has, as the columns of a store.

    Several values of a text are joined with "; "; compilation is 0 or 1. A file whose tags cannot
    be read has none. What jaxsim heard and wrote there is left out: the store knows it as heard.
    """
    found = dataclasses.asdict(file_tags.read(path).own())
    del found["problems"], found["heard"]
    for field in ("genre", "mood"):
        found[field] = "; ".join(found[field])
    if found["compilation"] is not None:
        found["compilation"] = int(found["compilation"])
    return {field: value for field, value in found.items() if value not in ("", None)}
