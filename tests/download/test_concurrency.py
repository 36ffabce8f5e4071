"""
Thousands of tasks finish in the same second: their videos come to disk a few at a time, and the loop goes on.

`HAPPYHORSE_VIDEOS=10000 pytest -s tests/download/test_concurrency.py` does it with as many as the fault catalogue has.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh
from happyhorse_async.download import Downloads
from happyhorse_async.exchange import Exchange
from happyhorse_async.ratelimit import AccountLimits

from .videos import video_file

if TYPE_CHECKING:
    from conftest import Fifth

VIDEOS = int(os.environ.get("HAPPYHORSE_VIDEOS", "500"))
# As many as one answer to a list request has.
_TOGETHER = 100


VIDEO = video_file(b"\1" * 99)


class Files:
    """A transport that has every video at once, and counts how many are fetched at the same time."""

    connection_slots = None

    def __init__(self) -> None:
        self.now = self.most = 0

    @asynccontextmanager
    async def stream(self, request: hh.HttpRequest, *, public_only: bool = False) -> AsyncGenerator[SimpleNamespace]:
        """Begin to fetch a video."""
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            yield SimpleNamespace(status=200, headers={"content-length": str(len(VIDEO))}, chunks=self._chunks)
        finally:
            self.now -= 1

    async def _chunks(self) -> AsyncGenerator[bytes]:
        yield VIDEO


async def measure(lags: list[float]) -> None:
    """Note how much later than asked the loop comes back, again and again."""
    while True:
        asked = time.perf_counter() + 0.005
        await asyncio.sleep(0.005)
        lags.append(time.perf_counter() - asked)


def done(number: int) -> hh.Task:
    """Make a succeeded task."""
    ref = hh.TaskRef("fifth", f"t-{number}")
    return hh.Task(ref=ref, status=hh.TaskStatus.SUCCEEDED, videos=(hh.Video(url="https://files.example/v"),))


async def no_look(ref: hh.TaskRef) -> hh.Task:
    """Never be asked."""
    raise AssertionError(ref)


@pytest.mark.fault(83)
@pytest.mark.timeout(300 + VIDEOS // 4)
async def test_hundreds_of_downloads_keep_the_event_loop_responsive(fifth: Fifth, tmp_path: Path) -> None:
    """Few are fetched at the same time, the loop is never held up for long, and every video is there in the end."""
    files: Any = Files()
    adapter = fifth.adapter()
    account = adapter.account(provider="fifth", api_key="sk-0451-6789")
    budget = AccountLimits.of(None, hh.Limits(max_concurrent_downloads=4), "fifth")
    downloads = Downloads(exchange=Exchange(adapter, account, files, budget), fetch=no_look, private=True)
    lags: list[float] = []
    measuring = asyncio.create_task(measure(lags))

    tasks: list[asyncio.Task[Path]] = []
    for number in range(VIDEOS):
        tasks.append(asyncio.create_task(downloads.download(done(number), tmp_path)))
        if not number % _TOGETHER:
            await asyncio.sleep(0)
    paths = await asyncio.gather(*tasks)
    measuring.cancel()
    lags.sort()
    latest = lags[int(len(lags) * 0.99)]
    late = f"the loop is late by {latest * 1000:.1f} ms (p99), {lags[-1] * 1000:.1f} ms (most)"
    print(f"\n{VIDEOS} videos, {files.most} at once: {late}")

    assert 4 == files.most
    assert VIDEOS == len(set(paths))
    assert {len(VIDEO)} == {path.stat().st_size for path in paths}
