"""A promise: what is enqueued is on the disk at once, and is sent in order, by whom it may be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

from ..waiting import until_pending

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night")
SLOWLY = hh.PollSchedule(interval=3600)
ONE_ONLY = hh.Limits(submits_per_second=0.001)

Rows = Callable[[], list[dict[str, Any]]]


def numbered(gateway: Any) -> None:
    """Accept every submit."""
    gateway.on("POST", "/videos", lambda _: {"id": f"t-{len(gateway.requests)}", "status": "queued"})


def prompts(gateway: Any) -> list[str]:
    """Return what was asked for, in the order in which it arrived."""
    return [json.loads(seen.body)["prompt"] for seen in gateway.requests]


async def test_it_returns_before_the_request(gateway: Any, fifth: Any, path: Path, rows: Rows) -> None:
    """A handle without a ref is there at once, with the job on the disk, and lives on to the video."""
    answer = asyncio.Event()
    gateway.on("POST", "/videos", gateway.reply({"id": "t-1", "status": "queued"}, after=answer))
    gateway.show("t-1", "running", "done")

    async with fifth.open(store=hh.SQLiteStore(path)) as client:
        handle = await client.enqueue(REQUEST, key="order-1")
        first = (handle.ref, handle.task, [row["job_id"] for row in rows()], await client.pending())
        waiting = asyncio.create_task(handle.wait())
        watching = asyncio.create_task(_statuses(handle))
        answer.set()
        task = await waiting
        statuses = await watching

    ref, nothing, written, [pending] = first
    assert (None, None, [handle.job_id]) == (ref, nothing, written)
    assert (handle.job_id, "order-1", None) == (pending.job_id, pending.key, pending.ref)
    assert ("fifth:t-1", task) == (str(handle.ref), handle.task)
    assert [hh.TaskStatus.PENDING, hh.TaskStatus.RUNNING, hh.TaskStatus.SUCCEEDED] == statuses


async def _statuses(handle: hh.TaskHandle) -> list[hh.TaskStatus]:
    return [task.status async for task in handle.updates()]


async def test_it_survives_the_closing(gateway: Any, fifth: Any, store: hh.TaskStore) -> None:
    """A job that was not sent is sent by the next client that opens the store, in the order of the calls."""
    numbered(gateway)

    async with fifth.open(store=store, poll=SLOWLY, limits=ONE_ONLY) as client:
        handles = [await client.enqueue(hh.TextToVideo(f"video {number}")) for number in range(8)]
        waiting = asyncio.create_task(handles[-1].wait())
        await gateway.until(1, "POST")
        await asyncio.sleep(0.02)
    with pytest.raises(hh.WaitTimeoutError, match="next process that opens the store"):
        await waiting
    async with fifth.open(store=store, poll=SLOWLY) as client:
        await gateway.until(8, "POST")
        await until_pending(client, *["ACCEPTED"] * 8)
        pending = await client.pending()

    assert sorted(f"video {number}" for number in range(8)) == sorted(prompts(gateway))
    assert "video 0" == prompts(gateway)[0]
    assert [handle.job_id for handle in handles] == [job.job_id for job in pending]
    assert {"ACCEPTED"} == {job.state for job in pending}


async def test_in_order(gateway: Any, fifth: Any, store: hh.TaskStore) -> None:
    """One after the other, in the order of the calls, also when another client takes them over."""
    numbered(gateway)
    one_at_once = hh.Limits(max_concurrent_submits=1)

    async with fifth.open(store=store, poll=SLOWLY, limits=ONE_ONLY) as client:
        for number in range(10):
            await client.enqueue(hh.TextToVideo(f"video {number}"))
        await gateway.until(1, "POST")
    async with fifth.open(store=store, poll=SLOWLY, limits=one_at_once):
        await gateway.until(10, "POST")

    assert [f"video {number}" for number in range(10)] == prompts(gateway)


@pytest.mark.fault(74)
async def test_two_that_open_at_the_same_time(gateway: Any, fifth: Any, path: Path) -> None:
    """Of all who find a promise in the file, one keeps it."""
    numbered(gateway)
    async with fifth.client(store=hh.SQLiteStore(path), poll=SLOWLY, limits=ONE_ONLY) as client:
        for number in range(10):
            await client.enqueue(hh.TextToVideo(f"video {number}"))
        await gateway.until(1, "POST")

    clients = [fifth.client(store=hh.SQLiteStore(path), poll=SLOWLY) for _ in range(4)]
    await asyncio.gather(*(client.__aenter__() for client in clients))
    await gateway.until(10, "POST")
    await until_pending(clients[0], *["ACCEPTED"] * 10)
    pending = await clients[0].pending()
    await asyncio.gather(*(client.aclose() for client in clients))

    assert sorted(f"video {number}" for number in range(10)) == sorted(prompts(gateway))
    assert ["ACCEPTED"] * 10 == [job.state for job in pending]


async def test_it_is_patient(gateway: Any, fifth: Any) -> None:
    """A provider that cannot be reached for longer than any submit would wait gets the request when it is back."""
    numbered(gateway)
    await gateway.stop()

    async with fifth.open(poll=SLOWLY) as client:
        handle = await client.enqueue(REQUEST)
        submitting = asyncio.create_task(client.submit(REQUEST))
        with pytest.raises(hh.TransportError):
            await submitting
        still = handle.ref
        await gateway.start()
        await gateway.until(1, "POST")

    assert still is None
    assert 1 == len(gateway.requests)


async def test_cancelling_it_takes_it_back(gateway: Any, fifth: Any, store: hh.TaskStore) -> None:
    """A job that was not sent is withdrawn without a word to the provider, and its key is free."""
    numbered(gateway)

    async with fifth.open(store=store, poll=SLOWLY, limits=ONE_ONLY) as client:
        await client.enqueue(hh.TextToVideo("first"))
        handle = await client.enqueue(REQUEST, key="order-1")
        await gateway.until(1, "POST")
        nothing = await handle.cancel()
        with pytest.raises(hh.TaskCanceledError, match="withdrawn"):
            await handle
        await asyncio.sleep(0.02)
        job = await store.by_key("order-1")
    async with fifth.open(store=store, poll=SLOWLY):
        await asyncio.sleep(0.05)

    assert nothing is None
    assert job is not None
    assert hh.JobState.WITHDRAWN is job.state
    assert ["first"] == prompts(gateway)


async def test_a_withdrawal_is_on_the_disk(gateway: Any, fifth: Any, path: Path, rows: Rows) -> None:
    """When `cancel` returns, any process can read that the job is not to be sent, even if this one dies now."""
    numbered(gateway)

    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY, limits=ONE_ONLY) as client:
        await client.enqueue(hh.TextToVideo("first"))
        for key in (None, "order-1"):
            handle = await client.enqueue(REQUEST, key=key)
            await handle.cancel()
            row = rows()[-1]
            assert (handle.job_id, "WITHDRAWN", None) == (row["job_id"], row["state"], row["key"])


async def test_a_withdrawal_that_cannot_be_written_down(
    gateway: Any, fifth: Any, failing_store: Callable[..., Any]
) -> None:
    """The caller is told that another process may still send the job, while this one does not."""
    numbered(gateway)
    store = failing_store(hh.JobState.WITHDRAWN)

    async with fifth.open(store=store, poll=SLOWLY, limits=ONE_ONLY) as client:
        await client.submit(hh.TextToVideo("first"))
        handle = await client.enqueue(REQUEST)
        with pytest.raises(hh.StoreError, match="retried") as raised:
            await handle.cancel()
        store.states.clear()
    job = await store.get(handle.job_id)

    assert handle.job_id == raised.value.job_id
    assert "WITHDRAWN" == job.state
    assert ["first"] == prompts(gateway)


@pytest.mark.fault(77)
async def test_a_submit_that_is_cancelled_is_never_sent(gateway: Any, fifth: Any, store: hh.TaskStore) -> None:
    """A caller who leaves before it was sent has asked for nothing, now or after a restart."""
    numbered(gateway)

    async with fifth.open(store=store, poll=SLOWLY, limits=ONE_ONLY) as client:
        await client.submit(hh.TextToVideo("first"))
        submitting = asyncio.create_task(client.submit(REQUEST))
        await asyncio.sleep(0.02)
        submitting.cancel()
        await asyncio.wait([submitting])
        await until_pending(client, "ACCEPTED")
    async with fifth.open(store=store, poll=SLOWLY):
        await asyncio.sleep(0.05)

    assert ["first"] == prompts(gateway)


@pytest.mark.fault(77)
@pytest.mark.parametrize("asked", ["submit", "enqueue"])
async def test_a_call_that_is_cancelled_while_it_is_written_down(
    gateway: Any, fifth: Any, path: Path, rows: Rows, asked: str
) -> None:
    """A call that did not return has asked for nothing, and what it was writing is taken back."""
    async with fifth.open(store=hh.SQLiteStore(path), poll=SLOWLY) as client:
        asking = asyncio.create_task(getattr(client, asked)(REQUEST, key="order-1"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        await until_pending(client)

    assert asking.cancelled()
    assert [("WITHDRAWN", None)] == [(row["state"], row["key"]) for row in rows()]
    assert [] == gateway.requests


async def test_a_caller_who_leaves_before_a_refusal(gateway: Any, fifth: Any) -> None:
    """A request that is refused after its caller has left is not retried."""
    answer = asyncio.Event()
    gateway.on("POST", "/videos", gateway.reply({}, status=429, headers={"Retry-After": "0"}, after=answer))

    async with fifth.open(poll=SLOWLY) as client:
        submitting = asyncio.create_task(client.submit(REQUEST))
        await gateway.until(1, "POST")
        submitting.cancel()
        await asyncio.wait([submitting])
        answer.set()
        await until_pending(client)

    assert 1 == len(gateway.requests)


async def test_few_are_on_the_way_where_no_key_protects_them(gateway: Any, fifth: Any) -> None:
    """What a crash would leave unknown is kept small, unless the provider takes idempotency keys."""
    counts = []
    for idempotent in (False, True):
        gateway.requests.clear()
        answer = asyncio.Event()
        gateway.on("POST", "/videos", lambda _, go=answer: gateway.reply({"id": "t", "status": "queued"}, after=go))
        async with fifth.open(fifth.adapter(idempotent=idempotent), poll=SLOWLY) as client:
            for _ in range(12):
                await client.enqueue(REQUEST)
            await gateway.until(2 + 10 * idempotent, "POST")
            await asyncio.sleep(0.1)
            counts.append(len(gateway.requests))
            answer.set()
            await gateway.until(12, "POST")

    assert [2, 12] == counts


@pytest.mark.fault(75)
async def test_a_small_part_of_many_is_on_the_way(gateway: Any, fifth: Any) -> None:
    """Where many jobs are in flight, more may be on the way: they are as small a part of all."""
    answer = asyncio.Event()
    gateway.on("POST", "/videos", lambda _: gateway.reply({"id": "t", "status": "queued"}, after=answer))

    async with fifth.open(poll=SLOWLY) as client:
        for _ in range(600):
            await client.enqueue(REQUEST)
        await gateway.until(3, "POST")
        await asyncio.sleep(0.05)
        on_the_way = len(gateway.requests)
        answer.set()
        await gateway.until(600, "POST")

    assert 3 == on_the_way


async def test_many_that_are_left_behind(gateway: Any, fifth: Any) -> None:
    """Where many jobs are taken up, everybody else has turns of the event loop in between."""
    numbered(gateway)
    store, adapter, taken = hh.MemoryStore(), fifth.adapter(), [0]
    encode = adapter.encode_submit
    async with fifth.open(store=store, limits=ONE_ONLY, poll=SLOWLY) as client:
        await asyncio.gather(*(client.enqueue(REQUEST) for _ in range(700)))

    def count(*given: Any) -> Any:
        taken[0] += 1
        return encode(*given)

    async def look() -> list[int]:
        seen = [0]
        while seen[-1] < 600:
            await asyncio.sleep(0)
            seen.append(taken[0])
        return seen

    adapter.encode_submit = count
    looking = asyncio.create_task(look())
    async with fifth.open(adapter, store=store, limits=ONE_ONLY, poll=SLOWLY):
        seen = await looking

    assert max(later - earlier for earlier, later in pairwise(seen)) <= 200
