"""Requests of the page to the music server: what there is, and a playlist for it."""

from fastapi import HTTPException, Request

from jaxsim.library.intake.music_server import Login
from jaxsim.library.service.messages import MusicServerAnswer, PlaylistRequest, Problem
from jaxsim.library.service.shared import Here, Router
from jaxsim.library.service.subsonic.gateway import Gateway

router = Router(
    prefix="/api/player",
    tags=["player"],
    responses={status: {"model": Problem} for status in (400, 404, 409, 413, 422, 502)},
)


def _place(request: Request) -> tuple[Gateway, Login] | None:
    """The music server, and the user whose playlists can be made there."""
    gateway = request.app.state.player.gateway
    return None if gateway is None or gateway.login is None else (gateway, gateway.login)


@router.get("")
def describe(request: Request) -> MusicServerAnswer:
    """Whether playlists can be sent to a music server."""
    place = _place(request)
    if place is None:
        return MusicServerAnswer(server=None, user=None)
    return MusicServerAnswer(server=place[0].url, user=place[1].user)


@router.post("/playlists")
async def create_playlist(
    playlist: PlaylistRequest, request: Request, here: Here
) -> MusicServerAnswer:
    """Makes a playlist at the music server; tracks that it does not have are an error."""
    place = _place(request)
    if place is None:
        raise HTTPException(
            409, "there is no music server; start jaxsim.serve with --subsonic and --subsonic_user"
        )
    gateway, login = place
    rows = [here.row(name) for name in playlist.tracks]
    try:
        known = await gateway.names.get(here, {})
        missing = [
            name
            for name, row in zip(playlist.tracks, rows, strict=True)
            if row not in known.song_of
        ]
        if missing:
            raise HTTPException(409, f"{missing[0]!r}: the music server does not have this track")
        await gateway.create_playlist(playlist.name, [known.song_of[row] for row in rows])
    except OSError as error:
        raise HTTPException(502, str(error)) from None
    return MusicServerAnswer(server=gateway.url, user=login.user)
