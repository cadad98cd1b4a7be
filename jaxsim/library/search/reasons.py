"""Why a hit is a hit, in one sentence of words and numbers.

    Alike most of all in tempo (this one at 60 BPM, half time), era and genre (both electronic
    0.71); also in key (both A minor, 8A); against it: mood (this one sad 0.44).

Contributions decide what is said, and readings only how: dimensions come in the order of what they
contribute, and one that speaks against a hit is never called the same, whatever is read. `ALSO` are
named although others contribute more, if they are read as alike.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from input_pipeline.tracks import KEYS
from jaxsim.library.search import readings
from jaxsim.library.search.query import Example, Hit, Seed, row_of
from jaxsim.library.search.readings import UNKNOWN, Sound
from jaxsim.library.store import Store

MOST_NAMED = 3  # dimensions of one kind in a sentence
MOST_TAGS = 2  # of one dimension
TELLING = 0.2  # of the largest contribution; less is not worth saying
SAME_TEMPO = 0.04  # relative
CLOSE_TEMPO = 2.0  # BPM, between tempi that one number stands for
MULTIPLES = {2.0: "double time", 0.5: "half time"}
ALSO = ("tempo", "key")  # whose readings people ask for, although others contribute more
DIFFERENT = "though the readings differ"
KEY_NAMES = tuple(f"{key}, {readings.camelot(i)}" for i, key in enumerate(KEYS))
NOTHING = "No dimension sets it apart from the others."


def sentences(
    store: Store,
    seeds: Sequence[Seed],
    hits: Sequence[Hit],
    known: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]] | None = None,
) -> list[str]:
    """A sentence for every hit of a search with these seeds.

    `known` is what `Store.known` says of the hits, for callers that have asked already.
    """
    asked = _sounds(store, seeds)
    query = _common(asked)
    both = "both " if len(seeds) == 1 else "all "
    if all(sound.asked for sound in asked):
        both = ""  # words are no tracks that a hit could be counted with
    if known is None:
        known = store.known([hit.row for hit in hits])
    return [
        _sentence(store.dimensions, hit, query, readings.of(*each), both)
        for hit, each in zip(hits, known, strict=True)
    ]


def _sounds(store: Store, seeds: Sequence[Seed]) -> list[Sound]:
    """What is known of the seeds: of an embedding alone, nothing."""
    rows = list(dict.fromkeys(row for row in map(row_of, seeds) if row is not None))
    of_tracks = itertools.starmap(readings.of, store.known(rows))
    tracks: dict[int | None, Sound] = dict(zip(rows, of_tracks, strict=True))
    return [
        seed.sound if isinstance(seed, Example) else tracks.get(row_of(seed), UNKNOWN)
        for seed in seeds
    ]


def _common(sounds: Sequence[Sound]) -> Sound:
    """What is true of all parts of a query; words are silent on what they do not name."""
    tempi = [one.tempo for one in sounds if one.tempo or not one.asked]
    keys = {one.key for one in sounds if one.key is not None or not one.asked}
    same_tempo = tempi and all(_times(tempi[0], tempo) == 1 for tempo in tempi)
    tags = {}
    for dimension in dict.fromkeys(name for one in sounds for name in one.tags):
        own = [one.tags.get(dimension, {}) for one in sounds]
        first, *others = [
            each for each, one in zip(own, sounds, strict=True) if each or not one.asked
        ]
        tags[dimension] = {
            tag: p for tag, p in first.items() if all(tag in other for other in others)
        }
    return Sound(tempi[0] if same_tempo else None, keys.pop() if len(keys) == 1 else None, tags)


def _sentence(dimensions: Sequence[str], hit: Hit, query: Sound, found: Sound, both: str) -> str:
    contributions, likeness = hit.contributions.tolist(), hit.likeness.tolist()
    sizes = [abs(value) for value in contributions]
    most = max(sizes, default=0.0)
    if not most > 0:
        return NOTHING
    kinds: dict[str, list[int]] = {}
    for number in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
        value = contributions[number]
        if sizes[number] > TELLING * most:
            alike = value > 0 and likeness[number] > 0
            kind = "alike" if alike else "unlike" if value > 0 else "against"
            kinds.setdefault(kind, []).append(number)

    def detailed(kind: str, numbers: Sequence[int]) -> list[tuple[str, str]]:
        names = [dimensions[number] for number in numbers]
        return [(one, _detail(one, query, found, both, alike=kind == "alike")) for one in names]

    def listed(pairs: Sequence[tuple[str, str]]) -> str:
        return _listed([f"{name} ({detail})" if detail else name for name, detail in pairs])

    parts = []
    for kind, numbers in kinds.items():  # that of the largest contribution first
        if kind != "against":
            some = "most of all " if len(numbers) > MOST_NAMED else ""
            asked = ", as asked" if kind == "unlike" else ""
            first = listed(detailed(kind, numbers[:MOST_NAMED]))
            parts.append(f"{kind} {some}in {first}{asked}")
        if kind == "alike":
            others = [number for number in numbers[MOST_NAMED:] if dimensions[number] in ALSO]
            read = [(name, text) for name, text in detailed(kind, others) if text]
            if also := [pair for pair in read if not pair[1].startswith(DIFFERENT)]:
                parts.append(f"also in {listed(also)}")
    if "against" in kinds:
        first = listed(detailed("against", kinds["against"][:MOST_NAMED]))
        parts.append(f"against it: {first}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _detail(dimension: str, query: Sound, found: Sound, both: str, *, alike: bool) -> str:
    """What is read in a dimension, in words; empty if it is unknown or would contradict."""
    words: dict[str, Callable[..., str]] = {"tempo": _tempo, "key": _key}
    if dimension in words:
        return words[dimension](query, found, both, alike=alike)
    return _tags(dimension, query, found, both, alike=alike)


def _tempo(query: Sound, found: Sound, both: str, *, alike: bool) -> str:
    if found.tempo is None:
        return ""
    times = _times(query.tempo, found.tempo)
    if query.tempo is None or times is None:
        own = f"this one at {found.tempo:.0f} BPM"
        return own if query.tempo is None else _against(f"{own}, not {query.tempo:.0f}", alike)
    if not alike:
        return ""
    if times == 1 and both and abs(query.tempo - found.tempo) > CLOSE_TEMPO:
        return f"about {query.tempo:.0f} and {found.tempo:.0f} BPM"
    if times == 1:
        return f"{both}about {found.tempo:.0f} BPM"
    return f"this one at {found.tempo:.0f} BPM, {MULTIPLES[times]}"


def _against(detail: str, alike: bool) -> str:
    """A difference that is read, which the sub-space may not hear as one."""
    return f"{DIFFERENT}: {detail}" if alike else detail


def _times(tempo: float | None, other: float | None) -> float | None:
    """1, 2 or 0.5: how many times a tempo another is; None if it is none of these."""
    if not tempo or not other:
        return None
    for multiple in (1.0, *MULTIPLES):
        if abs(other / (multiple * tempo) - 1) <= SAME_TEMPO:
            return multiple
    return None


def _key(query: Sound, found: Sound, both: str, *, alike: bool) -> str:
    if found.key is None:
        return ""
    name = KEY_NAMES[found.key]
    if query.key is None:
        return f"this one in {name}"
    relation = _relation(query.key, found.key)
    if not relation:
        return _against(f"this one in {name}, not {KEY_NAMES[query.key]}", alike)
    if not alike:
        return ""
    return f"{both}{name}" if relation == "same" else f"this one {relation}: {name}"


def _relation(key: int, other: int) -> str:
    """How DJs name what another key is to a key; empty if it is nothing to them."""
    tonic, up = key % 12, (other - key) % 12
    if key // 12 == other // 12:
        return {0: "same", 7: "a fifth up", 5: "a fifth down"}.get(up, "")
    relative = (tonic + 3) % 12 if key >= 12 else (tonic + 9) % 12
    if other % 12 == relative:
        return "in the relative key"
    return "in the parallel key" if up == 0 else ""


def _tags(dimension: str, query: Sound, found: Sound, both: str, *, alike: bool) -> str:
    own, asked = found.tags.get(dimension, {}), query.tags.get(dimension, {})
    folded = {tag.casefold() for tag in asked}
    shared = [tag for tag in own if tag.casefold() in folded]
    other = [tag for tag in own if tag.casefold() not in folded]
    if alike:
        return f"{both}{_named(own, shared)}" if shared else ""
    missing = [tag for tag in asked if tag.casefold() not in {one.casefold() for one in own}]
    if other:
        return f"this one {_named(own, other)}"
    return f"this one not {_named(dict.fromkeys(missing, 1.0), missing)}" if missing else ""


def _named(tags: Mapping[str, float], chosen: Sequence[str]) -> str:
    """Tags, and how probable they are if they were heard."""
    texts = [f"{tag} {tags[tag]:.2f}" if tags[tag] < 1 else tag for tag in chosen[:MOST_TAGS]]
    return " and ".join(texts)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
