"""dim-sim: tracks of the Million Song Dataset whose similarity people judged, for testing.

The triplets themselves are for `jaxsim.evaluate --triplets`.
"""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from input_pipeline.collection import Collection, Collector
from input_pipeline.hearing.file_tags import AUDIO_SUFFIXES
from input_pipeline.sources import msd

COLUMNS = ("anchor_id", "song1_id", "song2_id")
CITATION = (
    "Lee, Bryan, Salamon, Jin, Nam: Metric learning vs classification for disentangled music "
    "representation learning. ISMIR 2020 (dim-sim, Zenodo record 3889149)"
)
LICENCE = "triplets CC BY-NC 4.0; the previews belong to 7digital and cannot be redistributed"


def read(path: str | Path, *, audio: str | Path, msd_split: str | Path = "") -> Collection:
    """Reads the tracks named in the triplets, all in the split "test".

    Args:
      path: raw or clean triplets, as CSV or JSON.
      audio: folder of the previews.
      msd_split: folder of Choi's or Lee's division, which says where the previews are; without it,
        each file is named after its track's id and can be anywhere below `audio`.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file has the wrong format, or no track has audio.
    """
    path, audio, collector = Path(path), Path(audio), Collector()
    locations: Mapping[str, str | Path]
    locations = msd.audio_files(Path(msd_split)) if msd_split else _files_by_id(audio)
    for track_id in _track_ids(path):
        if track_id in locations:
            collector.add(
                track_id,
                track_id=track_id,
                split="test",
                audio=(audio / locations[track_id]).absolute(),
                source="Million Song Dataset",
            )
        else:
            collector.skip(track_id, "no audio file is known for this track")
    return collector.collection(
        path,
        name="dimsim",
        description=f"Tracks of the triplets in {path.name}.",
        citation=CITATION,
        licence=LICENCE,
    )


def _track_ids(path: Path) -> list[str]:
    """The ids in the triplets, once each, in the order of the file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of triplets")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = _records(json.load(file)) if path.suffix == ".json" else csv.DictReader(file)
            ids = [row[column] for row in rows for column in COLUMNS]
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise ValueError(f"{path}: not a table of triplets ({error})") from None
    except KeyError as error:
        raise ValueError(
            f"{path}: column {error} is missing, expected {', '.join(COLUMNS)}"
        ) from None
    return list(dict.fromkeys(str(track_id) for track_id in ids if track_id))


def _records(content: Any) -> Iterable[Mapping[str, Any]]:
    """The rows of a list of records or of an object of columns."""
    if isinstance(content, list):
        return content
    columns = [
        list(content[name].values() if isinstance(content[name], dict) else content[name])
        for name in COLUMNS
    ]
    return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]


def _files_by_id(audio: Path) -> dict[str, Path]:
    if not audio.is_dir():
        raise FileNotFoundError(f"{audio}: no such folder of audio")
    files = sorted(file for file in audio.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
    return {file.name.partition(".")[0]: file.relative_to(audio) for file in reversed(files)}
