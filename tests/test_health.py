"""Whether a client works, for a readiness probe."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

REQUEST = hh.TextToVideo("a horse")


async def test_a_client_that_is_not_open(fifth: Any) -> None:
    """Before it is opened and after it is closed, a client says that it is not ready, and raises nothing."""
    client = fifth.client()
    before = await client.health()
    async with client:
        assert (await client.health()).is_ready
    after = await client.health()

    assert (False, False) == (before.is_ready, after.is_ready)
    assert hh.AccountHealth(open=False, jobs={}) == after.accounts["fifth"]


async def test_a_client_at_work(gateway: Any, fifth: Any) -> None:
    """It tells when the provider has answered, how the last request ended, the rates, and the jobs by state."""
    gateway.accept("t-1", "t-2")
    gateway.show("t-1", "running")
    gateway.show("t-2", "running")
    began_at = datetime.now(UTC)

    limits = hh.Limits(queries_per_second=20.0)
    async with fifth.open(poll=hh.PollSchedule(interval=3600), limits=limits) as client:
        idle = (await client.health()).accounts["fifth"]
        for _ in range(2):
            await client.submit(REQUEST)
        busy = (await client.health()).accounts["fifth"]
        gateway.show("t-1", 503)
        with pytest.raises(hh.ProviderError):
            await client.fetch("fifth:t-1")
        health = await client.health()
        sent = len(gateway.requests)

    assert (None, {}) == (idle.last_answer_at, idle.jobs)
    assert busy.last_answer_at is not None
    assert began_at <= busy.last_answer_at <= datetime.now(UTC)
    assert ({hh.JobState.ACCEPTED: 2}, 20.0, None) == (busy.jobs, busy.queries_per_second, busy.last_error)
    assert "ProviderError" == health.accounts["fifth"].last_error
    assert 3 == sent, "asking for the health sends nothing"
    shown = json.loads(json.dumps(health.to_dict()))
    assert {"ACCEPTED": 2} == shown["accounts"]["fifth"]["jobs"]


async def test_a_429_shows_in_the_rate(gateway: Any, fifth: Any) -> None:
    """After a 429 fewer requests are allowed for some time."""
    gateway.show("t-1", 429)

    async with fifth.open(limits=hh.Limits(queries_per_second=20.0)) as client:
        with pytest.raises(hh.RateLimitError):
            await client.fetch("fifth:t-1")
        account = (await client.health()).accounts["fifth"]

    assert account.queries_per_second is not None
    assert account.queries_per_second < 20.0
    assert "RateLimitError" == account.last_error


async def test_a_store_that_cannot_be_read(fifth: Any) -> None:
    """A client whose store fails is not ready, and says why."""

    class Failing(hh.MemoryStore):
        async def get_note(self, name: str) -> str | None:
            if name == "health":
                raise hh.StoreError("the disk is gone")
            return await super().get_note(name)

    async with fifth.open(store=Failing()) as client:
        health = await client.health()

    assert (True, False, "the disk is gone") == (health.open, health.is_ready, health.store_error)


@pytest.mark.parametrize("provider", ["fifth", None])
async def test_the_only_account_may_be_named(gateway: Any, fifth: Any, provider: str | None) -> None:
    """`provider=` takes the client's own account."""
    gateway.accept("t-1", "t-2")
    gateway.show("t-1", "done")
    gateway.on("GET", "/videos", {"tasks": []})

    async with fifth.open() as client:
        assert "t-1" == (await client.generate(REQUEST, provider=provider)).id
        assert "t-2" == (await client.submit(REQUEST, provider=provider)).id
        assert [] == await client.list_tasks(provider=provider)
        plan = client.plan(REQUEST, provider=provider)

    assert ("fifth", (), None) == (plan.provider, plan.rejected, plan.price)


async def test_another_account_is_a_configuration_error(gateway: Any, fifth: Any) -> None:
    """Another `provider=` is refused before anything is sent, with the name of the one that there is."""
    async with fifth.open() as client:
        for call in (client.generate, client.submit, client.enqueue):
            with pytest.raises(hh.ConfigurationError, match="fifth"):
                await call(REQUEST, provider="sixth")
        for call in (client.list_tasks, lambda provider: client.plan(REQUEST, provider=provider)):
            with pytest.raises(hh.ConfigurationError, match="fifth"):
                call(provider="sixth")

    assert [] == gateway.requests


async def test_a_file_that_another_process_keeps_locked(fifth: Any, tmp_path: Path) -> None:
    """It can be read, and nothing can be recorded: the client is not ready until that process goes on."""
    store = hh.SQLiteStore(tmp_path / "jobs.sqlite", busy_timeout=0.1)
    async with fifth.open(store=store) as client:
        with closing(sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(hh.StoreError, match="locked"):
                await client.enqueue(REQUEST)
            locked = await client.health()
            other.execute("ROLLBACK")
        async with asyncio.timeout(20):
            while not (await client.health()).is_ready:
                await asyncio.sleep(0.01)

    assert not locked.is_ready
    assert "locked" in str(locked.store_error)
