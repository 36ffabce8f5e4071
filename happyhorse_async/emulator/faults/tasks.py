"""Faults of what a provider says of a task: words nobody knows, fields that are missing, states that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

from attrs import evolve, frozen

from ...messages import HttpResponse
from ...task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Video
from .fault import API, LOOKS, Answer, CallContext, Fault, FaultPreset


@frozen(kw_only=True)
class Status(Fault):
    """The task is said to be in another state than it is."""

    operations = LOOKS
    status: TaskStatus
    word: str | None = None
    """The provider's word for it, where it shall be one that nobody knows."""
    reason: FailureReason | None = None
    """Why it failed; `None`: nothing is said of it."""

    def seen(self, task: Task, context: CallContext) -> Task:
        ended = datetime.fromtimestamp(context.now, UTC)
        return evolve(
            task,
            status=self.status,
            raw_status=self.word,
            videos=(),
            usage=None,
            error=TaskFailure(reason=self.reason) if self.reason is not None else None,
            finished_at=task.finished_at or ended if self.status.is_terminal else None,
        )


@frozen(kw_only=True)
class EmptyURL(Fault):
    """The task has succeeded, and the URL of its video is an empty text."""

    operations = LOOKS

    def seen(self, task: Task, context: CallContext) -> Task:
        done = Status(status=TaskStatus.SUCCEEDED).seen(task, context)
        return evolve(done, videos=(Video(url=""),))


@frozen(kw_only=True)
class Vanished(Fault):
    """The provider does not know the task."""

    operations = LOOKS

    def seen(self, task: Task, context: CallContext) -> None:
        return None


@frozen(kw_only=True)
class OtherTask(Fault):
    """The answer is about a task that nobody asked for."""

    operations = LOOKS

    def seen(self, task: Task, context: CallContext) -> Task:
        return evolve(task, ref=TaskRef(task.provider, f"{task.id}0"))


@frozen(kw_only=True)
class Bare(Fault):
    """The answer has nothing that could be left out."""

    operations = LOOKS

    def seen(self, task: Task, context: CallContext) -> Task:
        videos = tuple(Video(url=video.url) for video in task.videos)
        return Task(ref=task.ref, status=task.status, videos=videos, error=task.error)


@frozen(kw_only=True)
class OtherBill(Fault):
    """The provider bills another length than was asked for."""

    operations = LOOKS
    seconds: float = 15.0

    def seen(self, task: Task, context: CallContext) -> Task:
        if task.usage is None:
            return task
        return evolve(task, usage=evolve(task.usage, duration=self.seconds, output_duration=self.seconds))


@frozen(kw_only=True)
class MoreFields(Fault):
    """Every object of the answer has fields that no page knows."""

    operations = API

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        more = {"emulated_extra": {"null": None, "list": [1, "two", None]}, "x_trace": "0af7651916cd43dd"}
        return _rewritten(answer, more=more)


@frozen(kw_only=True)
class LooseNumbers(Fault):
    """Whole numbers come as floats, others as texts, and truths as words."""

    operations = API

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return _rewritten(answer, {int: float, float: str, bool: lambda truth: str(truth).lower()})


@frozen(kw_only=True)
class TextNumbers(Fault):
    """Every number comes as a text."""

    operations = API

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return _rewritten(answer, {int: str, float: str})


_Changes: TypeAlias = Mapping[type, Callable[[Any], object]]


def _rewritten(
    answer: HttpResponse, changes: _Changes | None = None, more: Mapping[str, object] | None = None
) -> HttpResponse:
    """Change every value of a type by the function for it, and give every object the members *more*."""

    def walk(value: object) -> object:
        if isinstance(value, dict):
            members = cast("dict[str, object]", value)
            return {**{name: walk(member) for name, member in members.items()}, **(more or {})}
        if isinstance(value, list):
            return [walk(member) for member in cast("list[object]", value)]
        change = (changes or {}).get(type(value))
        return change(value) if change else value

    return evolve(answer, body=json.dumps(walk(json.loads(answer.body)), ensure_ascii=False).encode())


TASKS: dict[str, FaultPreset] = {
    "unknown-status": FaultPreset(
        Status(status=TaskStatus.RUNNING, word="SIMMERING"), "a word for the status that no page has"
    ),
    "bare-task": FaultPreset(Bare(), "every field that can be is left out or null"),
    "more-fields": FaultPreset(MoreFields(), "every object has fields that no page has"),
    "loose-numbers": FaultPreset(LooseNumbers(), "whole numbers come as floats, and others as texts"),
    "text-numbers": FaultPreset(TextNumbers(), "every number comes as a text"),
    "vanished": FaultPreset(Vanished(), "the provider does not know the task"),
    "back-to-pending": FaultPreset(Status(status=TaskStatus.PENDING), "the task waits, whatever it did before"),
    "never-ending": FaultPreset(Status(status=TaskStatus.RUNNING), "the task runs, whatever has become of it"),
    "no-video": FaultPreset(Status(status=TaskStatus.SUCCEEDED), "a success without a video"),
    "empty-url": FaultPreset(EmptyURL(), "a success whose URL is an empty text"),
    "failed-in-silence": FaultPreset(Status(status=TaskStatus.FAILED), "a failure of which nothing is said"),
    "moderated": FaultPreset(
        Status(status=TaskStatus.FAILED, reason=FailureReason.CONTENT_REJECTED), "the task fails in moderation"
    ),
    "other-task": FaultPreset(OtherTask(), "the answer is about a task with another id"),
    "other-bill": FaultPreset(OtherBill(), "the provider bills another length than was asked for"),
}
"""By name."""
