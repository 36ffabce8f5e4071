"""Learned task durations are kept in the store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night", resolution="720P")
NAME = "durations fifth"


async def make_videos(client: hh.Client, gateway: Gateway, number: int) -> None:
    """Have *number* videos made."""
    gateway.on("POST", "/videos", *({"id": f"t-{index}", "status": "queued"} for index in range(number)))
    for index in range(number):
        gateway.show(f"t-{index}", "running", "done")
    await asyncio.gather(*[client.generate(REQUEST) for _ in range(number)])


async def test_a_new_client_begins_with_what_the_last_one_learned(
    gateway: Gateway, fifth: Fifth, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.sqlite"
    async with fifth.open(store=hh.SQLiteStore(path)) as client:
        await make_videos(client, gateway, 10)
    gateway.on("POST", "/videos", {"id": "s-1", "status": "queued"})
    gateway.show("s-1", "running", "done")

    # Without what was learned the first poll would come after 15 seconds.
    async with fifth.open(store=hh.SQLiteStore(path), poll=hh.PollSchedule()) as client, asyncio.timeout(20):
        await client.generate(REQUEST)


async def test_a_killed_client_has_saved_most_of_what_it_learned(gateway: Gateway, fifth: Fifth) -> None:
    store = hh.MemoryStore()

    async with fifth.open(store=store) as client:
        assert await store.get_note(NAME) is None
        await make_videos(client, gateway, 110)
        async with asyncio.timeout(20):
            while await store.get_note(NAME) is None:
                await asyncio.sleep(0)


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", '{"": {"3": "x"}}'])
async def test_a_note_that_cannot_be_read_is_replaced(gateway: Gateway, fifth: Fifth, text: str) -> None:
    store = hh.MemoryStore()
    await store.put_note(NAME, text)

    async with fifth.open(store=store) as client:
        await make_videos(client, gateway, 5)

    assert text != await store.get_note(NAME)


async def test_a_store_that_fails_costs_no_task(
    gateway: Gateway, fifth: Fifth, caplog: pytest.LogCaptureFixture
) -> None:
    class Store(hh.MemoryStore):
        async def get_note(self, name: str) -> str | None:
            raise hh.StoreError("the disk is gone")

        async def put_note(self, name: str, text: str) -> None:
            raise hh.StoreError("the disk is full")

    async with fifth.open(store=Store()) as client:
        await make_videos(client, gateway, 5)

    assert "the disk is gone" in caplog.text
    assert "the disk is full" in caplog.text
