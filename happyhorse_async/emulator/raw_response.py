"""Responses that no web server would send, written to the connection byte by byte."""

from __future__ import annotations

import asyncio
import socket
import struct

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from .faults.injection import Broken


class RawHttpResponse(web.StreamResponse):
    """Writes the bytes that a fault has made of a response, and ends the connection."""

    def __init__(self, broken: Broken) -> None:
        super().__init__()
        self.force_close()
        self._raw_response = broken.raw_response
        self._injection = broken.injection

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write everything."""
        raw_response = self._raw_response
        if raw_response.held:
            await self._injection.released()
        await _write(request, raw_response.data)
        for byte in raw_response.slow_data:
            await asyncio.sleep(raw_response.pause)
            await _write(request, bytes([byte]))
        while raw_response.repeated:
            await _write(request, raw_response.repeated)
        if raw_response.reset and request.transport is not None:
            _reset(request.transport)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Write nothing more."""


async def _write(request: web.BaseRequest, data: bytes) -> None:
    if request.transport is None or request.transport.is_closing():
        raise ConnectionResetError("the client has disconnected")
    request.transport.write(data)
    await request.writer.drain()


def _reset(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
