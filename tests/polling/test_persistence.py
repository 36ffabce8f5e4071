"""What was learned of how long tasks take outlives the client that learned it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night", resolution="720P")
NAME = "durations fifth"


async def make_videos(client: hh.Client, gateway: Any, number: int) -> None:
    """Have *number* videos made."""
    gateway.on("POST", "/videos", *({"id": f"t-{index}", "status": "queued"} for index in range(number)))
    for index in range(number):
        gateway.show(f"t-{index}", "running", "done")
    await asyncio.gather(*[client.generate(REQUEST) for _ in range(number)])


async def test_it_is_kept(gateway: Any, fifth: Any, tmp_path: Path) -> None:
    """A client of another process begins with what the first has learned."""
    path = tmp_path / "jobs.sqlite"
    async with fifth.open(store=hh.SQLiteStore(path)) as client:
        await make_videos(client, gateway, 10)
    gateway.on("POST", "/videos", {"id": "s-1", "status": "queued"})
    gateway.show("s-1", "running", "done")

    # Nobody would wait for the 15 seconds that one who knows nothing waits.
    async with fifth.open(store=hh.SQLiteStore(path), poll=hh.PollSchedule()) as client, asyncio.timeout(5):
        await client.generate(REQUEST)


async def test_it_is_kept_from_time_to_time(gateway: Any, fifth: Any) -> None:
    """A client that is killed has not forgotten all."""
    store = hh.MemoryStore()

    async with fifth.open(store=store) as client:
        assert await store.get_note(NAME) is None
        await make_videos(client, gateway, 110)
        async with asyncio.timeout(5):
            while await store.get_note(NAME) is None:
                await asyncio.sleep(0)


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", '{"": {"3": "x"}}'])
async def test_what_cannot_be_read(gateway: Any, fifth: Any, text: str) -> None:
    """Whatever stands in the store, the client opens and learns anew."""
    store = hh.MemoryStore()
    await store.put_note(NAME, text)

    async with fifth.open(store=store) as client:
        await make_videos(client, gateway, 5)

    assert text != await store.get_note(NAME)


async def test_a_store_that_fails(gateway: Any, fifth: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A store that cannot keep it costs no task."""

    class Store(hh.MemoryStore):
        async def get_note(self, name: str) -> str | None:
            raise hh.StoreError("the disk is gone")

        async def put_note(self, name: str, text: str) -> None:
            raise hh.StoreError("the disk is full")

    async with fifth.open(store=Store()) as client:
        await make_videos(client, gateway, 5)

    assert "the disk is gone" in caplog.text
    assert "the disk is full" in caplog.text
