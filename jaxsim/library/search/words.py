"""Queries in words, without an example: "instrument:violin tempo:90 mood:dark".

A word stands for its prototype, the mean direction of the tracks that have it in the sub-space of
its dimension (`jaxsim.exported.readings`). A tempo means its octave: 90 finds 180 too. Dimensions
of which nothing is said stay zero, and so contribute the same to all tracks.
"""

import difflib
import re
from collections.abc import Iterable, Sequence

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


def example(library: Store, asked: Sequence[tuple[str, str]]) -> Example:
    """The query that words ask for; several words of a dimension are averaged.

    Raises:
      ValueError: the library's model reads nothing, or does not know a word; the message names the
        nearest ones.
    """
    model = numpy_model.load(library.path / store.MODEL)
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
