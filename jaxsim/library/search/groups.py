"""Artists and albums: all their tracks as one query, and as answers, by their best track."""

import dataclasses
from collections.abc import Callable

import numpy as np

from jaxsim.library.search.query import Hit
from jaxsim.library.store import Store
from jaxsim.library.store.matching import folded

KINDS = ("artist", "album")


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """An artist or an album that a search found.

    Attributes:
      name: as the best track has it.
      tracks: how many tracks of the library belong to it.
      best: the hit with the highest score among them.
    """

    name: str
    tracks: int
    best: Hit


def members(store: Store, text: str) -> list[int] | None:
    """Rows of the tracks of "artist:NAME" or "album:NAME"; None if the text is neither.

    Case and accents do not count. An artist has the tracks on which it is one of several, too.

    Raises:
      ValueError: the library has none with this name.
    """
    kind, _, name = text.partition(":")
    if kind not in KINDS:
        return None
    name = name.strip()
    quoted = name.replace("'", "''")
    rows = np.flatnonzero(store.select(f"{kind}='{quoted}'")).tolist()
    if not rows and name:  # several artists together
        rows = [row for row, key in _keys(store, kind).items() if key == folded(name)]
    if not rows:
        raise ValueError(f"{name!r}: no such {kind} in {store.path}")
    return rows


def search(store: Store, find: Callable[[int], list[Hit]], *, by: str, top: int) -> list[Group]:
    """The `top` artists or albums with the highest scores of their best tracks.

    Tracks without an artist, or an album, belong to none. Albums are known by their names alone.

    Args:
      store: the library.
      find: gives the best hits, as many as it is asked for, best first.
      by: one of `KINDS`.
      top: how many groups to find.
    """
    keys, wanted = _keys(store, by), 4 * top
    while True:
        hits = find(wanted)
        best: dict[str, Hit] = {}
        for hit in hits:
            if key := keys[hit.row]:
                best.setdefault(key, hit)
        if len(best) >= top or len(hits) < wanted:
            break
        wanted *= 4
    found = list(best.items())[:top]
    names = store.metadata([hit.row for _, hit in found])
    count = dict.fromkeys(best, 0)
    for key in keys.values():
        if key in count:
            count[key] += 1
    return [
        Group(track[by], count[key], hit) for (key, hit), track in zip(found, names, strict=True)
    ]


def _keys(store: Store, kind: str) -> dict[int, str]:
    """What equal artists, or albums, have in common, by row; "" where it is unknown."""
    rows = store.rows.tolist()
    tracks = store.metadata(rows)
    return {row: folded(track[kind] or "") for row, track in zip(rows, tracks, strict=True)}
