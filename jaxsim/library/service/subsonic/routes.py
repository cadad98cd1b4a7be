"""The methods of the protocol as addresses, for GET and POST."""

import logging
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Request
from starlette.responses import Response

from jaxsim.library.intake.music_server import Login, MusicServerError
from jaxsim.library.service.shared import Here, Router, Shared
from jaxsim.library.service.subsonic import answers, methods, parameters, standalone
from jaxsim.library.service.subsonic.answers import FAILED, Refused
from jaxsim.library.service.subsonic.gateway import Gateway
from jaxsim.library.service.subsonic.parameters import Parameters

router = Router(prefix="/rest", tags=["OpenSubsonic"])

PARAMETERS = {
    "ping": (),
    "getLicense": (),
    "getOpenSubsonicExtensions": (),
    "getSimilarSongs": ("id", "count", "weights", "preset", "where"),
    "getSimilarSongs2": ("id", "count", "weights", "preset", "where"),
    "getSonicSimilarTracks": ("id", "count", "weights", "preset", "where"),
    "getCoverArt": ("id", "size"),
    "findSonicPath": ("startSongId", "endSongId", "count", "weights", "preset", "where"),
}
MEANINGS = {
    "id": "A song, an album or an artist.",
    "size": "Ignored: a picture is sent as it is in the files.",
    "startSongId": "The first song.",
    "endSongId": "The last song.",
    "count": "How many songs at most.",
    "weights": "By dimension, such as genre=1,tempo=2; not in the protocol.",
    "preset": "The name of saved weights; not in the protocol.",
    "where": "A condition such as tempo>120; not in the protocol.",
    "f": "xml, json or jsonp.",
}


class Player:
    """How players are answered: by a gateway, or else standalone, to one user if there is one."""

    def __init__(self, gateway: Gateway | None = None, login: Login | None = None):
        self.gateway = gateway
        self.login = login

    async def answer(self, request: Request, here: Shared, method: str) -> Response:
        """The answer to a request for a method."""
        gateway = self.gateway
        if gateway is not None and method not in gateway.answers:
            query = Parameters(request.query_params.multi_items())
            return _Safely(gateway.forward(request), query)
        given = Parameters(())
        try:
            given = await parameters.read(request)
            content = await self._content(request, here, method, given)
            if content is None:
                assert gateway is not None
                body = given.body if request.method == "POST" else None
                unknown = methods.unknown(given.get("id") or given.get("startSongId"))
                return _Safely(gateway.forward(request, body, unknown=unknown), given)
            if isinstance(content, Response):
                return content
            answer = answers.envelope(content)
        except Refused as error:
            answer = answers.failure(error)
        except MusicServerError as error:
            answer = answers.failure(Refused(error.code, str(error)))
        except OSError as error:
            answer = answers.failure(Refused(FAILED, str(error)))
        return answers.render(answer, given.get("f"), given.get("callback"))

    async def _content(
        self, request: Request, here: Shared, method: str, given: Parameters
    ) -> dict[str, Any] | Response | None:
        if self.gateway is not None:
            return await self.gateway.answers[method](here, given, request)
        parameters.check(given, self.login)
        if method not in standalone.ANSWERS:
            raise standalone.refuse(method)
        return await run_sync(standalone.ANSWERS[method], here, given)


class _Safely(Response):
    """A forwarded answer, or why there is none, in the protocol's form."""

    def __init__(self, forwarded: Response, given: Parameters):
        self.forwarded = forwarded
        self.given = given
        self.background = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.forwarded(scope, receive, send)
        except Refused as error:
            form, callback = self.given.get("f"), self.given.get("callback")
            answer = answers.render(answers.failure(error), form, callback)
            await answer(scope, receive, send)


def keep_logins_out_of_the_log() -> None:
    """Makes uvicorn's access log end players' addresses where their logins begin."""
    logging.getLogger("uvicorn.access").addFilter(_without_query)


def _without_query(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple) and len(record.args) == 5:
        client, method, path, *rest = record.args
        if "/rest/" in str(path):
            record.args = (client, method, str(path).partition("?")[0], *rest)
    return True


def _describe(name: str) -> dict[str, Any]:
    needed = ("id", "startSongId", "endSongId")
    return {
        "parameters": [
            {
                "name": each,
                "in": "query",
                "required": each in needed,
                "schema": {"type": "string"},
                "description": MEANINGS[each],
            }
            for each in (*PARAMETERS[name], "f")
        ]
    }


def _add(name: str) -> None:
    async def answer(request: Request, here: Here) -> Response:
        return await request.app.state.player.answer(request, here, name)

    about = (standalone.ANSWERS[name].__doc__ or "").strip()
    options: dict[str, Any] = {"response_class": Response, "description": about}
    router.get(f"/{name}", openapi_extra=_describe(name), name=name, **options)(answer)
    router.post(f"/{name}", include_in_schema=False)(answer)


for _name in PARAMETERS:
    _add(_name)


@router.get("/{method:path}", include_in_schema=False)
@router.post("/{method:path}", include_in_schema=False)
async def answer_any(method: str, request: Request, here: Here) -> Response:
    """Every other method, and all of them with ".view" at their end."""
    return await request.app.state.player.answer(request, here, method.removesuffix(".view"))
