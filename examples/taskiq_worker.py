"""
A taskiq worker: the web app queues a prompt, the worker makes the video and returns the task as JSON.

Put your broker in place of the one in memory, and run it beside a `happyhorse.toml`:
`taskiq worker taskiq_worker:broker`
"""

from __future__ import annotations

from typing import Annotated, Any

from taskiq import Context, InMemoryBroker, TaskiqDepends, TaskiqEvents, TaskiqState

import happyhorse_async as hh

broker = InMemoryBroker()


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_client(state: TaskiqState) -> None:
    """Open one client for each worker process."""
    state.client = await hh.Client.from_config().__aenter__()


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_client(state: TaskiqState) -> None:
    await state.client.aclose()


@broker.task
async def make_video(
    request: dict[str, Any], order: str, folder: str, context: Annotated[Context, TaskiqDepends()]
) -> dict[str, Any]:
    """
    Make the video. A queue may run a task twice, after a crash for example: the key makes that the same job.

    With a `[store]` on disk the second run finds the job of the first, and nothing is paid again.
    """
    client: hh.Client = context.state.client
    task = await client.generate(hh.TextToVideo.from_dict(request), key=order, save_to=folder)
    return task.to_dict(urls=False)
