"""Keeps other sites, other names and oversized bodies away from the service. Pure ASGI.

A page on the web can make a browser send requests to a server on this machine. Three rules keep
other sites out, provided that the browser tells the truth about who is asking:

  Host must be localhost, a numerical address, or an allowed name: a name that an attacker has
    pointed here (DNS rebinding) is none of these.
  Sec-Fetch-Site must not name another site, except when a link opens the page itself.
  Origin, if present, must be the server's own for every request that may change something.

Programs such as curl send neither Origin nor Sec-Fetch-Site, and are let through.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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


class Guard:
    """Refuses what must not reach the app, and puts `HEADERS` on every answer."""

    def __init__(
        self, app: ASGIApp, *, hosts: Collection[str] = (), upload: str = "", max_upload: int = 0
    ):
        """Wraps an app.

        Args:
          app: the app to guard.
          hosts: names of this machine, besides localhost and numerical addresses.
          upload: the path of the one request that may have a body of `max_upload` bytes.
          max_upload: see `upload`.
        """
        self.app = app
        self.hosts = {host.lower() for host in hosts}
        self.upload = upload
        self.max_upload = max_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        limit = self.max_upload if scope["path"] == self.upload else MAX_BODY
        refusal = self._refusal(scope, Headers(scope=scope), limit)
        if refusal is None:
            await self.app(scope, _limited(receive, limit), send_with_headers)
        else:
            status, reason = refusal
            answer = JSONResponse({"error": reason}, status, {"connection": "close"})
            await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers, limit: int) -> tuple[int, str] | None:
        """Status and reason, or None if the request may pass."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, f"Host is {host!r}, expected localhost, a numerical address or --allow_host"
        is_reading = scope["method"] in READING
        opens_page = is_reading and headers.get("sec-fetch-mode") == "navigate"
        site = headers.get("sec-fetch-site", "none")
        if site not in ("none", "same-origin") and not opens_page:
            return 403, f"the request comes from another site (Sec-Fetch-Site: {site})"
        origin = headers.get("origin")
        if origin is not None and not is_reading and urlsplit(origin).netloc != host:
            return 403, f"the request comes from another site (Origin: {origin})"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            return 413, too_large(limit)
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
