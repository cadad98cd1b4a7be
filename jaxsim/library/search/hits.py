"""Hits as JSON: one form for the command, the service and OpenSubsonic."""

from collections.abc import Sequence
from typing import Any

from jaxsim.library.search import reasons
from jaxsim.library.search.query import Hit, Seed
from jaxsim.library.store import Store


def as_json(store: Store, hits: Sequence[Hit], seeds: Sequence[Seed] = ()) -> list[dict[str, Any]]:
    """The hits, in order, each with these fields:

    track, what `Store.metadata` returns; heard, what `Store.heard` does; score; contributions and
    likeness, numbers by dimension; closer_than and closer_in, shares of the library (`shares`), of
    which the latter is by dimension; versions, the ids of other versions of the same recording; and
    reason, a sentence (`reasons`), if seeds are given.
    """
    known = store.known([hit.row for hit in hits])
    why = reasons.sentences(store, seeds, hits, known) if seeds else [""] * len(hits)
    return [
        {
            "track": track,
            "heard": read,
            "score": hit.score,
            "contributions": store.by_dimension(hit.contributions),
            "likeness": store.by_dimension(hit.likeness),
            "closer_than": hit.closer_than,
            "closer_in": store.by_dimension(hit.closer_in),
            "versions": [store.ids[row] for row in hit.versions],
            "reason": reason,
        }
        for (track, read), hit, reason in zip(known, hits, why, strict=True)
    ]
