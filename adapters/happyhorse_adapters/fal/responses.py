"""
The answers of fal's queue: https://docs.fal.ai/documentation/model-apis/inference/queue.

A status says that a run is over, not how: the answer to the request for the result decides. It is the model's own, with
its status code, so that a 422 there is the end of the run and a 404 may be a result that is gone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import define, evolve

from happyhorse_async.adapter import Account
from happyhorse_async.adapter_kit import (
    Lax,
    find_videos,
    read_object,
    read_refusal,
    read_status,
    require_video,
    structure,
)
from happyhorse_async.messages import HttpResponse
from happyhorse_async.task import Task, TaskRef, TaskStatus

from .errors import CALL_ID, Problem, ended_as, is_canceled, may_tell_of_run, problem_in, read, refusal

# The first three are all that is documented. A third party's schema has the others, which can mean nothing else.
_STATUSES = {
    "IN_QUEUE": TaskStatus.PENDING,
    "IN_PROGRESS": TaskStatus.RUNNING,
    "COMPLETED": TaskStatus.SUCCEEDED,
    "FAILED": TaskStatus.FAILED,
    "CANCELED": TaskStatus.CANCELED,
    "CANCELLED": TaskStatus.CANCELED,
}
_ENDED = (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELED)

# Older users report a 400 with a text for a result that is requested too early.
_NOT_YET = re.compile(r"in progress|not (?:yet )?(?:complete|ready|finished)|in queue", re.IGNORECASE)


@define(kw_only=True)
class _WireAccepted:
    request_id: str
    status: Lax[str] = None


@define(kw_only=True)
class _WireStatus:
    status: str
    request_id: Lax[str] = None
    error: Lax[str] = None
    error_type: Lax[str] = None


@define(kw_only=True)
class _WireResult:
    video: Any = None


@define(kw_only=True)
class _WireWebhook:
    request_id: str
    status: Lax[str] = None
    payload: Lax[Mapping[str, Any]] = None
    data: Lax[Mapping[str, Any]] = None
    error: Lax[str] = None


def accepted_task(response: HttpResponse, account: Account) -> Task:
    """
    Read the task from the answer to a submit.

    :raises HappyHorseError: the submit was refused, or the answer has no id.
    """
    answer = read(response, account, is_submit=True)
    wire = structure(answer, _WireAccepted)
    status = read_status(wire.status, _STATUSES)
    return Task(
        ref=account.ref(wire.request_id, path="request_id"),
        status=TaskStatus.RUNNING if status is TaskStatus.RUNNING else TaskStatus.PENDING,
        raw_status=wire.status,
        request_id=response.headers.get(CALL_ID),
        raw=answer,
    )


def observed_task(response: HttpResponse, task_id: str, account: Account) -> Task:
    """
    Read the task from the answer to a status request. A success has no video yet.

    :raises HappyHorseError: the request was refused, or the answer cannot be understood.
    """
    if not response.ok:
        return _canceled_or_refused(response, account.ref(task_id), account)
    answer = read_object(response)
    wire = structure(answer, _WireStatus)
    status = read_status(wire.status, _STATUSES, has_error=bool(wire.error))
    if status is TaskStatus.UNKNOWN:
        # A synonym of success may be believed: the request for the result finds out.
        status = read_status(wire.status, _STATUSES, has_video=True)
    task = Task(
        ref=account.ref(wire.request_id or task_id, path="request_id"),
        status=status,
        raw_status=wire.status,
        request_id=response.headers.get(CALL_ID),
        raw=answer,
    )
    if status not in _ENDED or (status is TaskStatus.SUCCEEDED and not (wire.error or wire.error_type)):
        return task
    problem = Problem(code=wire.error_type or None, message=wire.error or None, is_typed=bool(wire.error_type))
    ended, why = ended_as(problem, account)
    return evolve(task, status=TaskStatus.CANCELED if status is TaskStatus.CANCELED else ended, error=why)


def with_result(response: HttpResponse, task: Task, account: Account) -> Task:
    """
    Read the result of *task* from the answer to the request for it.

    :raises HappyHorseError: the request itself was refused, or the answer cannot be understood.
    """
    call_id = response.headers.get(CALL_ID) or task.request_id
    if response.status == 202 and not find_videos(read_refusal(response).get("video")):
        return evolve(task, status=TaskStatus.RUNNING, request_id=call_id)
    if response.ok:
        answer = read_object(response)
        done = _delivered(task, answer)
        return require_video(evolve(done, request_id=call_id), "video", answer.get("video"))
    answer = read_refusal(response)
    problem = problem_in(answer, response.headers)
    if response.status == 400 and not problem.is_of_model and _NOT_YET.search(problem.message or ""):
        return evolve(task, status=TaskStatus.RUNNING, request_id=call_id)
    if not may_tell_of_run(problem, response.status):
        return _canceled_or_refused(response, task.ref, account)
    status, why = ended_as(problem, account, status=response.status)
    return evolve(task, status=status, error=why, request_id=call_id, raw=answer)


def called_task(answer: Mapping[str, Any], account: Account) -> Task | TaskRef:
    """
    Read the task from a webhook, https://docs.fal.ai/documentation/model-apis/inference/webhooks; only its ref if the
    webhook does not have the result.

    :raises InvalidResponseError: it names no task.
    """
    wire = structure(answer, _WireWebhook)
    ref = account.ref(wire.request_id, path="request_id")
    # One text of a third party has the payload under another name.
    payload = wire.payload or wire.data or {}
    word = (wire.status or "").upper()
    task = Task(ref=ref, status=TaskStatus.SUCCEEDED, raw_status=wire.status, raw=answer)
    if word == "OK":
        done = evolve(_delivered(task, payload), raw=answer)
        return done if done.videos else ref
    if word != "ERROR":
        return ref
    problem = problem_in(payload, {})
    if not problem.is_own:
        problem = Problem(message=wire.error)
    elif problem.message is None:
        problem = evolve(problem, message=wire.error)
    status, why = ended_as(problem, account)
    return evolve(task, status=status, error=why)


def _delivered(task: Task, answer: Mapping[str, Any]) -> Task:
    videos = find_videos(structure(answer, _WireResult).video, answer)
    # No time at which a file expires is on the wire.
    return evolve(
        task, status=TaskStatus.SUCCEEDED, videos=tuple(video.as_video() for video in videos), error=None, raw=answer
    )


def _canceled_or_refused(response: HttpResponse, ref: TaskRef, account: Account) -> Task:
    answer = read_refusal(response)
    problem = problem_in(answer, response.headers)
    if not is_canceled(problem, response.status):
        raise refusal(problem, response, account)
    status, why = ended_as(problem, account, status=499)
    return Task(
        ref=ref, status=status, raw_status=problem.code or "499", error=why, request_id=response.headers.get(CALL_ID),
        raw=answer,
    )  # fmt: skip
