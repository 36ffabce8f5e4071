"""A webhook receiver as an ASGI app: https://asgi.readthedocs.io/en/latest/specs/www.html."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from .respond import Receive, WebhookRequest, closes_connection, lower_names, respond


class AsgiApp:
    """
    Receives webhooks on any path: mount it, or route to it.

    It is an object and not a function, because Starlette would call a function with its own request class.
    """

    def __init__(self, receive: Receive, *, timeout: float) -> None:
        self._receive = receive
        self._timeout = timeout

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Handle a request."""
        # Frameworks type the messages differently: as mutable mappings, or each as a TypedDict.
        if scope["type"] != "http":
            raise ValueError(f"webhooks arrive by HTTP, not by {scope['type']}")
        webhook = WebhookRequest(
            method=scope["method"],
            headers=lower_names((_text(name), _text(value)) for name, value in scope["headers"]),
            query=_text(scope.get("query_string", b"")),
            chunks=_chunks(receive),
        )
        status = await respond(webhook, self._receive, timeout=self._timeout)
        headers = [(b"content-length", b"0")]
        if closes_connection(status) and scope.get("http_version", "1.1").startswith("1"):
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body"})


async def _chunks(receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client has disconnected")
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _text(data: bytes) -> str:
    return data.decode("latin-1")
