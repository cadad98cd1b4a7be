"""Hits as JSON: one form for the command, the service and OpenSubsonic."""

from collections.abc import Sequence
from typing import Any

from jaxsim.library.search.query import Hit
from jaxsim.library.store import Store


def as_json(store: Store, hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """The hits, in order, as {"track", "score", "contributions", "likeness", "versions"}.

    track is what `Store.metadata` returns; contributions and likeness are numbers by dimension;
    versions are the ids of other versions of the same recording.
    """
    tracks = store.metadata([hit.row for hit in hits])
    return [
        {
            "track": track,
            "score": hit.score,
            "contributions": store.by_dimension(hit.contributions),
            "likeness": store.by_dimension(hit.likeness),
            "versions": [store.ids[row] for row in hit.versions],
        }
        for track, hit in zip(tracks, hits, strict=True)
    ]
