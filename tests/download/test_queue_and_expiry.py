"""Queued downloads: the URL that expires first is fetched first, and none grows old unnoticed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh
from happyhorse_async.ratelimit.semaphore import PrioritySemaphore

from .videos import video_file

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

NOW = datetime.now(UTC)


VIDEO = video_file(b"\1" * 99)


def done(gateway: Gateway, task_id: str, *, until: timedelta | None = None, ended: timedelta | None = None) -> hh.Task:
    """Make a succeeded task whose URL lives *until* then from now, and which *ended* so long ago."""
    video = hh.Video(url=f"{gateway.url}/files/{task_id}", expires_at=None if until is None else NOW + until)
    return hh.Task(
        ref=hh.TaskRef("fifth", task_id),
        status=hh.TaskStatus.SUCCEEDED,
        videos=(video,),
        finished_at=None if ended is None else NOW - ended,
    )


@asynccontextmanager
async def occupied(gateway: Gateway, client: hh.Client, folder: Path) -> AsyncIterator[None]:
    """Keep the only download slot occupied meanwhile."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    answer = asyncio.Event()
    gateway.on("GET", "/files/*", gateway.reply(VIDEO))
    gateway.on("GET", "/files/first", gateway.reply(VIDEO, after=answer))
    downloading = asyncio.create_task(client.download(done(gateway, "first"), folder))
    await gateway.until(1, "GET", "/files/first")
    yield
    answer.set()
    await downloading


async def begun(*downloads: asyncio.Task[Path]) -> None:
    """Let downloads come as far as they come: what they began in the only thread is done before this is."""
    for _ in range(20):
        await asyncio.to_thread(bool)
    assert not [download for download in downloads if download.done()]


@pytest.mark.fault(65)
async def test_the_earliest_expiry_goes_first(gateway: Gateway, fifth: Fifth, tmp_path: Path) -> None:
    """Whatever the order in which downloads are asked for, they run in that in which their URLs die."""
    hour = timedelta(hours=1)
    # A URL of which nothing is said lives for a day, as far as anybody knows.
    tasks = [
        done(gateway, "fourth", until=20 * hour),
        done(gateway, "fifth"),
        done(gateway, "second", until=hour),
        done(gateway, "third", ended=22 * hour),
    ]
    async with fifth.open(limits=hh.Limits(max_concurrent_downloads=1)) as client:
        async with occupied(gateway, client, tmp_path):
            downloads = [asyncio.create_task(client.download(task, tmp_path)) for task in tasks]
            await begun(*downloads)
        await asyncio.gather(*downloads)

    order = [seen.path.rpartition("/")[2] for seen in gateway.seen("GET", "/files/*")]
    assert ["first", "second", "third", "fourth", "fifth"] == order


@pytest.mark.fault(65)
@pytest.mark.parametrize(
    ("ended", "until", "warned"), [(1, 23, False), (13, 11, True), (20, 4, True), (None, -1, True)]
)
async def test_a_url_that_grows_old_in_the_queue_is_logged(
    gateway: Gateway,
    fifth: Fifth,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    ended: int | None,
    until: int,
    warned: bool,
) -> None:
    """A download that is queued while half of its URL's life passes is logged, once."""
    hours = None if ended is None else timedelta(hours=ended)
    task = done(gateway, "t-1", ended=hours, until=timedelta(hours=until))
    async with fifth.open(limits=hh.Limits(max_concurrent_downloads=1)) as client:
        async with occupied(gateway, client, tmp_path):
            download = asyncio.create_task(client.download(task, tmp_path))
            await begun(download)
        await download

    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warned == len(warnings)
    assert all("fifth:t-1 is still queued" in warning for warning in warnings)


async def test_an_old_url_that_is_fetched_at_once_is_not_logged(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An old URL that is fetched at once needs no warning."""
    gateway.on("GET", "/files/*", gateway.reply(VIDEO))
    task = done(gateway, "t-1", ended=timedelta(hours=23))
    async with fifth.open() as client:
        await client.download(task, tmp_path)

    assert "still queued" not in caplog.text


async def test_a_slot_is_never_lost() -> None:
    """A caller that is cancelled while waiting, or just as it got the slot, passes it on to the next."""
    semaphore, inside = PrioritySemaphore(1), 0

    async def permit(until: float) -> None:
        nonlocal inside
        async with semaphore.acquire(until):
            inside += 1
            assert 1 == inside
            await asyncio.sleep(0)
            inside -= 1

    for cancelled in range(6):
        stays = [asyncio.create_task(permit(until)) for until in range(4)]
        for _ in range(cancelled):
            await asyncio.sleep(0)
        stays[1].cancel()
        stays[2].cancel()
        await asyncio.wait(stays)
        assert not stays[0].cancelled()
        assert not stays[3].cancelled()
    async with asyncio.timeout(20), semaphore.acquire(0.0):
        pass
