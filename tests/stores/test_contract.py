"""The contract `TaskStore`, for each store of the registry in conftest.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import evolve

from happyhorse_async.errors import StoreError
from happyhorse_async.job import AccountAttempt, Endpoint, Job, JobError, JobState
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
    """Every field of a queued job comes back, its error included."""
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
        error=JobError(type="RateLimitError", message="not yet", code="E429", status_code=429),
        save_to="/videos",
    )
    added = await store.add(job)

    assert job == added
    assert job == await store.get(job.job_id)


@pytest.mark.parametrize("task", [SUCCEEDED, FAILED], ids=["succeeded", "failed"])
async def test_a_task_comes_back_as_it_was_observed(open_store: OpenStore, new_job: NewJob, task: Task) -> None:
    """The last observation is kept, and the path of the saved video."""
    store = await open_store()
    job = await store.add(new_job())
    job = evolve(job, state=JobState(task.status), task_id=REF.id, task=task, saved_to="/videos/a.mp4")

    assert job == await store.change(job)
    assert job == await store.get(job.job_id)


async def test_adding_a_key_that_is_held_returns_the_job_that_holds_it(open_store: OpenStore, new_job: NewJob) -> None:
    """Adding a second job with a key writes nothing and returns the first."""
    store = await open_store()
    first = await store.add(new_job(key="order-8472"))
    second = new_job(key="order-8472", model="another")

    assert first == await store.add(second)
    assert await store.get(second.job_id) is None
    assert first == await store.by_key("order-8472")


async def test_adding_a_job_that_exists_returns_it_as_it_is(open_store: OpenStore, new_job: NewJob) -> None:
    """Adding a job whose id exists writes nothing."""
    store = await open_store()
    job = await store.add(new_job())
    await store.change(evolve(job, state=JobState.SUBMITTING))

    assert evolve(job, state=JobState.SUBMITTING) == await store.add(job)


async def test_jobs_without_a_key_are_independent(open_store: OpenStore, new_job: NewJob) -> None:
    """Any number of jobs may have no key."""
    store = await open_store()
    jobs = [await store.add(new_job()) for _ in range(3)]

    assert jobs == await store.unfinished("main")


async def test_the_same_key_at_the_same_moment_makes_one_job(open_store: OpenStore, new_job: NewJob) -> None:
    """All callers that add a key at once get the same job."""
    store = await open_store()
    added = await asyncio.gather(*(store.add(new_job(key="order-8472")) for _ in range(20)))

    assert 1 == len({job.job_id for job in added})
    assert 1 == len(await store.unfinished("main"))


async def test_changing_a_job_that_does_not_exist_returns_none(open_store: OpenStore, new_job: NewJob) -> None:
    """The change does not create the job."""
    store = await open_store()
    job = new_job()

    assert await store.change(job) is None
    assert await store.get(job.job_id) is None


@pytest.mark.parametrize(
    ("conditions", "changed"),
    [
        ({"only_from": {JobState.QUEUED}}, True),
        ({"only_from": {JobState.SUBMITTING}}, False),
        ({"only_owner": "a"}, True),
        ({"only_owner": "b"}, False),
        ({"only_from": {JobState.QUEUED}, "only_owner": "a"}, True),
        ({"only_from": {JobState.QUEUED}, "only_owner": "b"}, False),
        ({"only_from": {JobState.ACCEPTED}, "only_owner": "a"}, False),
        ({"only_from": (JobState.ACCEPTED, JobState.QUEUED)}, True),
        ({"only_from": [JobState.ACCEPTED, JobState.SUBMITTING]}, False),
        ({"only_from": ()}, False),
    ],
)
async def test_a_change_is_made_only_where_its_conditions_hold(
    open_store: OpenStore, new_job: NewJob, conditions: dict[str, Any], changed: bool
) -> None:
    """Where all conditions hold the new entry is returned, otherwise None, and nothing is changed."""
    store = await open_store()
    job = await store.add(new_job(owner="a"))
    wanted = evolve(job, state=JobState.SUBMITTING, owner="c")

    assert (wanted if changed else None) == await store.change(wanted, **conditions)
    assert (wanted if changed else job) == await store.get(job.job_id)


async def test_a_durable_job_stays_durable(open_store: OpenStore, new_job: NewJob) -> None:
    """A change that is made from an older copy of the job does not undo it."""
    store = await open_store()
    job = await store.add(new_job())
    await store.change(evolve(job, durable=True))

    changed = await store.change(evolve(job, state=JobState.SUBMITTING))

    assert evolve(job, state=JobState.SUBMITTING, durable=True) == changed == await store.get(job.job_id)


async def test_a_job_without_owner_is_not_changed_for_an_owner(open_store: OpenStore, new_job: NewJob) -> None:
    """No owner is different from every owner."""
    store = await open_store()
    job = await store.add(new_job())

    assert not await store.change(evolve(job, owner="a"), only_owner="a")


async def test_one_of_many_simultaneous_changes_wins(open_store: OpenStore, new_job: NewJob) -> None:
    """Of many processes that take a queued job at once, one gets it."""
    store = await open_store()
    job = await store.add(new_job())
    takers = [evolve(job, state=JobState.SUBMITTING, owner=str(number)) for number in range(20)]
    won = await asyncio.gather(*(store.change(taker, only_from={JobState.QUEUED}) for taker in takers))

    assert [await store.get(job.job_id)] == [taken for taken in won if taken is not None]


@pytest.mark.fault(74)
@pytest.mark.parametrize(
    ("task", "saved_to", "state", "owner"),
    [
        (None, None, JobState.SUBMITTING, None),
        (SUCCEEDED, None, JobState.SUCCEEDED, "o-1"),
        (SUCCEEDED, "/videos/a.mp4", JobState.SUCCEEDED, None),
        (FAILED, None, JobState.FAILED, None),
    ],
)
async def test_the_path_to_save_to_survives_changes_from_older_copies(
    open_store: OpenStore,
    new_job: NewJob,
    task: Task | None,
    saved_to: str | None,
    state: JobState,
    owner: str | None,
) -> None:
    """A caller that does not know that the video is to be saved neither undoes that nor finishes the job."""
    store = await open_store()
    job = await store.add(new_job(owner="o-1", task_id=None if task is None else REF.id))
    await store.change(evolve(job, save_to="/videos", saved_to=saved_to))
    changed = JobState.SUBMITTING if task is None else JobState(task.status)
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


async def test_a_job_is_found_by_its_ref(open_store: OpenStore, new_job: NewJob) -> None:
    """A task leads to its job from the moment its id is written, and only under its own provider."""
    store = await open_store()
    job = await store.add(new_job())

    assert await store.by_ref(REF) is None

    accepted = evolve(job, state=JobState.ACCEPTED, task_id=REF.id)
    await store.change(accepted)

    assert accepted == await store.by_ref(REF)
    assert await store.by_ref(TaskRef("backup", REF.id)) is None
    assert await store.by_ref(TaskRef("main", "0385")) is None


async def test_a_key_or_ref_that_a_job_no_longer_has_is_free(open_store: OpenStore, new_job: NewJob) -> None:
    """It does not lead to the job any more."""
    store = await open_store()
    job = await store.add(new_job(key="a", state=JobState.ACCEPTED, task_id=REF.id))
    await store.change(evolve(job, key="b", task_id="2"))
    another = new_job(key="a")

    assert await store.by_key("a") is None
    assert await store.by_ref(REF) is None
    assert another == await store.add(another)


async def test_a_ref_leads_to_the_first_job_that_claims_it(open_store: OpenStore, new_job: NewJob) -> None:
    """It does so also after the first job was written again."""
    store = await open_store()
    first = await store.add(new_job(state=JobState.ACCEPTED, task_id=REF.id))
    await store.add(new_job(state=JobState.ACCEPTED, task_id=REF.id))
    await store.change(evolve(first, state=JobState.FAILED))

    assert evolve(first, state=JobState.FAILED) == await store.by_ref(REF)


async def test_unknown_names_lead_to_nothing(open_store: OpenStore) -> None:
    """The answer is None or an empty list, not an error."""
    store = await open_store()

    assert await store.get("nothing") is None
    assert await store.by_key("nothing") is None
    assert await store.by_ref(REF) is None
    assert [] == await store.unfinished("main")


async def test_change_returns_what_is_kept(open_store: OpenStore, new_job: NewJob) -> None:
    """What the retention has erased is missing from the returned entry as well."""
    store = await open_store()
    job = await store.add(new_job(request=REQUEST, body=b"{}"))
    accepted = evolve(job, state=JobState.ACCEPTED, task_id=REF.id, task=evolve(FAILED, raw={"secret": 1}))
    changed = await store.change(accepted)

    assert evolve(accepted, request=None, body=None, task=FAILED) == changed == await store.get(job.job_id)


async def test_control_characters_and_quotes_come_back(open_store: OpenStore, new_job: NewJob) -> None:
    """They are text like any other, NUL included."""
    store = await open_store()
    text = "a'; DROP TABLE jobs; --\x00\n\u2028\x7f\U0001f682"
    job = await store.add(new_job(key=text, request={"prompt": text}, model=text))

    assert job == await store.by_key(text)


async def test_an_owner_is_alive_while_it_is_open(open_store: OpenStore) -> None:
    """The store's own process is alive; an unknown name is not."""
    store = await open_store()

    assert store.owner
    assert await store.is_alive(store.owner)
    assert not await store.is_alive("4711-0123456789abcdef")
    assert not await store.is_alive("../../etc/passwd")


async def test_a_store_is_open_until_its_last_user_closes_it(open_store: OpenStore, new_job: NewJob) -> None:
    """Each open is matched by one close."""
    store = await open_store()
    await store.open()
    await store.aclose()
    job = await store.add(new_job())

    assert job == await store.get(job.job_id)


async def test_a_store_can_be_opened_again(open_store: OpenStore, new_job: NewJob) -> None:
    """It has its jobs then, as long as its process lives."""
    store = await open_store()
    job = await store.add(new_job())
    await store.aclose()
    await store.open()

    assert job == await store.get(job.job_id)
    assert await store.is_alive(store.owner)


async def test_a_note_comes_back_as_it_was_last_written(open_store: OpenStore) -> None:
    """Notes with other names do not change it, and an unknown name is None."""
    store = await open_store()
    await store.put_note("durations", "old")
    await store.put_note("durations", "new")
    await store.put_note("other", "text")

    assert "new" == await store.get_note("durations")
    assert await store.get_note("nothing") is None


async def test_the_newest_jobs_come_first_whatever_their_provider_or_state(
    open_store: OpenStore, new_job: NewJob
) -> None:
    store = await open_store()
    jobs = [new_job(), new_job(state=JobState.REFUSED), new_job(state=JobState.ACCEPTED, task_id="0385")]
    for job in jobs:
        await store.add(job)

    found = await store.recent(2)

    assert [jobs[2].job_id, jobs[1].job_id] == [job.job_id for job in found]
    assert [job.job_id for job in await store.recent(10)] == [job.job_id for job in reversed(jobs)]


async def test_what_was_tried_at_other_accounts_loses_its_bytes_when_the_outcome_is_known(
    open_store: OpenStore, new_job: NewJob
) -> None:
    """The bytes for an account that may be asked again are kept until an account has accepted the job."""
    store = await open_store()
    attempt = AccountAttempt(
        endpoint=Endpoint(provider="other", adapter="fifth", base_url="https://other.example"),
        model="fifth-t2v",
        error=JobError(type="RateLimitError", message="too many", status_code=429),
        ended_at=NOW,
        body=b"\x00{prompt}",
        callback_url="https://app.example/hooks?job=1",
    )
    await store.add(job := new_job(may_move=True, attempts=(attempt,), owner=store.owner))
    queued = await store.get(job.job_id)
    accepted = await store.change(evolve(job, state=JobState.ACCEPTED, task_id="t-1"))
    kept = await store.get(job.job_id)

    assert queued is not None
    assert ((attempt,), True) == (queued.attempts, queued.may_move)
    assert accepted is not None
    assert kept is not None
    assert (evolve(attempt, body=None, callback_url=None),) == accepted.attempts == kept.attempts
