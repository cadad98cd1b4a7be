"""The sonic similarity of OpenSubsonic, with what the dimensions contribute.

https://opensubsonic.netlify.app/docs/extensions/sonicsimilarity: answers are JSON, as `f=json` asks
for; users and passwords are not looked at. Beyond it there are the parameters weights
(genre=1,tempo=2), preset and where, and score and contributions in every match.
"""

import importlib.metadata
from collections.abc import Callable
from typing import Any

import numpy as np
from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import JSONResponse

from jaxsim.library import messages, paths, query
from jaxsim.library.messages import MAX_TOP, Track, Weighted
from jaxsim.library.shared import Here
from jaxsim.library.store import Store

VERSION = "1.16.1"  # of the Subsonic protocol
FAILED, MISSING, NOT_FOUND = 0, 10, 70  # its error codes

router = APIRouter(prefix="/rest", tags=["OpenSubsonic"])


@router.get("/ping")
@router.get("/ping.view", include_in_schema=False)
def ping() -> dict[str, Any]:
    """Says that the server is there."""
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
    """Tracks that sound alike. similarity: 1 the same, 0 the most different, by the weights."""

    def matches() -> list[dict[str, Any]]:
        seeds = [here.row(id)]
        asked = Weighted(weights=_weights(weights), preset=preset or None)
        w = messages.weights_of(here.library, asked)
        found = query.search(here.library, seeds, w, top=count, where=where or None)
        return [
            _match(here.library, track, w, hit.score, hit.contributions)
            for track, hit in zip(
                messages.tracks(here.library, [hit.row for hit in found]), found, strict=True
            )
        ]

    return _matches(matches, id=id)


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
    """Tracks on the way from one to another. similarity: to the first one, by the weights."""

    def matches() -> list[dict[str, Any]]:
        library, start, end = here.library, here.row(startSongId), here.row(endSongId)
        asked = Weighted(weights=_weights(weights), preset=preset or None)
        w = messages.weights_of(library, asked)
        between = int(library.select(where or None).sum())
        length = min(count, between + 2 - int(library.select(where or None)[[start, end]].sum()))
        steps = paths.find(library, start, end, length=length, weights=w, where=where or None)
        rows = [step.row for step in steps]
        contributions = query.weight_vector(library, w) * query.likenesses(library, [start], rows)
        return [
            _match(library, track, w, float(each.sum()), each)
            for track, each in zip(messages.tracks(library, rows), contributions, strict=True)
        ]

    return _matches(matches, startSongId=startSongId, endSongId=endSongId)


def _matches(
    find: Callable[[], list[dict[str, Any]]], **required: str
) -> dict[str, Any] | JSONResponse:
    """The answer of `find`; whatever is wrong, in the protocol's form."""
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
            "serverVersion": _own_version(),
            "openSubsonic": True,
            **content,
        }
    }


def _own_version() -> str:
    try:
        return importlib.metadata.version("jaxsim")
    except importlib.metadata.PackageNotFoundError:  # run from a clone
        return "unknown"


def _failure(code: int, message: str) -> JSONResponse:
    answer = _answer(error={"code": code, "message": message})
    answer["subsonic-response"]["status"] = "failed"
    return JSONResponse(answer)


def _match(
    library: Store, track: Track, weights: query.Weights, score: float, contributions: np.ndarray
) -> dict[str, Any]:
    """A sonicMatch: a Child, its similarity, and what is ours."""
    entry = {
        "id": track.id,
        "isDir": False,
        "isVideo": False,
        "type": "music",
        "title": track.title or "",
        "artist": track.artist,
        "album": track.album,
        "genre": track.genre,
        "year": track.year,
        "bpm": None if track.tempo is None else round(track.tempo),
        "duration": None if track.seconds is None else round(track.seconds),
    }
    return {
        "entry": {name: value for name, value in entry.items() if value is not None},
        "similarity": similarity(library, weights, score),
        "score": score,
        "contributions": messages.by_dimension(library, contributions),
    }


def similarity(library: Store, weights: query.Weights, score: float) -> float:
    """A score as a number from 0 to 1, in the same order.

    The mean of the cosines, weighted as the score weights them, moved from -1..1 to 0..1; for a
    negative weight, the most unlike is 1.
    """
    w = query.weight_vector(library, weights)
    size = float(np.abs(query.scales(library, w)).sum())
    if not size:
        return 0.5
    return float(np.clip((1 + (score - query.offset(library, w)) / size) / 2, 0, 1))


def _weights(text: str) -> dict[str, float] | None:
    from jaxsim.search import parse_weights

    return parse_weights(text) if text else None
