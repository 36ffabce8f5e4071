"""Handles: a caller's live view of one job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from os import PathLike
from pathlib import Path
from typing import NoReturn, Self

from attrs import frozen

from .. import telemetry
from ..download import Progress
from ..errors import WaitTimeoutError
from ..jobs.job_errors import task_error
from ..task import Task, TaskRef, TaskStatus
from ..tracked_job import Subscription, TrackedJob
from .runtime import Lifecycle


@frozen
class Unloaded:
    """A job that is known only by its id or key, and not loaded yet."""

    job_id: str | None
    key: str | None


class JobHandle:
    """
    A job, and its task once the provider has accepted it. The job goes on whether or not anyone waits for it.

    Awaiting the handle returns the succeeded `Task` or raises. Cancelling a waiter only ends the waiting.
    """

    __slots__ = ("__weakref__", "_lifecycle", "_tracked")

    def __init__(self, lifecycle: Lifecycle, tracked: TrackedJob | Unloaded) -> None:
        self._lifecycle = lifecycle
        self._tracked = tracked

    def __reduce__(self) -> NoReturn:
        raise TypeError("a handle cannot be pickled, because its client cannot: pass str(handle.ref), and resume that")

    @property
    def job_id(self) -> str:
        """
        Our own id of the job. It exists before the submit.

        :raises RuntimeError: the handle was made from a key, and has not been awaited yet.
        """
        job_id = self._tracked.job_id
        if job_id is None:
            raise RuntimeError("the job was named by its key: its id is known once the handle has been awaited")
        return job_id

    @property
    def ref(self) -> TaskRef | None:
        """The task: store `str(handle.ref)` and pass it to `Client.resume`. `None` until the job is accepted."""
        return self._tracked.ref if isinstance(self._tracked, TrackedJob) else None

    @property
    def id(self) -> str | None:
        """The provider's id of the task; `None` until the job is accepted."""
        return self.ref.id if self.ref else None

    @property
    def task(self) -> Task | None:
        """The last observation; `None` until there is one."""
        return self._tracked.whole_task if isinstance(self._tracked, TrackedJob) else None

    def __await__(self) -> Generator[object, None, Task]:
        return self.wait().__await__()

    async def wait(self, timeout: float | None = None) -> Task:
        """
        Wait for the video.

        :param timeout: seconds to wait. After that the task continues and the handle stays usable.
        :raises TaskFailedError: the provider failed the task.
        :raises TaskCanceledError: it was cancelled, or the job was withdrawn before it was sent.
        :raises TaskExpiredError: the provider no longer knows it.
        :raises SubmitOutcomeUnknownError: and the other errors of `Client.submit`, for an enqueued job.
        :raises WaitTimeoutError: *timeout* has passed, or the client was closed. Its `ref` resumes the task.
        :raises AuthenticationError: and its like: polling has become impossible. The task itself goes on.
        :raises RuntimeError: the handle belongs to another event loop, or its client is closed.
        """
        if timeout is not None:
            return await self._wait_within(timeout)
        tracked = await self._attend()
        if tracked.span is not None:
            await telemetry.wait(tracked.span, _end_of(tracked))
        # Not in a coroutine of its own, which would cost memory: many thousands may wait.
        while not tracked.ended:
            await tracked.changed()
        task = tracked.whole_task
        assert task is not None
        error = None if task.status is TaskStatus.SUCCEEDED else task_error(task, tracked.job_id)
        if error is not None:
            raise error
        return task

    async def _wait_within(self, timeout: float) -> Task:
        try:
            async with asyncio.timeout(timeout):
                return await self.wait()
        except WaitTimeoutError:
            raise
        except TimeoutError:
            raise WaitTimeoutError(
                f"the task has not ended within {timeout:g} s; it keeps running, resume it by its ref",
                task=self.task,
                ref=self.ref,
                job_id=self._tracked.job_id,
            ) from None

    def updates(self, repeat_after: float | None = None) -> TaskUpdates:
        """
        Iterate over the last observation and then every change, once each, until the task has ended.

        The terminal snapshot is the last one; a failed task is yielded, not raised. Cancelling one `anext` loses
        nothing.

        :param repeat_after: yield the last snapshot again after so many seconds without a change, for keep-alives.
        :raises AuthenticationError: and its like: polling has become impossible. The task itself goes on.
        """
        return TaskUpdates(self._subscribe, repeat_after)

    async def cancel(self) -> Task | None:
        """
        Cancel the task, and return its state afterwards: cancelled, or too late for it.

        A job that has not been sent is withdrawn without any request, and `None` is returned. That is recorded when
        the call returns, so that no other process sends the job either.

        :raises UnsupportedFeatureError: the provider cannot cancel. The task goes on.
        :raises StoreError: the withdrawal cannot be recorded.
        """
        runtime, tracked = self._lifecycle.inside(), await self._load()
        if await runtime.intake.withdraw(tracked.job_id):
            return None
        await tracked.accepted()
        assert tracked.ref is not None
        return await runtime.cancel(tracked.ref)

    async def download(self, path: str | PathLike[str], *, progress: Progress | None = None) -> Path:
        """
        Wait for the video and download it; see `Client.download`.

        :raises TaskError: there will be no video.
        """
        return await self._lifecycle.inside().download(await self.wait(), path, progress=progress)

    async def _load(self) -> TrackedJob:
        if isinstance(self._tracked, Unloaded):
            intake = self._lifecycle.inside().intake
            self._tracked = await intake.load(job_id=self._tracked.job_id, key=self._tracked.key)
        return self._tracked

    async def _attend(self) -> TrackedJob:
        tracked = await self._load() if isinstance(self._tracked, Unloaded) else self._tracked
        if not tracked.ended:
            await self._lifecycle.inside().intake.attend(tracked)
        return tracked

    async def _subscribe(self) -> tuple[TrackedJob, Subscription]:
        tracked = await self._attend()
        return tracked, tracked.subscribe()

    def __repr__(self) -> str:
        name = self.ref or self._tracked.job_id or f"key={getattr(self._tracked, 'key', None)!r}"
        return f"<{type(self).__name__} {name} {self.task.status if self.task else 'not polled yet'}>"


async def _end_of(tracked: TrackedJob) -> None:
    while not tracked.ended:
        await tracked.changed()


class TaskHandle(JobHandle):
    """A job that the provider has accepted: `ref` and `id` are known."""

    __slots__ = ()

    @property
    def ref(self) -> TaskRef:
        """The task: store `str(handle.ref)` and pass it to `Client.resume`."""
        ref = self._tracked.ref if isinstance(self._tracked, TrackedJob) else None
        assert ref is not None
        return ref

    @property
    def id(self) -> str:
        """The provider's id of the task."""
        return self.ref.id


class TaskUpdates:
    """The observations of one task, as an asynchronous iterator; see `JobHandle.updates`."""

    def __init__(
        self, subscribe: Callable[[], Awaitable[tuple[TrackedJob, Subscription]]], repeat_after: float | None
    ) -> None:
        self._subscribe = subscribe
        self._repeat_after = repeat_after
        self._source: tuple[TrackedJob, Subscription] | None = None
        self._last: Task | None = None
        self._is_over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Task:
        if self._is_over:
            raise StopAsyncIteration
        try:
            async with asyncio.timeout(None if self._last is None else self._repeat_after):
                task = await self._next()
        except TimeoutError as error:
            if isinstance(error, WaitTimeoutError) or self._last is None:
                self._is_over = True
                raise
            return self._last
        except Exception:
            self._is_over = True
            raise
        self._last, self._is_over = task, task.status.is_terminal
        return task

    async def _next(self) -> Task:
        if self._source is None:
            self._source = await self._subscribe()
        tracked, subscription = self._source
        while (task := subscription.take()) is None:
            tracked.check()
            await subscription.wait()
        return task

    async def aclose(self) -> None:
        """Stop iterating. The task goes on."""
        self._source, self._is_over = None, True
