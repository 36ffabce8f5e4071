"""A job is written to the columns of a row, and read from them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.errors import StoreError
from happyhorse_async.job import AccountAttempt, Endpoint, Job, JobError, JobState
from happyhorse_async.price import PriceEstimate
from happyhorse_async.stores.columns import Entry, Row
from happyhorse_async.stores.retention import Dates
from happyhorse_async.stores.sqlite.rows import TABLE, to_timestamp
from happyhorse_async.task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Usage, Video

NewJob = Callable[..., Job]


def written(job: Job) -> dict[str, Any]:
    return TABLE.to_row(Entry(job=job, dates=Dates()))


def read(row: Row) -> Job:
    return TABLE.from_row(row).job


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
PRICES = st.builds(
    PriceEstimate,
    low=st.decimals(0, 100, places=4),
    high=st.decimals(0, 100, places=4),
    currency=TEXTS,
    unit=TEXTS,
    as_of=TEXTS,
    source=TEXTS,
)
ATTEMPTS = st.builds(
    AccountAttempt,
    endpoint=st.builds(Endpoint, provider=TEXTS, adapter=TEXTS, base_url=TEXTS),
    model=TEXTS,
    error=st.builds(JobError, type=TEXTS, message=TEXTS, code=MAYBE_TEXTS),
    ended_at=MOMENTS,
    submitted_at=st.none() | MOMENTS,
    body=st.none() | st.binary(),
    callback_url=MAYBE_TEXTS,
    price=st.none() | PRICES,
)
JOBS = st.builds(
    Job,
    job_id=TEXTS,
    endpoint=st.builds(Endpoint, provider=TEXTS, adapter=TEXTS, base_url=TEXTS),
    model=TEXTS,
    created_at=MOMENTS,
    state=st.sampled_from(JobState),
    key=MAYBE_TEXTS,
    may_move=st.booleans(),
    attempts=st.lists(ATTEMPTS, max_size=2).map(tuple),
    fingerprint=TEXTS,
    request=st.none() | st.dictionaries(TEXTS, PLAIN, max_size=3),
    body=st.none() | st.binary(),
    callback_url=MAYBE_TEXTS,
    durable=st.booleans(),
    owner=MAYBE_TEXTS,
    submitted_at=st.none() | MOMENTS,
    task_id=MAYBE_TEXTS,
    task=st.none() | TASKS,
    error=st.none()
    | st.builds(JobError, type=TEXTS, message=TEXTS, code=MAYBE_TEXTS, status_code=st.none() | st.integers()),
    save_to=MAYBE_TEXTS,
    saved_to=MAYBE_TEXTS,
)


@given(job=JOBS, moment=st.none() | MOMENTS, holds_key=st.booleans())
def test_every_entry_comes_back_from_sqlite(job: Job, moment: datetime | None, holds_key: bool) -> None:
    """Every value that a job or its dates can have is read as it was written."""
    entry = Entry(
        job=job,
        dates=Dates(settled_at=moment, closed_at=moment, urls_until=moment),
        holds_key=holds_key or job.key is None,
    )
    row = TABLE.to_row(entry)
    connection = sqlite3.connect(":memory:")
    try:
        connection.row_factory = sqlite3.Row
        back = connection.execute(f"SELECT {', '.join(f':{name} AS {name}' for name in row)}", row).fetchone()
    finally:
        connection.close()

    assert entry == TABLE.from_row(back)
    assert entry.dates == TABLE.to_dates(back)


@pytest.mark.parametrize("name", ["job_id", "key", "model", "fingerprint", "task_id", "save_to", "saved_to"])
def test_text_that_utf_8_cannot_encode_is_written_as_escapes(new_job: NewJob, name: str) -> None:
    """Half of a surrogate pair, as in a file name that is not UTF-8, does not prevent a job from being written."""
    row = written(new_job(**{name: "a\udcffb"}))

    assert "a\\udcffb" == row[name]


def test_half_of_a_surrogate_pair_in_a_request_comes_back(new_job: NewJob) -> None:
    """JSON has an escape of its own for it."""
    job = new_job(request={"prompt": "a\udcffb"})

    assert job == read(written(job))


def test_timestamps_sort_as_text() -> None:
    """The order of timestamps is that of the moments, whatever their zones and fractions."""
    zone = timezone(timedelta(hours=8))
    first = datetime(2026, 11, 21, 12, tzinfo=zone)
    moments = [first, first + timedelta(microseconds=1), (first + timedelta(seconds=1)).astimezone(UTC)]
    written = [to_timestamp(moment) for moment in moments]

    assert sorted(written) == written
    assert "2026-11-21T04:00:00.000000+00:00" == written[0]


@pytest.mark.parametrize("value", [object(), Path("a.png"), {1, 2}, b"bytes"])
def test_a_request_that_json_cannot_express_is_an_error(new_job: NewJob, value: object) -> None:
    """The error names the type of the value, and shows nothing else of the request."""
    job = new_job(request={"prompt": "canary", "image": value})
    with pytest.raises(StoreError, match=f"request cannot be written as JSON.*{type(value).__name__}") as caught:
        written(job)

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("state", "GONE"),
        ("created_at", "yesterday"),
        ("created_at", None),
        ("model", None),
        ("error", "[]"),
        ("error", "{}"),
        ("request", "{"),
        ("task", "[]"),
        ("task", '{"ref": "main:1"}'),
        ("task", '{"ref": "main:1", "status": "GONE"}'),
        ("submitted_at", 17),
    ],
)
def test_an_unreadable_row_is_an_error_that_names_its_job(new_job: NewJob, column: str, value: Any) -> None:
    """A row that another program has changed is not skipped: it may be a paid task."""
    job = new_job()
    row = {**written(job), column: value}
    with pytest.raises(StoreError, match=f"job {job.job_id} .*cannot be read") as caught:
        read(row)

    assert job.job_id == caught.value.job_id


def test_unreadable_dates_are_an_error(new_job: NewJob) -> None:
    """The same holds for the dates of the retention."""
    row = {**written(new_job()), "closed_at": "yesterday"}
    with pytest.raises(StoreError, match="cannot be read"):
        TABLE.to_dates(row)


def test_unknown_fields_of_a_task_are_ignored(new_job: NewJob) -> None:
    """A later version may write fields that this one does not know."""
    task = Task(ref=TaskRef("main", "1"), status=TaskStatus.RUNNING)
    row = written(new_job(task=task))
    text = json.dumps({**json.loads(str(row["task"])), "later": True})

    assert task == read({**row, "task": text}).task
