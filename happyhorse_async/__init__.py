"""
An asyncio client for HappyHorse video generation.

    import happyhorse_async as hh

    async with hh.Client("dashscope", api_key="sk-...") as client:
        task = await client.generate(hh.TextToVideo("A cardboard train at night", resolution="720P", duration=5))
        await client.download(task, "train.mp4")
"""

from __future__ import annotations

from .adapter import Account, Adapter, PageRequest, Submission, TaskPage
from .batch import Batch, Outcome
from .capabilities import Capabilities, MediaForm, Offer
from .client import Client, Plan

from .emulator import Course, Emulator, Scenario
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
from .listing import TaskList
from .messages import HttpRequest, HttpResponse
from .request import ImageToVideo, Media, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from .task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Usage, Video
from .timing import Limits, PollSchedule

__all__ = [
    "Account",
    "Adapter",
    "AuthenticationError",
    "Batch",
    "CallbackRejectedError",
    "Capabilities",
    "Client",
    "ConfigurationError",
    "ContentRejectedError",
    "Course",
    "DownloadError",
    "Emulator",
    "FailureReason",
    "HappyHorseError",
    "HttpRequest",
    "HttpResponse",
    "ImageToVideo",
    "InvalidRequestError",
    "InvalidResponseError",
    "Limits",
    "Media",
    "MediaForm",
    "Mode",
    "Offer",
    "Outcome",
    "PageRequest",
    "PermissionDeniedError",
    "Plan",
    "PollSchedule",
    "ProviderError",
    "QuotaExceededError",
    "RateLimitError",
    "ReferenceToVideo",
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
    "TextToVideo",
    "TransportError",
    "UnsupportedFeatureError",
    "Usage",
    "Video",
    "VideoEdit",
    "VideoRequest",
    "WaitTimeoutError",
]
