"""Keeps other sites, other names and oversized bodies away from the service. Pure ASGI.

A page on the web can make a browser send requests to a server on this machine. Three rules keep
other sites out, provided that the browser tells the truth about who is asking:

  Host must be localhost, a numerical address, or an allowed name: a name that an attacker has
    pointed here (DNS rebinding) is none of these.
  Sec-Fetch-Site must not name another site, except when a link opens the page itself.
  Origin, if present, must be the server's own for every request that may change something.

Behind a proxy, the first rule holds for Host and for X-Forwarded-Host, and the server's own origin
is that of X-Forwarded-Host (see `proxies`). Origins that are allowed by name may do what the page
may (CORS); so may the page itself, behind a proxy that does not say which address it has.

Programs such as curl send neither Origin nor Sec-Fetch-Site, and are let through.
"""

import contextlib
import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jaxsim.library.service.proxies import inner_path

MAX_BODY = 64 * 1024  # bytes of a request that is not an upload
READING = ("GET", "HEAD", "OPTIONS")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self' blob:",  # blob: the dropped file, before and after its upload
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
HEADERS = {
    "cache-control": "no-cache",  # the next server may have different tracks under the same numbers
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


# What answers to another origin that is allowed say besides, and what it may ask for.
CORS = {
    "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE",
    "access-control-allow-headers": "content-type, range",
    "access-control-allow-private-network": "true",
    "access-control-expose-headers": "content-range, retry-after",
    "access-control-max-age": "600",
}


def origin(text: str) -> str:
    """An origin such as https://music.lan as browsers send it; raises ValueError if it is none."""
    parts = urlsplit(text.strip().rstrip("/"))
    if (
        parts.scheme not in ("http", "https")
        or f"{parts.scheme}://{parts.netloc}" != parts.geturl()
    ):
        raise ValueError(f"{text!r}, expected an origin such as https://music.lan")
    if not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"{text!r}, expected an origin such as https://music.lan")
    default = {"http": ":80", "https": ":443"}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(default)}"


class Guard:
    """Refuses what must not reach the app, and puts `HEADERS` on every answer."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str] = (),
        origins: Collection[str] = (),
        large: Mapping[str, int] | None = None,
    ):
        """Wraps an app.

        Args:
          app: the app to guard.
          hosts: names of this machine, besides localhost and numerical addresses.
          origins: other origins that may do what the page may, see `origin`.
          large: bytes of a body, by the paths whose bodies may be larger than `MAX_BODY`; a path
            with a slash at its end stands for all paths below it.
        """
        self.app = app
        self.hosts = {host.lower() for host in hosts}
        self.origins = {origin(each) for each in origins}
        self.large = large or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asking = headers.get("origin", "")
        is_allowed = asking in self.origins

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message), asking if is_allowed else "")
            await send(message)

        limit = self._limit(inner_path(scope))
        refusal = self._refusal(scope, headers, limit, is_allowed)
        if refusal is not None:
            status, reason = refusal
            answer = JSONResponse({"error": reason}, status, {"connection": "close"})
            await answer(scope, receive, send_with_headers)
        elif is_allowed and _is_preflight(scope, headers):
            await Response(status_code=204, headers=CORS)(scope, receive, send_with_headers)
        else:
            await self.app(scope, _limited(receive, limit), send_with_headers)

    def _add_headers(self, headers: MutableHeaders, allowed: str) -> None:
        kept = headers.get("cache-control")  # of what a music server says about its pictures
        headers.update(HEADERS)
        if kept:
            headers["cache-control"] = kept
        if self.origins:
            headers.add_vary_header("origin")
        if allowed:
            headers["access-control-allow-origin"] = allowed
            headers["access-control-expose-headers"] = CORS["access-control-expose-headers"]

    def _limit(self, path: str) -> int:
        """Bytes that the body of a request may have."""
        for known, limit in self.large.items():
            if path == known or (known.endswith("/") and path.startswith(known)):
                return limit
        return MAX_BODY

    def _refusal(
        self, scope: Scope, headers: Headers, limit: int, is_allowed: bool
    ) -> tuple[int, str] | None:
        """Status and reason, or None if the request may pass."""
        host = headers.get("host", "")
        forwarded = scope.get("forwarded_host", "")
        for name, said in (("Host", host), ("X-Forwarded-Host", forwarded or host)):
            if not self._is_ours(said):
                return 421, _unknown_host(name, said)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            return 413, too_large(limit)
        if is_allowed:
            return None
        is_reading = scope["method"] in READING
        opens_page = is_reading and headers.get("sec-fetch-mode") == "navigate"
        site = headers.get("sec-fetch-site", "none")
        asking = headers.get("origin")
        if site not in ("none", "same-origin") and not opens_page:
            return 403, _other_site(f"Sec-Fetch-Site: {site}", asking)
        if asking is not None and not is_reading and urlsplit(asking).netloc != (forwarded or host):
            return 403, _other_site(f"Origin: {asking}", asking)
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name == "localhost" or name in self.hosts
        return True


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return scope["method"] == "OPTIONS" and "access-control-request-method" in headers


def _unknown_host(header: str, said: str) -> str:
    problem = f"{header} is {said!r}, expected localhost, a numerical address or --allow_host"
    with contextlib.suppress(ValueError):
        if name := urlsplit(f"//{said}").hostname:
            return f"{problem}; if it is this server, start it with --allow_host {name}"
    return problem


def _other_site(why: str, asking: str | None) -> str:
    """What is wrong, and what to do if the other site is the page itself, behind a proxy."""
    problem = f"the request comes from another site ({why})"
    with contextlib.suppress(ValueError):
        name = origin(asking or "")
        return (
            f"{problem}; if that is the address of this server behind its proxy, or of a front end "
            f"that may use it, start the server with --allow_origin {name}"
        )
    return problem


def too_large(limit: int) -> str:
    return f"the body is too large, expected at most {limit:,} bytes"


def _limited(receive: Receive, limit: int) -> Receive:
    """Counts the bytes of a body, since its length may not have been announced."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, too_large(limit))
        return message

    return counted
