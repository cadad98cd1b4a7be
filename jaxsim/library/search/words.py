"""Queries in words, without an example: "instrument:violin tempo:90 mood:dark".

A word stands for its prototype, the mean direction of the tracks that have it in the sub-space of
its dimension (`jaxsim.exported.readings`). A tempo means its octave: 90 finds 180 too. Dimensions
of which nothing is said stay zero, and so contribute the same to all tracks.
"""

import contextlib
import difflib
import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from input_pipeline.tracks import parse_key, parse_tempo
from jaxsim.exported import numpy_model
from jaxsim.exported.numpy_model import Model
from jaxsim.exported.readings import Prototypes
from jaxsim.library import store
from jaxsim.library.search.query import Example, Seed
from jaxsim.library.search.readings import Sound
from jaxsim.library.store import Store
from jaxsim.library.store.matching import folded

# dimension:word; a word with spaces stands in quotes.
_TERM = re.compile(r"""\s*(?P<dimension>[a-z]+):(?:"(?P<quoted>[^"]+)"|(?P<word>\S+))""", re.I)
NEAREST = 3  # known words that an unknown one is answered with


def terms(text: str, dimensions: Iterable[str]) -> list[tuple[str, str]] | None:
    """The (dimension, word) pairs of a query in words; None if the text is something else."""
    known, found, position = set(dimensions), [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None or match["dimension"].lower() not in known:
            return None
        found.append((match["dimension"].lower(), match["quoted"] or match["word"]))
        position = match.end()
    return found or None


def term(dimension: str, word: str) -> str:
    """What `terms` reads as a word of a dimension."""
    return f'{dimension}:"{word}"' if any(map(str.isspace, word)) else f"{dimension}:{word}"


def example(library: Store, asked: Sequence[tuple[str, str]]) -> Example:
    """The query that words ask for; several words of a dimension are averaged.

    Raises:
      ValueError: the library's model reads nothing, or does not know a word; the message names the
        nearest ones.
    """
    model = _model_of(library)
    if not model.readings:
        raise ValueError(
            f"{library.path}: its model has no readings, so words mean nothing to it; embed the "
            "library with a model that was exported with --readings"
        )
    result = np.zeros(model.embedding_size)
    tags: dict[str, dict[str, float]] = {}
    for dimension, word in asked:
        own, place = _known(model, dimension, word)
        result[model.subspaces[dimension]] += own.prototypes[place]
        tags.setdefault(dimension, {})[own.names[place]] = 1.0
    tempi = {parse_tempo(word) for dimension, word in asked if dimension == "tempo"}
    keys = {parse_key(name) for name in tags.pop("key", {})}
    tags.pop("tempo", None)
    sound = Sound(
        tempo=tempi.pop() if len(tempi) == 1 else None,
        key=keys.pop() if len(keys) == 1 else None,
        tags=tags,
        asked=True,
    )
    return Example(result, sound)


def suggestions(library: Store, text: str, limit: int) -> tuple[list[tuple[str, str]], bool]:
    """Known words for a text that somebody types, such as "vio", "mood:da" or "90".

    Returns:
      (dimension, word) pairs: those that begin with the text, then those that contain it, and
      whether there are any; if not, the nearest words are returned. A library whose model reads
      nothing has none.
    """
    readings = _model_of(library).readings
    dimension, colon, rest = text.partition(":")
    chosen = [dimension.strip().lower()] if colon else [*readings]
    wanted = folded(rest if colon else text).strip().strip('"')
    every = [
        (name, word)
        for name in chosen
        if name in readings and name != "tempo"
        for word in readings[name].names
    ]
    matching = [pair for pair in every if wanted in folded(pair[1])]
    matching.sort(key=lambda pair: not folded(pair[1]).startswith(wanted))
    for name in ("tempo", "key"):
        if name in chosen and name in readings and (word := _meant(readings[name], name, wanted)):
            matching = [(name, word), *(pair for pair in matching if pair != (name, word))]
    if matching:
        return matching[:limit], True
    by_name = {folded(word): (name, word) for name, word in every}
    near = difflib.get_close_matches(wanted, by_name, NEAREST, cutoff=0.0)
    return [by_name[name] for name in near], False


def _meant(own: Prototypes, dimension: str, text: str) -> str:
    """The tempo, or the name of the known key, that a text can be read as; else nothing."""
    with contextlib.suppress(ValueError):
        if dimension == "tempo":
            return f"{parse_tempo(text):g}"
        if len(text) > 1:  # "a" may become any word
            keys = {parse_key(name): name for name in own.names}
            return keys.get(parse_key(text), "")
    return ""


def _model_of(library: Store) -> Model:
    """The library's model, which is read once: a query in words must not wait for a file."""
    path = library.path / store.MODEL
    return _load(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _load(path: Path, _: int) -> Model:
    return numpy_model.load(path)


def weights(library: Store, seeds: Iterable[Seed]) -> dict[str, float] | None:
    """Weight 1 for the dimensions that words ask for; None if a seed is more than words."""
    asked = set[str]()
    for seed in seeds:
        if not isinstance(seed, Example) or not seed.sound.asked:
            return None
        asked |= {name for name, own in library.subspaces.items() if seed.vector[own].any()}
    return None if len(asked) == len(library.dimensions) else dict.fromkeys(asked, 1.0)


def _known(model: Model, dimension: str, word: str) -> tuple[Prototypes, int]:
    """The prototypes of a dimension, and which of them a word is."""
    if dimension not in model.readings:
        known = ", ".join(model.readings)
        raise ValueError(f"{dimension}:{word}: this model reads only {known}")
    own = model.readings[dimension]
    return own, _place(own, dimension, word)


def _place(own: Prototypes, dimension: str, word: str) -> int:
    """Which of the names a word is."""
    if dimension == "tempo":
        octaves = np.log2(parse_tempo(word) / np.array(own.names, float))
        return int(np.argmin(np.abs((octaves + 0.5) % 1 - 0.5)))
    if dimension == "key":
        keys = [parse_key(name) for name in own.names]
        if parse_key(word) in keys:
            return keys.index(parse_key(word))
    by_name = {folded(name): number for number, name in enumerate(own.names)}
    if folded(word) in by_name:
        return by_name[folded(word)]
    near = difflib.get_close_matches(folded(word), by_name, NEAREST, cutoff=0.0)
    names = ", ".join(own.names[by_name[name]] for name in near)
    raise ValueError(f"{dimension}:{word}: not a known word, expected one such as {names}")
