"""What becomes of a genuine call: once, early, late, twice, and about nobody's task."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

import happyhorse_async as hh

SECRET = "the-canary-of-the-callbacks-0451"
URL = "https://app.example/hooks?tenant=7"
REQUEST = hh.TextToVideo("a train at night")


async def test_a_call_ends_the_waiting(gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any) -> None:
    """A genuine call finishes a task: whoever waits has the video, and the provider is never asked."""
    gateway.accept("t-1")
    async with fifth.open(signing) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        handle = await client.submit(REQUEST, callback_url=URL)
        waiting = asyncio.create_task(handle.wait())
        status = await hook.call(done("t-1"))
        task = await waiting

    assert (200, hh.TaskStatus.SUCCEEDED) == (status, task.status)
    assert task.video_url.startswith(f"{gateway.url}/files/t-1.mp4")
    assert [] == gateway.seen("GET")


async def test_a_failure_is_told_as_well(gateway: Any, fifth: Any, signing: Any, serve: Any) -> None:
    """A genuine call about a failure ends the waiting with the provider's words."""
    gateway.accept("t-1")
    async with fifth.open(signing) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        handle = await client.submit(REQUEST, callback_url=URL)
        status = await hook.call({"id": "t-1", "status": "failed", "error": "too dark"})
        with pytest.raises(hh.TaskFailedError, match="too dark"):
            await handle

    assert 200 == status


@pytest.mark.fault(45)
async def test_fifty_calls_at_once_are_one_change(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, changes: Any
) -> None:
    """The same call fifty times at the same moment is answered well fifty times, and changes the task once."""
    gateway.accept("t-1")
    store = CountingStore()
    async with fifth.open(signing, store=store) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        handle = await client.submit(REQUEST, callback_url=URL)
        seen = changes(handle)
        await asyncio.sleep(0)
        store.written.clear()
        statuses = await asyncio.gather(*(hook.call(done("t-1")) for _ in range(50)))
        await hook.call(done("t-1"))

    assert {200} == set(statuses)
    assert [hh.TaskStatus.PENDING, hh.TaskStatus.SUCCEEDED] == await seen
    assert [hh.JobState.SUCCEEDED] == store.written


class CountingStore(hh.MemoryStore):
    """A store that notes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[hh.JobState] = []

    async def change(self, job: hh.Job, **conditions: Any) -> bool:
        self.written.append(job.state)
        return await super().change(job, **conditions)


@pytest.mark.fault(46)
async def test_a_call_that_overtakes_the_answer(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, query_of: Callable[[Any], str]
) -> None:
    """A call before the answer to the submit finds its job by the URL; the submit is over, and its answer agrees."""
    answered = asyncio.Event()
    gateway.on("POST", "/videos", gateway.reply({"id": "t-1", "status": "queued"}, after=answered))
    async with fifth.open(signing) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        submitting = asyncio.create_task(client.submit(REQUEST, callback_url=URL))
        await gateway.until(1, "POST")
        query = query_of(gateway.seen("POST")[0])
        status = await hook.call(done("t-1"), query=query)
        handle = await submitting
        task = await handle
        answered.set()
        again = await hook.call(done("t-1"), query=query)

    assert (200, 200) == (status, again)
    assert ("fifth:t-1", hh.TaskStatus.SUCCEEDED) == (str(handle.ref), task.status)
    assert query.startswith("tenant=7&")
    assert [] == gateway.seen("GET")


@pytest.mark.fault(46)
async def test_an_answer_that_disagrees_with_its_call(
    gateway: Any,
    fifth: Any,
    signing: Any,
    serve: Any,
    query_of: Callable[[Any], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Should the answer name another task than the call did, it counts, both are in the log, and the waiting ends."""
    answered = asyncio.Event()
    gateway.on("POST", "/videos", gateway.reply({"id": "t-2", "status": "queued"}, after=answered))
    store = hh.MemoryStore()
    async with fifth.open(signing, store=store) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        submitting = asyncio.create_task(client.submit(REQUEST, callback_url=URL))
        await gateway.until(1, "POST")
        await hook.call({"id": "t-1", "status": "running"}, query=query_of(gateway.seen("POST")[0]))
        handle = await submitting
        waiting = asyncio.create_task(handle.wait())
        answered.set()
        with pytest.raises(
            hh.InvalidResponseError, match="fifth:t-1, and the answer to its submit names fifth:t-2, which counts"
        ):
            await waiting
        job = await store.get(handle.job_id)

    assert "t-2" == job.task_id
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
    assert ("fifth:t-1" in line, "fifth:t-2" in line) == (True, True)


@pytest.mark.fault(46)
async def test_a_call_makes_a_lost_answer_good(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, query_of: Callable[[Any], str]
) -> None:
    """A job whose outcome is unknown gets its task from the call that carries its id, and its key is good again."""
    gateway.on("POST", "/videos", 500)
    async with fifth.open(signing) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        with pytest.raises(hh.SubmitOutcomeUnknownError):
            await client.submit(REQUEST, key="order-1", callback_url=URL)
        status = await hook.call(done("t-1"), query=query_of(gateway.seen("POST")[0]))
        handle = await client.submit(REQUEST, key="order-1", callback_url=URL)
        task = await handle

    assert (200, "fifth:t-1") == (status, str(task.ref))
    assert 1 == len(gateway.seen("POST"))


async def test_a_job_that_is_answered_takes_no_other_task(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, query_of: Callable[[Any], str]
) -> None:
    """The job id in the URL is not signed: once the submit is answered, it brings no other task to the job."""
    gateway.accept("t-1")
    async with fifth.open(signing) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        handle = await client.submit(REQUEST, callback_url=URL)
        status = await hook.call(done("t-9"), query=query_of(gateway.seen("POST")[0]))

        assert (200, "fifth:t-1", hh.TaskStatus.PENDING) == (status, str(handle.ref), handle.task.status)


async def test_a_task_that_is_known_goes_to_no_other_job(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, query_of: Callable[[Any], str]
) -> None:
    """A genuine call that is sent to the URL of another job, whose submit is on its way, is about its own task."""
    answered = asyncio.Event()
    second = gateway.reply({"id": "t-2", "status": "queued"}, after=answered)
    gateway.on("POST", "/videos", {"id": "t-1", "status": "queued"}, second)
    async with fifth.open(signing) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        first = await client.submit(REQUEST, callback_url=URL)
        submitting = asyncio.create_task(client.submit(REQUEST, callback_url=URL))
        await gateway.until(2, "POST")
        await hook.call(done("t-1"), query=query_of(gateway.seen("POST")[1]))
        answered.set()
        other = await submitting

        assert ("fifth:t-1", hh.TaskStatus.SUCCEEDED) == (str(first.ref), first.task.status)
        assert ("fifth:t-2", hh.TaskStatus.PENDING) == (str(other.ref), other.task.status)


@pytest.mark.fault(45)
async def test_a_late_call_changes_nothing(gateway: Any, fifth: Any, signing: Any, serve: Any) -> None:
    """A call after a look has seen the end is answered well, and the first end stays."""
    gateway.accept("t-1")
    gateway.show("t-1", "done")
    fifth.poll = hh.PollSchedule(interval=0.01)
    async with fifth.open(signing) as client:
        receiver = hh.CallbackReceiver(client, SECRET)
        hook = await serve(receiver)
        handle = await client.submit(REQUEST)
        task = await handle
        status = await hook.call({"id": "t-1", "status": "failed", "error": "late"})

        assert (200, hh.TaskStatus.SUCCEEDED) == (status, handle.task.status)
        assert task == handle.task


@pytest.mark.fault(48)
async def test_a_genuine_call_about_a_foreign_task(gateway: Any, fifth: Any, signing: Any, done: Any) -> None:
    """A genuine call about a task that is not ours is received without a word: nobody has to send it again."""
    async with fifth.open(signing) as client:
        assert await receive(fifth, hh.CallbackReceiver(client, SECRET), done("t-9")) is None


async def test_a_call_without_a_job_id_waits_for_the_answer(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any
) -> None:
    """After a genuine callback about an unknown task, the job whose submit is answered with it is polled at once."""
    answered = asyncio.Event()
    gateway.on("POST", "/videos", gateway.reply({"id": "t-1", "status": "queued"}, after=answered))
    gateway.show("t-1", "done")
    async with fifth.open(signing) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        submitting = asyncio.create_task(client.submit(REQUEST, callback_url=URL))
        await gateway.until(1, "POST")
        status = await hook.call(done("t-1"))
        answered.set()
        task = await (await submitting)

    assert (200, hh.TaskStatus.SUCCEEDED) == (status, task.status)
    assert 1 == len(gateway.seen("GET"))


async def test_not_all_that_is_foreign_is_remembered(gateway: Any, fifth: Any, signing: Any, done: Any) -> None:
    """Of calls about unknown tasks, the last thousand are remembered: nobody can fill the memory with them."""
    gateway.accept("t-0", "t-1")
    gateway.show("t-1", "done")
    async with fifth.open(signing) as client:
        receiver = hh.CallbackReceiver(client, SECRET)
        for number in range(1001):
            await receive(fifth, receiver, done(f"t-{number}"))
        oldest, next_oldest = [await client.submit(REQUEST) for _ in range(2)]
        await next_oldest

    assert [hh.TaskStatus.PENDING, hh.TaskStatus.SUCCEEDED] == [oldest.task.status, next_oldest.task.status]


async def test_a_call_returns_the_task(gateway: Any, fifth: Any, signing: Any, done: Any) -> None:
    """`receive` gives the task as it stands, for the first call and for the same one again."""
    gateway.accept("t-1")
    async with fifth.open(signing) as client:
        receiver = hh.CallbackReceiver(client, [SECRET, "another"])
        handle = await client.submit(REQUEST, callback_url=URL)
        first = await receive(fifth, receiver, done("t-1"))
        again = await receive(fifth, receiver, {"id": "t-1", "status": "failed"})

        assert first == again == handle.task


async def test_a_success_without_a_video_is_looked_at(gateway: Any, fifth: Any, signing: Any) -> None:
    """A call that says success and brings no video is a reason to look, and the look has it."""
    gateway.accept("t-1")
    gateway.show("t-1", "done")
    async with fifth.open(signing) as client:
        await client.submit(REQUEST, callback_url=URL)
        task = await receive(fifth, hh.CallbackReceiver(client, SECRET), {"id": "t-1", "status": "done", "urls": []})

    assert (hh.TaskStatus.SUCCEEDED, 1) == (task.status, len(task.videos))
    assert 1 == len(gateway.seen("GET"))


async def test_a_task_that_had_expired_comes_back(gateway: Any, fifth: Any, signing: Any, done: Any) -> None:
    """A genuine call about a task that the provider had forgotten for a while makes it good."""
    gateway.accept("t-1")
    gateway.on("GET", "/videos/t-1", 404)
    fifth.poll = hh.PollSchedule(interval=0.001, not_found_retries=1, jitter=0)
    async with fifth.open(signing) as client:
        handle = await client.submit(REQUEST)
        with pytest.raises(hh.TaskExpiredError):
            await handle
        await receive(fifth, hh.CallbackReceiver(client, SECRET), done("t-1"))
        task = await client.resume("fifth:t-1")

    assert hh.TaskStatus.SUCCEEDED == task.status


async def receive(fifth: Any, receiver: hh.CallbackReceiver, said: dict[str, Any]) -> Any:
    """Hand a signed call to *receiver*, as somebody does who has a web framework of their own."""
    import time

    body = json.dumps(said).encode()
    return await receiver.receive({"X-FIFTH-Signature": fifth.sign(body, SECRET, time.time())}, body)


async def test_calls_of_every_account_are_received(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, query_of: Any
) -> None:
    """The URL that was called names the account. One that the client does not have changes nothing."""
    gateway.accept("t-1")
    accounts = [
        hh.Provider(name, adapter=signing, api_key=f"sk-{name}", base_url=gateway.url) for name in ("main", "backup")
    ]
    async with hh.Client(accounts, poll=fifth.poll) as client:
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        handle = await client.submit(REQUEST, callback_url=URL, provider="backup")
        query = query_of(gateway.seen("POST")[0])
        unknown = await hook.call(done("t-1"), query=query.replace("backup", "other"))
        status = await hook.call(done("t-1"), query=query)
        task = await handle

    assert (401, 200) == (unknown, status)
    assert "backup:t-1" == str(task.ref)
