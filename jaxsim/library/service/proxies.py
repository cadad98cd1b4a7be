"""Where browsers find the service: below a path, and behind proxies. Pure ASGI.

A proxy may pass the path below which the service is on, or strip it; either works. X-Forwarded-*
count only in requests from trusted proxies, since anyone can send them.
"""

import contextvars
import ipaddress
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PREFIX = re.compile(r"(/[\w.~-]+)*/?", re.ASCII)
_root = contextvars.ContextVar("root", default="")


def root() -> str:
    """The path below which the request being answered finds the service, "" for none."""
    return _root.get()


def prefix(text: str) -> str:
    """A path such as /jaxsim, without a slash at its end; raises ValueError if it is none."""
    if not _PREFIX.fullmatch(text) or "/./" in f"{text}/" or "/../" in f"{text}/":
        raise ValueError(f"{text!r}, expected a path such as /jaxsim")
    return text.rstrip("/")


def network(text: str) -> Network:
    """An address or a network such as 172.16.0.0/12; raises ValueError if it is none."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r}, expected an address or a network such as 10.0.0.0/8") from None


class Proxies:
    """Sets `root_path` and takes it from requests that have it; believes trusted proxies.

    What a trusted proxy says about host and scheme is in the scope's `forwarded_host` and `scheme`.
    """

    def __init__(self, app: ASGIApp, *, root_path: str = "", trusted: Sequence[Network] = ()):
        """Wraps an app.

        Args:
          app: the app.
          root_path: where it is, see `prefix`; X-Forwarded-Prefix takes precedence.
          trusted: the proxies whose X-Forwarded-* count.
        """
        self.app = app
        self.root_path = prefix(root_path)
        self.trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope) if self._is_trusted(scope) else Headers()
        try:
            above = prefix(_first(headers, "x-forwarded-prefix") or self.root_path)
        except ValueError as error:
            answer = JSONResponse({"error": f"X-Forwarded-Prefix is {error}"}, 400)
            await answer(scope, receive, send)
            return
        if above and scope["path"] == above:  # relative addresses in the page need the slash
            await RedirectResponse(f"{above}/", 308)(scope, receive, send)
            return
        path = scope["path"] if scope["path"].startswith(f"{above}/") else above + scope["path"]
        inside = {**scope, "path": path, "root_path": above}
        inside["forwarded_host"] = _first(headers, "x-forwarded-host")
        if _first(headers, "x-forwarded-proto") in ("http", "https"):
            inside["scheme"] = _first(headers, "x-forwarded-proto")
        _root.set(above)  # each request has a context of its own
        await self.app(inside, receive, send)

    def _is_trusted(self, scope: Scope) -> bool:
        try:
            address = ipaddress.ip_address((scope.get("client") or ("",))[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in each for each in self.trusted)


def inner_path(scope: Scope) -> str:
    """The path of a request below `root_path`."""
    return scope["path"].removeprefix(scope.get("root_path", ""))


def _first(headers: Headers, name: str) -> str:
    """The value that the first of several proxies gave; "" if there is none."""
    return headers.get(name, "").split(",")[0].strip()
