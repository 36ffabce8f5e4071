"""The part of the contract `TaskStore` for several processes: taking over, waking, counting and pacing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from happyhorse_async.job import Endpoint, Job, JobState
from happyhorse_async.stores import TaskStore

OpenStore = Callable[..., Awaitable[TaskStore]]
NewJob = Callable[..., Job]

DEAD = "4711-0123456789abcdef"
MAIN = Endpoint(provider="main", adapter="fifth", base_url="https://fifth.example/api")
ELSEWHERE = evolve(MAIN, base_url="https://elsewhere.example/api")
QUEUED, ACCEPTED = [JobState.QUEUED], [JobState.ACCEPTED]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("owner", [None, "", DEAD])
async def test_a_job_without_living_owner_is_taken_over(open_store: OpenStore, new_job: NewJob, owner: str) -> None:
    """The job that is returned has this process as its owner, and so has the entry."""
    store = await open_store()
    job = await store.add(new_job(owner=owner, request={"prompt": "p"}, body=b"{}", durable=True))
    taken = await store.take_over([MAIN], QUEUED, 10)

    assert [evolve(job, owner=store.owner)] == taken == [await store.get(job.job_id)]
    assert [] == await store.take_over([MAIN], QUEUED, 10)


async def test_only_jobs_of_the_given_endpoints_and_states_are_taken_over(
    open_store: OpenStore, new_job: NewJob
) -> None:
    """Another base URL is another endpoint. What has ended, or belongs to a living process, stays as it is."""
    store = await open_store()
    await store.add(new_job(owner=store.owner))
    await store.add(new_job(owner=DEAD, state=JobState.WITHDRAWN))
    await store.add(evolve(new_job(owner=DEAD), endpoint=ELSEWHERE))
    await store.add(new_job(owner=DEAD, provider="backup"))
    queued = await store.add(new_job(owner=DEAD))
    accepted = await store.add(new_job(owner=DEAD, state=JobState.ACCEPTED, task_id="1"))

    assert [accepted.job_id] == [job.job_id for job in await store.take_over([MAIN], ACCEPTED, 10)]
    assert [queued.job_id] == [job.job_id for job in await store.take_over([MAIN, MAIN], QUEUED, 10)]


async def test_jobs_are_taken_over_in_batches_the_oldest_first(open_store: OpenStore, new_job: NewJob) -> None:
    """This holds across owners and states. A batch is as large as it may be."""
    store, states, now = await open_store(), (JobState.QUEUED, JobState.SUBMITTING), datetime.now(UTC)
    jobs = [
        await store.add(
            new_job(
                owner=(DEAD, "", "4712-0123456789abcdef")[number % 3],
                state=states[number % 2],
                created_at=now + timedelta(seconds=number),
            )
        )
        for number in range(20)
    ]
    batches = [await store.take_over([MAIN], states, 8) for _ in range(4)]

    assert [8, 8, 4, 0] == [len(batch) for batch in batches]
    assert [job.job_id for job in jobs] == [job.job_id for batch in batches for job in batch]


@pytest.mark.parametrize("limit", [0, 2])
async def test_queued_jobs_that_are_not_taken_lose_their_dead_owner(
    open_store: OpenStore, new_job: NewJob, limit: int
) -> None:
    """All processes take them as they send. Those of a living process, and tasks at the provider, keep their owner."""
    store = await open_store()
    queued = [await store.add(new_job(owner=DEAD)) for _ in range(5)]
    accepted = await store.add(new_job(owner=DEAD, state=JobState.ACCEPTED, task_id="1"))
    living = await store.add(new_job(owner=store.owner))
    taken = await store.take_over([MAIN], QUEUED, limit)
    owners = {job.job_id: job.owner for job in await store.unfinished("main")}

    assert [job.job_id for job in queued[:limit]] == [job.job_id for job in taken]
    assert [store.owner] * limit + [""] * (5 - limit) == [owners[job.job_id] for job in queued]
    assert (DEAD, store.owner) == (owners[accepted.job_id], owners[living.job_id])
    assert 5 - limit == len(await store.take_over([MAIN], QUEUED, 10))


async def test_a_job_whose_video_has_yet_to_be_saved_is_taken_over(open_store: OpenStore, new_job: NewJob) -> None:
    """It is unfinished although its task has succeeded; one that was saved is not."""
    store = await open_store()
    unsaved = await store.add(new_job(owner=DEAD, state=JobState.SUCCEEDED, task_id="1", save_to="/videos"))
    await store.add(new_job(state=JobState.SUCCEEDED, task_id="2", save_to="/videos", saved_to="/videos/a.mp4"))

    assert [unsaved.job_id] == [job.job_id for job in await store.take_over([MAIN], [JobState.SUCCEEDED], 10)]


async def test_of_simultaneous_takers_none_gets_the_same_job(open_store: OpenStore, new_job: NewJob) -> None:
    """Each job is taken once."""
    store = await open_store()
    jobs = [await store.add(new_job(owner=DEAD)) for _ in range(30)]
    batches = await asyncio.gather(*(store.take_over([MAIN], QUEUED, 7) for _ in range(10)))
    taken = [job.job_id for batch in batches for job in batch]

    assert sorted(job.job_id for job in jobs) == sorted(taken)


async def test_jobs_are_counted_by_model(open_store: OpenStore, new_job: NewJob) -> None:
    """All processes' jobs count, of all given endpoints, in the given states."""
    store = await open_store()
    for fields in (
        {"owner": DEAD, "state": JobState.ACCEPTED},
        {"owner": store.owner, "state": JobState.SUBMITTING},
        {"state": JobState.SUBMITTING, "model": "another"},
        {"state": JobState.QUEUED},
        {"state": JobState.FAILED},
        {"state": JobState.ACCEPTED, "provider": "backup"},
    ):
        await store.add(new_job(**fields))
    backup = evolve(MAIN, provider="backup")
    sent = (JobState.SUBMITTING, JobState.ACCEPTED)

    assert {"fifth-t2v": 2, "another": 1} == dict(await store.count([MAIN], sent))
    assert {"fifth-t2v": 3, "another": 1} == dict(await store.count([MAIN, backup], sent))
    assert {"fifth-t2v": 1} == dict(await store.count([MAIN], QUEUED))
    assert {} == dict(await store.count([ELSEWHERE], QUEUED))


async def test_unfinished_jobs_can_be_listed_by_state(open_store: OpenStore, new_job: NewJob) -> None:
    """The order stays that in which they were added."""
    store = await open_store()
    states = [JobState.QUEUED, JobState.OUTCOME_UNKNOWN, JobState.FAILED, JobState.SUBMITTING, JobState.OUTCOME_UNKNOWN]
    jobs = [await store.add(new_job(state=state)) for state in states]

    assert [jobs[1], jobs[4]] == await store.unfinished("main", [JobState.OUTCOME_UNKNOWN])
    assert [jobs[0], jobs[1], jobs[4]] == await store.unfinished("main", {JobState.QUEUED, JobState.OUTCOME_UNKNOWN})
    assert [] == await store.unfinished("main", [])


async def test_many_jobs_are_read_at_once(open_store: OpenStore, new_job: NewJob) -> None:
    """Those that do not exist are left out."""
    store = await open_store()
    jobs = [await store.add(new_job()) for _ in range(3)]
    found = await store.get_many([jobs[2].job_id, "nothing", jobs[0].job_id])

    assert {jobs[0].job_id: jobs[0], jobs[2].job_id: jobs[2]} == {job.job_id: job for job in found}
    assert [] == await store.get_many([])


async def test_thousands_of_jobs_are_read_at_once(open_store: OpenStore, new_job: NewJob) -> None:
    """A database may limit the values of one statement."""
    store = await open_store()
    jobs = await asyncio.gather(*(store.add(new_job()) for _ in range(2100)))

    assert len(jobs) == len(await store.get_many([job.job_id for job in jobs]))


async def test_a_subscriber_is_told_of_changes(open_store: OpenStore, new_job: NewJob) -> None:
    """It gets the ids of new and changed jobs, and of those that were taken over."""
    store = await open_store()
    told: list[Collection[str] | None] = []
    before = await store.add(new_job(owner=DEAD))
    unsubscribe = store.subscribe(told.append)
    store.subscribe(lambda _: None)
    ids: set[str] = set()

    async def is_told(job: Job) -> bool:
        await until(lambda: any(each is None or job.job_id in each for each in told))
        ids.update(*(each for each in told if each))
        told.clear()
        return True

    assert await is_told(await store.add(new_job()))
    await store.change(evolve(before, state=JobState.SUBMITTING))
    assert await is_told(before)
    await store.take_over([MAIN], [JobState.SUBMITTING], 10)
    assert await is_told(before)
    assert before.job_id in ids

    unsubscribe()
    unsubscribe()


async def test_an_ended_subscription_is_told_nothing(open_store: OpenStore, new_job: NewJob) -> None:
    """Others still are."""
    store = await open_store()
    told: list[object] = []
    ended: list[object] = []
    unsubscribe = store.subscribe(ended.append)
    others = store.subscribe(told.append)
    store.subscribe(lambda _: None)
    unsubscribe()
    ended.clear()
    await store.add(new_job())
    await until(lambda: bool(told))

    assert [] == ended

    others()


async def test_permits_are_spaced_evenly(open_store: OpenStore) -> None:
    """The first is due at once. Others follow at the given interval, whatever their number."""
    store = await open_store()
    waits = [await store.pace("main/queries", 5.0) for _ in range(4)]

    assert 0.0 == waits[0]
    assert all(5.0 * number - 2.0 < wait <= 5.0 * number for number, wait in enumerate(waits[1:], 1))


async def test_names_are_paced_apart(open_store: OpenStore) -> None:
    """An account's queries do not wait for its submits."""
    store = await open_store()
    for name in ("main/queries", "main/submits", "backup/queries"):
        assert 0.0 == await store.pace(name, 5.0)


async def test_a_refusal_delays_everything_and_then_one_request_is_the_probe(open_store: OpenStore) -> None:
    """The second permit after the pause comes a second later, the following ones at their interval."""
    store = await open_store()
    await store.hold_back("main/submits", pause=10.0)
    waits = [await store.pace("main/submits", 0.1) for _ in range(3)]

    assert all(expected - 2.0 < wait <= expected for wait, expected in zip(waits, (10.0, 11.0, 11.1), strict=True))
    assert 0.0 == await store.pace("main/queries", 0.1)


async def test_no_refusal_delays_by_more_than_half_a_minute(open_store: OpenStore) -> None:
    """Whatever the provider asks for, and however often."""
    store = await open_store()
    for _ in range(3):
        await store.hold_back("main/submits", pause=3600.0)

    assert 28.0 < await store.pace("main/submits", 0.1) <= 30.0


async def test_a_longer_interval_holds_for_all_until_it_is_over(open_store: OpenStore) -> None:
    """One that is shorter than the caller's own changes nothing."""
    store = await open_store()
    await store.hold_back("main/queries", interval=7.0, lasting=60.0)
    await store.hold_back("main/queries", interval=3.0, lasting=60.0)
    await store.hold_back("backup/queries", interval=3.0, lasting=0.0)
    waits = [await store.pace("main/queries", 0.1) for _ in range(3)]
    others = [await store.pace("backup/queries", 0.1) for _ in range(3)]

    assert all(7.0 * number - 2.0 < wait <= 7.0 * number for number, wait in enumerate(waits[1:], 1))
    assert others[2] <= 0.2
