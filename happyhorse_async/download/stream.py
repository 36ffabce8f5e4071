"""A video as a stream of bytes: resumed and checked like a download, without a file."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from ..errors import DownloadError
from .fetch import Fetch


class VideoStream(AsyncIterator[bytes]):
    """The bytes of a video, in order. Iterate it once."""

    def __init__(self, fetch: Fetch, first: bytes, chunks: AsyncIterator[bytes]) -> None:
        self._fetch = fetch
        self._first: bytes | None = first
        self._chunks = chunks

    @property
    def total(self) -> int | None:
        """The size of the video in bytes, or `None` if the server does not announce it."""
        return self._fetch.total

    async def __anext__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await anext(self._chunks)


@asynccontextmanager
async def open_stream(fetch: Fetch) -> AsyncGenerator[VideoStream]:
    """
    Start fetching a video. When this is entered, its first bytes have arrived and were checked.

    :raises DownloadError: it cannot be fetched; also while the stream is read.
    """
    async with aclosing(_in_order(fetch)) as chunks:
        first = await anext(chunks)
        yield VideoStream(fetch, first, chunks)


async def _in_order(fetch: Fetch) -> AsyncGenerator[bytes]:
    """Yield each byte once. If the video is fetched again, it is compared with the bytes already yielded."""
    given, given_size = hashlib.sha256(), 0
    repeated, position = hashlib.sha256(), 0
    held = b""
    async with aclosing(fetch.pieces()) as pieces:
        async for piece in pieces:
            if piece.start == 0:
                repeated, position, held = hashlib.sha256(), 0, b""
            old = piece.data[: given_size - position] if position < given_size else b""
            if old:
                repeated.update(old)
                position += len(old)
                if position == given_size and repeated.digest() != given.digest():
                    raise DownloadError("the video has changed while it was streamed")
            held += piece.data[len(old) :]
            if held and fetch.begins_like_video:
                given.update(held)
                given_size = position = given_size + len(held)
                yield held
                held = b""
    if position < given_size:
        raise DownloadError("the video has changed while it was streamed: it has become shorter")
