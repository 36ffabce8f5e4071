"""A receiver in an app of aiohttp."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from .respond import Call, Receive, answer, leaves_a_body, lower_names


async def handle(request: web.Request, receive: Receive, *, timeout: float) -> web.Response:
    """Handle a request: see `CallbackReceiver.aiohttp_handler`."""
    call = Call(
        method=request.method,
        headers=lower_names(request.headers.items()),
        query=request.rel_url.raw_query_string,
        chunks=_chunks(request),
    )
    response = web.Response(status=await answer(call, receive, timeout=timeout))
    if leaves_a_body(response.status):
        response.force_close()
    return response


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    if request.content.at_eof():
        # A middleware may have read it before, and then it is kept.
        yield await request.read()
    # Otherwise not so, since that would take as much as the app allows for uploads.
    async for chunk in request.content.iter_any():
        yield chunk
