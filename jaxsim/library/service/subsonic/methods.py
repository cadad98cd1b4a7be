"""What is computed from the library: similar songs and artists, and ways from song to song.

https://opensubsonic.netlify.app/docs/extensions/sonicsimilarity: our additions are the parameters
weights (genre=1,tempo=2), preset and where, and score, contributions and likeness in every match.
"""

import collections
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxsim.library.search import paths, presets, query
from jaxsim.library.search.hits import as_json
from jaxsim.library.search.query import Hit, Seed
from jaxsim.library.service.messages import MAX_TOP
from jaxsim.library.service.subsonic.answers import FAILED, NOT_FOUND, Refused
from jaxsim.library.service.subsonic.parameters import Parameters
from jaxsim.library.store import Store

EXTENSIONS = {"sonicSimilarity": [1], "formPost": [1]}


def similar(
    library: Store,
    seeds: list[Seed],
    given: Parameters,
    *,
    default: int,
    hidden: Iterable[int] = (),
) -> list[Hit]:
    """The tracks most like the seeds; `count` of them, `default` if the request does not say.

    Args:
      library: the library.
      seeds: what the others are compared with.
      given: count, weights, preset and where.
      default: see above.
      hidden: rows that must not be found.

    Raises:
      Refused: a parameter is wrong.
    """
    count = given.whole("count", default, MAX_TOP)
    try:
        weights = weights_of(library, given)
        where = given.get("where") or None
        if count:
            return query.search(
                library, seeds, weights, top=count, where=where, exclude=hidden, fold=True
            )
        return []
    except ValueError as error:
        raise Refused(FAILED, str(error)) from None


def way(library: Store, start: int, end: int, given: Parameters) -> list[Hit]:
    """Tracks on the way from one to another, with their scores as to the first one.

    Raises:
      Refused: a parameter is wrong.
    """
    count = given.whole("count", 25, paths.MAX_LENGTH)
    try:
        weights, where = weights_of(library, given), given.get("where") or None
        chosen = library.select(where)
        length = min(count, int(chosen.sum()) + 2 - int(chosen[[start, end]].sum()))
        steps = paths.find(library, start, end, length=length, weights=weights, where=where)
        return query.score_tracks(library, [start], weights, [step.row for step in steps])
    except ValueError as error:
        raise Refused(FAILED, str(error)) from None


def similar_artists(
    library: Store, seeds: list[Seed], artist_of: dict[int, str], own: str, count: int
) -> list[str]:
    """Artists by their best track, without the artist `own` itself.

    Args:
      library: the library.
      seeds: tracks of the artist.
      artist_of: the artist of each row.
      own: the artist whose tracks are the seeds.
      count: how many to find.
    """
    top, found = 4 * count, list[str]()
    while count:
        hits = query.search(library, seeds, top=top)
        artists = (artist_of.get(hit.row, "") for hit in hits)
        found = [name for name in collections.Counter(artists) if name not in ("", own)]
        if len(found) >= count or len(hits) < top:
            break
        top *= 4
    return found[:count]


def weights_of(library: Store, given: Parameters) -> dict[str, float] | None:
    """The weights of a request; raises ValueError if they are wrong."""
    text = given.get("weights")
    weights = query.parse_weights(text) if text else None
    return presets.choose(library, given.get("preset") or None, weights)


def similarity(library: Store, weights: query.Weights, score: float) -> float:
    """A score as a number from 0 to 1, in the same order.

    The mean of the cosines, weighted as in the score, mapped from -1..1 to 0..1; for a negative
    weight, the greatest difference is 1.
    """
    w = query.weight_vector(library, weights)
    size = float(np.abs(query.scales(library, w)).sum())
    if not size:
        return 0.5
    return float(np.clip((1 + (score - query.offset(library, w)) / size) / 2, 0, 1))


def match(
    library: Store,
    weights: query.Weights,
    hit: Hit,
    entry: dict[str, Any],
    seeds: Sequence[Seed] = (),
) -> dict[str, Any]:
    """The protocol's sonicMatch: an entry and its similarity, and our additions."""
    (described,) = as_json(library, [hit], seeds)
    del described["track"]
    return {"entry": entry, "similarity": similarity(library, weights, hit.score)} | described


def entry(track: dict[str, Any], name: str) -> dict[str, Any]:
    """The protocol's Child, with the id `name`."""
    known = {
        "id": name,
        "coverArt": name,
        "isDir": False,
        "isVideo": False,
        "type": "music",
        "title": track["title"] or "",
        "artist": track["artist"],
        "album": track["album"],
        "genre": track["genre"],
        "year": track["year"],
        "bpm": None if track["tempo"] is None else round(track["tempo"]),
        "duration": None if track["seconds"] is None else round(track["seconds"]),
    }
    return {field: value for field, value in known.items() if value is not None}


def unknown(name: str) -> Refused:
    return Refused(NOT_FOUND, f"{name!r}: no such song, album or artist")
