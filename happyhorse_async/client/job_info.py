"""The public view of a job, also after its end and in any process."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import frozen

from ..errors import HappyHorseError
from ..job import Job, JobState
from ..jobs.job_errors import error_of
from ..plain_data import pydantic_output_schema
from ..price import PriceEstimate, PriceShape
from ..task import Task, TaskRef


@frozen(kw_only=True)
class JobInfo:
    """A job, as `Client.job` and `Client.pending` return it."""

    job_id: str
    """Our own id of the job."""
    key: str | None
    """The caller's own name for it."""
    state: JobState
    """Its state."""
    ref: TaskRef | None
    """The task, once the provider has accepted the job."""
    task: Task | None
    """The last recorded observation of the task."""
    error: HappyHorseError | None
    """Why there is no video, why the outcome is unknown, or why the video was not saved: an error of the tree."""
    created_at: datetime
    """When the job was created."""
    provider: str = ""
    """The account that has it, or will get it next: a section of the configuration, or an adapter. Not in `to_dict`."""
    price: PriceEstimate | None = None
    """The estimated price, with the actual cost once it has ended; `None` if no price is known."""

    @classmethod
    def of(cls, job: Job) -> JobInfo:
        """Return the public view of *job*."""
        return cls(
            job_id=job.job_id,
            key=job.key,
            provider=job.endpoint.provider,
            state=job.state,
            ref=job.ref,
            task=job.task,
            error=error_of(job),
            created_at=job.created_at,
            price=job.price,
        )

    def to_dict(self, *, urls: bool = True) -> dict[str, Any]:
        """
        Return plain data for JSON.

        :param urls: whether the URLs of videos are included. They are credentials: anyone who has one can fetch the
            video.
        """
        error, task = self.error, self.task
        return {
            "job_id": self.job_id,
            "key": self.key,
            "state": self.state.value,
            "ref": None if self.ref is None else str(self.ref),
            "task": None if task is None else task.to_dict(urls=urls),
            "error": None
            if error is None
            else {
                "type": type(error).__name__,
                "message": error.message,
                "code": error.code,
                "http_status": error.http_status,
            },
            "created_at": self.created_at.isoformat(),
            "price": None if self.price is None else self.price.to_dict(),
        }

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic, and so FastAPI, write the shape of `to_dict`; it cannot be read back."""
        return pydantic_output_schema(JobInfo, _JobShape, write=JobInfo.to_dict, skip=frozenset({"raw"}))


@frozen
class _ErrorInfo:
    type: str
    message: str
    code: str | None
    http_status: int


@frozen
class _JobShape:
    job_id: str
    key: str | None
    state: JobState
    ref: TaskRef | None
    task: Task | None
    error: _ErrorInfo | None
    created_at: datetime
    price: PriceShape | None
