"""
A job: the record of one paid request, from before it is sent until its end.

A job exists before anything is sent. Its id is ours; the provider's id of the task is known once it is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import evolve, field, frozen

from .local_media import LocalMedium
from .price import PriceEstimate
from .task import Task, TaskRef


class JobState(StrEnum):
    """The state of a job."""

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
    """The caller withdrew it before it was sent."""
    WRITTEN_OFF = "WRITTEN_OFF"
    """Its outcome stayed unknown, and the user declared it lost with `Client.resolve`."""

    @property
    def is_final(self) -> bool:
        """Whether the job has ended: its state will not change any more, except that an expired task may reappear."""
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
    """Where a job was sent. A task id has no meaning at any other endpoint."""

    provider: str
    """The name of the account: the configuration section, or the adapter. Refs begin with it."""
    adapter: str
    """The adapter's registered name."""
    base_url: str
    """The root of the API, which also identifies the region."""


@frozen(kw_only=True)
class AccountAttempt:
    """The attempt of a job at one account, which certainly did not accept it."""

    endpoint: Endpoint
    """The account."""
    model: str
    """The provider's model id."""
    error: JobError
    """Why the account did not accept the job."""
    ended_at: datetime
    """When the job was moved to the next account."""
    submitted_at: datetime | None = None
    """When it was first sent to the account; `None` if it was not sent at all."""
    body: bytes | None = field(default=None, repr=False)
    """The exact bytes, which are sent again if the job comes back to the account. Kept until the outcome is known."""
    callback_url: str | None = field(default=None, repr=False)
    """The callback URL for the account. Kept as long as `body`."""
    price: PriceEstimate | None = None
    """The estimated price there; `None` if no price was known."""

    def without_content(self) -> AccountAttempt:
        """Return the part that is kept once the outcome of the job is known."""
        return evolve(self, body=None, callback_url=None)


@frozen(kw_only=True)
class Job:
    """The journal's entry of one job. It never contains an API key."""

    job_id: str
    """Our own id, created before anything is sent."""
    endpoint: Endpoint
    """The endpoint that it is or was sent to."""
    model: str
    """The provider's model id."""
    created_at: datetime
    """When it was created."""
    state: JobState = JobState.QUEUED
    """Its state."""
    key: str | None = None
    """The caller's own name for the job. Unique in a store among the jobs that hold their key."""
    fingerprint: str = ""
    """A digest of the request of a job with a key: the same key with another request is an error."""
    request: Mapping[str, Any] | None = field(default=None, repr=False)
    """The request as plain data, kept until the outcome is known and as long as prompts may be kept."""
    body: bytes | None = field(default=None, repr=False)
    """The exact bytes to send, except for `media`. Kept until the outcome is known."""
    media: tuple[LocalMedium, ...] = field(default=(), repr=False)
    """Local media that have tokens in `body` and `request`, kept as long as `body`."""
    callback_url: str | None = field(default=None, repr=False)
    """The URL that the provider calls when the task has ended."""
    durable: bool = False
    """Whether it must be sent even if its process dies: it was enqueued. Once set, it stays set."""
    owner: str | None = None
    """The process that is responsible for it while it is queued or submitted, and until its video is saved."""
    submitted_at: datetime | None = None
    """When it was first sent, of all attempts that may have been accepted: its idempotency key is valid from then."""
    task_id: str | None = None
    """The provider's id of the task."""
    task: Task | None = None
    """The last change of the task that was observed, without `raw`."""
    error: JobError | None = None
    """Why there is no task, why the outcome is unknown, or, beside a success, why the video could not be saved."""
    save_to: str | None = None
    """Where to save the video: a file or a folder."""
    saved_to: str | None = None
    """The file in which the video was saved."""
    trace_parent: str | None = None
    """
    The caller's span, if it has one: another process continues its trace. As https://www.w3.org/TR/trace-context/
    writes it.
    """
    price: PriceEstimate | None = None
    """The estimate at the time of planning, and the actual cost once it is known; `None` if no price was known."""
    may_move: bool = field(default=False, converter=bool)
    """Whether it may go to another account of the routing, while no account has accepted it."""
    attempts: tuple[AccountAttempt, ...] = field(default=(), repr=False)
    """Earlier attempts at other accounts: the latest of each account, oldest first."""

    @property
    def ref(self) -> TaskRef | None:
        """The ref of the task, once it is known."""
        if self.task is not None and self.task.ref.id == self.task_id:
            return self.task.ref
        return TaskRef(self.endpoint.provider, self.task_id) if self.task_id else None

    @property
    def is_unsaved(self) -> bool:
        """Whether there is a video that has yet to be saved. Such a job is unfinished although its task succeeded."""
        is_wanted = self.save_to is not None and self.saved_to is None
        return self.state is JobState.SUCCEEDED and is_wanted and self.error is None

    @property
    def is_unfinished(self) -> bool:
        """Whether the job still needs work: it has not ended, or its video has yet to be saved."""
        return not self.state.is_final or self.is_unsaved

    def with_model(self, task: Task) -> Task:
        """Return *task* with the model of the job, if the provider does not report it."""
        return evolve(task, model=self.model) if task.model is None and self.model else task

    def written_over(self, *, save_to: str | None, saved_to: str | None, owner: str | None) -> Job:
        """
        Return the job to write over an entry with the given fields.

        Another process may have requested that the video be saved in the meantime. That request is kept.
        """
        if save_to is None or self.save_to is not None:
            return self
        merged = evolve(self, save_to=save_to, saved_to=self.saved_to or saved_to)
        return evolve(merged, owner=owner) if merged.is_unsaved and self.owner is None else merged
