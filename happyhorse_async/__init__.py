"""
An asyncio client for HappyHorse video generation.

    import happyhorse_async as hh

    async with hh.Client("dashscope", api_key="sk-...") as client:
        task = await client.generate(hh.TextToVideo("A cardboard train at night", resolution="720P", duration=5))
        await client.download(task, "train.mp4")
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .adapter import Account, Adapter, PageRequest, Submission, TaskPage
from .batch import Batch, Outcome
from .capabilities import Capabilities, MediaForm, Offer
from .client import Client
from .emulator import CallbackScenario, Course, Delivery, DeliveryLog, Emulator, Scenario
from .errors import (
    AuthenticationError,
    CallbackRejectedError,
    ConfigurationError,
    ContentRejectedError,
    DownloadError,
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    StoreError,
    SubmitOutcomeUnknownError,
    TaskCanceledError,
    TaskError,
    TaskExpiredError,
    TaskFailedError,
    TaskNotFoundError,
    TransportError,
    UnsupportedFeatureError,
    WaitTimeoutError,
)
from .handle import TaskHandle
from .job import Job, JobState, PendingJob, Place
from .listing import TaskList
from .messages import HttpRequest, HttpResponse
from .planning import Plan
from .redaction import RedactingFilter as _RedactingFilter
from .request import ImageToVideo, Media, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from .retries import Retries, RetryPolicy
from .stores import MemoryStore, TaskStore
from .task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Usage, Video
from .timing import Limits, PollSchedule, Quota

if TYPE_CHECKING:
    from .stores import SQLiteStore

logging.getLogger(__name__).addFilter(_RedactingFilter())

__all__ = [
    "Account",
    "Adapter",
    "AuthenticationError",
    "Batch",
    "CallbackRejectedError",
    "CallbackScenario",
    "Capabilities",
    "Client",
    "ConfigurationError",
    "ContentRejectedError",
    "Course",
    "Delivery",
    "DeliveryLog",
    "DownloadError",
    "Emulator",
    "FailureReason",
    "HappyHorseError",
    "HttpRequest",
    "HttpResponse",
    "ImageToVideo",
    "InvalidRequestError",
    "InvalidResponseError",
    "Job",
    "JobState",
    "Limits",
    "Media",
    "MediaForm",
    "MemoryStore",
    "Mode",
    "Offer",
    "Outcome",
    "PageRequest",
    "PendingJob",
    "PermissionDeniedError",
    "Place",
    "Plan",
    "PollSchedule",
    "ProviderError",
    "Quota",
    "QuotaExceededError",
    "RateLimitError",
    "ReferenceToVideo",
    "Retries",
    "RetryPolicy",
    "SQLiteStore",
    "Scenario",
    "StoreError",
    "Submission",
    "SubmitOutcomeUnknownError",
    "Task",
    "TaskCanceledError",
    "TaskError",
    "TaskExpiredError",
    "TaskFailedError",
    "TaskFailure",
    "TaskHandle",
    "TaskList",
    "TaskNotFoundError",
    "TaskPage",
    "TaskRef",
    "TaskStatus",
    "TaskStore",
    "TextToVideo",
    "TransportError",
    "UnsupportedFeatureError",
    "Usage",
    "Video",
    "VideoEdit",
    "VideoRequest",
    "WaitTimeoutError",
]


def __getattr__(name: str) -> Any:
    # Only a program with a journal on disk needs SQLite.
    if name != "SQLiteStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .stores import SQLiteStore  # noqa: PLC0415

    return SQLiteStore
