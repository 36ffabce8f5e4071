"""
What is written down of a request that costs money: before it is sent, when it is answered, and until its end.

A job exists before anything is sent. Its id is ours; the provider's id of the task is learned when it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import evolve, field, frozen

from .task import Task, TaskRef, TaskStatus


class JobState(StrEnum):
    """How far a job has come."""

    QUEUED = "QUEUED"
    """Recorded and not sent, or certainly not accepted by the provider and waiting to be sent again."""
    SUBMITTING = "SUBMITTING"
    """About to be sent, or sent and not answered. If the process dies now, the outcome is unknown."""
    ACCEPTED = "ACCEPTED"
    """The provider accepted it: the task id is known."""
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    """It was sent and no readable response came. It may have been billed."""
    SUCCEEDED = "SUCCEEDED"
    """The task succeeded."""
    FAILED = "FAILED"
    """The task failed."""
    CANCELED = "CANCELED"
    """The task was cancelled at the provider."""
    EXPIRED = "EXPIRED"
    """The provider no longer knows the task."""
    REFUSED = "REFUSED"
    """The provider certainly did not accept the request, and it will not be sent again."""
    WITHDRAWN = "WITHDRAWN"
    """The caller took it back before it was sent."""
    WRITTEN_OFF = "WRITTEN_OFF"
    """Its outcome stayed unknown, and the user declared it lost with `Client.resolve`."""
    CLOSED = "CLOSED"
    """Final, in a journal written by an earlier version."""

    @property
    def is_final(self) -> bool:
        """Whether the job has ended: nothing will change any more, except that an expired task may reappear."""
        return self not in _OPEN


_OPEN = frozenset({JobState.QUEUED, JobState.SUBMITTING, JobState.ACCEPTED, JobState.OUTCOME_UNKNOWN})


@frozen(kw_only=True)
class JobError:
    """Why a job has no video, as data: an error of the tree that survives a restart."""

    type: str
    """The name of the error class, such as `ContentRejectedError`."""
    message: str
    """The sentence of the error, without secrets."""
    code: str | None = None
    """The provider's own error code."""
    status_code: int | None = None
    """The HTTP status of the provider's response."""


@frozen(kw_only=True)
class Endpoint:
    """Where a job was sent. A task's id means nothing anywhere else."""

    provider: str
    """The configuration section's name, or the adapter's: what the refs begin with."""
    adapter: str
    """The adapter's registered name."""
    base_url: str
    """Holds the region as well."""


@frozen(kw_only=True)
class Job:
    """The journal's entry of one job. It holds no API key."""

    job_id: str
    """Our own id, made before anything is sent."""
    endpoint: Endpoint
    """Where it was sent."""
    model: str
    """The provider's model id."""
    created_at: datetime
    """When it was taken in."""
    state: JobState = JobState.QUEUED
    """How far it has come."""
    key: str | None = None
    """The caller's own name for it. Unique in a store."""
    fingerprint: str = ""
    """A digest of the request of a job with a key: the same key with another request is a mistake."""
    request: Mapping[str, Any] | None = field(default=None, repr=False)
    """The request as plain data, kept until its outcome is known and as long as prompts may be kept."""
    body: bytes | None = field(default=None, repr=False)
    """The exact bytes that are sent, kept until their outcome is known."""
    callback_url: str | None = field(default=None, repr=False)
    """Where the provider shall call at the end of the task."""
    durable: bool = False
    """Whether it is to be sent even if the process that took it is gone: it was enqueued."""
    owner: str | None = None
    """The process that sees to it while it is queued or being submitted, and until its video is saved."""
    submitted_at: datetime | None = None
    """When it was first sent, of the times that it may have been taken: from then on its idempotency key lives."""
    task_id: str | None = None
    """The provider's id of the task."""
    task: Task | None = None
    """The last observation."""
    error: JobError | None = None
    """Why there is no task, why the outcome is unknown, or why the video could not be saved."""
    failure: str | None = None
    """Why there is no task, why the outcome is unknown, or why the video could not be saved."""
    save_to: str | None = None
    """Where the video is to be saved: a file or a folder. Until then a job whose task has succeeded is ACCEPTED."""
    saved_to: str | None = None
    """Where the video stands on disk."""

    @property
    def ref(self) -> TaskRef | None:
        """The task's name, once it is known."""
        if self.task is not None and self.task.id == self.task_id:
            return self.task.ref
        return TaskRef(self.endpoint.provider, self.task_id) if self.task_id else None

    @property
    def is_unsaved(self) -> bool:
        """Whether there is a video, and it is still to be saved."""
        succeeded = self.task is not None and self.task.status is TaskStatus.SUCCEEDED
        return succeeded and self.save_to is not None and self.saved_to is None

    @property
    def state_by_task(self) -> JobState:
        """How far the job has come as its task stands: to its end, once nothing is left to do."""
        ended = self.task is not None and self.task.status.is_terminal
        return JobState.CLOSED if ended and not self.is_unsaved else JobState.ACCEPTED

    def written_over(self, *, save_to: str | None, saved_to: str | None, owner: str | None) -> Job:
        """
        Return what is to be written over an entry with the given fields.

        Another process may have asked for the video to be saved meanwhile. That is not forgotten.
        """
        if save_to is None or self.save_to is not None:
            return self
        wished = evolve(self, save_to=save_to, saved_to=self.saved_to or saved_to)
        if not wished.is_unsaved:
            return wished
        return evolve(wished, state=JobState.ACCEPTED, owner=owner if self.owner is None else self.owner)


@frozen(kw_only=True)
class PendingJob:
    """A job that is not at its end yet."""

    job_id: str
    """Our own id of it."""
    ref: TaskRef | None
    """The task, once it is known."""
    key: str | None
    """The caller's own name for it."""
    state: JobState
    """How far it has come."""
