"""
Blocking code in threads (Flask, Celery, a desktop program) that shares one client.

An event loop runs in a thread of its own for the life of the program, and any thread calls into it through a portal.
"""

from __future__ import annotations

import functools
from collections.abc import Generator
from contextlib import contextmanager

from anyio.from_thread import BlockingPortal, start_blocking_portal

import happyhorse_async as hh


class BlockingVideos:
    """The few operations that this program needs, as blocking methods."""

    def __init__(self, portal: BlockingPortal, client: hh.Client) -> None:
        self._portal = portal
        self._client = client

    def submit(self, request: hh.VideoRequest, *, key: str | None = None) -> str:
        """Return the ref once the provider has accepted the job."""
        handle = self._portal.call(functools.partial(self._client.submit, request, key=key))
        return str(handle.ref)

    def wait(self, ref: str, timeout: float | None = None) -> hh.Task:
        """Block until the video is ready."""

        async def wait() -> hh.Task:
            return await self._client.resume(ref).wait(timeout)

        return self._portal.call(wait)


@contextmanager
def open_videos(client: hh.Client) -> Generator[BlockingVideos]:
    """Start the loop and open the client; close both at the end. Call it once, when the program starts."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(client) as opened:
        yield BlockingVideos(portal, opened)
