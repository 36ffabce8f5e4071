"""A job as a row, and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from happyhorse_async.errors import StoreError
from happyhorse_async.job import Endpoint, Job, JobState
from happyhorse_async.stores.retention import Dates
from happyhorse_async.stores.sqlite.rows import to_dates, to_job, to_row, to_timestamp
from happyhorse_async.task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Usage, Video

NewJob = Callable[..., Job]

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
# Fixed offsets, as on the wire: a moment that a change of clocks makes ambiguous equals nothing in another zone.
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=ZONES)  # noqa: DTZ001
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
MAYBE_TEXTS = st.none() | TEXTS
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
TASKS = st.builds(
    Task,
    ref=st.just(TaskRef("main", "1")),
    status=st.sampled_from(TaskStatus),
    raw_status=MAYBE_TEXTS,
    progress=NUMBERS,
    videos=st.tuples(
        st.builds(Video, url=TEXTS, expires_at=st.none() | MOMENTS, width=st.none() | st.integers(), duration=NUMBERS)
    ),
    error=st.none() | st.builds(TaskFailure, code=MAYBE_TEXTS, message=TEXTS, reason=st.sampled_from(FailureReason)),
    usage=st.none() | st.builds(Usage, duration=NUMBERS, resolution=MAYBE_TEXTS, count=st.none() | st.integers()),
    created_at=st.none() | MOMENTS,
    request_id=MAYBE_TEXTS,
)
JOBS = st.builds(
    Job,
    job_id=TEXTS,
    endpoint=st.builds(Endpoint, provider=TEXTS, adapter=TEXTS, base_url=TEXTS),
    model=TEXTS,
    created_at=MOMENTS,
    state=st.sampled_from(JobState),
    key=MAYBE_TEXTS,
    fingerprint=TEXTS,
    request=st.none() | st.dictionaries(TEXTS, PLAIN, max_size=3),
    body=st.none() | st.binary(),
    callback_url=MAYBE_TEXTS,
    durable=st.booleans(),
    owner=MAYBE_TEXTS,
    submitted_at=st.none() | MOMENTS,
    task_id=MAYBE_TEXTS,
    task=st.none() | TASKS,
    failure=MAYBE_TEXTS,
    save_to=MAYBE_TEXTS,
    saved_to=MAYBE_TEXTS,
)


@settings(deadline=None)
@given(job=JOBS, moment=st.none() | MOMENTS)
def test_every_job_comes_back(job: Job, moment: datetime | None) -> None:
    """Whatever a job holds is there again after a trip through SQLite."""
    since = Dates(settled_at=moment, closed_at=moment, urls_until=moment)
    row = to_row(job, since)
    connection = sqlite3.connect(":memory:")
    try:
        connection.row_factory = sqlite3.Row
        back = connection.execute(f"SELECT {', '.join(f':{name} AS {name}' for name in row)}", row).fetchone()
    finally:
        connection.close()

    assert job == to_job(back)
    assert since == to_dates(back)


@pytest.mark.parametrize("name", ["job_id", "key", "model", "fingerprint", "task_id", "failure", "save_to", "saved_to"])
def test_what_utf_8_cannot_write_is_written_as_escapes(new_job: NewJob, name: str) -> None:
    """Half of a surrogate pair, as in a file name that is not UTF-8, does not keep a job from being written."""
    row = to_row(new_job(**{name: "a\udcffb"}), Dates())

    assert "a\\udcffb" == row[name]


def test_half_of_a_surrogate_pair_in_a_request(new_job: NewJob) -> None:
    """JSON has an escape of its own for it, so it comes back."""
    job = new_job(request={"prompt": "a\udcffb"})

    assert job == to_job(to_row(job, Dates()))


def test_timestamps_sort_as_text() -> None:
    """The order of timestamps is that of the moments, whatever their zones and fractions."""
    zone = timezone(timedelta(hours=8))
    first = datetime(2026, 11, 21, 12, tzinfo=zone)
    moments = [first, first + timedelta(microseconds=1), (first + timedelta(seconds=1)).astimezone(UTC)]
    written = [to_timestamp(moment) for moment in moments]

    assert sorted(written) == written
    assert "2026-11-21T04:00:00.000000+00:00" == written[0]


@pytest.mark.parametrize("value", [object(), Path("a.png"), {1, 2}, b"bytes"])
def test_a_request_that_is_no_plain_data(new_job: NewJob, value: object) -> None:
    """What JSON cannot write is an error that names the job and its type, and shows nothing else of the request."""
    job = new_job(request={"prompt": "canary", "image": value})
    with pytest.raises(StoreError, match=f"{job.job_id} cannot be written as JSON.*{type(value).__name__}") as caught:
        to_row(job, Dates())

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("state", "GONE"),
        ("created_at", "yesterday"),
        ("created_at", None),
        ("request", "{"),
        ("task", "[]"),
        ("task", '{"ref": "main:1"}'),
        ("task", '{"ref": "main:1", "status": "GONE"}'),
        ("submitted_at", 17),
    ],
)
def test_a_row_that_somebody_has_changed(new_job: NewJob, column: str, value: Any) -> None:
    """An entry that cannot be read is an error that names its job."""
    job = new_job()
    row = {**to_row(job, Dates()), column: value}
    with pytest.raises(StoreError, match=f"job {job.job_id} .*cannot be read") as caught:
        to_job(row)

    assert job.job_id == caught.value.job_id


def test_dates_that_somebody_has_changed(new_job: NewJob) -> None:
    """A date that cannot be read is an error as well."""
    row = {**to_row(new_job(), Dates()), "closed_at": "yesterday"}
    with pytest.raises(StoreError, match="cannot be read"):
        to_dates(row)


def test_a_task_of_a_later_version(new_job: NewJob) -> None:
    """Fields that this version does not know are passed over."""
    task = Task(ref=TaskRef("main", "1"), status=TaskStatus.RUNNING)
    row = to_row(new_job(task=task), Dates())
    text = json.dumps({**json.loads(str(row["task"])), "later": True})

    assert task == to_job({**row, "task": text}).task
