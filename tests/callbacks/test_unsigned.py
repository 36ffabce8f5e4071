"""Without a secret, and where a provider signs nothing, a call is only a reason to look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import happyhorse_async as hh

URL = "https://app.example/hooks"
REQUEST = hh.TextToVideo("a train at night")


@pytest.mark.fault(52)
async def test_a_call_is_confirmed_by_a_look(gateway: Any, fifth: Any, calling: Any, serve: Any) -> None:
    """What counts is what the look shows, whatever the call said."""
    gateway.accept("t-1")
    gateway.show("t-1", "done")
    async with fifth.open(calling) as client:
        hook = await serve(hh.CallbackReceiver(client))
        handle = await client.submit(REQUEST, callback_url=URL)
        status = await hook.call({"id": "t-1", "status": "failed", "error": "says a stranger"}, secret=None)
        task = await handle

    assert (200, hh.TaskStatus.SUCCEEDED) == (status, task.status)
    assert 1 == len(gateway.seen("GET"))


@pytest.mark.fault(52)
async def test_a_call_that_is_not_confirmed(gateway: Any, fifth: Any, calling: Any, serve: Any, done: Any) -> None:
    """A call that says success while the task is running changes nothing."""
    gateway.accept("t-1")
    gateway.show("t-1", "queued")
    async with fifth.open(calling) as client:
        hook = await serve(hh.CallbackReceiver(client))
        handle = await client.submit(REQUEST, callback_url=URL)
        status = await hook.call(done("t-1"), secret=None)

        assert (200, hh.TaskStatus.PENDING) == (status, handle.task.status)


@pytest.mark.fault(52)
async def test_a_genuine_call_needs_no_look(gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any) -> None:
    """A genuine call is an end by itself, though a look a moment ago saw the task running."""
    gateway.accept("t-1")
    gateway.show("t-1", "running")
    async with fifth.open(signing) as client:
        hook = await serve(hh.CallbackReceiver(client, "a secret"))
        handle = await client.submit(REQUEST, callback_url=URL)
        await client.fetch("fifth:t-1")
        await hook.call(done("t-1"), secret="a secret")
        await client.fetch("fifth:t-1")

        assert hh.TaskStatus.SUCCEEDED is handle.task.status


async def test_a_signature_that_nobody_can_check(gateway: Any, fifth: Any, signing: Any, serve: Any, done: Any) -> None:
    """Without a secret a signed call is a reason to look, like any other."""
    gateway.accept("t-1")
    gateway.show("t-1", "running")
    async with fifth.open(signing) as client:
        with pytest.warns(UserWarning, match="no secret"):
            hook = await serve(hh.CallbackReceiver(client))
        handle = await client.submit(REQUEST, callback_url=URL)
        await hook.call(done("t-1"))

        assert hh.TaskStatus.RUNNING is handle.task.status


@pytest.mark.fault(45)
async def test_fifty_calls_at_once_are_one_look(gateway: Any, fifth: Any, calling: Any, serve: Any) -> None:
    """Calls about the same task at the same moment share one look."""
    gateway.accept("t-1")
    looked = asyncio.Event()
    gateway.show("t-1", gateway.reply({"id": "t-1", "status": "failed"}, after=looked))
    async with fifth.open(calling) as client:
        hook = await serve(hh.CallbackReceiver(client))
        handle = await client.submit(REQUEST, callback_url=URL)
        calls = [asyncio.create_task(hook.call({"id": "t-1"}, secret=None)) for _ in range(50)]
        await gateway.until(1, "GET")
        await asyncio.sleep(0.02)
        looked.set()
        statuses = await asyncio.gather(*calls)

        assert ({200}, hh.TaskStatus.FAILED) == (set(statuses), handle.task.status)
    assert 1 == len(gateway.seen("GET"))


@pytest.mark.fault(48)
async def test_a_call_about_a_foreign_task(fifth: Any, calling: Any, serve: Any, done: Any) -> None:
    """Nobody can make the client look at tasks that are not its own: such a call is answered with a 401."""
    async with fifth.open(calling) as client:
        hook = await serve(hh.CallbackReceiver(client))

        assert 401 == await hook.call(done("t-9"), secret=None, query="happyhorse_job=hh-none")


async def test_a_look_that_fails(gateway: Any, fifth: Any, calling: Any, serve: Any, done: Any) -> None:
    """Where the look fails, the call is answered with a 503, and comes again."""
    gateway.accept("t-1")
    gateway.show("t-1", 500, "done")
    async with fifth.open(calling) as client:
        hook = await serve(hh.CallbackReceiver(client))
        handle = await client.submit(REQUEST, callback_url=URL)
        statuses = [await hook.call(done("t-1"), secret=None) for _ in range(2)]

        assert ([503, 200], hh.TaskStatus.SUCCEEDED) == (statuses, handle.task.status)


@pytest.mark.fault(46)
async def test_an_early_call_is_confirmed_too(
    gateway: Any, fifth: Any, calling: Any, serve: Any, query_of: Callable[[Any], str]
) -> None:
    """Before the submit is answered, a call with the job's id brings the task that a look confirms, and no other."""
    answered = asyncio.Event()
    gateway.on("POST", "/videos", gateway.reply({"id": "t-1", "status": "queued"}, after=answered))
    gateway.show("t-1", "done")
    gateway.show("t-9", 404)
    async with fifth.open(calling) as client:
        hook = await serve(hh.CallbackReceiver(client))
        submitting = asyncio.create_task(client.submit(REQUEST, callback_url=URL))
        await gateway.until(1, "POST")
        query = query_of(gateway.seen("POST")[0])
        statuses = [await hook.call({"id": task_id}, secret=None, query=query) for task_id in ("t-9", "t-1")]
        task = await (await submitting)
        answered.set()

    assert ([401, 200], hh.TaskStatus.SUCCEEDED) == (statuses, task.status)


@pytest.mark.fault(46)
async def test_an_unknown_outcome_is_not_settled_by_a_stranger(
    gateway: Any, fifth: Any, calling: Any, serve: Any, query_of: Callable[[Any], str]
) -> None:
    """A job whose outcome is unknown takes its task from a proven call alone."""
    gateway.on("POST", "/videos", 500)
    async with fifth.open(calling) as client:
        hook = await serve(hh.CallbackReceiver(client))
        with pytest.raises(hh.SubmitOutcomeUnknownError):
            await client.submit(REQUEST, callback_url=URL)
        status = await hook.call({"id": "t-1"}, secret=None, query=query_of(gateway.seen("POST")[0]))
        [job] = await client.pending()

    assert (401, hh.JobState.OUTCOME_UNKNOWN) == (status, job.state)


async def test_a_client_that_closes_while_it_looks(gateway: Any, fifth: Any, calling: Any, serve: Any) -> None:
    """A call whose look is cut off by the closing of the client is answered with a 503."""
    gateway.accept("t-1")
    gateway.show("t-1", gateway.reply(b"", after=asyncio.Event()))
    async with fifth.open(calling) as client:
        hook = await serve(hh.CallbackReceiver(client))
        await client.submit(REQUEST, callback_url=URL)
        calling_now = asyncio.create_task(hook.call({"id": "t-1"}, secret=None))
        await gateway.until(1, "GET")

    assert 503 == await calling_now


async def test_a_provider_without_callbacks(fifth: Any, serve: Any) -> None:
    """A provider that is not known to call anybody is believed nothing, and `receive` says so."""
    import happyhorse_adapters.imini as imini

    async with fifth.open(imini.IminiAdapter()) as client:
        with pytest.raises(hh.UnsupportedFeatureError, match="no callbacks"):
            await hh.CallbackReceiver(client).receive({}, b"{}")
