"""A client that closes: nothing is lost, nobody is left waiting, and nothing of it runs on."""

from __future__ import annotations

import asyncio
import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

pytestmark = pytest.mark.usefixtures("no_chance")

REQUEST = hh.TextToVideo("a train at night")
SLOWLY = hh.PollSchedule(interval=3600)


async def collect(handle: hh.TaskHandle) -> list[hh.Task]:
    """Take all updates."""
    return [task async for task in handle.updates()]


async def test_a_client_that_closes(gateway: Gateway, fifth: Fifth) -> None:
    """Whoever waits when the client closes is told so, and told the task's names."""
    gateway.accept("t-1")

    async with fifth.open(poll=SLOWLY) as client:
        handle = await client.submit(REQUEST)
        waiting = asyncio.create_task(handle.wait(3600))
        watching = asyncio.create_task(collect(handle))
        await asyncio.sleep(0.02)
        await client.aclose()
        outcomes = await asyncio.gather(waiting, watching, return_exceptions=True)

    for error in outcomes:
        assert isinstance(error, hh.WaitTimeoutError)
        assert "the client was closed" in str(error)
        assert (handle.ref, handle.job_id) == (error.ref, error.job_id)
        assert error.task == handle.task


@pytest.mark.parametrize("sent", [True, False])
async def test_many_that_wait(gateway: Gateway, fifth: Fifth, sent: bool) -> None:
    """Where many are told that the client closes, everybody else has turns of the event loop in between."""
    gateway.on("GET", "/videos/*", 503)
    gateway.accept("t-0")
    told = 0
    seen = [0]

    async def wait(handle: hh.TaskHandle) -> None:
        nonlocal told
        with pytest.raises(hh.WaitTimeoutError):
            await handle
        told += 1

    async def look() -> None:
        while seen[-1] < 1000:
            seen.append(told)
            await asyncio.sleep(0)

    async with fifth.open(poll=SLOWLY, limits=hh.Limits(queries_per_second=1, submits_per_second=0.001)) as client:
        handles = [
            client.resume(f"fifth:t-{number}") if sent else await client.enqueue(REQUEST) for number in range(1000)
        ]
        waiting = [asyncio.create_task(wait(handle)) for handle in handles]
        await asyncio.sleep(0.05)
        looking = asyncio.create_task(look())
        await client.aclose()
        await asyncio.gather(looking, *waiting)

    assert max(later - earlier for earlier, later in pairwise(seen)) <= 200


async def test_one_task_under_two_names(gateway: Gateway, fifth: Fifth) -> None:
    """Who resumes a task that is found by its key as well is told, like all others, that the client closes."""
    answered = asyncio.Event()
    gateway.on("POST", "/videos", gateway.reply({"id": "t-1", "status": "queued"}, after=answered))
    gateway.show("t-1", "running")
    store = hh.MemoryStore()

    async with fifth.open(store=store, poll=SLOWLY) as first, fifth.client(store=store, poll=SLOWLY) as second:
        submits = [asyncio.create_task(client.submit(REQUEST, key="k")) for client in (first, second)]
        await gateway.until(1, "POST")
        answered.set()
        await submits[0]
        by_ref = asyncio.create_task(second.resume("fifth:t-1").wait())
        await asyncio.sleep(0.05)
        by_key = asyncio.create_task((await submits[1]).wait())
        await asyncio.sleep(0)
        await second.aclose()
        async with asyncio.timeout(20):
            outcomes = await asyncio.gather(by_ref, by_key, return_exceptions=True)

    assert all(isinstance(outcome, hh.WaitTimeoutError) for outcome in outcomes)


async def test_a_client_that_closes_during_a_look(gateway: Gateway, fifth: Fifth) -> None:
    """A look that is on its way does not hold up the closing."""
    gateway.accept("t-1")
    gateway.show("t-1", gateway.raw(b"", "hang"))

    async with fifth.open() as client:
        handle = await client.submit(REQUEST)
        waiting = asyncio.create_task(handle.wait())
        await gateway.until(1, "GET")
        async with asyncio.timeout(20):
            await client.aclose()
        with pytest.raises(hh.WaitTimeoutError):
            await waiting


@pytest.mark.fault(76)
async def test_a_client_that_closes_waits_for_the_answer(gateway: Gateway, fifth: Fifth) -> None:
    """A request on its way is answered before the client is closed, and its caller gets the task's name."""
    answer = asyncio.Event()
    gateway.on("POST", "/videos", gateway.reply({"id": "t-1", "status": "queued"}, after=answer))

    async with fifth.open(poll=SLOWLY) as client:
        submitting = asyncio.create_task(client.submit(REQUEST))
        await gateway.until(1, "POST")
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0.02)
        assert not closing.done()
        answer.set()
        await closing
        handle = await submitting

    assert "fifth:t-1" == str(handle.ref)


@pytest.mark.fault(76)
@pytest.mark.parametrize(
    ("answer", "expected"), [(429, hh.TransportError), (502, hh.SubmitOutcomeUnknownError)], ids=["refused", "lost"]
)
async def test_a_client_that_closes_between_two_tries(
    gateway: Gateway, fifth: Fifth, answer: int, expected: type[hh.HappyHorseError]
) -> None:
    """A request that waits for another try is not sent any more, and an unknown outcome is not forgotten over it."""
    gateway.on("POST", "/videos", gateway.reply({}, status=answer, headers={"Retry-After": "0.1"}))

    async with fifth.open(fifth.adapter(idempotent=True)) as client:
        submitting = asyncio.create_task(client.submit(REQUEST))
        await gateway.until(1, "POST")
        await asyncio.sleep(0.02)
        await client.aclose()
        with pytest.raises(expected) as raised:
            await submitting

    assert 1 == len(gateway.requests)
    assert raised.value.job_id


@pytest.mark.fault(77)
async def test_closing_that_is_cancelled(gateway: Gateway, fifth: Fifth) -> None:
    """Whoever does not want to wait for the last answer leaves nothing running, and the outcome unknown."""
    gateway.on("POST", "/videos", gateway.raw(b"", "hang"))
    gateway.show("t-0", "running")

    async with fifth.open() as client:
        looking = asyncio.create_task(client.resume("fifth:t-0").wait())
        submitting = asyncio.create_task(client.submit(REQUEST))
        await gateway.until(1, "POST")
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0.02)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        outcomes = await asyncio.gather(looking, submitting, return_exceptions=True)

    assert [hh.WaitTimeoutError, hh.SubmitOutcomeUnknownError] == [type(error) for error in outcomes]


async def test_a_refusal_that_comes_while_it_closes(gateway: Gateway, fifth: Fifth) -> None:
    """A request that is refused while another one is waited for is not sent again."""
    first, second = asyncio.Event(), asyncio.Event()
    accepted = gateway.reply({"id": "t-1", "status": "queued"}, after=first)
    refused = gateway.reply({}, status=429, headers={"Retry-After": "0"}, after=second)
    gateway.on("POST", "/videos", accepted, refused)

    async with fifth.open(poll=SLOWLY) as client:
        submitting = [asyncio.create_task(client.submit(REQUEST)) for _ in range(2)]
        await gateway.until(2, "POST")
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0.02)
        second.set()
        await asyncio.sleep(0.1)
        first.set()
        await closing
        taken, unsent = await asyncio.gather(*submitting, return_exceptions=True)

    assert 2 == len(gateway.requests)
    assert isinstance(taken, hh.TaskHandle)
    assert isinstance(unsent, hh.TransportError)
    assert not unsent.sent


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{"], ids=["no answer", "half an answer"]
)
async def test_a_look_while_it_closes(gateway: Gateway, fifth: Fifth, data: bytes) -> None:
    """A look under which the client closes fails at once, with the task it was about."""
    gateway.show("t-1", gateway.raw(data, "hang"))

    async with fifth.open() as client:
        looking = asyncio.create_task(client.fetch("fifth:t-1"))
        await gateway.until(1, "GET")
        await asyncio.sleep(0.02)
        await client.aclose()
        with pytest.raises(hh.TransportError) as raised:
            await asyncio.wait_for(looking, 20)

    assert "fifth:t-1" == str(raised.value.ref)


async def test_a_download_while_it_closes(gateway: Gateway, fifth: Fifth, tmp_path: Path) -> None:
    """A download under which the client closes fails, and leaves nothing on disk."""
    gateway.on(
        "GET",
        "/v",
        gateway.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n\0\0\0\x10ftypisom" + bytes(99), "hang"),
    )
    video = hh.Video(url=f"{gateway.url}/v")
    task = hh.Task(ref=hh.TaskRef("fifth", "t-1"), status=hh.TaskStatus.SUCCEEDED, videos=(video,))

    async with fifth.open() as client:
        begun = asyncio.Event()
        downloading = asyncio.create_task(client.download(task, tmp_path, progress=lambda *_: begun.set()))
        await begun.wait()
        await client.aclose()
        with pytest.raises(hh.DownloadError):
            await asyncio.wait_for(downloading, 20)

    assert [] == os.listdir(tmp_path)  # noqa: PTH208


@pytest.mark.fault(79)
async def test_closing_on_another_event_loop(gateway: Gateway, fifth: Fifth) -> None:
    """A client that is closed where it was not opened says so and does not hang, and is as good as before."""
    gateway.show("t-1", "running")

    async with fifth.open() as client:
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, client.aclose())
        task = await client.fetch("fifth:t-1")

    assert hh.TaskStatus.RUNNING is task.status
