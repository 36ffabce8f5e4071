"""Calls that meet a job in between: while it pauses, is searched for, written down, written off or handed over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.job import Endpoint, Job, JobState

SECRET = "the-canary-of-the-callbacks-0451"
URL = "https://app.example/hooks"
REQUEST = hh.TextToVideo("a train at night")
SLOWLY = hh.PollSchedule(interval=3600)
LEFT = "happyhorse_job=hh-left"

QueryOf = Callable[[Any], str]


class HeldStore(hh.MemoryStore):
    """A store that holds up what makes a job *state*, before or after it is written, until it is let go."""

    def __init__(self, state: JobState, *, after: bool = False) -> None:
        super().__init__()
        self.let_go = asyncio.Event()
        self.reached = asyncio.Event()
        self._state = state
        self._after = after

    async def change(self, job: Job, **conditions: Any) -> bool:
        if job.state is not self._state:
            return await super().change(job, **conditions)
        changed = await super().change(job, **conditions) if self._after else False
        self.reached.set()
        await self.let_go.wait()
        return changed if self._after else await super().change(job, **conditions)


class FullStore(hh.MemoryStore):
    """A store that cannot write an end while it is full, and answers late whose task it is."""

    def __init__(self) -> None:
        super().__init__()
        self.full = True
        self.asked = asyncio.Event()
        self.may_say = asyncio.Event()
        self.may_say.set()

    async def change(self, job: Job, **conditions: Any) -> bool:
        if self.full and job.state is JobState.SUCCEEDED:
            raise hh.StoreError("the disk is full")
        return await super().change(job, **conditions)

    async def by_ref(self, ref: hh.TaskRef) -> Job | None:
        self.asked.set()
        await self.may_say.wait()
        return await super().by_ref(ref)


def left(gateway: Any, state: JobState, **fields: Any) -> Job:
    """Make a job that somebody has sent from elsewhere."""
    endpoint = Endpoint(provider="fifth", adapter="fifth", base_url=gateway.url)
    now = datetime.now(UTC)
    return Job(
        job_id="hh-left", endpoint=endpoint, model="fifth-t2v", created_at=now, submitted_at=now, state=state, **fields
    )


@pytest.mark.fault(46)
async def test_while_it_waits_to_be_sent_again(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, query_of: QueryOf
) -> None:
    """A job that was refused and yet taken, as its call says, is not sent again."""
    gateway.on("POST", "/videos", 429)
    patient = hh.RetryPolicies(submit=hh.RetryPolicy(max_retries=4, initial_interval=3600, max_interval=3600))
    async with fifth.open(signing, retries=patient) as client, asyncio.timeout(20):
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        submitting = asyncio.create_task(client.submit(REQUEST, callback_url=URL))
        await gateway.until(1, "POST")
        query = query_of(gateway.seen("POST")[0])
        await asyncio.sleep(0.05)
        status = await hook.call(done("t-1"), query=query)
        task = await (await submitting)

    assert (200, "fifth:t-1") == (status, str(task.ref))
    assert 1 == len(gateway.seen("POST"))


@pytest.mark.fault(39)
async def test_while_its_task_is_searched_for(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, query_of: QueryOf
) -> None:
    """A call about a job whose lost answer is searched for ends the search, and the submit with it."""
    gateway.on("POST", "/videos", b"")
    gateway.on("GET", "/videos", {"tasks": []})
    type(signing).capabilities = evolve(signing.capabilities, list_is_live=True)
    async with fifth.open(signing, auto_adopt=True) as client, asyncio.timeout(20):
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        submitting = asyncio.create_task(client.submit(REQUEST, callback_url=URL))
        await gateway.until(1, "GET")
        status = await hook.call(done("t-1"), query=query_of(gateway.seen("POST")[0]))
        task = await (await submitting)

    assert (200, "fifth:t-1") == (status, str(task.ref))


@pytest.mark.fault(46)
async def test_while_it_is_written_down_as_unknown(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, query_of: QueryOf
) -> None:
    """A call is not answered well and forgotten while its job becomes one of unknown outcome."""
    gateway.on("POST", "/videos", b"")
    store = HeldStore(JobState.OUTCOME_UNKNOWN)
    async with fifth.open(signing, store=store) as client, asyncio.timeout(20):
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        submitting = asyncio.create_task(client.submit(REQUEST, callback_url=URL))
        await store.reached.wait()
        calling = asyncio.create_task(hook.call(done("t-1"), query=query_of(gateway.seen("POST")[0])))
        await asyncio.sleep(0.05)
        store.let_go.set()
        status = await calling
        await asyncio.gather(submitting, return_exceptions=True)
        [job_id] = store._jobs
        job = await store.get(job_id)

    assert (200, JobState.SUCCEEDED, "t-1") == (status, job.state, job.task_id)


@pytest.mark.fault(39)
async def test_an_answer_that_is_lost_here_and_told_elsewhere(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, query_of: QueryOf, path: Path
) -> None:
    """Where a call has told another process of a task, the submit whose answer is lost has that task."""
    lost = asyncio.Event()
    gateway.on("POST", "/videos", gateway.raw(b"", then="reset", after=lost))
    async with (
        fifth.client(signing, store=hh.SQLiteStore(path)) as here,
        fifth.client(signing, store=hh.SQLiteStore(path)) as there,
    ):
        submitting = asyncio.create_task(here.submit(REQUEST, callback_url=URL))
        await gateway.until(1, "POST")
        hook = await serve(hh.CallbackReceiver(there, SECRET))
        await hook.call(done("t-1"), query=query_of(gateway.seen("POST")[0]))
        lost.set()
        task = await (await submitting)

    assert ("fifth:t-1", hh.TaskStatus.SUCCEEDED) == (str(task.ref), task.status)


async def test_a_video_that_is_to_be_saved(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, tmp_path: Path
) -> None:
    """The video of a job whose process is gone is saved by the process that its call comes to."""
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))
    store, target = hh.MemoryStore(), tmp_path / "train.mp4"
    async with fifth.open(signing, store=store) as client, asyncio.timeout(20):
        await store.add(left(gateway, JobState.OUTCOME_UNKNOWN, save_to=str(target)))
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        status = await hook.call(done("t-1"), query=LEFT)
        while (await store.get("hh-left")).state is not JobState.SUCCEEDED:
            await asyncio.sleep(0.01)

    assert (200, VIDEO) == (status, content(target))


async def test_a_video_that_others_are_to_save(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, tmp_path: Path
) -> None:
    """A client that is to inherit nothing writes down what a call says, and leaves the video to the next that is."""
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))
    store, target = hh.MemoryStore(), tmp_path / "train.mp4"
    async with fifth.open(signing, store=store, recover=False) as client:
        await store.add(left(gateway, JobState.OUTCOME_UNKNOWN, save_to=str(target)))
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        status = await hook.call(done("t-1"), query=LEFT)
        await asyncio.sleep(0.05)
        between = (await store.get("hh-left")).state, gateway.seen("GET")
        async with fifth.client(signing, store=store), asyncio.timeout(20):
            while (await store.get("hh-left")).saved_to is None:
                await asyncio.sleep(0.01)

    assert (200, (JobState.SUCCEEDED, [])) == (status, between)
    assert VIDEO == content(target)


async def test_a_video_that_was_asked_for_here(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, query_of: QueryOf, tmp_path: Path
) -> None:
    """What was submitted here is saved here when its call comes after a lost answer."""
    gateway.on("GET", "/files/t-1.mp4", gateway.reply(VIDEO))
    gateway.on("POST", "/videos", b"")
    store, target = hh.MemoryStore(), tmp_path / "train.mp4"
    async with fifth.open(signing, store=store, recover=False) as client, asyncio.timeout(20):
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        with pytest.raises(hh.SubmitOutcomeUnknownError) as caught:
            await client.submit(REQUEST, callback_url=URL, save_to=target)
        await hook.call(done("t-1"), query=query_of(gateway.seen("POST")[0]))
        while (await store.get(caught.value.job_id)).state is not JobState.SUCCEEDED:
            await asyncio.sleep(0.01)

    assert VIDEO == content(target)


async def test_a_task_that_the_store_does_not_take_yet(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any
) -> None:
    """Nobody can write off a job whose task is known, though the disk was full when its call came."""
    store = FullStore()
    async with fifth.open(signing, store=store) as client:
        await store.add(left(gateway, JobState.OUTCOME_UNKNOWN))
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        status = await hook.call(done("t-1"), query=LEFT)
        with pytest.raises(hh.StoreError):
            await client.resolve("hh-left", write_off=True)
        store.full = False
    job = await store.get("hh-left")

    assert (503, JobState.SUCCEEDED, "t-1") == (status, job.state, job.task_id)


@pytest.mark.fault(46, 48)
async def test_a_call_that_dies_with_its_process(gateway: Any, fifth: Any, serve: Any, done: Any) -> None:
    """Nothing is lost with a call that names no job and is only remembered: who sends the job again finds its end."""
    adapter = fifth.adapter(idempotent=True, signed=True)
    store, body = hh.MemoryStore(), b'{"the very": "bytes"}'
    gateway.accept("t-1")
    gateway.show("t-1", "done")
    async with fifth.open(adapter, store=store, recover=False) as client:
        await store.add(left(gateway, JobState.SUBMITTING, owner="dead", request=REQUEST.to_dict(), body=body))
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        status = await hook.call(done("t-1"))
        untouched = (await store.get("hh-left")).state, list(gateway.requests)
    async with fifth.client(adapter, store=store, poll=hh.PollSchedule(interval=0.01)), asyncio.timeout(20):
        while (job := await store.get("hh-left")).state is not JobState.SUCCEEDED:
            await asyncio.sleep(0.01)

    assert (200, (JobState.SUBMITTING, [])) == (status, untouched)
    assert ("t-1", hh.TaskStatus.SUCCEEDED) == (job.task_id, job.task.status)
    assert [body] == [seen.body for seen in gateway.seen("POST")]


async def test_while_the_answer_is_written_down(gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any) -> None:
    """Whoever waits for the submit has the end, though its call came before he was told that it was accepted."""
    gateway.accept("t-1")
    store = HeldStore(JobState.ACCEPTED, after=True)
    async with fifth.open(signing, store=store) as client, asyncio.timeout(20):
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        submitting = asyncio.create_task(client.submit(REQUEST, callback_url=URL))
        await store.reached.wait()
        status = await hook.call(done("t-1"))
        store.let_go.set()
        task = await (await submitting)

    assert (200, hh.TaskStatus.SUCCEEDED) == (status, task.status)
    assert [] == gateway.seen("GET")


async def test_a_handle_that_was_resumed_meanwhile(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any
) -> None:
    """A call waits for the disk also where somebody resumes its task while the store is asked for it."""
    store = FullStore()
    async with fifth.open(signing, store=store) as client:
        job = left(gateway, JobState.ACCEPTED, task_id="t-1", task=hh.Task(ref=REF, status=hh.TaskStatus.PENDING))
        await store.add(job)
        store.may_say.clear()
        hook = await serve(hh.CallbackReceiver(client, SECRET))
        calling = asyncio.create_task(hook.call(done("t-1")))
        await store.asked.wait()
        handle = client.resume(REF)
        store.may_say.set()
        status = await calling
        store.full = False

    assert (503, "hh-left") == (status, handle.job_id)


REF = hh.TaskRef("fifth", "t-1")
BOXES = [(b"ftyp", b"isom\0\0\0\0"), (b"mdat", b"\1" * 9999), (b"moov", b"\0" * 100)]
VIDEO = b"".join((len(data) + 8).to_bytes(4) + name + data for name, data in BOXES)


def content(file: Path) -> bytes:
    """Read a whole file."""
    return file.read_bytes()


@pytest.mark.fault(39)
async def test_a_client_that_closes_after_a_call_elsewhere(
    gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any, query_of: QueryOf, path: Path
) -> None:
    """Who waits for a search when his client closes is told of the task that a call has named to another process."""
    gateway.on("POST", "/videos", b"")
    gateway.on("GET", "/videos", {"tasks": []})
    type(signing).capabilities = evolve(signing.capabilities, list_is_live=True)
    here = fifth.client(signing, store=hh.SQLiteStore(path), auto_adopt=True)
    async with here, fifth.client(signing, store=hh.SQLiteStore(path)) as there:
        submitting = asyncio.create_task(here.submit(REQUEST, callback_url=URL))
        await gateway.until(1, "GET")
        hook = await serve(hh.CallbackReceiver(there, SECRET))
        await hook.call(done("t-1"), query=query_of(gateway.seen("POST")[0]))
        await here.aclose()
        handle = await submitting

    assert "fifth:t-1" == str(handle.ref)
