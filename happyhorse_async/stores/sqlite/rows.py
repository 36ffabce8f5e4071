"""
A job as a row of a database, readable for people, and back.

Timestamps are ISO 8601 in UTC with microseconds, so that they sort as text. The task and the request are JSON. The
videos stand in a column of their own, since they have to go sooner than the rest.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias

from attrs import evolve
from cattrs import BaseValidationError, Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from ...errors import StoreError
from ...job import Endpoint, Job, JobState
from ...task import Task, TaskRef, Video
from ..retention import Dates
from .schema import PAGE_SIZE

Row: TypeAlias = dict[str, str | bytes | int | None]
"""The columns of one job, by name."""

# What reading a text that nobody of us wrote may end in.
_UNREADABLE = (BaseValidationError, LookupError, TypeError, ValueError)


class Readable(Protocol):
    """A row as SQLite gives it."""

    def __getitem__(self, name: str, /) -> Any:
        """Return a column by its name."""
        ...


def to_text(value: str) -> str:
    """Return *value* with what UTF-8 cannot write, such as half of a surrogate pair, as escapes."""
    return value.encode(errors="backslashreplace").decode()


def to_timestamp(moment: datetime) -> str:
    """Write *moment* so that timestamps compare as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def to_row(job: Job, dates: Dates) -> Row:
    """
    Write *job* as a row.

    :raises StoreError: its request is no plain data.
    """
    erasable = _erasable(job)
    return {
        "job_id": to_text(job.job_id),
        "key": _optional_text(job.key),
        "state": job.state.value,
        "provider": to_text(job.endpoint.provider),
        "adapter": to_text(job.endpoint.adapter),
        "base_url": to_text(job.endpoint.base_url),
        "model": to_text(job.model),
        "task_id": _optional_text(job.task_id),
        "owner": _optional_text(job.owner),
        "durable": int(job.durable),
        "created_at": to_timestamp(job.created_at),
        "submitted_at": _optional_timestamp(job.submitted_at),
        "settled_at": _optional_timestamp(dates.settled_at),
        "closed_at": _optional_timestamp(dates.closed_at),
        "save_to": _optional_text(job.save_to),
        "saved_to": _optional_text(job.saved_to),
        "failure": _optional_text(job.failure),
        "fingerprint": to_text(job.fingerprint),
        "task": None if job.task is None else _to_json(_CONVERTER.unstructure(job.task)),
        "videos_until": _optional_timestamp(dates.urls_until),
        "padding": None if set(erasable.values()) == {None} else bytes(PAGE_SIZE),
        **erasable,
    }


def _erasable(job: Job) -> Row:
    videos = () if job.task is None else job.task.videos
    return {
        "videos": _to_json(_CONVERTER.unstructure(videos)) if videos else None,
        "callback_url": _optional_text(job.callback_url),
        "request": None if job.request is None else _request_to_json(job),
        "body": job.body,
    }


def to_job(row: Readable) -> Job:
    """
    Read a job from its row.

    :raises StoreError: somebody has changed it to what cannot be read.
    """
    try:
        return Job(
            job_id=row["job_id"],
            endpoint=Endpoint(provider=row["provider"], adapter=row["adapter"], base_url=row["base_url"]),
            model=row["model"],
            created_at=datetime.fromisoformat(row["created_at"]),
            state=JobState(row["state"]),
            key=row["key"],
            fingerprint=row["fingerprint"],
            request=None if row["request"] is None else json.loads(row["request"]),
            body=row["body"],
            callback_url=row["callback_url"],
            durable=bool(row["durable"]),
            owner=row["owner"],
            submitted_at=_from_timestamp(row["submitted_at"]),
            task_id=row["task_id"],
            task=None if row["task"] is None else _to_task(row["task"], row["videos"]),
            failure=row["failure"],
            save_to=row["save_to"],
            saved_to=row["saved_to"],
        )
    except _UNREADABLE as error:
        raise _unreadable(row, error) from None


def to_dates(row: Readable) -> Dates:
    """
    Read the dates of a job from its row.

    :raises StoreError: somebody has changed it to what cannot be read.
    """
    try:
        return Dates(
            settled_at=_from_timestamp(row["settled_at"]),
            closed_at=_from_timestamp(row["closed_at"]),
            urls_until=_from_timestamp(row["videos_until"]),
        )
    except _UNREADABLE as error:
        raise _unreadable(row, error) from None


def _unreadable(row: Readable, error: Exception) -> StoreError:
    job_id = str(row["job_id"])
    problem = f"{type(error).__name__}, it was changed from outside"
    return StoreError(f"the entry of job {job_id} in the job store cannot be read: {problem}", job_id=job_id)


def _to_task(task: str, videos: str | None) -> Task:
    found = () if videos is None else _CONVERTER.structure(json.loads(videos), tuple[Video, ...])
    return evolve(_CONVERTER.structure(json.loads(task), Task), videos=found)


def _optional_text(value: str | None) -> str | None:
    return None if value is None else to_text(value)


def _optional_timestamp(moment: datetime | None) -> str | None:
    return None if moment is None else to_timestamp(moment)


def _from_timestamp(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _to_json(value: object) -> str:
    # A backslash escape of half a surrogate pair is what JSON itself would write.
    return to_text(json.dumps(value, ensure_ascii=False))


def _request_to_json(job: Job) -> str:
    try:
        return _to_json(job.request)
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"the request of job {job.job_id} cannot be written as JSON: {error}") from None


def _converter() -> Converter:
    converter = Converter(omit_if_default=True)
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    converter.register_unstructure_hook(TaskRef, str)
    converter.register_structure_hook(TaskRef, lambda text, _: TaskRef.parse(text))
    apart = override(omit=True)
    converter.register_unstructure_hook(
        Task, make_dict_unstructure_fn(Task, converter, _cattrs_omit_if_default=True, raw=apart, videos=apart)
    )
    converter.register_structure_hook(Task, make_dict_structure_fn(Task, converter, raw=apart, videos=apart))
    return converter


_CONVERTER = _converter()
