"""
An asyncio client for HappyHorse video generation.

    import happyhorse_async as hh

    async with hh.Client("dashscope", api_key="sk-...") as client:
        task = await client.generate(hh.TextToVideo("A cardboard train at night", resolution="720P", duration=5))
        await client.download(task, "train.mp4")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .adapter import Account, Adapter, PageRequest, Submission, TaskPage, UploadFile, UploadPolicy
from .budget import Budget, Cost
from .capabilities import Capabilities, MediaForm, ModelSpec
from .errors import (
    AuthenticationError,
    BudgetExceededError,
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
from .job import Endpoint, Job, JobError, JobState
from .media.formats import MediaFormat
from .media.limits import PictureLimits, VideoLimits
from .messages import HttpRequest, HttpResponse
from .price import Billing, Money, PriceEstimate, PriceWeight
from .price_list import Price
from .request import ImageToVideo, Media, Mode, Picture, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from .retry import RetryPolicies, RetryPolicy
from .routing import Routing
from .task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Usage, Video
from .timeouts import Timeouts
from .timing import Limits, PollSchedule, RateLimitWindow

if TYPE_CHECKING:
    from .callbacks import CallbackReceiver
    from .client import (
        AccountHealth,
        Batch,
        Client,
        Failed,
        Health,
        JobHandle,
        JobInfo,
        JobRequest,
        MediaPlan,
        Outcome,
        Plan,
        Provider,
        Rejection,
        Succeeded,
        TaskHandle,
        TaskList,
        TaskUpdates,
    )
    from .download import VideoStream
    from .emulator import CallbackScenario, Emulator, Scenario, SimulatedTask, WebhookDelivery, WebhookLog
    from .engines import DBOSEngine, Engine
    from .stores import MemoryStore, PostgresStore, SQLiteStore, TaskStore

__all__ = [
    "Account",
    "AccountHealth",
    "Adapter",
    "AuthenticationError",
    "Batch",
    "Billing",
    "Budget",
    "BudgetExceededError",
    "CallbackReceiver",
    "CallbackRejectedError",
    "CallbackScenario",
    "Capabilities",
    "Client",
    "ConfigurationError",
    "ContentRejectedError",
    "Cost",
    "DBOSEngine",
    "DownloadError",
    "Emulator",
    "Endpoint",
    "Engine",
    "Failed",
    "FailureReason",
    "HappyHorseError",
    "Health",
    "HttpRequest",
    "HttpResponse",
    "ImageToVideo",
    "InvalidRequestError",
    "InvalidResponseError",
    "Job",
    "JobError",
    "JobHandle",
    "JobInfo",
    "JobRequest",
    "JobState",
    "Limits",
    "Media",
    "MediaForm",
    "MediaFormat",
    "MediaPlan",
    "MemoryStore",
    "Mode",
    "ModelSpec",
    "Money",
    "Outcome",
    "PageRequest",
    "PermissionDeniedError",
    "Picture",
    "PictureLimits",
    "Plan",
    "PollSchedule",
    "PostgresStore",
    "Price",
    "PriceEstimate",
    "PriceWeight",
    "Provider",
    "ProviderError",
    "QuotaExceededError",
    "RateLimitError",
    "RateLimitWindow",
    "ReferenceToVideo",
    "Rejection",
    "RetryPolicies",
    "RetryPolicy",
    "Routing",
    "SQLiteStore",
    "Scenario",
    "SimulatedTask",
    "StoreError",
    "Submission",
    "SubmitOutcomeUnknownError",
    "Succeeded",
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
    "TaskUpdates",
    "TextToVideo",
    "Timeouts",
    "TransportError",
    "UnsupportedFeatureError",
    "UploadFile",
    "UploadPolicy",
    "Usage",
    "Video",
    "VideoEdit",
    "VideoLimits",
    "VideoRequest",
    "VideoStream",
    "WaitTimeoutError",
    "WebhookDelivery",
    "WebhookLog",
]


# Loaded on first use: a module that only builds requests or catches errors needs none of these.
_LOADED_LATER = {
    "AccountHealth": ".client",
    "Batch": ".client",
    "CallbackReceiver": ".callbacks",
    "CallbackScenario": ".emulator",
    "Client": ".client",
    "SimulatedTask": ".emulator",
    "WebhookDelivery": ".emulator",
    "WebhookLog": ".emulator",
    "DBOSEngine": ".engines",
    "Emulator": ".emulator",
    "Engine": ".engines",
    "Failed": ".client",
    "Health": ".client",
    "JobRequest": ".client",
    "JobHandle": ".client",
    "JobInfo": ".client",
    "MediaPlan": ".client",
    "MemoryStore": ".stores",
    "Outcome": ".client",
    "Plan": ".client",
    "PostgresStore": ".stores",
    "Rejection": ".client",
    "Provider": ".client",
    "SQLiteStore": ".stores",
    "Scenario": ".emulator",
    "Succeeded": ".client",
    "TaskHandle": ".client",
    "TaskList": ".client",
    "TaskStore": ".stores",
    "TaskUpdates": ".client",
    "VideoStream": ".download",
}


def __getattr__(name: str) -> Any:
    if name not in _LOADED_LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_LOADED_LATER[name], __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
