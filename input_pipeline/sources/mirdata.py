"""Data sets that the package mirdata reads: one adapter, and a table of the labels in each.

mirdata downloads indexes, annotations and, where permitted, audio; this module reads what it has
downloaded.
"""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline import extras
from input_pipeline.collection import Collection, Collector, split_of_group
from input_pipeline.tracks import TAG_DIMENSIONS


def read(path: str | Path, *, dataset: str, version: str = "default") -> Collection:
    """Reads a data set; official test tracks go to "test", a hash of the group divides the rest.

    Args:
      path: where mirdata keeps the data set ("data_home").
      dataset: name, one of `LABELS`.
      version: of mirdata's index.

    Raises:
      ImportError: mirdata is not installed.
      FileNotFoundError: the index has not been downloaded.
      ValueError: an option is invalid.
    """
    if dataset not in LABELS:
        raise ValueError(f"dataset is {dataset!r}, expected one of {', '.join(LABELS)}")
    source = _initialise(dataset, path, version)
    collector = Collector()
    try:
        tracks = source.load_tracks()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path}: {error} In Python: mirdata.initialize({dataset!r}, data_home={str(path)!r}, "
            f"version={version!r}).download()"
        ) from None
    for track_id, track in tracks.items():
        _add(collector, track_id, track, dataset)
    return collector.collection(
        path,
        name=dataset,
        description=f"{dataset}, version {source.version}, read by mirdata.",
        citation=source.bibtex or "",
        licence=_licence(source),
    )


def _initialise(dataset: str, path: str | Path, version: str) -> Any:
    extras.need("mirdata")
    import mirdata

    return mirdata.initialize(dataset, data_home=str(path), version=version)


def _licence(source: Any) -> str:
    """Reads the attribute behind mirdata's method, which only prints the licence."""
    return getattr(source, "_license_info", None) or ""


def _add(collector: Collector, track_id: str, track: Any, dataset: str) -> None:
    found = {}
    for field, get in LABELS[dataset].items():
        try:
            found[field] = get(track)
        except Exception as error:  # annotation files can be missing or malformed
            reason = f"{field} cannot be read ({type(error).__name__}: {error})"
            collector.leave_out(track_id, reason)
    if not track.audio_path:
        collector.skip(track_id, "mirdata knows no audio file for this track")
        return
    artist = _text(found.get("artist"))
    group = f"artist {artist}" if artist else track_id
    collector.add(
        track_id,
        track_id=track_id,
        split=_split(_text(found.get("split")), group),
        audio=Path(track.audio_path).absolute(),
        group=group,
        source=dataset,
        artist=artist,
        title=_text(getattr(track, "title", "")),
        tags={name: tuple(found[name]) for name in TAG_DIMENSIONS if found.get(name)},
        tempo=found.get("tempo"),
        key=found.get("key"),
    )


def _text(value: Any) -> str:
    """The text, or nothing: pandas represents missing values in a table as a number."""
    return value if isinstance(value, str) else ""


def _split(official: str, group: str) -> str:
    drawn = split_of_group(group)
    if not official:
        return drawn
    if official.endswith("test"):  # openmic2018 says "split01_test"
        return "test"
    return "validation" if drawn == "validation" else "train"


def _strongest(tempi: Any) -> float | None:
    """The tempo given by most annotators."""
    if tempi is None or not len(tempi.tempos):
        return None
    return float(tempi.tempos[int(np.argmax(tempi.confidence))])


def _number(file: str | None) -> float | None:
    """The first number in a file; mirdata's own reader fails with NumPy 2.4."""
    return None if file is None else float(Path(file).read_text(encoding="utf-8").split()[0])


def _only_key(keys: Iterable[str]) -> str | None:
    """The key of a piece that does not change key."""
    known = list(keys)
    return known[0] if len(known) == 1 and known[0].lower() != "x" else None


def _heard(instruments: Mapping[str, float]) -> list[str]:
    return [name for name, share in instruments.items() if share > 0.5]


# Per data set: the fields of a track, and where mirdata keeps them.
LABELS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "gtzan_genre": {
        "genre": lambda track: [track.genre],
        "tempo": lambda track: _number(track.tempo_path),
    },
    "giantsteps_key": {
        "genre": lambda track: track.genres["genres"],
        "key": attrgetter("key"),
        "artist": lambda track: ", ".join(track.artists),
    },
    "giantsteps_tempo": {
        "genre": lambda track: [track.genre],
        "tempo": lambda track: _strongest(track.tempo_v2),
    },
    "beatport_key": {
        "genre": lambda track: track.genres["genres"],
        "key": lambda track: _only_key(track.key),
        "artist": lambda track: ", ".join(track.artists),
    },
    "fma_keys": {"key": lambda track: f"{track.key} {track.mode}" if track.key else None},
    "ballroom": {"genre": lambda track: [track.genre], "tempo": attrgetter("tempo")},
    "openmic2018": {
        "genre": attrgetter("genres"),
        "instrument": lambda track: _heard(track.instruments),
        "artist": attrgetter("artist"),
        "split": attrgetter("split"),
    },
    "irmas": {
        "genre": lambda track: [track.genre] if track.genre else [],
        "instrument": attrgetter("instrument"),
        "split": attrgetter("split"),
    },
}
