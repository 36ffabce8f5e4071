"""Live jobs for the tests of this folder."""

from __future__ import annotations

from datetime import UTC, datetime

import happyhorse_async as hh
from happyhorse_async.tracked_job import TrackedJob

ENDPOINT = hh.Endpoint(provider="fifth", adapter="fifth", base_url="https://fifth.example")


def tracked_job(task_id: str, *, callback_url: str | None = None) -> TrackedJob:
    """Return a live job whose task was accepted as *task_id*."""
    job = hh.Job(
        job_id=f"hh-{task_id}",
        endpoint=ENDPOINT,
        model="m",
        created_at=datetime.now(UTC),
        task_id=task_id,
        callback_url=callback_url,
    )
    return TrackedJob(job)
