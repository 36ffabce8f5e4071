"""
Server-sent events of a job, for the apps beside this file. Copy it with the app.

A stream must not outlive its server. A server such as uvicorn waits for open responses before it stops, and a video
takes minutes. So a signal sets an event, and each stream ends. The browser reconnects by itself, to the next process.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from types import FrameType

import happyhorse_async as hh

KEEP_ALIVE = 15.0
"""Seconds. Proxies close connections that are silent for about a minute."""


async def events(handle: hh.JobHandle, stopping: asyncio.Event) -> AsyncIterator[str]:
    """Yield every change of the task until its end, the last one again as a keep-alive, and an error as an event."""
    updates = handle.updates(repeat_after=KEEP_ALIVE)
    stop = asyncio.ensure_future(stopping.wait())
    change = asyncio.ensure_future(anext(updates, None))
    try:
        while not stopping.is_set():
            await asyncio.wait({change, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not change.done() or (task := change.result()) is None:
                return
            yield f"data: {json.dumps(task.to_dict(urls=False))}\n\n"
            change = asyncio.ensure_future(anext(updates, None))
    except hh.HappyHorseError as error:  # there will be no task: the job was refused or taken back
        yield f"event: failure\ndata: {json.dumps({'error': error.message})}\n\n"
    finally:
        stop.cancel()
        change.cancel()


def set_on_signals(event: asyncio.Event) -> None:
    """Set *event* on SIGINT and SIGTERM, and then do what the server does. Call it in the running event loop."""
    loop = asyncio.get_running_loop()

    def chain(number: signal.Signals) -> None:
        earlier = signal.getsignal(number)

        def handle(received: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(event.set)
            if callable(earlier):
                earlier(received, frame)

        signal.signal(number, handle)

    chain(signal.SIGINT)
    chain(signal.SIGTERM)
