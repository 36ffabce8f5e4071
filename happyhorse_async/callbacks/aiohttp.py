"""A webhook receiver in an aiohttp app."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from .respond import Receive, WebhookRequest, closes_connection, lower_names, respond


async def handle(request: web.Request, receive: Receive, *, timeout: float) -> web.Response:
    """Handle a request: see `CallbackReceiver.aiohttp_handler`."""
    webhook = WebhookRequest(
        method=request.method,
        headers=lower_names(request.headers.items()),
        query=request.rel_url.raw_query_string,
        chunks=_chunks(request),
    )
    response = web.Response(status=await respond(webhook, receive, timeout=timeout))
    if closes_connection(response.status):
        response.force_close()
    return response


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    if request.content.at_eof():
        # A middleware has read the body already, and aiohttp keeps it.
        yield await request.read()
    # Otherwise it is read in pieces: read() would accept as much as the app allows for uploads.
    async for chunk in request.content.iter_any():
        yield chunk
