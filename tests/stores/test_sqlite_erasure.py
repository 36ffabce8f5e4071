"""Erased data is not on the disk any more: not in the file, not in its free pages, not in its log."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import evolve

from happyhorse_async.job import Job, JobError, JobState
from happyhorse_async.stores import SQLiteStore
from happyhorse_async.task import Task, TaskRef, TaskStatus, Video

NewJob = Callable[..., Job]
OpenFile = Callable[..., Awaitable[SQLiteStore]]

PROMPT, BODY, URL, HOOK = "canary-prompt", "canary-body", "canary-signature", "canary-hook"
LONG_AGO = "2001-01-01T00:00:00.000000+00:00"


async def on_disk(path: Path, *words: str) -> list[str]:
    """Return the words that are found in the file or anything beside it."""
    # By a process of its own: closing a file that SQLite has open takes away the locks of this one.
    read = "import pathlib, sys; [sys.stdout.buffer.write(p.read_bytes()) for p in pathlib.Path(sys.argv[1]).iterdir()]"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", read, str(path.parent), stdout=asyncio.subprocess.PIPE
    )
    content, _ = await process.communicate()
    assert b"SQLite format 3" in content
    return [word for word in words if word.encode() in content]


def age(path: Path, column: str) -> None:
    """Set a date of all jobs to one long ago."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(f"UPDATE jobs SET {column} = ? WHERE {column} IS NOT NULL", (LONG_AGO,)).rowcount


def secret_job(new_job: NewJob, **fields: object) -> Job:
    return new_job(
        **{
            "request": {"prompt": PROMPT},
            "body": BODY.encode(),
            "callback_url": f"https://app.example/?{HOOK}",
            **fields,
        }
    )


def succeeded(job: Job) -> Job:
    video = Video(url=f"https://cdn.example/a.mp4?{URL}", expires_at=datetime.now(UTC) + timedelta(hours=24))
    task = Task(ref=TaskRef("main", job.job_id), status=TaskStatus.SUCCEEDED, videos=(video,), raw={"url": video.url})
    return evolve(job, state=JobState.SUCCEEDED, task_id=job.job_id, task=task)


async def test_a_request_is_on_the_disk_until_its_outcome_is_known(
    path: Path, open_file: OpenFile, new_job: NewJob
) -> None:
    """It may have to be sent again."""
    store = await open_file()
    await store.add(secret_job(new_job, state=JobState.OUTCOME_UNKNOWN))
    await store.purge()

    assert [PROMPT, BODY, HOOK] == await on_disk(path, PROMPT, BODY, HOOK)


async def test_closing_the_store_erases_what_has_expired(path: Path, open_file: OpenFile, new_job: NewJob) -> None:
    """No prompt is left in the log, even where other stores keep the file open."""
    store, _ = await open_file(), await open_file()
    job = await store.add(secret_job(new_job))
    await store.change(evolve(job, state=JobState.SUCCEEDED))
    await store.aclose()

    assert [] == await on_disk(path, PROMPT, BODY, HOOK)


async def test_requests_are_erased_when_their_outcome_is_known(
    path: Path, open_file: OpenFile, new_job: NewJob
) -> None:
    """After a purge nothing is left of them, while other stores have the file open as well."""
    store, other = await open_file(), await open_file()
    jobs = [await store.add(secret_job(new_job)) for _ in range(20)]
    await other.get(jobs[0].job_id)
    for job in jobs:
        await store.change(evolve(job, state=JobState.SUBMITTING, owner=store.owner))
        await store.change(evolve(job, state=JobState.ACCEPTED, task_id=job.job_id))
    await store.purge()

    assert [HOOK] == await on_disk(path, PROMPT, BODY, HOOK)

    for job in jobs:
        await store.change(evolve(job, state=JobState.SUCCEEDED))
    await store.purge()

    assert [] == await on_disk(path, PROMPT, BODY, HOOK)


async def test_nothing_is_left_behind_by_rows_that_move_within_the_file(
    path: Path, open_file: OpenFile, new_job: NewJob
) -> None:
    """Many jobs that grow and shrink at once make SQLite move them."""
    store = await open_file()
    chance = random.Random(7)

    async def live(number: int) -> None:
        length = chance.choice([1, 5, 30, 60, 200, 400, 5000])
        job_id = f"{chance.getrandbits(128):032x}"
        job = secret_job(new_job, job_id=job_id, request={"prompt": PROMPT + "x" * length})
        await store.add(job)
        for _ in range(chance.randrange(30)):
            await asyncio.sleep(0)
        await store.change(evolve(job, state=JobState.SUBMITTING, owner=store.owner, submitted_at=job.created_at))
        await store.change(evolve(job, state=JobState.ACCEPTED, task_id=job_id))
        if number % 3:
            await store.change(succeeded(job))
        else:
            await store.change(
                evolve(job, state=JobState.SUCCEEDED, error=JobError(type="ProviderError", message="no"))
            )

    await asyncio.gather(*(live(number) for number in range(2000)))
    await store.purge()

    assert [URL] == await on_disk(path, PROMPT, BODY, HOOK, URL)

    age(path, "videos_until")
    await store.purge()

    assert [] == await on_disk(path, PROMPT, BODY, HOOK, URL)


async def test_requests_are_erased_after_their_time(path: Path, open_file: OpenFile, new_job: NewJob) -> None:
    """A request that may be kept for a while is on the disk for that while."""
    store = await open_file(keep_prompts=3600.0)
    job = await store.add(secret_job(new_job, state=JobState.ACCEPTED))
    await store.purge()

    assert [PROMPT] == await on_disk(path, PROMPT, BODY)

    age(path, "settled_at")
    found = await store.get(job.job_id)
    # A process that has had the job in memory all the time does not bring the prompt back.
    await store.change(evolve(job, state=JobState.ACCEPTED, error=JobError(type="ProviderError", message="no")))
    await store.purge()

    assert found is not None
    assert found.request is None
    assert [] == await on_disk(path, PROMPT)


async def test_requests_are_kept_for_ever_without_a_limit(path: Path, open_file: OpenFile, new_job: NewJob) -> None:
    """They stay as long as their jobs."""
    store = await open_file(keep_prompts=None)
    await store.add(secret_job(new_job, state=JobState.SUCCEEDED))
    age(path, "settled_at")
    await store.purge()

    assert [PROMPT] == await on_disk(path, PROMPT, BODY)


async def test_urls_are_erased_when_they_expire(path: Path, open_file: OpenFile, new_job: NewJob) -> None:
    """The rest of the task stays."""
    store = await open_file()
    job = succeeded(await store.add(secret_job(new_job)))
    await store.change(job)
    await store.purge()

    assert [URL] == await on_disk(path, PROMPT, BODY, HOOK, URL)

    age(path, "videos_until")
    await store.purge()
    found = await store.get(job.job_id)

    assert [] == await on_disk(path, URL)
    assert found is not None
    assert job.task is not None
    assert evolve(job.task, videos=()) == found.task


async def test_opening_the_store_erases_what_has_expired(path: Path, open_file: OpenFile, new_job: NewJob) -> None:
    """What expired while the file was closed is gone soon after it is opened."""
    store = await open_file()
    job = succeeded(await store.add(new_job()))
    await store.change(job)
    await store.aclose()
    age(path, "videos_until")
    await store.open()
    await store.get(job.job_id)

    assert [] == await on_disk(path, URL)


async def test_finished_jobs_are_deleted_after_their_time(path: Path, open_file: OpenFile, new_job: NewJob) -> None:
    """Their keys are free again; an unfinished job stays however old it is."""
    store = await open_file()
    unknown = await store.add(new_job(state=JobState.OUTCOME_UNKNOWN, created_at=datetime.fromisoformat(LONG_AGO)))
    closed = await store.add(new_job(key="order-8472", state=JobState.SUCCEEDED))
    await store.purge()

    assert closed == await store.by_key("order-8472")

    age(path, "closed_at")
    await store.purge()
    again = new_job(key="order-8472")

    assert again == await store.add(again)
    assert await store.get(closed.job_id) is None
    assert unknown == await store.get(unknown.job_id)


async def test_a_key_survives_a_clock_that_jumped_ahead_while_the_store_was_closed(
    path: Path, open_file: OpenFile, new_job: NewJob
) -> None:
    """The last upkeep seems to be long ago. Nothing is deleted until jobs have been kept once more for their time."""

    async def purge_after_days(column: str) -> SQLiteStore:
        moment = (datetime.now(UTC) - timedelta(days=40)).isoformat(timespec="microseconds")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            assert connection.execute(f"UPDATE upkeep SET {column} = ?", (moment,)).rowcount
        store = await open_file()
        await store.purge()
        return store

    first = await open_file()
    job = await first.add(new_job(key="order-8472", state=JobState.SUCCEEDED))
    await first.aclose()
    age(path, "closed_at")
    second = await purge_after_days("last_at")

    assert job == await second.add(new_job(key="order-8472"))

    third = await purge_after_days("suspended_at")

    assert await third.get(job.job_id) is None


async def test_finished_jobs_are_kept_for_ever_without_a_limit(
    path: Path, open_file: OpenFile, new_job: NewJob
) -> None:
    """Their dates do not matter then."""
    store = await open_file(keep_closed=None)
    job = await store.add(new_job(state=JobState.SUCCEEDED))
    age(path, "closed_at")
    await store.purge()

    assert job == await store.get(job.job_id)


async def test_a_job_without_secrets_takes_no_padding(path: Path, open_file: OpenFile, new_job: NewJob) -> None:
    """The page of padding is given back when the last secret is erased."""
    store = await open_file(keep_prompts=3600.0)
    job = succeeded(await store.add(secret_job(new_job)))
    await store.change(job)
    for column in ("videos_until", "settled_at"):
        age(path, column)
        await store.purge()
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute("SELECT padding, videos, callback_url, request, body FROM jobs").fetchone()

    assert (None,) * 5 == row
