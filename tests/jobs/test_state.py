"""The one table of states and events: every state against every event."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import product

import pytest
from attrs import evolve

import happyhorse_async as hh
from happyhorse_async.job import Endpoint, Job, JobError, JobState
from happyhorse_async.jobs.state import (
    OWNER_ONLY,
    TRANSITIONS,
    JobEvent,
    applies,
    apply,
    conditions,
    task_event,
    to_mermaid,
)
from happyhorse_async.price import PriceTerms
from happyhorse_async.task import Task, TaskRef, TaskStatus

REF = TaskRef("main", "t-1")
ENDPOINT = Endpoint(provider="main", adapter="fifth", base_url="https://fifth.example")
WITH_TASK = {JobState.ACCEPTED, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED}
LEARNING = {JobEvent.ANSWER, JobEvent.CALL_BACK, JobEvent.ADOPT, JobEvent.CORRECT}
OBSERVING = {event for event in JobEvent if event.name.startswith("TASK_")}


def job_in(state: JobState) -> Job:
    """Make a job as it is in *state*."""
    job = Job(job_id="hh-1", endpoint=ENDPOINT, model="m", created_at=datetime.now(UTC), state=state, owner="a")
    if state in WITH_TASK:
        job = evolve(job, task_id=REF.id, task=Task(ref=REF, status=TaskStatus.RUNNING))
    return job


@pytest.mark.parametrize(("state", "event"), list(product(JobState, JobEvent)), ids=lambda value: value.name)
def test_an_event_leads_where_the_table_says_or_changes_nothing(state: JobState, event: JobEvent) -> None:
    job, target = job_in(state), TRANSITIONS.get((state, event))
    after = apply(job, event)

    assert applies(state, event) is (target is not None)
    assert target is (None if after is None else after.state)


@pytest.mark.parametrize(("state", "event"), list(TRANSITIONS), ids=lambda value: value.name)
def test_a_write_replaces_only_states_in_which_its_event_leads_to_the_same_state(
    state: JobState, event: JobEvent
) -> None:
    before = job_in(state)
    after = apply(before, event)
    assert after is not None
    required = conditions(before, event, after)

    assert state in required.only_from
    assert {TRANSITIONS[source, event] for source in required.only_from} == {after.state}
    assert required.only_owner == ("a" if event in OWNER_ONLY else None)


@pytest.mark.parametrize("status", list(TaskStatus))
@pytest.mark.parametrize("event", sorted(LEARNING))
def test_whoever_learns_of_a_task_records_its_state_too(event: JobEvent, status: TaskStatus) -> None:
    state = next(state for state in JobState if applies(state, event))
    after = apply(job_in(state), event, task=Task(ref=REF, status=status))

    assert after is not None
    assert (REF.id, status) == (after.task_id, after.task.status if after.task else None)
    assert (status.value if status.is_terminal else "ACCEPTED") == after.state


@pytest.mark.parametrize("event", sorted(JobEvent))
def test_money_is_never_undone_by_an_event(event: JobEvent) -> None:
    """A job whose task is known never becomes one that may be sent, or one without a task."""
    for state in WITH_TASK:
        assert TRANSITIONS.get((state, event), state) in WITH_TASK


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.QUEUED])
def test_only_a_queued_job_or_one_in_flight_is_sent(state: JobState) -> None:
    assert applies(state, JobEvent.SUBMIT) is (state is JobState.SUBMITTING)


def test_an_unknown_outcome_is_never_sent_again_refused_or_withdrawn() -> None:
    possible = {event for event in JobEvent if applies(JobState.OUTCOME_UNKNOWN, event)}

    assert {JobEvent.ANSWER, JobEvent.CALL_BACK, JobEvent.ADOPT, JobEvent.WRITE_OFF, JobEvent.SAVE} == possible


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED])
def test_the_first_end_of_a_task_stays_its_end(state: JobState) -> None:
    targets = {TRANSITIONS[state, event] for event in OBSERVING if applies(state, event)}

    assert targets <= {state, JobState.EXPIRED}


@pytest.mark.parametrize("status", [TaskStatus.RUNNING, TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELED])
def test_a_task_that_had_expired_may_reappear(status: TaskStatus) -> None:
    assert applies(JobState.EXPIRED, task_event(status))


def test_the_idempotency_key_is_valid_from_the_first_post_that_may_have_arrived() -> None:
    first, second = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    sent = apply(job_in(JobState.QUEUED), JobEvent.SUBMIT, submitted_at=first)
    assert sent is not None
    again = apply(sent, JobEvent.SUBMIT, submitted_at=second)
    refused = apply(sent, JobEvent.NOT_ACCEPTED)
    assert refused is not None
    anew = apply(refused, JobEvent.SUBMIT, submitted_at=second)

    assert again is not None
    assert anew is not None
    assert (first, second) == (again.submitted_at, anew.submitted_at)


def test_a_job_that_needs_no_more_work_has_no_owner() -> None:
    done = apply(job_in(JobState.ACCEPTED), JobEvent.TASK_SUCCEEDED)
    unsaved = apply(evolve(job_in(JobState.ACCEPTED), save_to="/videos"), JobEvent.TASK_SUCCEEDED)
    assert done is not None
    assert unsaved is not None
    saved = apply(unsaved, JobEvent.SAVE_ENDED, saved_to="/videos/t-1.mp4")
    lost = apply(unsaved, JobEvent.SAVE_ENDED, error=JobError(type="DownloadError", message="expired"))

    assert [None, "a", None, None] == [job and job.owner for job in (done, unsaved, saved, lost)]
    assert [False, True, False, False] == [job and job.is_unfinished for job in (done, unsaved, saved, lost)]


def test_the_diagram_shows_every_state_and_every_change_of_state() -> None:
    drawn = to_mermaid()

    assert all(state.value in drawn for state in JobState)
    for (state, event), target in TRANSITIONS.items():
        if state is not target:
            [line] = [line for line in drawn.splitlines() if line.startswith(f"    {state} --> {target}:")]
            assert event.value in line


PRICE = hh.PriceEstimate(
    low=Decimal(1), high=Decimal(2), currency="USD", terms=PriceTerms(rates={"720P": Decimal("0.1")}, resolution="720P")
)


def test_the_end_of_a_task_makes_the_bill_and_a_later_poll_without_figures_keeps_it() -> None:
    """What it cost does not depend on who observed it last."""
    ref = hh.TaskRef("main", "t-1")
    accepted = evolve(_priced(JobState.ACCEPTED), task_id="t-1")
    told = hh.Task(ref=ref, status=hh.TaskStatus.SUCCEEDED, usage=hh.Usage(duration=5.0))
    done = apply(accepted, JobEvent.TASK_SUCCEEDED, task=told)
    assert done is not None
    assert done.price is not None
    assert done.price.billed == Decimal("0.5")

    again = apply(done, JobEvent.TASK_SUCCEEDED, task=evolve(told, usage=None))
    assert again is not None
    assert again.price == done.price


def test_a_task_that_turns_up_after_a_write_off_is_billed_again() -> None:
    """That it was not billed was a person's word, and the provider's weighs more."""
    written_off = _priced(JobState.WRITTEN_OFF, price=evolve(PRICE, billed=Decimal(0)))
    found = hh.Task(ref=hh.TaskRef("main", "t-1"), status=hh.TaskStatus.RUNNING)
    answered = apply(written_off, JobEvent.ANSWER, task=found)
    assert answered is not None
    assert answered.price is not None
    assert answered.price.billed is None


def _priced(state: JobState, price: hh.PriceEstimate = PRICE) -> Job:
    return Job(job_id="j", endpoint=ENDPOINT, model="m", created_at=datetime.now(UTC), state=state, price=price)
