"""What is kept, and how long: the rules alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from happyhorse_async.job import Job, JobState
from happyhorse_async.stores.retention import Dates, Retention, dates
from happyhorse_async.task import Task, TaskRef, TaskStatus, Video

NewJob = Callable[..., Job]

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
DAY = timedelta(hours=24)
TASK = Task(ref=TaskRef("main", "1"), status=TaskStatus.SUCCEEDED, videos=(Video(url="https://cdn.example/a.mp4"),))


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e11])
def test_what_is_no_time_is_refused(seconds: float) -> None:
    """A time is a finite number of seconds from zero, or None."""
    with pytest.raises(ValueError, match="None for no limit"):
        Retention(prompts=seconds, closed=None)
    with pytest.raises(ValueError, match="None for no limit"):
        Retention(prompts=None, closed=seconds)


@pytest.mark.parametrize(
    ("state", "before", "settled_at", "closed_at"),
    [
        (JobState.QUEUED, Dates(), None, None),
        (JobState.SUBMITTING, Dates(), None, None),
        (JobState.OUTCOME_UNKNOWN, Dates(), None, None),
        (JobState.ACCEPTED, Dates(), NOW, None),
        (JobState.ACCEPTED, Dates(settled_at=EARLIER), EARLIER, None),
        (JobState.CLOSED, Dates(), NOW, NOW),
        (JobState.CLOSED, Dates(settled_at=EARLIER), EARLIER, NOW),
        (JobState.CLOSED, Dates(settled_at=EARLIER, closed_at=EARLIER), EARLIER, EARLIER),
        (JobState.ACCEPTED, Dates(settled_at=EARLIER, closed_at=EARLIER), EARLIER, None),
        (JobState.OUTCOME_UNKNOWN, Dates(settled_at=EARLIER, closed_at=EARLIER), None, None),
    ],
)
def test_since_when(
    new_job: NewJob, state: JobState, before: Dates, settled_at: datetime | None, closed_at: datetime | None
) -> None:
    """The times count from the first moment that a state has held without a break."""
    since = dates(new_job(state=state), NOW, before)

    assert Dates(settled_at=settled_at, closed_at=closed_at) == since


@pytest.mark.parametrize(
    ("task", "before", "until"),
    [
        (None, Dates(), None),
        (evolve(TASK, videos=()), Dates(urls_until=EARLIER), EARLIER),
        (TASK, Dates(), NOW + DAY),
        (evolve(TASK, finished_at=EARLIER), Dates(), EARLIER + DAY),
        (evolve(TASK, finished_at=NOW + DAY), Dates(), NOW + DAY),
        (evolve(TASK, finished_at=NOW), Dates(urls_until=EARLIER), EARLIER),
        (evolve(TASK, videos=(Video(url="u", expires_at=NOW + 2 * DAY), Video(url="v", expires_at=NOW))), Dates(), NOW),
        (evolve(TASK, videos=(Video(url="u", expires_at=NOW + DAY),)), Dates(urls_until=NOW), NOW + DAY),
    ],
)
def test_until_when_urls_live(new_job: NewJob, task: Task | None, before: Dates, until: datetime | None) -> None:
    """The first stated expiry counts; else a day after the end, which being written again does not prolong."""
    assert until == dates(new_job(task=task), NOW, before).urls_until


def test_a_time_is_over_at_its_last_moment(new_job: NewJob) -> None:
    """A request and a URL go at the very end of their time, not after it."""
    retention = Retention(prompts=3600.0, closed=None)
    job = new_job(state=JobState.ACCEPTED, request={"prompt": "p"}, task=TASK)
    since = Dates(settled_at=EARLIER, urls_until=NOW)
    before = retention.kept(job, since, NOW - timedelta(microseconds=1))
    after = retention.kept(job, since, NOW)

    assert job == before
    assert evolve(job, request=None, task=evolve(TASK, videos=())) == after
