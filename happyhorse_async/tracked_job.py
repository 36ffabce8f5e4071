"""What a client knows of one job and its task, and who waits for them."""

from __future__ import annotations

import asyncio
import marshal
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from copy import copy
from sys import intern
from typing import Any

from attrs import evolve

from .errors import HappyHorseError
from .job import Job
from .poll_state import PollState
from .ratelimit.concurrency import Permit
from .task import Task, TaskRef

_INBOX_SIZE = 100
_NOTHING: Mapping[str, Any] = {}
_PACKED_NOTHING = marshal.dumps({})


class TrackedJob:
    """What a client knows of one job and its task. All handles share it; the poller keeps its figures here."""

    __slots__ = (
        "__weakref__",
        "_inboxes",
        "_onlookers",
        "_raw",
        "_waiters",
        "faults",
        "gone",
        "job",
        "job_id",
        "misses",
        "permit",
        "poll",
        "ref",
        "refusals",
        "task",
    )  # fmt: skip

    def __init__(self, ref: TaskRef | None = None, *, job_id: str) -> None:
        self.ref = ref
        """The task's name; `None` until the provider has taken the job."""
        self.job_id = job_id
        self.job: Job | None = None
        """The journal's entry, where there is one."""
        self.task: Task | None = None
        """The last observation. Until it is the end it lacks the provider's object; see `whole_task`."""
        self.gone: HappyHorseError | None = None
        """Why nobody looks any more although the task has not ended. Whoever waits next begins anew."""
        self.poll = PollState()
        """The polls of its task."""
        self.faults = 0
        """How many looks in a row failed."""
        self.misses = 0
        """How many looks in a row found the task unknown."""
        self.refusals = 0
        """How many looks in a row the provider refused."""
        self.permit: Permit | None = None
        """Counts the task among those that the provider has, where they are counted."""
        # Nearly every task has one waiter, for whom a list would take twice the room.
        self._waiters: tuple[asyncio.Future[None], ...] = ()
        self._onlookers: tuple[asyncio.Future[None], ...] = ()
        self._inboxes: set[_Inbox] | None = None
        self._raw: bytes | Mapping[str, Any] = _PACKED_NOTHING

    @property
    def whole_task(self) -> Task | None:
        """The last observation, with the provider's object as it was last seen."""
        return None if self.task is None else self._whole(self.task)

    def _whole(self, task: Task) -> Task:
        return task if task.raw else evolve(task, raw=_unpacked(self._raw))

    @property
    def ended(self) -> bool:
        """Whether the task has come to its end."""
        return self.task is not None and self.task.status.is_terminal

    @property
    def has_callback(self) -> bool:
        """Whether the provider was told to call us at the end, so that looking is only for the call that is lost."""
        return self.job is not None and self.job.callback_url is not None

    def record(self, task: Task) -> bool:
        """Make *task* the last observation, and return whether it says anything new."""
        last, self.task = self.task, self._whole(task) if task.status.is_terminal else self.keep(task)
        new = last is None or _news(last) != _news(task)
        if new and self._inboxes:
            whole = self._whole(self.task)
            for inbox in self._inboxes:
                inbox.put(whole)
        return new

    def keep(self, task: Task) -> Task:
        """Keep the provider's object for `whole_task`, and return *task* without it, as the journal has it too."""
        if not task.raw:
            return task
        self._raw = _packed(task.raw)
        # What many observations have in common is held once.
        return evolve(
            task,
            ref=self.ref if self.ref == task.ref else task.ref,
            raw_status=_shared(task.raw_status),
            model=_shared(task.model),
            raw=_NOTHING,
        )

    @property
    def awaited(self) -> bool:
        """Whether anybody waits."""
        return bool(self._inboxes) or any(_waiting(self._waiters))

    def give_up(self, error: HappyHorseError) -> None:
        """Tell everybody who waits that nothing more will come, and why."""
        self.gone = error.about(ref=self.ref, job_id=self.job_id)
        self.poll.entry = 0
        self.wake()

    def wake(self) -> None:
        """Wake everybody who waits: the job was accepted, the task has ended, or nobody looks any more."""
        if self.ended or self.gone is not None:
            self.release_permit()
        woken = (*self._waiters, *self._onlookers)
        self._waiters = self._onlookers = ()
        for waiter in woken:
            if not waiter.done():
                waiter.set_result(None)
        for inbox in self._inboxes or ():
            inbox.news.set()

    def release_permit(self) -> None:
        """Leave the place among the provider's tasks to another: this one has ended, or nobody looks when it does."""
        permit, self.permit = self.permit, None
        if permit is not None:
            permit.release()

    def news(self) -> asyncio.Future[None]:
        """
        Return what is done when the job is accepted, the task has ended or nobody looks any more.

        :raises HappyHorseError: nobody looks any more. Each waiter gets an exception of its own.
        """
        waiter = self._future()
        self._waiters = (*_waiting(self._waiters), waiter)
        return waiter

    def _future(self) -> asyncio.Future[None]:
        if self.gone is not None:
            raise copy(self.gone) from self.gone.__cause__
        return asyncio.get_running_loop().create_future()

    async def accepted(self) -> None:
        """
        Wait until the provider has taken the job.

        :raises HappyHorseError: it will not.
        """
        while self.ref is None:
            await self.news()

    async def stopped(self) -> None:
        """
        Wait until the task has ended, without counting as somebody who waits: nothing is sent for this alone.

        :raises HappyHorseError: nobody looks any more.
        """
        while not self.ended:
            waiter = self._future()
            self._onlookers = (*_waiting(self._onlookers), waiter)
            await waiter

    async def changes(self) -> AsyncGenerator[Task]:
        """
        Yield the last observation and then every one that says something new, the end included.

        A consumer that falls far behind misses the oldest; it never holds up anybody.

        :raises HappyHorseError: nobody looks any more.
        """
        inbox = _Inbox()
        if self.task is not None:
            inbox.put(self._whole(self.task))
        self._inboxes = self._inboxes or set()
        self._inboxes.add(inbox)
        try:
            while True:
                while inbox.tasks:
                    task = inbox.tasks.popleft()
                    yield task
                    if task.status.is_terminal:
                        return
                if self.gone is not None:
                    raise copy(self.gone) from self.gone.__cause__
                inbox.news.clear()
                await inbox.news.wait()
        finally:
            self._inboxes.discard(inbox)


def _waiting(futures: Iterable[asyncio.Future[None]]) -> Iterator[asyncio.Future[None]]:
    # Those who have left leave their futures behind.
    return (future for future in futures if not future.done())


class _Inbox:
    def __init__(self) -> None:
        self.tasks: deque[Task] = deque(maxlen=_INBOX_SIZE)
        self.news = asyncio.Event()

    def put(self, task: Task) -> None:
        self.tasks.append(task)
        self.news.set()


def _shared(word: str | None) -> str | None:
    return None if word is None else intern(str(word))


def _packed(raw: Any) -> bytes | Mapping[str, Any]:
    # As objects, a small answer takes a kilobyte, which the garbage collector goes through again and again.
    try:
        packed: bytes | Mapping[str, Any] = marshal.dumps(raw)
    except ValueError:
        # An adapter has put more into it than JSON has.
        packed = raw
    return packed


def _unpacked(raw: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    return marshal.loads(raw) if isinstance(raw, bytes) else raw  # noqa: S302 - our own, and never left this process


def _news(task: Task) -> tuple[object, ...]:
    return task.status, task.raw_status, task.progress, task.videos, task.error
