"""Several real processes that spend from one budget: never more than it allows together, also if they are killed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_async.job import JobState

SCRIPT = Path(__file__).with_name("spend_many.py")


async def start(
    place: Path | str, gateway: Any, name: str, *, count: int, limit: str, accounts: Sequence[str] = ("",)
) -> asyncio.subprocess.Process:
    urls = ",".join(f"{gateway.url}{account}" for account in accounts)
    arguments = (str(place), urls, name, str(count), limit)
    return await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), *arguments, stdout=asyncio.subprocess.PIPE)


def accept(gateway: Any) -> None:
    gateway.on("POST", "/videos", lambda _: {"id": f"t-{len(gateway.requests)}", "status": "queued"})


async def ledger(place: Path | str) -> tuple[Decimal, dict[JobState, int]]:
    """Return what the ledger says, and the states of all jobs."""
    store = hh.PostgresStore(place, schema="spending", timeout=60) if isinstance(place, str) else hh.SQLiteStore(place)
    await store.open()
    try:
        states: dict[JobState, int] = {}
        for job in await store.recent(1000):
            states[job.state] = states.get(job.state, 0) + 1
        return sum((cost.amount or Decimal(0) for cost in await store.costs()), Decimal(0)), states
    finally:
        await store.aclose()


async def test_two_processes_on_one_file_never_exceed_the_limit(gateway: Any, path: Path) -> None:
    """Forty videos of 1 USD are asked for, and exactly as many are paid as the budget of 12 USD allows."""
    accept(gateway)
    processes = [await start(path, gateway, name, count=20, limit="12 USD") for name in ("first", "second")]
    refused = [int((await process.communicate())[0]) for process in processes]

    spent, states = await ledger(path)
    assert len(gateway.seen("POST")) == 12
    assert sum(refused) == 28
    assert spent == 12
    assert states[JobState.ACCEPTED] == 12


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_two_processes_whose_jobs_move_never_exceed_the_limit(
    gateway: Any, path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """The first account refuses every job, and each takes its reservation along to the second."""
    gateway.on("POST", "/empty/videos", gateway.reply({"error": "no money"}, status=402))
    gateway.on("POST", "/full/videos", lambda _: {"id": f"t-{len(gateway.requests)}", "status": "queued"})
    place = path if kind == "sqlite" else request.getfixturevalue("postgres_server").url
    processes = [
        await start(place, gateway, name, count=20, limit="12 USD", accounts=("/empty", "/full"))
        for name in ("first", "second")
    ]
    refused = [int((await process.communicate())[0]) for process in processes]

    spent, states = await ledger(place)
    assert [process.returncode for process in processes] == [0, 0]
    assert len(gateway.seen("POST", "/full/videos")) == 12
    assert sum(refused) == 28
    assert spent == 12
    assert states[JobState.ACCEPTED] == 12


async def test_a_process_that_is_killed_leaves_every_paid_video_in_the_ledger(gateway: Any, path: Path) -> None:
    """What was reserved when it died stays reserved or is given back, and the next process spends only what is left."""
    gateway.on("POST", "/videos", _slowly(gateway))
    killed = await start(path, gateway, "killed", count=10, limit="6 USD")
    await gateway.until(2, "POST")
    killed.kill()
    await killed.wait()

    spent, _ = await ledger(path)
    assert spent >= len(gateway.seen("POST"))

    accept(gateway)
    following = await start(path, gateway, "next", count=10, limit="6 USD")
    await asyncio.wait_for(following.communicate(), 100)
    spent, states = await ledger(path)
    prompts = [json.loads(seen.body)["prompt"] for seen in gateway.seen("POST")]
    assert len(prompts) == len(set(prompts)), "a video was paid twice"
    assert len(prompts) <= spent <= 6
    counted = (JobState.ACCEPTED, JobState.OUTCOME_UNKNOWN)
    assert sum(states.get(state, 0) for state in counted) == spent


async def test_what_a_dead_process_has_reserved_pays_for_the_job_that_the_next_one_sends(
    gateway: Any, path: Path, spending: Any
) -> None:
    """Its money is counted once, and is not lacking when it is sent."""
    accept(gateway)
    store = hh.SQLiteStore(path)
    await store.open()
    request = hh.TextToVideo("a train", resolution="720P")
    job = hh.Job(
        job_id="hh-left",
        endpoint=hh.Endpoint(provider="fifth", adapter="fifth", base_url=gateway.url),
        model="fifth-t2v",
        created_at=datetime.now(UTC),
        request=request.to_dict(),
        body=b"{}",
        durable=True,
        owner=store.owner,
        price=hh.PriceEstimate(low=Decimal(1), high=Decimal(1), currency="USD"),
    )
    await store.add(job, within=hh.Budget("1 USD").limits)
    await store.aclose()
    assert await ledger(path) == (1, {JobState.QUEUED: 1})

    async with spending("1 USD"):
        await gateway.until(1, "POST")
    assert await ledger(path) == (1, {JobState.ACCEPTED: 1})


def _slowly(gateway: Any) -> Any:
    def answer(_: Any) -> Any:
        answered = asyncio.Event()
        asyncio.get_running_loop().call_later(5, answered.set)
        return gateway.reply({"id": f"t-{len(gateway.requests)}", "status": "queued"}, after=answered)

    return answer
