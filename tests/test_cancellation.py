"""Whatever is called may be cancelled at any await: it ends at once, and nothing of it is left or lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh
from happyhorse_async.job import JobState

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

REQUEST = hh.TextToVideo("a train at night")


def box(name: bytes, payload: bytes) -> bytes:
    """Make one box of an MP4."""
    return (len(payload) + 8).to_bytes(4) + name + payload


VIDEO = box(b"ftyp", b"isom\0\0\0\0") + box(b"mdat", b"\1" * 99) + box(b"moov", b"\0" * 100)


async def follow(client: hh.Client) -> None:
    async for _ in client.resume("fifth:t-0").updates():
        pass


async def many(client: hh.Client) -> None:
    async for _ in client.generate_many([REQUEST] * 2):
        pass


async def cancel_at_every_step(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do *work* again and again, each time cancelled some turns of the loop later, until it ends before that."""
    steps, finished = 0, False
    while not finished:
        working = asyncio.create_task(work())
        for _ in range(steps):
            await asyncio.sleep(0)
        finished = working.done()
        working.cancel()
        await asyncio.wait([working])
        assert finished != working.cancelled()
        steps = max(steps + 1, steps * 5 // 4)
    working.result()


def parts(folder: Path) -> list[str]:
    """List the temporary files of downloads."""
    return [file.name for file in folder.iterdir() if file.suffix == ".part"]


OPERATIONS: dict[str, Callable[[hh.Client, Path], Awaitable[Any]]] = {
    "submit": lambda client, folder: client.submit(REQUEST),
    "submit with a key": lambda client, folder: client.submit(REQUEST, key="k"),
    "enqueue": lambda client, folder: client.enqueue(REQUEST),
    "generate": lambda client, folder: client.generate(REQUEST, save_to=folder),
    "generate many": lambda client, folder: many(client),
    "fetch": lambda client, folder: client.fetch("fifth:t-0"),
    "wait": lambda client, folder: client.resume("fifth:t-0").wait(),
    "updates": lambda client, folder: follow(client),
    "cancel": lambda client, folder: client.cancel("fifth:t-0"),
    "list": lambda client, folder: client.list_tasks(),
    "download": lambda client, folder: client.resume("fifth:t-0").download(folder),
    "pending": lambda client, folder: client.pending(),
}


class Counted(hh.MemoryStore):
    """A store that shows all it has."""

    def jobs(self) -> list[Any]:
        """Return every job, closed ones included."""
        return list(self._jobs.values())


@pytest.mark.fault(77)
@pytest.mark.parametrize("name", OPERATIONS)
async def test_cancelling_at_every_step(gateway: Gateway, fifth: Fifth, tmp_path: Path, name: str) -> None:
    """At whatever step it is cancelled, it is; each request that was sent has its task in the journal."""
    answers = iter(range(1, 9999))
    gateway.on("POST", "/videos", lambda seen: {"id": f"t-{next(answers)}", "status": "queued"})
    gateway.on("POST", "/videos/t-0/cancel", {"canceled": True})
    gateway.on("GET", "/videos", {"tasks": []})
    gateway.on("GET", "/videos/*", lambda seen: looked(gateway, seen.path))
    gateway.on("GET", "/files/*", gateway.reply(VIDEO))
    store = Counted(keep_closed=None)

    async def work() -> None:
        await OPERATIONS[name](client, tmp_path)

    async with asyncio.timeout(150), fifth.open(store=store) as client:
        await cancel_at_every_step(work)

    jobs = store.jobs()
    sent = len(gateway.seen("POST", "/videos"))
    assert sent == len({job.task_id for job in jobs if job.task_id is not None})
    assert not [job for job in jobs if job.state in (JobState.SUBMITTING, JobState.OUTCOME_UNKNOWN)]
    assert [] == parts(tmp_path)


def looked(gateway: Gateway, path: str) -> Any:
    """Answer a look at any task: it has succeeded."""
    task_id = path.rpartition("/")[2]
    return {"id": task_id, "status": "done", "urls": [f"{gateway.url}/files/{task_id}.mp4"]}


@pytest.mark.fault(77)
async def test_opening_that_is_cancelled_at_every_step(fifth: Fifth, tmp_path: Path) -> None:
    """A client whose opening or closing is cancelled leaves nothing behind, and can be opened again."""
    path = tmp_path / "jobs.sqlite"

    async def work() -> None:
        async with fifth.client(store=hh.SQLiteStore(path)):
            await asyncio.sleep(0)

    await cancel_at_every_step(work)
    async with fifth.open(store=hh.SQLiteStore(path)):
        pass
