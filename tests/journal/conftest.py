"""What the tests of the journal share: a file, a second look at it, and stores that fail."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh
from happyhorse_async.job import Endpoint, Job, JobState
from happyhorse_async.request_codec import fingerprint

Rows = Callable[[], list[dict[str, Any]]]

REQUEST = hh.TextToVideo("a train at night")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def rows(path: Path) -> Rows:
    """Read the file as somebody else would, with nothing but SQLite."""

    def rows() -> list[dict[str, Any]]:
        connection = sqlite3.connect(path)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute("SELECT * FROM jobs ORDER BY number")]
        finally:
            connection.close()

    return rows


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, path: Path) -> hh.TaskStore:
    """Keep jobs, in each kind of store in turn."""
    return hh.MemoryStore() if request.param == "memory" else hh.SQLiteStore(path)


@pytest.fixture
def left_behind(path: Path, gateway: Any) -> Callable[..., Awaitable[Job]]:
    """Write a job into the file as a process did that is gone."""

    async def left_behind(state: JobState = JobState.SUBMITTING, **fields: Any) -> Job:
        store = hh.SQLiteStore(path, keep_prompts=None)
        await store.open()
        request = REQUEST.to_dict()
        given = {
            "job_id": "hh-left",
            "endpoint": Endpoint(provider="fifth", adapter="fifth", base_url=gateway.url),
            "model": "fifth-t2v",
            "created_at": datetime.now(UTC),
            "submitted_at": datetime.now(UTC) if state is not JobState.QUEUED else None,
            "request": request,
            "fingerprint": fingerprint(request),
            "body": b'{"the very": "bytes"}',
            "owner": store.owner if state in (JobState.QUEUED, JobState.SUBMITTING) else None,
        }
        job = await store.add(Job(state=state, **{**given, **fields}))
        await store.aclose()
        return job

    return left_behind


class FailingStore(hh.MemoryStore):
    """A store whose disk is full whenever a job is to be written in one of some states."""

    def __init__(self, *states: JobState) -> None:
        super().__init__()
        self.states = set(states)
        self.refused = 0

    async def add(self, job: Job) -> Job:
        self._check(job)
        return await super().add(job)

    async def change(
        self, job: Job, *, only_from: Collection[JobState] | None = None, only_owner: str | None = None
    ) -> Job | None:
        self._check(job)
        return await super().change(job, only_from=only_from, only_owner=only_owner)

    def _check(self, job: Job) -> None:
        if job.state in self.states:
            self.refused += 1
            raise hh.StoreError("the disk is full", ref=job.ref, job_id=job.job_id)


@pytest.fixture
def failing_store() -> type[FailingStore]:
    """Make stores that fail."""
    return FailingStore
