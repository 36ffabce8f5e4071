"""
The states of a job and the events that change them, in one table.

Pure: no I/O, no clock. Every write to the journal is an event. The conditions of the write (which states it may
replace, and whether the process must own the job) are derived from the table, never written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any

from attrs import evolve, frozen

from ..job import Job, JobState
from ..task import Task, TaskStatus

Q, S, A, U = JobState.QUEUED, JobState.SUBMITTING, JobState.ACCEPTED, JobState.OUTCOME_UNKNOWN


class JobEvent(StrEnum):
    """An event in the life of a job."""

    SUBMIT = "submit"
    """The intent to send it is recorded. The POST follows at once."""
    NOT_ACCEPTED = "not accepted"
    """The provider certainly did not accept it, and it will be sent again."""
    MOVE = "move"
    """Its account certainly did not accept it, and another account gets it: both are one write."""
    REFUSE = "refuse"
    """The provider certainly did not accept it, and it will not be sent again; or it cannot be sent at all."""
    WITHDRAW = "withdraw"
    """The process that should send it withdraws it. The provider certainly has not accepted it."""
    CANCEL = "cancel"
    """Any process withdraws a job that has not been sent."""
    LOSE_ANSWER = "lose answer"
    """It was sent, no readable response came, and it may not be sent again."""
    ANSWER = "answer"
    """The response to the POST names the task."""
    CALL_BACK = "call back"
    """A callback names the task of a job whose submit has not been answered."""
    ADOPT = "adopt"
    """The user, or a search of the provider's list, found the task of a job of unknown outcome."""
    CORRECT = "correct"
    """The response to the POST names another task than a callback did. The response takes precedence."""
    WRITE_OFF = "write off"
    """The user declared a job of unknown outcome lost."""
    PROMISE = "promise"
    """It must be sent even if its process dies."""
    TAKE_OVER = "take over"
    """Another process becomes the owner, because the former owner is dead."""
    RELEASE = "release"
    """Its owner leaves it to the next process that opens the store."""
    SAVE = "save"
    """The path at which its video is to be saved was set or has changed."""
    SAVE_ENDED = "save ended"
    """Its video was saved, or saving it was given up."""
    TASK_ACTIVE = "task active"
    """The task was observed, and has not ended."""
    TASK_SUCCEEDED = "task succeeded"
    """The task was observed to have succeeded."""
    TASK_FAILED = "task failed"
    """The task was observed to have failed."""
    TASK_CANCELED = "task canceled"
    """The task was observed to have been cancelled."""
    TASK_EXPIRED = "task expired"
    """The provider no longer knows the task."""


_WITH_TASK = (A, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED)

TRANSITIONS: Mapping[tuple[JobState, JobEvent], JobState] = MappingProxyType(
    {
        (Q, JobEvent.SUBMIT): S,
        (S, JobEvent.SUBMIT): S,
        (S, JobEvent.NOT_ACCEPTED): Q,
        (Q, JobEvent.NOT_ACCEPTED): Q,
        (S, JobEvent.MOVE): Q,
        (Q, JobEvent.MOVE): Q,
        (Q, JobEvent.REFUSE): JobState.REFUSED,
        (S, JobEvent.REFUSE): JobState.REFUSED,
        (Q, JobEvent.WITHDRAW): JobState.WITHDRAWN,
        (S, JobEvent.WITHDRAW): JobState.WITHDRAWN,
        (Q, JobEvent.CANCEL): JobState.WITHDRAWN,
        (S, JobEvent.LOSE_ANSWER): U,
        (Q, JobEvent.ANSWER): A,
        (S, JobEvent.ANSWER): A,
        (U, JobEvent.ANSWER): A,
        (JobState.REFUSED, JobEvent.ANSWER): A,
        (JobState.WITHDRAWN, JobEvent.ANSWER): A,
        (JobState.WRITTEN_OFF, JobEvent.ANSWER): A,
        (Q, JobEvent.CALL_BACK): A,
        (S, JobEvent.CALL_BACK): A,
        (U, JobEvent.CALL_BACK): A,
        (U, JobEvent.ADOPT): A,
        **{(state, JobEvent.CORRECT): A for state in _WITH_TASK},
        (U, JobEvent.WRITE_OFF): JobState.WRITTEN_OFF,
        **{(state, JobEvent.PROMISE): state for state in (Q, S)},
        **{(state, JobEvent.TAKE_OVER): state for state in (Q, S, A, JobState.SUCCEEDED)},
        **{(state, JobEvent.RELEASE): state for state in (Q, S, A, JobState.SUCCEEDED)},
        **{(state, JobEvent.SAVE): state for state in JobState},
        (JobState.SUCCEEDED, JobEvent.SAVE_ENDED): JobState.SUCCEEDED,
        (A, JobEvent.TASK_ACTIVE): A,
        (A, JobEvent.TASK_SUCCEEDED): JobState.SUCCEEDED,
        (A, JobEvent.TASK_FAILED): JobState.FAILED,
        (A, JobEvent.TASK_CANCELED): JobState.CANCELED,
        (A, JobEvent.TASK_EXPIRED): JobState.EXPIRED,
        # Fresh URLs of a video whose old ones have expired.
        (JobState.SUCCEEDED, JobEvent.TASK_SUCCEEDED): JobState.SUCCEEDED,
        (JobState.SUCCEEDED, JobEvent.TASK_EXPIRED): JobState.EXPIRED,
        # A task that the provider seemed to have forgotten may reappear.
        (JobState.EXPIRED, JobEvent.TASK_ACTIVE): A,
        (JobState.EXPIRED, JobEvent.TASK_SUCCEEDED): JobState.SUCCEEDED,
        (JobState.EXPIRED, JobEvent.TASK_FAILED): JobState.FAILED,
        (JobState.EXPIRED, JobEvent.TASK_CANCELED): JobState.CANCELED,
        (JobState.EXPIRED, JobEvent.TASK_EXPIRED): JobState.EXPIRED,
    }
)
"""The state that an event leads to. An event that is missing for a state does not apply to it, and changes nothing."""

OWNER_ONLY = frozenset(
    {
        JobEvent.SUBMIT,
        JobEvent.NOT_ACCEPTED,
        JobEvent.MOVE,
        JobEvent.REFUSE,
        JobEvent.WITHDRAW,
        JobEvent.LOSE_ANSWER,
        JobEvent.PROMISE,
        JobEvent.TAKE_OVER,
        JobEvent.RELEASE,
        JobEvent.SAVE,
    }
)
"""
Events that are written only if the owner is still the one that the writer knew.

All others may be written by any process, on condition of the state: knowledge of a task is never refused because of who
has it. The same holds for what the user decides.
"""

RESERVES = frozenset({JobEvent.SUBMIT, JobEvent.PROMISE, JobEvent.MOVE})
"""Events that a budget may forbid, because they may raise the charge of a job."""

TAKEN_BACK = frozenset(
    target
    for (_, event), target in TRANSITIONS.items()
    if event in (JobEvent.WITHDRAW, JobEvent.CANCEL, JobEvent.WRITE_OFF)
)
"""States of a job that a caller did not want any more. That says nothing about another caller who wants it."""

_LEARNS_TASK = frozenset({JobEvent.ANSWER, JobEvent.CALL_BACK, JobEvent.ADOPT, JobEvent.CORRECT})

_TASK_EVENTS = {
    TaskStatus.SUCCEEDED: JobEvent.TASK_SUCCEEDED,
    TaskStatus.FAILED: JobEvent.TASK_FAILED,
    TaskStatus.CANCELED: JobEvent.TASK_CANCELED,
    TaskStatus.EXPIRED: JobEvent.TASK_EXPIRED,
}


@frozen
class Conditions:
    """What must be true of the stored entry for a change to be written; see `TaskStore.change`."""

    only_from: frozenset[JobState]
    only_owner: str | None


def task_event(status: TaskStatus) -> JobEvent:
    """Return the event of an observation."""
    return _TASK_EVENTS.get(status, JobEvent.TASK_ACTIVE)


def applies(state: JobState, event: JobEvent) -> bool:
    """Return whether *event* can happen to a job in *state*."""
    return (state, event) in TRANSITIONS


def apply(job: Job, event: JobEvent, *, task: Task | None = None, **changes: Any) -> Job | None:
    """
    Return *job* after *event*; `None` if the event does not apply to its state.

    :param task: for an event that comes with an observation of the task.
    :param changes: further fields of the job to set.
    """
    state = TRANSITIONS.get((job.state, event))
    if state is None:
        return None
    if task is not None:
        if event in _LEARNS_TASK:
            state = TRANSITIONS[state, task_event(task.status)]
            changes = {"body": None, "error": None, **changes, "task_id": task.id}
        task = job.with_model(task)
        changes["task"] = evolve(task, raw={}) if task.raw else task
        if job.price is not None:
            # A success that is observed once more may come without its figures.
            billed = job.price.billed_for(task)
            known = None if event in _LEARNS_TASK else job.price.billed
            billed = known if billed is None else billed
            changes["price"] = job.price if billed == job.price.billed else evolve(job.price, billed=billed)
    if event is JobEvent.SUBMIT and job.state is S:
        # The idempotency key is valid from the first POST that may have arrived.
        changes["submitted_at"] = job.submitted_at or changes.get("submitted_at")
    after = evolve(job, state=state, **changes)
    # A job that needs no more work has no owner.
    return after if after.is_unfinished or after.owner is None else evolve(after, owner=None)


def conditions(before: Job, event: JobEvent, after: Job) -> Conditions:
    """Derive the conditions of writing *after*, which *event* has made of *before*."""
    learned = task_event(after.task.status) if event in _LEARNS_TASK and after.task is not None else None
    return Conditions(_sources(event, learned, after.state), before.owner if event in OWNER_ONLY else None)


@cache
def _sources(event: JobEvent, learned: JobEvent | None, target: JobState) -> frozenset[JobState]:
    """Return the states from which *event*, followed by its observation of the task, leads to *target*."""
    reached = {state: TRANSITIONS[state, event] for state in JobState if applies(state, event)}
    return frozenset(
        state for state, after in reached.items() if target is (TRANSITIONS[after, learned] if learned else after)
    )


def to_mermaid() -> str:
    """Draw the table as a Mermaid state diagram, for the documentation. Events that keep the state are left out."""
    labels: dict[tuple[JobState, JobState], list[str]] = {}
    for (state, event), target in TRANSITIONS.items():
        if state is not target:
            labels.setdefault((state, target), []).append(event.value)
    lines = ["stateDiagram-v2", "    [*] --> QUEUED"]
    lines += [f"    {state} --> {target}: {', '.join(events)}" for (state, target), events in labels.items()]
    return "\n".join(lines) + "\n"
