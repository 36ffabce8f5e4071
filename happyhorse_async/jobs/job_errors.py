"""Converts errors of jobs to data, so that they survive a restart, and back."""

from __future__ import annotations

from .. import errors
from ..errors import (
    HappyHorseError,
    SubmitOutcomeUnknownError,
    TaskCanceledError,
    TaskError,
    TaskExpiredError,
    TaskFailedError,
    TransportError,
    UnsupportedFeatureError,
)
from ..job import Job, JobError, JobState
from ..task import Task, TaskStatus


def to_data(error: HappyHorseError) -> JobError:
    """Return *error* as data, with the name of its nearest public class."""
    name = next(cls.__name__ for cls in type(error).__mro__ if cls.__name__ in errors.__all__)
    return JobError(type=name, message=error.message, code=error.code, status_code=error.status_code)


def from_data(data: JobError, job: Job) -> HappyHorseError:
    """Make an error of the tree from its data."""
    cls: type[HappyHorseError] = getattr(errors, data.type) if data.type in errors.__all__ else HappyHorseError
    error: HappyHorseError
    if issubclass(cls, TaskError):
        error = cls(data.message, task=job.task)
    elif issubclass(cls, TransportError):
        error = cls(data.message, sent=job.submitted_at is not None)
    elif issubclass(cls, UnsupportedFeatureError):
        error = cls(data.message, feature="")
    else:
        error = cls(data.message)
    error.code, error.status_code = data.code, data.status_code
    error.provider = job.endpoint.provider
    return error.about(ref=job.ref, job_id=job.job_id)


def task_error(task: Task, job_id: str) -> TaskError | None:
    """Return the error for a task that ended without a video; `None` for any other."""
    why = f": {task.error.message}" if task.error and task.error.message else ""
    match task.status:
        case TaskStatus.FAILED:
            return TaskFailedError(f"the task failed{why}", task=task, job_id=job_id)
        case TaskStatus.CANCELED:
            return TaskCanceledError(f"the task was cancelled{why}", task=task, job_id=job_id)
        case TaskStatus.EXPIRED:
            message = "the provider no longer knows the task, or its lifetime is over"
            return TaskExpiredError(message, task=task, job_id=job_id)
        case _:
            return None


def withdrawn(job_id: str) -> TaskCanceledError:
    """Return the error for a job that was withdrawn before the provider accepted it."""
    return TaskCanceledError("the job was withdrawn before it was sent", job_id=job_id)


def was_abandoned(job: Job) -> bool:
    """Return whether an unknown outcome was recorded by another process than the one that sent the job."""
    return job.error is None or job.error.type != SubmitOutcomeUnknownError.__name__


def still_unknown(job: Job) -> SubmitOutcomeUnknownError:
    """Return the error for a job that was found with an unknown outcome."""
    if job.error is not None and not was_abandoned(job):
        message = job.error.message
    else:
        why = f" {job.error.message}" if job.error else ""
        message = f"the outcome of this job is unknown; resolve it with resolve({job.job_id!r}).{why}"
    return SubmitOutcomeUnknownError(
        message,
        provider=job.endpoint.provider,
        job_id=job.job_id,
    )


def error_of(job: Job) -> HappyHorseError | None:
    """Return why a job has no video, or why the video was not saved; `None` if nothing went wrong."""
    if job.state is JobState.WITHDRAWN:
        return withdrawn(job.job_id)
    if job.state is JobState.OUTCOME_UNKNOWN:
        return still_unknown(job)
    failure = task_error(job.task, job.job_id) if job.task else None
    if failure is not None:
        return failure
    return from_data(job.error, job) if job.error else None
