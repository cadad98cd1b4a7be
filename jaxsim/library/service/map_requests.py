"""Requests for the map: where the tracks are, and values to colour them by."""

import collections
from typing import Annotated

import numpy as np
from fastapi import Depends, HTTPException, Query, Response
from fastapi.responses import JSONResponse

from jaxsim.library.search import projection, query, scanning
from jaxsim.library.service import messages
from jaxsim.library.service.messages import LikenessRequest, MapWaiting, Problem, Values
from jaxsim.library.service.shared import Here, Router, Shared
from jaxsim.library.store import NUMBERS, TEXTS

MOST_LABELS = 9  # all others become one: more colours cannot be told apart
OTHERS = "others"
POINT = np.dtype([("row", "<i4"), ("x", "<u2"), ("y", "<u2")])

router = Router(
    prefix="/api/map",
    tags=["map"],
    responses={status: {"model": Problem} for status in (400, 404, 409, 413, 422)},
)


def _unchanged(
    here: Here,
    edition: Annotated[
        str | None, Query(description="What the list of all ids says; refused if it has changed.")
    ] = None,
) -> Shared:
    if edition is not None and edition != here.edition:
        raise HTTPException(409, "the tracks have changed since; list their ids again")
    return here


Unchanged = Annotated[Shared, Depends(_unchanged)]


@router.get("/values")
def values(
    here: Unchanged, by: str = Query(json_schema_extra={"enum": [*TEXTS, *NUMBERS]})
) -> Values:
    """A metadata field for every track; if it has several values, the first one."""
    if by not in (*TEXTS, *NUMBERS):
        raise ValueError(f"by is {by!r}, expected one of {', '.join((*TEXTS, *NUMBERS))}")
    found = here.library.values(by)
    if by in NUMBERS:
        return Values(kind="number", labels=[], values=found)
    firsts = [value and value.split(";")[0].strip() for value in found]
    counts = collections.Counter(filter(None, firsts))
    names = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    number = {name: min(i, MOST_LABELS) for i, name in enumerate(names)}
    labels = names[:MOST_LABELS] + [OTHERS] * (len(names) > MOST_LABELS)
    numbers = [number[value] if value else None for value in firsts]
    return Values(kind="text", labels=labels, values=numbers)


@router.post("/likeness")
def likeness(request: LikenessRequest, here: Unchanged) -> Values:
    """How alike every track is to a query in one dimension (standard deviations), or its score."""
    library = here.library
    seeds = here.seeds(request.like)
    weights = messages.weights_of(library, request) if request.by == "score" else {request.by: 1.0}
    w = query.weight_vector(library, weights)
    vector = query.vector(library, query.seed_vector(library, seeds), w)
    rough = scanning.rounded(vector)  # the scan would lose the rest, which three digits need
    found = scanning.scan(library.vectors, rough).astype(np.float64)
    found += scanning.scan(library.vectors, vector - rough)
    rounded = np.round(found[library.rows] + query.offset(library, w), 3)
    return Values(kind="number", labels=[], values=rounded.tolist())


@router.get(
    "/{space}",
    response_class=Response,
    responses={
        200: {
            "content": {"application/octet-stream": {}},
            "description": "8 bytes per track, little-endian: row (int32), x and y (uint16).",
        },
        202: {"model": MapWaiting, "description": "It is being computed; ask again."},
        500: {"model": Problem},
    },
)
def points(space: str, here: Unchanged) -> Response:
    """Where the tracks are on the map of the whole space ('all') or of a dimension."""
    spaces = (projection.WHOLE, *here.library.dimensions)
    if space not in spaces:
        raise HTTPException(404, f"{space!r}: no such space, expected one of {', '.join(spaces)}")
    found = here.maps.get(space)
    if found is None:
        return JSONResponse({"state": "computing"}, 202, {"retry-after": "1"})
    table = np.empty(len(found), POINT)
    table["row"] = here.library.rows
    table["x"], table["y"] = np.rint(found.T * 65535)
    return Response(table.tobytes(), media_type="application/octet-stream")
