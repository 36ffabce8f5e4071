"""
Who may talk to the studio: the browser of the person who started it, and no page of another site.

The page can spend money, so that three things are asked of every request. Its `Host` is this server's: a site that
points its own name at 127.0.0.1 (DNS rebinding) has another one. What changes anything names this server as its
`Origin`. And it has the cookie that the URL on the terminal gave it; the cookie is never sent along by another site.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Sent with every response. Nothing is loaded from another host, and no page can frame this one."""

_QUERY = "token"
_CLOSED = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>HappyHorse studio</title>"
    "<h1>This page needs its key</h1><p>Open the URL that <code>happyhorse studio</code> printed on the terminal. "
    "It is valid until the studio ends."
)


class Guard:
    """
    Lets requests in.

    :param hosts: the names and addresses, without a port, under which the studio is reached.
    """

    def __init__(self, hosts: frozenset[str]) -> None:
        self._hosts = hosts
        self.token = secrets.token_urlsafe(24)
        """The key of this run, which the printed URL carries."""
        self._port = 0

    def listen(self, port: int) -> None:
        """Note the port. Cookies are shared by all ports of a host, so that the name of ours has it."""
        self._port = port

    @property
    def _cookie(self) -> str:
        return f"happyhorse_studio_{self._port}"

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what comes from elsewhere, with a 403."""
        if not self.is_host(request.host):
            raise web.HTTPForbidden(text=f"the studio is not called {request.host[:200]!r}")
        if self._is_foreign(request):
            raise web.HTTPForbidden(text="this request comes from another site")
        enters = request.path == "/" and self._is_token(request.query.get(_QUERY, ""))
        if not enters and not self._is_token(request.cookies.get(self._cookie, "")):
            raise web.HTTPForbidden(text=_CLOSED, content_type="text/html")
        response = await handler(request)
        if enters:
            # The page takes the token out of the address bar, and with it out of the history.
            response.set_cookie(self._cookie, self.token, httponly=True, samesite="Strict", path="/")
        return response

    def is_host(self, host: str) -> bool:
        """Tell whether *host*, the header of a request, is this server's."""
        name, separator, port = host.rpartition(":")
        if not separator or host.endswith("]"):
            # A browser leaves the port of HTTP out.
            name, port = host, "80"
        return port == str(self._port) and name.strip("[]").lower() in self._hosts

    def _is_foreign(self, request: web.Request) -> bool:
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "none")
        if request.method not in ("GET", "HEAD"):
            return origin != f"http://{request.host}" or site not in ("none", "same-origin")
        if origin is not None and origin != f"http://{request.host}":
            return True
        # A link on any page may lead here; the page itself shows nothing to the site that it was on.
        return site not in ("none", "same-origin") and request.path != "/"

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.token.encode())


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that every response has."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
