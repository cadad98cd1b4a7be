"""OpenSubsonic's sonic similarity, with what each dimension contributes.

https://opensubsonic.netlify.app/docs/extensions/sonicsimilarity: answers are JSON, as with
`f=json`; users and passwords are ignored. Our additions are the parameters weights
(genre=1,tempo=2), preset and where, and score, contributions and likeness in every match.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import JSONResponse

import jaxsim
from jaxsim.library.search import hits, paths, query
from jaxsim.library.search.query import Hit
from jaxsim.library.service import messages
from jaxsim.library.service.messages import MAX_TOP, Weighted
from jaxsim.library.service.shared import Here
from jaxsim.library.store import Store

VERSION = "1.16.1"  # of the Subsonic protocol
FAILED, MISSING, NOT_FOUND = 0, 10, 70  # its error codes

router = APIRouter(prefix="/rest", tags=["OpenSubsonic"])


@router.get("/ping")
@router.get("/ping.view", include_in_schema=False)
def ping() -> dict[str, Any]:
    """Confirms that the server is running."""
    return _answer()


@router.get("/getOpenSubsonicExtensions")
@router.get("/getOpenSubsonicExtensions.view", include_in_schema=False)
def extensions() -> dict[str, Any]:
    """Lists the one extension."""
    return _answer(openSubsonicExtensions=[{"name": "sonicSimilarity", "versions": [1]}])


@router.get("/getSonicSimilarTracks", response_model=None)
@router.get("/getSonicSimilarTracks.view", include_in_schema=False, response_model=None)
def similar_tracks(
    here: Here,
    id: str = "",
    count: int = Query(10, ge=1, le=MAX_TOP),
    weights: str = "",
    preset: str = "",
    where: str = "",
) -> dict[str, Any] | JSONResponse:
    """Tracks that sound alike. similarity, by the weights: 1 is equal, 0 the most different."""

    def matches() -> list[dict[str, Any]]:
        seeds = [here.row(id)]
        asked = Weighted(weights=_weights(weights), preset=preset or None)
        w = messages.weights_of(here.library, asked)
        found = query.search(here.library, seeds, w, top=count, where=where or None)
        return _found(here.library, w, found, seeds)

    return _answer_with(matches, id=id)


@router.get("/findSonicPath", response_model=None)
@router.get("/findSonicPath.view", include_in_schema=False, response_model=None)
def sonic_path(
    here: Here,
    startSongId: str = "",
    endSongId: str = "",
    count: int = Query(25, ge=2, le=paths.MAX_LENGTH),
    weights: str = "",
    preset: str = "",
    where: str = "",
) -> dict[str, Any] | JSONResponse:
    """Tracks on the way from one to another. similarity, by the weights, is to the first one."""

    def matches() -> list[dict[str, Any]]:
        library, start, end = here.library, here.row(startSongId), here.row(endSongId)
        asked = Weighted(weights=_weights(weights), preset=preset or None)
        w = messages.weights_of(library, asked)
        between = int(library.select(where or None).sum())
        length = min(count, between + 2 - int(library.select(where or None)[[start, end]].sum()))
        steps = paths.find(library, start, end, length=length, weights=w, where=where or None)
        to_first = query.score_tracks(library, [start], w, [step.row for step in steps])
        return _found(library, w, to_first, [start])

    return _answer_with(matches, startSongId=startSongId, endSongId=endSongId)


def _answer_with(
    find: Callable[[], list[dict[str, Any]]], **required: str
) -> dict[str, Any] | JSONResponse:
    """What `find` returns, or its error, in the protocol's form."""
    for name, value in required.items():
        if not value:
            return _failure(MISSING, f"the parameter {name} is missing")
    try:
        return _answer(sonicMatch=find())
    except HTTPException as error:
        return _failure(NOT_FOUND, str(error.detail))
    except ValueError as error:
        return _failure(FAILED, str(error))


def _answer(**content: Any) -> dict[str, Any]:
    return {
        "subsonic-response": {
            "status": "ok",
            "version": VERSION,
            "type": "jaxsim",
            "serverVersion": jaxsim.__version__,
            "openSubsonic": True,
            **content,
        }
    }


def _failure(code: int, message: str) -> JSONResponse:
    answer = _answer(error={"code": code, "message": message})
    answer["subsonic-response"]["status"] = "failed"
    return JSONResponse(answer)


def _found(
    library: Store, weights: query.Weights, found: list[Hit], seeds: Sequence[query.Seed]
) -> list[dict[str, Any]]:
    """The protocol's sonicMatch for every hit, an entry and its similarity, and our additions."""
    matches = []
    for hit in hits.as_json(library, found, seeds):
        entry = _entry(hit.pop("track"))
        matches.append(
            {"entry": entry, "similarity": similarity(library, weights, hit["score"])} | hit
        )
    return matches


def _entry(track: dict[str, Any]) -> dict[str, Any]:
    """The protocol's Child."""
    entry = {
        "id": track["id"],
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
    return {name: value for name, value in entry.items() if value is not None}


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


def _weights(text: str) -> dict[str, float] | None:
    return query.parse_weights(text) if text else None
