"""Requests for the pictures of tracks' albums."""

import hashlib

from fastapi import HTTPException, Request
from starlette.responses import Response

from jaxsim.library.service import art, playing
from jaxsim.library.service.messages import Problem
from jaxsim.library.service.shared import Here, Router

router = Router(
    prefix="/api/art",
    tags=["library"],
    responses={status: {"model": Problem} for status in (403, 404, 410, 422)},
)


@router.get(
    "/{row}", response_class=Response, responses={304: {"description": "What was sent before."}}
)
def show_art(row: int, request: Request, here: Here, id: str | None = None) -> Response:
    """The picture of a track's album, as it is in the files: JPEG, PNG, WebP or GIF.

    The track is that of the id, or of the row, as for its audio.
    """
    row = here.row_of_address(row, id)
    try:
        found = art.of(here.library, row)
    except (KeyError, OverflowError):
        raise HTTPException(404, f"row {row} does not belong to a track") from None
    except playing.NotPlayable as error:
        raise HTTPException(403, str(error)) from None
    if found is None:
        raise HTTPException(404, f"row {row}: the track has no picture")
    content, media_type = found
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    # Kept, but asked about each time: pictures are changed.
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if _is_known(tag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def _is_known(tag: str, known: str) -> bool:
    """Whether the header If-None-Match names a picture."""
    return known.strip() == "*" or tag in [
        each.strip().removeprefix("W/") for each in known.split(",")
    ]
