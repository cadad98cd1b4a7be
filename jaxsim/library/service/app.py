"""The service of a library: JSON over HTTP (OpenAPI at /openapi.json), and the page that uses it.

Every request is answered from a snapshot of the library. Tracks embedded while it runs appear in
the next one, after a few seconds; presets and the judge's answers appear at once.
"""

import sqlite3
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from anyio import fail_after, open_file, to_thread
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic_core import to_json
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.routing import compile_path

from input_pipeline.hearing.audio import UnusableTrack
from input_pipeline.hearing.file_tags import AUDIO_SUFFIXES
from jaxsim.library.search import paths, playlists, presets, query
from jaxsim.library.search.steps import Steps, run
from jaxsim.library.service import (
    art_requests,
    group_requests,
    judge_requests,
    map_requests,
    messages,
    player_requests,
    playing,
    stepping,
    uploads,
    word_requests,
)
from jaxsim.library.service.guard import Guard
from jaxsim.library.service.messages import (
    Dimension,
    Embedded,
    LibraryAnswer,
    PathRequest,
    PlaylistFileRequest,
    Preset,
    Problem,
    SearchAnswer,
    SearchRequest,
    Step,
    Track,
    TrackIds,
)
from jaxsim.library.service.proxies import Network, Proxies, inner_path
from jaxsim.library.service.serving import Leasing, Serving
from jaxsim.library.service.shared import Here, MapFailed, Maps, Router, Shared
from jaxsim.library.service.subsonic import routes
from jaxsim.library.service.subsonic.gateway import MAX_BODY
from jaxsim.library.store import TEXTS, Store
from jaxsim.network.likeness import TINY_DEVIATION

METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]
PAGE = Path(__file__).parent / "page"
UPLOAD = "/api/embed"
RECEIVE_SECONDS = 120.0  # within which an upload must arrive
RENUMBERED: dict = {
    "model": Problem,
    "description": "Rows have been renumbered since; give the id.",
}

router = Router(
    prefix="/api", responses={status: {"model": Problem} for status in (400, 404, 413, 422)}
)


def create_app(
    library: Store,
    *,
    embed_file: uploads.EmbedFile | None = None,
    hosts: Collection[str] = (),
    origins: Collection[str] = (),
    root_path: str = "",
    proxies: Sequence[Network] = (),
    player: routes.Player | None = None,
) -> FastAPI:
    """Makes the ASGI app.

    Args:
      library: the library to serve.
      embed_file: see `uploads.Uploads`; without it, uploads are refused.
      hosts: names by which the server may be addressed, see `guard.Guard`.
      origins: other origins that may do what the page may, see `guard.Guard`.
      root_path: the path below which browsers find it, see `proxies.Proxies`.
      proxies: addresses whose X-Forwarded-* count, see `proxies.Proxies`.
      player: how players are answered; default: whoever asks, from the library.
    """
    app = FastAPI(
        title="jaxsim",
        summary="Search music by example, with a weight per similarity dimension.",
        description=(__doc__ or "").partition("\n\n")[2],
        version="1",
        docs_url=None,  # FastAPI's own page loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.serving = Serving(
        Shared(library, uploads.Uploads(embed_file) if embed_file else None, Maps(library))
    )
    asked = (art_requests, group_requests, judge_requests, map_requests, player_requests)
    for part in (router, *(module.router for module in (*asked, word_requests, routes))):
        app.include_router(part)
    app.add_api_route("/api/{path:path}", _not_answered, methods=METHODS, include_in_schema=False)
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    for kind, answer in PROBLEMS.items():
        app.add_exception_handler(kind, answer)
    app.state.player = player or routes.Player()
    routes.keep_logins_out_of_the_log()
    large = {UPLOAD: uploads.MAX_BYTES}
    if app.state.player.gateway is not None:
        large["/rest/"] = MAX_BODY
    app.add_middleware(Leasing, serving=app.state.serving)
    app.add_middleware(Guard, hosts=hosts, origins=origins, large=large)
    app.add_middleware(Proxies, root_path=root_path, trusted=proxies)
    return app


# Routes are tried in turn, and this one is asked for most.
@router.post("/search", tags=["search"], response_model=SearchAnswer)
async def search(request: SearchRequest, here: Here) -> Response:
    """The tracks with the highest scores, exactly; equal scores by id."""
    steps = _search(request, here)
    if here.library.is_warm:
        answer = await stepping.run(steps)
    else:
        answer = await to_thread.run_sync(run, steps)
    # As JSON at once: FastAPI would first check every number, and hand it to another thread.
    return Response(to_json(answer), media_type="application/json")


def _search(request: SearchRequest, here: Shared) -> Steps[dict[str, Any]]:
    began = time.perf_counter()
    library, where = here.library, request.where or None
    known = here.known_seeds(request.like)
    if known is None or request.preset or not library.has_selected(where):
        yield None  # names to look for, a file to read, a condition to test
    seeds = here.seeds(request.like) if known is None else known
    weights = messages.weights_of(library, request)
    found = yield from query.search.steps(
        library,
        seeds,
        weights,
        top=request.top,
        max_per_artist=request.max_per_artist,
        max_per_album=request.max_per_album,
        fold=not request.all_versions,
        where=where,
    )
    itself = messages.of_the_query(library, seeds, weights)
    return {
        "hits": messages.hits(library, found, seeds),
        "query": library.by_dimension(itself),
        "tracks": len(library),
        "milliseconds": 1000 * (time.perf_counter() - began),
    }


@router.get("/library", tags=["library"])
def describe(here: Here) -> LibraryAnswer:
    """What can be searched, and by which dimensions and fields."""
    library = here.library
    cosines = zip(library.dimensions, library.mean, library.deviation, strict=True)
    return LibraryAnswer(
        name=library.path.resolve().name,
        tracks=len(library),
        version=here.version,
        edition=here.edition,
        model=library.description["model"],
        dimensions=[
            Dimension(
                name=name,
                mean=float(mean),
                deviation=float(deviation),
                speaks=bool(deviation >= TINY_DEVIATION),
            )
            for name, mean, deviation in cosines
        ],
        fields={name: "text" if name in TEXTS else "number" for name in here.fields},
    )


@router.get("/tracks", tags=["library"])
def find_tracks(
    here: Here,
    text: str = Query(max_length=200, description="Words of title, artist and album."),
    limit: int = Query(10, ge=1, le=100),
) -> list[Track]:
    """Tracks by title, artist and album; the best matches first."""
    return messages.tracks(here.library, here.library.find(text, limit))


@router.get("/tracks/random", tags=["library"])
def random_tracks(here: Here, count: int = Query(6, ge=1, le=100)) -> list[Track]:
    """Some tracks to start with."""
    rows = here.library.rows
    chosen = np.random.default_rng().choice(rows, min(count, len(rows)), replace=False)
    return messages.tracks(here.library, chosen.tolist())


@router.get("/tracks/ids", tags=["library"])
def list_ids(here: Here) -> TrackIds:
    """The ids of all tracks, in the order of the map."""
    return TrackIds(edition=here.edition, ids=here.library.ids[here.library.rows].tolist())


@router.get("/tracks/{row}", tags=["library"], responses={410: RENUMBERED})
def show_track(row: int, here: Here, id: str | None = None) -> Track:
    """What is known about a track: that of the id, or of the row, as for its audio."""
    row = here.row_of_address(row, id)
    try:
        return messages.tracks(here.library, [row])[0]
    except (KeyError, OverflowError):
        raise HTTPException(404, f"row {row} does not belong to a track") from None


@router.get("/track", tags=["library"])
def show_track_by_id(id: str, here: Here) -> Track:
    """What is known about the track with this id."""
    return messages.tracks(here.library, [here.row(id)])[0]


@router.get(
    "/audio/{row}",
    tags=["library"],
    response_class=FileResponse,
    responses={
        403: {"model": Problem},
        206: {"description": "The requested range of bytes."},
        410: RENUMBERED,
    },
)
def play(row: int, here: Here, id: str | None = None) -> FileResponse:
    """The audio file of a track: of the one with this id, wherever it is by now.

    Without an id it is the one in the row, as long as rows have never been renumbered.
    """
    row = here.row_of_address(row, id)
    try:
        path, media_type = playing.file_of(here.library, row)
    except (KeyError, OverflowError):
        raise HTTPException(404, f"row {row} does not belong to a track") from None
    except playing.NotPlayable as error:
        raise HTTPException(403, str(error)) from None
    return playing.Audio(path, media_type=media_type)


@router.post("/path", tags=["search"])
def find_path(request: PathRequest, here: Here) -> list[Step]:
    """A playlist from one track to another, in which every dimension has its schedule."""
    library = here.library
    playlist = paths.find(
        library,
        here.row(request.start),
        here.row(request.end),
        length=request.length,
        weights=messages.weights_of(library, request),
        schedule=request.schedule,
        where=request.where or None,
    )
    return messages.steps(library, playlist)


@router.post("/playlist/file", tags=["search"], response_class=Response)
def playlist_file(request: PlaylistFileRequest, here: Here) -> Response:
    """A playlist of files, named from the folder that holds all music of the library."""
    tracks = here.library.metadata([here.row(track_id) for track_id in request.tracks])
    text = playlists.render(tracks, f".{request.format}", here.library.root)
    kind = "application/xspf+xml" if request.format == "xspf" else "audio/x-mpegurl"
    return Response(text.encode("utf-8", "surrogateescape"), media_type=kind)


@router.post(
    "/embed",
    tags=["search"],
    responses={status: {"model": Problem} for status in (408, 413, 429)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def embed(
    request: Request, here: Here, name: str = Query("upload", max_length=300)
) -> Embedded:
    """Embeds the audio file in the body, so that it can be used in searches.

    Only the suffix of its name is used.
    """
    if here.uploads is None:
        raise HTTPException(404, "this server accepts no uploads")
    suffix = Path(name).suffix.lower()
    suffix = suffix if suffix in AUDIO_SUFFIXES else ""
    with here.uploads.place(), tempfile.TemporaryDirectory(prefix="jaxsim-") as folder:
        path = Path(folder, f"audio{suffix}")
        await _receive(request, path)
        upload, example, seconds = await to_thread.run_sync(here.uploads.add, path)
    return Embedded(id=upload, name=name, seconds=seconds, embedding=example.vector.tolist())


async def _receive(request: Request, path: Path) -> None:
    try:
        with fail_after(RECEIVE_SECONDS):
            async with await open_file(path, "wb") as file:
                async for block in request.stream():
                    await file.write(block)
    except TimeoutError:
        raise HTTPException(
            408, f"the file did not arrive within {RECEIVE_SECONDS:.0f} seconds"
        ) from None


@router.get("/presets", tags=["presets"])
def list_presets(here: Here) -> dict[str, Preset]:
    """Saved weights by name."""
    return {name: Preset(**content) for name, content in presets.load_all(here.library).items()}


@router.put("/presets/{name:path}", tags=["presets"], responses={503: {"model": Problem}})
def save_preset(name: str, preset: Preset, here: Here) -> Preset:
    """Saves weights, replacing any with the same name."""
    presets.save(here.library, name, preset.weights, deviations=preset.deviations)
    return Preset(**presets.load_all(here.library)[name])


@router.delete(
    "/presets/{name:path}",
    tags=["presets"],
    status_code=204,
    responses={503: {"model": Problem}},
)
def delete_preset(name: str, here: Here) -> None:
    """Removes saved weights."""
    if name not in presets.load_all(here.library):
        raise HTTPException(404, f"{name!r}: no such preset")
    presets.delete(here.library, name)


def _not_answered(request: Request) -> None:
    """What no other route under /api answers: 405 if it would answer another method."""
    path, described = inner_path(request.scope), request.app.openapi()["paths"]
    own = {path: described[path]} if path in described else described  # not /{space} for /likeness
    allowed = {
        method.upper()
        for template, methods in own.items()
        for method in methods
        if compile_path(template)[0].match(path)
    }
    if not allowed:
        raise HTTPException(404)
    allowed |= {"HEAD"} if "GET" in allowed else set()
    raise HTTPException(405, headers={"allow": ", ".join(sorted(allowed))})


def _problem(status: int):
    return lambda request, error: JSONResponse({"error": str(error)}, status)


def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AnyHTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _wrong_form(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"][1:])) or str(first["loc"][0])
    return JSONResponse({"error": f"{where}: {first['msg']}"}, 422)


def _not_written(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": f"the library cannot be written to ({error})"}, 503)


PROBLEMS: dict = {
    AnyHTTPException: _refused,
    RequestValidationError: _wrong_form,
    ValueError: _problem(422),
    UnusableTrack: _problem(422),
    MapFailed: _problem(500),
    uploads.Busy: lambda _, error: JSONResponse({"error": str(error)}, 429, {"retry-after": "5"}),
    sqlite3.OperationalError: _not_written,
}
