"""The public types, as a caller sees them. Checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, MutableMapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict, assert_type

import happyhorse_async as hh


def requests() -> Iterable[hh.VideoRequest]:
    yield hh.TextToVideo("a", resolution="720P", ratio="16:9", duration=5, seed=1, watermark=False, version="1.1")
    yield hh.ImageToVideo("https://example.org/frame.png", prompt="she turns", model="any", extra={"field": [1]})
    yield hh.ReferenceToVideo("[Image 1] walks", images=["https://example.org/a.png", b"...", Path("b.png")])
    yield hh.VideoEdit("make it snow", video="https://example.org/in.mp4", images=[], audio="origin")


class Scope(TypedDict):
    type: str


class Start(TypedDict):
    status: int


class Body(TypedDict):
    body: bytes


async def mounted(
    receiver: hh.CallbackReceiver,
    scope: Scope,
    receive: Callable[[], Awaitable[Scope]],
    send: Callable[[Start | Body], Awaitable[None]],
) -> None:
    """Litestar types the messages of ASGI exactly, Starlette as mutable mappings."""
    await receiver.asgi_app(scope, receive, send)


async def mounted_elsewhere(
    receiver: hh.CallbackReceiver,
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    await receiver.asgi_app(scope, receive, send)


def models(task: hh.Task) -> None:
    assert_type(task.ref, hh.TaskRef)
    assert_type(hh.TaskRef.parse("main:1"), hh.TaskRef)
    assert_type(task.status.is_terminal, bool)
    assert_type(task.progress, float | None)
    assert_type(task.videos, tuple[hh.Video, ...])
    assert_type(task.video_url, str | None)
    assert_type(task.created_at, datetime | None)
    assert_type(task.raw, Mapping[str, Any])
    if task.error is not None:
        assert_type(task.error.reason, hh.FailureReason)
    if task.usage is not None:
        assert_type(task.usage.duration, float | None)


async def main_job(many: AsyncIterable[hh.VideoRequest]) -> None:
    schedule = hh.PollSchedule(interval=5, max_interval=30)
    async with hh.Client("dashscope", api_key="sk-...", region="singapore", poll=schedule) as client:
        assert_type(client, hh.Client)
        assert_type(await client.generate(hh.TextToVideo("a"), timeout=600, key="order-1"), hh.Task)
        handle = await client.submit(hh.TextToVideo("a"), key="order-2", callback_url="https://example.org/hook")
        assert_type(handle, hh.TaskHandle)
        assert_type(handle.ref, hh.TaskRef)
        assert_type(handle.task, hh.Task | None)
        assert_type(await handle, hh.Task)
        assert_type(await handle.wait(timeout=1), hh.Task)
        assert_type(await handle.cancel(), hh.Task | None)
        assert_type(await handle.download("a.mp4"), Path)
        async for task in handle.updates():
            assert_type(task, hh.Task)
        assert_type(await client.enqueue(hh.TextToVideo("a")), hh.JobHandle)
        assert_type(client.resume_job(key="order-1"), hh.JobHandle)
        assert_type(await client.job("hh-1"), hh.JobInfo)
        assert_type(client.resume("dashscope:1"), hh.TaskHandle)
        assert_type(await client.fetch("dashscope:1"), hh.Task)
        assert_type(await client.cancel(hh.TaskRef("dashscope", "1")), hh.Task | None)
        assert_type(await client.list_tasks(limit=5), list[hh.Task])
        async for task in client.list_tasks():
            assert_type(task, hh.Task)
        async for outcome in client.generate_many(requests(), limit=200):
            assert_type(outcome, hh.Outcome)
            if outcome.error is None:
                assert_type(outcome.task, hh.Task)
                assert_type(outcome.ref, hh.TaskRef)
            assert_type(outcome.error, Exception | None)
        client.generate_many(many)
        receiver = hh.CallbackReceiver(client, secret=["the new one", "the old one"])
        assert_type(await receiver.receive({"X-Signature": "..."}, b"{}", query="a=b"), hh.Task | None)
        assert_type(client.plan(hh.TextToVideo("a")).messages, tuple[hh.HttpRequest, ...])
        assert_type(await client.pending(), list[hh.JobInfo])
        assert_type(await client.health(), hh.Health)
        async with client.stream(await client.fetch("dashscope:1")) as chunks:
            assert_type(chunks, hh.VideoStream)
        assert_type(await client.candidates("job"), list[hh.Task])
        assert_type(await client.resolve("job", adopt="task-1"), hh.TaskHandle | None)


async def elsewhere(adapter: hh.Adapter) -> None:
    async with hh.Client.from_config("happyhorse.toml", provider="main", store=hh.MemoryStore()) as client:
        assert_type(client.provider, str)
    hh.Client(adapter, api_key="key", store=hh.SQLiteStore("jobs.sqlite"), limits=hh.Limits(queries_per_second=5))
    async with hh.Emulator(speed=60, seed=1, scenario=hh.Scenario()) as emulator:
        assert_type(emulator.url("hiapi"), str)


def mistakes() -> None:
    hh.TextToVideo("a", durration=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    hh.ImageToVideo("a", ratio="16:9")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    hh.TaskRef("main")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
