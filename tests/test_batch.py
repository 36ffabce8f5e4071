"""Many generations at once."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import happyhorse_async as hh

if TYPE_CHECKING:
    from conftest import Fifth, Gateway, Seen


def requests(count: int) -> list[hh.VideoRequest]:
    """Make requests whose prompts are their numbers."""
    return [hh.TextToVideo(str(number)) for number in range(count)]


async def take(batch: hh.Batch[hh.Outcome], outcomes: list[hh.Outcome]) -> None:
    """Take all outcomes of a batch into a list, which keeps what came before an error."""
    async for outcome in batch:
        outcomes.append(outcome)  # noqa: PERF401


def box(kind: bytes, content: bytes) -> bytes:
    """Make a part of an MP4 file."""
    return (8 + len(content)).to_bytes(4) + kind + content


VIDEO = box(b"ftyp", b"isom\0\0\0\0") + box(b"mdat", b"\1" * 999) + box(b"moov", b"\0" * 100)


def serve_videos(gateway: Gateway) -> None:
    """Let every task be done at once, with a video that can be downloaded."""

    def poll(seen: Seen) -> dict[str, Any]:
        task_id = seen.path.rpartition("/")[2]
        return {"id": task_id, "status": "done", "urls": [f"{gateway.url}/files/{task_id}.mp4"]}

    gateway.on("GET", "/videos/*", poll)
    gateway.on("GET", "/files/*", gateway.reply(VIDEO))


@pytest.fixture(autouse=True)
def accept_everything(gateway: Gateway) -> None:
    """Accept every submit as a task that has the prompt for its id, and finish each at the second poll."""
    polls: dict[str, int] = {}

    def accept(seen: Seen) -> dict[str, Any]:
        return {"id": "t-" + json.loads(seen.body)["prompt"], "status": "queued"}

    def poll(seen: Seen) -> dict[str, Any]:
        task_id = seen.path.rpartition("/")[2]
        polls[task_id] = polls.get(task_id, 0) + 1
        return {"id": task_id, "status": "done" if polls[task_id] > 1 else "running", "urls": [f"u/{task_id}"]}

    gateway.on("POST", "/videos", accept)
    gateway.on("GET", "/videos/*", poll)


async def test_every_request_has_its_outcome(gateway: Gateway, fifth: Fifth) -> None:
    """Each outcome has its request, index and task, in whatever order they finish."""
    wanted = requests(40)

    async with fifth.open() as client:
        outcomes = [outcome async for outcome in client.generate_many(wanted)]

    assert list(range(40)) == sorted(outcome.index for outcome in outcomes)
    for outcome in outcomes:
        assert outcome.request is wanted[outcome.index]
        assert outcome.task is not None
        assert f"fifth:t-{outcome.index}" == str(outcome.ref) == str(outcome.task.ref)
        assert outcome.error is None
    assert 40 == len(gateway.seen("POST"))


async def test_the_first_to_finish_comes_first(gateway: Gateway, fifth: Fifth) -> None:
    """An outcome is not kept back by an earlier request that takes longer."""
    gateway.show("t-0", "running", "running", "running", "running", "running", "done")

    async with fifth.open(poll=hh.PollSchedule(interval=0.02)) as client:
        order = [outcome.index async for outcome in client.generate_many(requests(2))]

    assert [1, 0] == order


async def test_no_requests(fifth: Fifth) -> None:
    """An empty batch ends at once."""
    async with fifth.open() as client:
        assert [] == [outcome async for outcome in client.generate_many([])]


async def test_an_asynchronous_source(fifth: Fifth) -> None:
    """The requests may come one by one, from something that has to be awaited."""

    async def source() -> AsyncIterator[hh.VideoRequest]:
        for request in requests(3):
            await asyncio.sleep(0)
            yield request

    async with fifth.open() as client:
        indexes = {outcome.index async for outcome in client.generate_many(source(), limit=1)}

    assert {0, 1, 2} == indexes


@pytest.mark.parametrize("limit", [1, 3])
async def test_the_limit(gateway: Gateway, fifth: Fifth, limit: int) -> None:
    """At no moment are more tasks in flight, or finished and not yet taken, than the limit allows."""
    taken = 0
    ahead: list[int] = []

    async with fifth.open() as client:
        async for _ in client.generate_many(requests(9), limit=limit):
            taken += 1
            await gateway.until(min(taken + limit, 9), "POST")
            await asyncio.sleep(0.01)
            ahead.append(len(gateway.seen("POST")) - taken)

    assert limit == max(ahead)
    assert 9 == taken == len(gateway.seen("POST"))


async def test_the_source_is_read_as_it_is_needed(fifth: Fifth) -> None:
    """No more requests are taken from the source than are sent."""
    read: list[int] = []

    def source() -> Iterator[hh.VideoRequest]:
        for number, request in enumerate(requests(100)):
            read.append(number)
            yield request

    async with fifth.open() as client:
        async for _ in client.generate_many(source(), limit=2):
            break
        await asyncio.sleep(0.05)

    assert len(read) <= 4


async def test_a_bad_request_does_not_take_the_others_along(gateway: Gateway, fifth: Fifth) -> None:
    """Each kind of failure is that request's own outcome: rejected here, refused there, lost, failed."""
    answers: dict[str, dict[str, Any] | int | bytes] = {"0": {"id": "0"}, "2": 402, "3": b"", "4": {"id": "4"}}
    gateway.on("POST", "/videos", lambda seen: answers[json.loads(seen.body)["prompt"]])
    gateway.on("GET", "/videos/0", {"id": "0", "status": "done", "urls": ["u"]})
    gateway.on("GET", "/videos/4", {"id": "4", "status": "failed"})
    wanted = requests(5)
    wanted[1] = hh.ImageToVideo("https://example.org/frame.png")

    async with fifth.open() as client:
        outcomes = {outcome.index: outcome async for outcome in client.generate_many(wanted)}

    expected = [
        type(None),
        hh.UnsupportedFeatureError,
        hh.QuotaExceededError,
        hh.SubmitOutcomeUnknownError,
        hh.TaskFailedError,
    ]
    assert expected == [type(outcomes[index].error) for index in range(5)]
    assert ["fifth:0", "None", "None", "None", "fifth:4"] == [str(outcomes[index].ref) for index in range(5)]
    assert [False, True, True, True, True] == [outcomes[index].task is None for index in range(5)]


async def test_a_source_that_breaks(fifth: Fifth) -> None:
    """An error of the source is raised after the outcomes of what came before it."""

    def source() -> Iterator[hh.VideoRequest]:
        yield from requests(2)
        raise LookupError("no more tapes")

    outcomes: list[hh.Outcome] = []
    async with fifth.open() as client:
        with pytest.raises(LookupError, match="no more tapes"):
            await take(client.generate_many(source()), outcomes)

    assert {0, 1} == {outcome.index for outcome in outcomes}


async def test_leaving_the_loop(gateway: Gateway, fifth: Fifth) -> None:
    """Leaving the loop stops submitting; what was submitted goes on and can be waited for."""
    async with fifth.open() as client:
        async for _ in client.generate_many(requests(50), limit=3):
            break
        await asyncio.sleep(0.05)
        sent = gateway.seen("POST")
        tasks = await asyncio.gather(*(client.resume(f"fifth:t-{number}").wait() for number in range(len(sent))))

    assert len(sent) <= 4
    assert len(sent) == len(tasks) == len(gateway.seen("POST"))


async def test_leaving_the_loop_cancels_what_waits_for_the_rate_limit(gateway: Gateway, fifth: Fifth) -> None:
    """Requests that wait for the rate limit when the loop is left are never sent."""
    limits = hh.Limits(submits_per_second=20)

    async with fifth.open(limits=limits) as client:
        async for _ in client.generate_many(requests(200)):
            break
        await asyncio.sleep(1.2)

    # Twenty have a permit at once. Two dozen more would have got theirs since.
    assert len(gateway.seen("POST")) <= 21


async def test_leaving_the_loop_does_not_cut_off_what_is_sent(gateway: Gateway, fifth: Fifth) -> None:
    """A request that is in flight when the loop is left is answered, and its task is polled."""
    answer = asyncio.Event()
    gateway.on(
        "POST",
        "/videos",
        {"id": "t-0", "status": "queued"},
        gateway.reply({"id": "t-1", "status": "queued"}, after=answer),
    )

    async with fifth.open() as client:
        async for _ in client.generate_many(requests(2)):
            break
        await gateway.until(2, "POST")
        answer.set()
        await gateway.until(1, "GET", "/videos/t-1")
        task = await client.resume("fifth:t-1")

    assert hh.TaskStatus.SUCCEEDED is task.status


async def test_closing_a_batch(gateway: Gateway, fifth: Fifth) -> None:
    """A batch that is kept in a variable is stopped by closing it, and gives nothing more."""
    async with fifth.open() as client:
        async with aclosing(client.generate_many(requests(50), limit=2)) as batch:
            first = await anext(batch)
        rest = [outcome async for outcome in batch]
        await asyncio.sleep(0.05)

    assert 0 <= first.index < 2
    assert [] == rest
    assert len(gateway.seen("POST")) <= 3


async def test_closing_a_batch_from_elsewhere(gateway: Gateway, fifth: Fifth) -> None:
    """A consumer that waits for the next outcome of a batch is released when the batch is closed."""
    limits = hh.Limits(submits_per_second=1)

    async with fifth.open(limits=limits, poll=hh.PollSchedule(interval=3600)) as client:
        batch = client.generate_many(requests(5))
        taking = asyncio.create_task(anext(batch, None))
        await gateway.until(1, "POST")
        await batch.aclose()
        outcome = await asyncio.wait_for(taking, 20)
        again = await anext(batch, None)

    assert (None, None) == (outcome, again)
    assert 1 == len(gateway.seen("POST"))


async def test_a_cancelled_consumer(gateway: Gateway, fifth: Fifth) -> None:
    """Cancelling the consumer stops submitting."""

    async def consume(client: hh.Client) -> None:
        async for _ in client.generate_many(requests(50), limit=2):
            await asyncio.Event().wait()

    async with fifth.open() as client:
        consuming = asyncio.create_task(consume(client))
        await gateway.until(2, "POST")
        consuming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consuming
        del consuming
        await asyncio.sleep(0.05)

    assert len(gateway.seen("POST")) <= 3


async def test_a_client_that_closes_under_a_batch(gateway: Gateway, fifth: Fifth) -> None:
    """Every paid task is reported by its ref, and the early end is an error."""
    gateway.on("GET", "/videos/*", lambda seen: {"id": seen.path.rpartition("/")[2], "status": "running"})
    outcomes: list[hh.Outcome] = []

    async with fifth.open(limits=hh.Limits(submits_per_second=2)) as client:
        consuming = asyncio.create_task(take(client.generate_many(requests(50), limit=3), outcomes))
        await gateway.until(2, "POST")
        await asyncio.sleep(0.05)
        await client.aclose()
        with pytest.raises(RuntimeError, match="client was closed"):
            await asyncio.wait_for(consuming, 20)

    paid = {outcome.index: str(outcome.ref) for outcome in outcomes if outcome.ref}
    assert {0: "fifth:t-0", 1: "fifth:t-1"} == paid
    assert all(isinstance(outcome.error, hh.WaitTimeoutError) for outcome in outcomes if outcome.ref)
    assert all(
        outcome.ref == outcome.error.ref for outcome in outcomes if isinstance(outcome.error, hh.WaitTimeoutError)
    )


async def test_a_limit_below_one_is_refused(fifth: Fifth) -> None:
    """A limit below one is refused."""
    async with fifth.open() as client:
        with pytest.raises(ValueError, match="limit must be at least 1"):
            client.generate_many(requests(1), limit=0)


async def test_each_job_has_options_of_its_own(gateway: Gateway, fifth: Fifth, tmp_path: Path) -> None:
    """The same keys again submit nothing new, and a video is saved where its own item says."""
    serve_videos(gateway)
    jobs = [hh.JobRequest(request, key=f"order-{request.prompt}") for request in requests(3)]
    jobs.append(hh.JobRequest(requests(4)[3], save_to=tmp_path / "last.mp4"))

    async with fifth.open() as client:
        first = {outcome.index: outcome async for outcome in client.generate_many(jobs[:3])}
        again = {outcome.index: outcome async for outcome in client.generate_many(jobs, timeout=5)}

    assert [first[index].job_id for index in range(3)] == [again[index].job_id for index in range(3)]
    assert 4 == len(gateway.seen("POST"))
    assert again[3].error is None
    assert VIDEO == (tmp_path / "last.mp4").read_bytes()


async def test_a_folder_for_all_videos(gateway: Gateway, fifth: Fifth, tmp_path: Path) -> None:
    """With save_to each video is a file of its own in the folder; one file for all is refused."""
    serve_videos(gateway)

    async with fifth.open() as client:
        outcomes = [outcome async for outcome in client.generate_many(requests(3), save_to=tmp_path)]
        with pytest.raises(ValueError, match="save_to must be a folder"):
            client.generate_many(requests(3), save_to=tmp_path / "one.mp4")

    assert [None] * 3 == [outcome.error for outcome in outcomes]
    assert ["t-0.mp4", "t-1.mp4", "t-2.mp4"] == sorted(os.listdir(tmp_path))  # noqa: PTH208


async def test_a_job_for_another_provider(gateway: Gateway, fifth: Fifth) -> None:
    """A provider that the client does not have is that job's own failure."""
    async with fifth.open() as client:
        jobs = [
            hh.JobRequest(request, provider=name) for request, name in zip(requests(2), ("fifth", "sixth"), strict=True)
        ]
        outcomes = {outcome.index: outcome async for outcome in client.generate_many(jobs)}

    assert outcomes[0].error is None
    assert isinstance(outcomes[1].error, hh.ConfigurationError)
    assert 1 == len(gateway.seen("POST"))


async def test_a_job_that_does_not_end_in_time(gateway: Gateway, fifth: Fifth) -> None:
    """The timeout holds for each job; the outcome has the ref that resumes it."""
    gateway.on("GET", "/videos/*", lambda seen: {"id": seen.path.rpartition("/")[2], "status": "running"})

    async with fifth.open() as client:
        [outcome] = [outcome async for outcome in client.generate_many(requests(1), timeout=0.05)]

    assert isinstance(outcome.error, hh.WaitTimeoutError)
    assert ("fifth:t-0", None) == (str(outcome.ref), outcome.task)
    assert outcome.job_id
