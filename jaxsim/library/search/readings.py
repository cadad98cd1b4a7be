"""What is known of a track's sound, for people: what its tags say, and else what was heard."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from input_pipeline.tracks import TAG_DIMENSIONS, parse_key
from jaxsim.library.store.matching import PROBABLE

CAMELOT = (8, 3, 10, 5, 12, 7, 2, 9, 4, 11, 6, 1)  # numbers of the major keys from C on


@dataclasses.dataclass(frozen=True)
class Sound:
    """A track's tempo, key and tags; a tag of the file stands before a reading.

    Attributes:
      tempo: beats per minute; None if unknown.
      key: index in `KEYS`; None if unknown.
      tags: per dimension, tags and how probable each is: 1 if the file says so.
      probabilities: per dimension, of the tags that were heard, however improbable.
      asked: whether it is what words ask for: of what is not said, there is nothing to know.
    """

    tempo: float | None = None
    key: int | None = None
    tags: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    probabilities: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    asked: bool = False


UNKNOWN = Sound()


def of(track: Mapping[str, Any], heard: Mapping[str, Any]) -> Sound:
    """What `Store.metadata` and `Store.heard` say together."""
    probabilities = heard.get("tags", {})
    tags = {}
    for dimension in TAG_DIMENSIONS:
        if text := track.get(dimension):
            tags[dimension] = {tag.strip(): 1.0 for tag in text.split(";") if tag.strip()}
        else:
            own = probabilities.get(dimension, {})
            tags[dimension] = {tag: p for tag, p in own.items() if p >= PROBABLE}
    return Sound(
        tempo=track.get("tempo") or heard.get("tempo"),
        key=_key(track.get("key") or heard.get("key")),
        tags=tags,
        probabilities=probabilities,
    )


@functools.lru_cache(1024)
def _key(name: str | None) -> int | None:
    """The first of the keys that a text names; None if it names none."""
    try:
        return parse_key(name.partition(";")[0]) if name else None
    except ValueError:
        return None


def camelot(key: int) -> str:
    """A key, an index in `KEYS`, as DJs write it: "8A" is A minor."""
    relative = (key + 3) % 12 if key >= 12 else key
    return f"{CAMELOT[relative]}{'A' if key >= 12 else 'B'}"


def described(track: Mapping[str, Any], heard: Mapping[str, Any]) -> Iterator[str]:
    """Lines about a track: what is heard, and what its tags say instead."""
    if not heard:
        yield "nothing was heard: an older version embedded it; embed it again, into a new store"
    if heard.get("tempo"):
        level = heard["tempo_level"]
        other = "" if level > 0.75 else f"; this metrical level {level:.2f}"
        probability = heard["tempo_confidence"]
        yield f"tempo: {heard['tempo']:.1f} BPM (probability {probability:.2f}{other})"
    if heard.get("key"):
        name = f"{heard['key']}, {camelot(parse_key(heard['key']))}"
        yield f"key: {name} (probability {heard['key_confidence']:.2f})"
    for dimension, tags in heard.get("tags", {}).items():
        most = [f"{tag} {probability:.2f}" for tag, probability in list(tags.items())[:5]]
        yield f"{dimension}: {', '.join(most) or 'no tag stands out'}"
    for field in ("tempo", "key", *TAG_DIMENSIONS):
        if track.get(field):
            yield f"its tags say: {field} {track[field]}"
