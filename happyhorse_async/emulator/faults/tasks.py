"""Faults of what a provider says of a task: unknown states, missing fields, other shapes of a result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

from attrs import evolve

from ...messages import HttpResponse
from ...task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Video
from .fault import API, POLLS, SUBMITS, CallContext, Fault, ResponseChange, TaskChange


def task_status(status: TaskStatus, *, word: str | None = None, reason: FailureReason | None = None) -> TaskChange:
    """
    Report another status than the task has.

    :param word: an unknown word for it; `None`: the provider's own.
    :param reason: why it failed; `None`: nothing is said.
    """

    def change(task: Task, call: CallContext) -> Task:
        ended = datetime.fromtimestamp(call.now, UTC)
        return evolve(
            task,
            status=status,
            raw_status=word,
            videos=(),
            usage=None,
            error=TaskFailure(reason=reason) if reason is not None else None,
            finished_at=task.finished_at or ended if status.is_terminal else None,
        )

    return change


def _succeeded_as(word: str) -> TaskChange:
    """Name the success by a *word* of another vendor. The video is there."""
    return lambda task, call: evolve(task, raw_status=word) if task.status is TaskStatus.SUCCEEDED else task


def _empty_url(task: Task, call: CallContext) -> Task:
    done = evolve(task, status=TaskStatus.SUCCEEDED, raw_status=None, usage=None, error=None)
    return evolve(done, videos=(Video(url=""),), finished_at=task.finished_at or datetime.fromtimestamp(call.now, UTC))


def _cover_only(task: Task, call: CallContext) -> Task:
    return evolve(task, videos=tuple(evolve(video, url="") for video in task.videos))


def _other_task(task: Task, call: CallContext) -> Task:
    return evolve(task, ref=TaskRef(task.provider, f"{task.id}0"))


def _bare(task: Task, call: CallContext) -> Task:
    videos = tuple(Video(url=video.url) for video in task.videos)
    return Task(ref=task.ref, status=task.status, videos=videos, error=task.error)


def _other_bill(task: Task, call: CallContext) -> Task:
    if task.usage is None:
        return task
    return evolve(task, usage=evolve(task.usage, duration=15.0, output_duration=15.0))


def _url_with(segment: str) -> TaskChange:
    """Put *segment* into the path of the video's URL, without percent-encoding. The storage accepts it encoded."""

    def change(task: Task, call: CallContext) -> Task:
        videos = (evolve(video, url=video.url.replace("/videos/", f"/videos/{segment}/", 1)) for video in task.videos)
        return evolve(task, videos=tuple(videos))

    return change


_Object: TypeAlias = dict[str, object]
_Rewrite: TypeAlias = Callable[[Any], object]


def _rewritten(
    changes: Mapping[type, _Rewrite] | None = None,
    *,
    members: Mapping[str, _Rewrite] | None = None,
    more: Mapping[str, object] | None = None,
) -> ResponseChange:
    """
    Rewrite the JSON of a response.

    :param changes: what becomes of each value of a type.
    :param members: what becomes of each member of that name.
    :param more: members that every object gets.
    """

    def walk(value: object) -> object:
        if isinstance(value, dict):
            return {**{name: walk_member(name, item) for name, item in cast("_Object", value).items()}, **(more or {})}
        if isinstance(value, list):
            return [walk(item) for item in cast("list[object]", value)]
        change = (changes or {}).get(type(value))
        return change(value) if change else value

    def walk_member(name: str, value: object) -> object:
        change = (members or {}).get(name)
        return change(value) if change else walk(value)

    def change(response: HttpResponse, call: CallContext) -> HttpResponse:
        return evolve(response, body=json.dumps(walk(json.loads(response.body)), ensure_ascii=False).encode())

    return change


def _reshaped(shape: _Rewrite) -> ResponseChange:
    """Give the result another *shape*, made from the URL of the video. Each provider has one member for it."""

    def from_entries(value: object) -> object:
        if not isinstance(value, list):
            return value
        entries = cast("list[dict[str, Any]]", value)
        url = next((entry["url"] for entry in entries if entry.get("type", "video") == "video"), None)
        return entries if url is None else shape(url)

    def from_output(value: object) -> object:
        if not isinstance(value, dict):
            return from_entries(value)
        output = cast("_Object", value)
        return {**output, "video_url": shape(output["video_url"])} if output.get("video_url") else output

    def from_file(value: object) -> object:
        if not isinstance(value, dict):
            return value
        file = cast("_Object", value)
        return shape(file["url"]) if "url" in file else file

    return _rewritten(members={"videos": from_entries, "output": from_output, "video": from_file})


def _audio_only(response: HttpResponse, call: CallContext) -> HttpResponse:
    """Call the video an audio file, by the name of its member and by its type."""
    names = {
        b'"video_url"': b'"audio_url"',
        b'"videos"': b'"audios"',
        b'"type": "video", "url"': b'"type": "audio", "url"',
        b'"video": {': b'"audio": {',
        b'"video/mp4"': b'"audio/mp4"',
        b".mp4": b".mp3",
    }
    body = response.body
    for old, new in names.items():
        body = body.replace(old, new)
    return evolve(response, body=body)


def _cased_like(word: str) -> _Rewrite:
    return lambda value: word.upper() if str(value).isupper() else word


_EXTRA = {"emulated_extra": {"null": None, "list": [1, "two", None]}, "x_trace": "0af7651916cd43dd"}
_DONE = _cased_like("succeeded")


def _status_fault(summary: str, status: TaskStatus, *, word: str | None = None) -> Fault:
    return Fault(summary, on=POLLS, task=task_status(status, word=word))


TASKS: dict[str, Fault] = {
    "unknown-status": _status_fault("a status that is not documented", TaskStatus.RUNNING, word="SIMMERING"),
    "bare-task": Fault("every optional field is left out or null", on=POLLS, task=_bare),
    "more-fields": Fault("every object has undocumented fields", on=API, response=_rewritten(more=_EXTRA)),
    "loose-numbers": Fault(
        "integers come as floats, floats as text, booleans as words",
        on=API,
        response=_rewritten({int: float, float: str, bool: lambda truth: str(truth).lower()}),
    ),
    "text-numbers": Fault("every number comes as text", on=API, response=_rewritten({int: str, float: str})),
    "vanished": Fault("the provider does not know the task", on=POLLS, task=lambda task, call: None),
    "back-to-pending": _status_fault("the task is pending, whatever it was before", TaskStatus.PENDING),
    "never-ending": _status_fault("the task is running, also after its end", TaskStatus.RUNNING),
    "no-video": _status_fault("a success without a video", TaskStatus.SUCCEEDED),
    "empty-url": Fault("a success whose URL is empty", on=POLLS, task=_empty_url),
    "cover-only": Fault("a success that delivers the cover and no video", on=POLLS, task=_cover_only),
    "audio-only": Fault("a success that delivers audio and no video", on=POLLS, response=_audio_only),
    "url-in-list": Fault("the result is a list with the URL", on=POLLS, response=_reshaped(lambda url: [url])),
    "url-in-object": Fault(
        "the result is an object with the URL in `url`", on=POLLS, response=_reshaped(lambda url: {"url": url})
    ),
    "url-in-other-case": Fault(
        "the result is an object with the URL in `VideoUrl`",
        on=POLLS,
        response=_reshaped(lambda url: {"VideoUrl": url}),
    ),
    "url-as-text": Fault("the result is the URL itself", on=POLLS, response=_reshaped(lambda url: url)),
    "url-with-space": Fault("the URL has a space that is not encoded", on=POLLS, task=_url_with("my video")),
    "url-non-ascii": Fault("the URL has Chinese letters that are not encoded", on=POLLS, task=_url_with("视频")),
    "status-completed": Fault("a success is called `completed`", on=POLLS, task=_succeeded_as("completed")),
    "status-success": Fault("a success is called `success`", on=POLLS, task=_succeeded_as("success")),
    "status-finished": Fault("a success is called `finished`", on=POLLS, task=_succeeded_as("finished")),
    "submit-succeeded": Fault(
        "the submit is answered with the status of a success, without the video",
        on=SUBMITS,
        response=_rewritten(members={"status": _DONE, "task_status": _DONE}),
    ),
    "failed-in-silence": _status_fault("a failure without code and message", TaskStatus.FAILED),
    "moderated": Fault(
        "the task fails in moderation",
        on=POLLS,
        task=task_status(TaskStatus.FAILED, reason=FailureReason.CONTENT_REJECTED),
    ),
    "other-task": Fault("the response is about a task with another id", on=POLLS, task=_other_task),
    "other-bill": Fault("the provider bills another length than was asked for", on=POLLS, task=_other_bill),
}
"""By name."""
