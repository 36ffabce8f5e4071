"""A body with local media in it: its length is known before it is sent, and no more than a piece is in memory."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Iterator
from typing import TypeAlias

import anyio.to_thread
from attrs import evolve, frozen

from ..local_media import TOKEN, LocalMedium
from ..messages import HttpRequest


@frozen
class _Embedded:
    medium: LocalMedium
    is_base64: bool

    @property
    def length(self) -> int:
        size = self.medium.size
        return 4 * ((size + 2) // 3) if self.is_base64 else size

    def pieces(self) -> Iterator[bytes]:
        pieces = self.medium.pieces()
        return map(base64.b64encode, pieces) if self.is_base64 else pieces


_Part: TypeAlias = bytes | _Embedded


def content_length(request: HttpRequest) -> int:
    """Return the bytes of the body as it is sent."""
    return sum(len(part) if isinstance(part, bytes) else part.length for part in _parts(request))


async def body_pieces(request: HttpRequest) -> AsyncGenerator[bytes]:
    """
    Yield the body as it is sent. Files are read, and encoded, in a thread.

    :raises OSError: a file cannot be read, or is no longer as large as it was. The body breaks off.
    """
    for part in _parts(request):
        if isinstance(part, bytes):
            yield part
            continue
        sent, pieces = 0, part.pieces()
        while piece := await anyio.to_thread.run_sync(next, pieces, b""):
            sent += len(piece)
            if sent > part.length:
                break
            yield piece
            if not part.is_base64:
                part.medium.sent(sent)
        if sent != part.length:
            raise OSError("the file has changed while it was sent")


def whole(request: HttpRequest) -> HttpRequest:
    """Return *request* with its media in its body, for a transport that cannot stream. Blocks."""
    parts = (part if isinstance(part, bytes) else b"".join(part.pieces()) for part in _parts(request))
    return evolve(request, body=b"".join(parts), media=())


def _parts(request: HttpRequest) -> Iterator[_Part]:
    body, by_digest = request.body or b"", {medium.digest: medium for medium in request.media}
    end = 0
    for match in TOKEN.finditer(body):
        medium = by_digest.get(match["digest"].decode())
        if medium is None or match["kind"] == b"url":
            continue
        yield body[end : match.start()]
        yield _Embedded(medium, match["kind"] == b"base64")
        end = match.end()
    yield body[end:]
