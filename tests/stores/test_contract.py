"""What every store promises, tried on each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import evolve

from happyhorse_async.errors import StoreError
from happyhorse_async.job import Job, JobState
from happyhorse_async.stores import TaskStore
from happyhorse_async.task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Usage, Video

OpenStore = Callable[..., Awaitable[TaskStore]]
NewJob = Callable[..., Job]

NOW = datetime.now(UTC)
REF = TaskRef("main", "0385:dc79")
REQUEST = {"mode": "t2v", "prompt": "夜のボール紙の列車 🚂", "seed": 7, "extra": {"deep": [1, None, True]}}
VIDEO = Video(
    url="https://cdn.example/a.mp4?signature=s3cr3t",
    expires_at=NOW + timedelta(hours=24),
    width=1280,
    height=720,
    duration=5.0,
    cover_url="https://cdn.example/a.jpg?signature=s3cr3t",
)
SUCCEEDED = Task(
    ref=REF,
    status=TaskStatus.SUCCEEDED,
    raw_status="DONE",
    progress=100.0,
    videos=(VIDEO, evolve(VIDEO, expires_at=None, cover_url=None)),
    usage=Usage(duration=5.0, resolution="720P", count=2),
    model="fifth-t2v-1.0",
    created_at=NOW - timedelta(minutes=3),
    started_at=NOW.astimezone(timezone(timedelta(hours=8))),
    finished_at=NOW,
    request_id="r-1",
)
FAILED = Task(
    ref=REF,
    status=TaskStatus.FAILED,
    error=TaskFailure(code="E1", message="no", reason=FailureReason.CONTENT_REJECTED),
)


async def test_a_job_comes_back_as_it_was_written(open_store: OpenStore, new_job: NewJob) -> None:
    """Every field of a queued job is kept."""
    store = await open_store()
    job = new_job(
        key="order-8472",
        fingerprint="f00d",
        request=REQUEST,
        body=b"\x00\xff{}",
        callback_url="https://app.example/hooks?job=1",
        durable=True,
        owner="4711-0123456789abcdef",
        submitted_at=NOW,
        failure="not yet",
        save_to="/videos",
    )
    added = await store.add(job)

    assert job == added
    assert job == await store.get(job.job_id)


@pytest.mark.parametrize("task", [SUCCEEDED, FAILED], ids=["succeeded", "failed"])
async def test_a_task_comes_back_as_it_was_observed(open_store: OpenStore, new_job: NewJob, task: Task) -> None:
    """The last observation is kept with the place of the file on disk."""
    store = await open_store()
    job = await store.add(new_job())
    job = evolve(job, state=JobState.CLOSED, task_id=REF.id, task=task, saved_to="/videos/a.mp4")

    assert await store.change(job)
    assert job == await store.get(job.job_id)


async def test_a_key_that_is_there_returns_its_job(open_store: OpenStore, new_job: NewJob) -> None:
    """Adding a second job with a key writes nothing and returns the first."""
    store = await open_store()
    first = await store.add(new_job(key="order-8472"))
    second = new_job(key="order-8472", model="another")

    assert first == await store.add(second)
    assert await store.get(second.job_id) is None
    assert first == await store.by_key("order-8472")


async def test_a_job_that_is_there_is_not_added_again(open_store: OpenStore, new_job: NewJob) -> None:
    """Adding a job whose id is there returns the entry as it stands."""
    store = await open_store()
    job = await store.add(new_job())
    await store.change(evolve(job, state=JobState.SUBMITTING))

    assert evolve(job, state=JobState.SUBMITTING) == await store.add(job)


async def test_jobs_without_a_key_are_independent(open_store: OpenStore, new_job: NewJob) -> None:
    """Any number of jobs may have no key."""
    store = await open_store()
    jobs = [await store.add(new_job()) for _ in range(3)]

    assert jobs == await store.unfinished("main")


async def test_the_same_key_at_the_same_moment(open_store: OpenStore, new_job: NewJob) -> None:
    """Of many who add a key at once, all get the same job."""
    store = await open_store()
    added = await asyncio.gather(*(store.add(new_job(key="order-8472")) for _ in range(20)))

    assert 1 == len({job.job_id for job in added})
    assert 1 == len(await store.unfinished("main"))


async def test_changing_what_is_not_there(open_store: OpenStore, new_job: NewJob) -> None:
    """A change without an entry is refused, and makes none."""
    store = await open_store()
    job = new_job()

    assert not await store.change(job)
    assert await store.get(job.job_id) is None


@pytest.mark.parametrize(
    ("conditions", "changed"),
    [
        ({"only_from": JobState.QUEUED}, True),
        ({"only_from": JobState.SUBMITTING}, False),
        ({"only_owner": "a"}, True),
        ({"only_owner": "b"}, False),
        ({"only_from": JobState.QUEUED, "only_owner": "a"}, True),
        ({"only_from": JobState.QUEUED, "only_owner": "b"}, False),
        ({"only_from": JobState.CLOSED, "only_owner": "a"}, False),
    ],
)
async def test_conditions(open_store: OpenStore, new_job: NewJob, conditions: dict[str, Any], changed: bool) -> None:
    """A change is made where all its conditions hold, and else nothing is."""
    store = await open_store()
    job = await store.add(new_job(owner="a"))
    wanted = evolve(job, state=JobState.SUBMITTING, owner="c")

    assert changed is await store.change(wanted, **conditions)
    assert (wanted if changed else job) == await store.get(job.job_id)


async def test_a_promise_is_never_unmade(open_store: OpenStore, new_job: NewJob) -> None:
    """A change that is made from an older copy does not undo that the job was promised."""
    store = await open_store()
    job = await store.add(new_job())
    await store.change(evolve(job, durable=True))

    assert await store.change(evolve(job, state=JobState.SUBMITTING))
    assert evolve(job, state=JobState.SUBMITTING, durable=True) == await store.get(job.job_id)


async def test_an_owner_is_not_no_owner(open_store: OpenStore, new_job: NewJob) -> None:
    """A job that nobody owns is not changed on behalf of an owner."""
    store = await open_store()
    job = await store.add(new_job())

    assert not await store.change(evolve(job, owner="a"), only_owner="a")


async def test_one_of_many_wins_a_state(open_store: OpenStore, new_job: NewJob) -> None:
    """Of many who take a queued job at once, one gets it."""
    store = await open_store()
    job = await store.add(new_job())
    takers = [evolve(job, state=JobState.SUBMITTING, owner=str(number)) for number in range(20)]
    won = await asyncio.gather(*(store.change(taker, only_from=JobState.QUEUED) for taker in takers))

    assert 1 == sum(won)
    assert takers[won.index(True)] == await store.get(job.job_id)


@pytest.mark.fault(74)
@pytest.mark.parametrize(
    ("task", "saved_to", "state", "owner"),
    [
        (None, None, JobState.SUBMITTING, None),
        (SUCCEEDED, None, JobState.ACCEPTED, "o-1"),
        (SUCCEEDED, "/videos/a.mp4", JobState.CLOSED, None),
        (FAILED, None, JobState.CLOSED, None),
    ],
)
async def test_where_to_save_is_not_forgotten(
    open_store: OpenStore,
    new_job: NewJob,
    task: Task | None,
    saved_to: str | None,
    state: JobState,
    owner: str | None,
) -> None:
    """Who changes a job and does not know that its video is to be saved neither forgets that nor closes the job."""
    store = await open_store()
    job = await store.add(new_job(owner="o-1", task_id=None if task is None else REF.id))
    await store.change(evolve(job, save_to="/videos", saved_to=saved_to))
    changed = JobState.SUBMITTING if task is None else JobState.CLOSED
    await store.change(evolve(job, state=changed, task=task, owner=None))
    found = await store.get(job.job_id)

    assert found is not None
    assert ("/videos", saved_to, state, owner) == (found.save_to, found.saved_to, found.state, found.owner)


async def test_a_key_cannot_be_taken_from_another(open_store: OpenStore, new_job: NewJob) -> None:
    """Changing a job's key to that of another is an error that names the job, and both stay as they are."""
    store = await open_store()
    first = await store.add(new_job(key="a"))
    second = await store.add(new_job(key="b"))
    with pytest.raises(StoreError, match="key") as caught:
        await store.change(evolve(second, key="a"))

    assert second.job_id == caught.value.job_id
    assert first == await store.by_key("a")
    assert second == await store.by_key("b")


async def test_looking_up_by_ref(open_store: OpenStore, new_job: NewJob) -> None:
    """A task leads to its job from the moment its id is written, and only under its own provider."""
    store = await open_store()
    job = await store.add(new_job())

    assert await store.by_ref(REF) is None

    accepted = evolve(job, state=JobState.ACCEPTED, task_id=REF.id)
    await store.change(accepted)

    assert accepted == await store.by_ref(REF)
    assert await store.by_ref(TaskRef("backup", REF.id)) is None
    assert await store.by_ref(TaskRef("main", "0385")) is None


async def test_names_that_are_given_up(open_store: OpenStore, new_job: NewJob) -> None:
    """A key or a task that a job no longer has does not lead to it, and is free."""
    store = await open_store()
    job = await store.add(new_job(key="a", state=JobState.ACCEPTED, task_id=REF.id))
    await store.change(evolve(job, key="b", task_id="2"))
    another = new_job(key="a")

    assert await store.by_key("a") is None
    assert await store.by_ref(REF) is None
    assert another == await store.add(another)


async def test_the_first_job_of_a_task(open_store: OpenStore, new_job: NewJob) -> None:
    """Where two jobs claim a task, it belongs to the first, also after that one was written again."""
    store = await open_store()
    first = await store.add(new_job(state=JobState.ACCEPTED, task_id=REF.id))
    await store.add(new_job(state=JobState.ACCEPTED, task_id=REF.id))
    await store.change(evolve(first, state=JobState.CLOSED))

    assert evolve(first, state=JobState.CLOSED) == await store.by_ref(REF)


async def test_looking_up_what_is_not_there(open_store: OpenStore) -> None:
    """What is not there is None, and no error."""
    store = await open_store()

    assert await store.get("nothing") is None
    assert await store.by_key("nothing") is None
    assert await store.by_ref(REF) is None
    assert [] == await store.unfinished("main")


async def test_unfinished_jobs_in_order(open_store: OpenStore, new_job: NewJob) -> None:
    """The unfinished jobs of one provider come in the order they were added, whatever their clocks said."""
    store = await open_store()
    jobs = [new_job(state=state, created_at=NOW - timedelta(hours=hours)) for hours, state in enumerate(JobState)]
    for job in jobs:
        await store.add(job)
    await store.add(new_job(provider="backup"))
    await store.change(evolve(jobs[0], failure="written again"))
    found = await store.unfinished("main")

    assert [job.job_id for job in jobs if job.state is not JobState.CLOSED] == [job.job_id for job in found]


async def test_text_of_every_kind(open_store: OpenStore, new_job: NewJob) -> None:
    """Controls, quotes, and NUL are text as any other."""
    store = await open_store()
    text = "a'; DROP TABLE jobs; --\x00\n\u2028\x7f\U0001f682"
    job = await store.add(new_job(key=text, request={"prompt": text}, model=text))

    assert job == await store.by_key(text)


async def test_an_owner_is_alive_while_it_is_open(open_store: OpenStore) -> None:
    """The store's own process is alive; a name that nobody has is not."""
    store = await open_store()

    assert store.owner
    assert await store.is_alive(store.owner)
    assert not await store.is_alive("4711-0123456789abcdef")
    assert not await store.is_alive("../../etc/passwd")


async def test_a_shared_store_stays_open_for_the_others(open_store: OpenStore, new_job: NewJob) -> None:
    """Each open is matched by one close; the one that closes first does no harm to the other."""
    store = await open_store()
    await store.open()
    await store.aclose()
    job = await store.add(new_job())

    assert job == await store.get(job.job_id)


async def test_a_store_that_is_opened_again(open_store: OpenStore, new_job: NewJob) -> None:
    """A store that was closed can be opened again, and has its jobs."""
    store = await open_store()
    job = await store.add(new_job())
    await store.aclose()
    await store.open()

    assert job == await store.get(job.job_id)
    assert await store.is_alive(store.owner)


async def test_what_is_kept_under_a_name(open_store: OpenStore) -> None:
    """What was kept last is there for whoever opens the store next, and nothing where nothing was kept."""
    store = await open_store()
    await store.put_note("durations", "old")
    await store.put_note("durations", "new")
    await store.put_note("other", "text")

    assert "new" == await store.get_note("durations")
    assert await store.get_note("nothing") is None
