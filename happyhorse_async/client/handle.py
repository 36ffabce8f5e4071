"""The caller's live end of a task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ..download import Progress
from ..errors import TaskCanceledError, TaskExpiredError, TaskFailedError, WaitTimeoutError
from ..task import Task, TaskRef, TaskStatus
from ..tracked_job import TrackedJob

if TYPE_CHECKING:
    from .client import Client


class TaskHandle:
    """
    A job, and the task that comes of it. It goes on at its provider, whether or not anybody waits for it.

    Awaiting the handle returns the succeeded `Task` or raises. Cancelling whoever waits ends the waiting alone.
    """

    __slots__ = ("__weakref__", "_client", "_tracked")

    def __init__(self, client: Client, tracked: TrackedJob) -> None:
        self._client = client
        self._tracked = tracked

    def __reduce__(self) -> NoReturn:
        raise TypeError("a handle cannot be pickled, its client included: hand over str(handle.ref), and resume that")

    @property
    def job_id(self) -> str:
        """Our own id of the job. It existed before the submit."""
        return self._tracked.job_id

    @property
    def ref(self) -> TaskRef | None:
        """
        The task's name: store `str(handle.ref)` and give it to `Client.resume`.

        `None` until the provider has taken the job, which it has when `Client.submit` returns.
        """
        return self._tracked.ref

    @property
    def id(self) -> str | None:
        """The provider's id of the task, once it has taken the job."""
        return self._tracked.ref.id if self._tracked.ref else None

    @property
    def task(self) -> Task | None:
        """The last observation; `None` until there is one."""
        return self._tracked.whole_task

    def __await__(self) -> Generator[object, None, Task]:
        return self.wait().__await__()

    async def wait(self, timeout: float | None = None) -> Task:
        """
        Wait for the video.

        :param timeout: seconds to wait. When they are over the task goes on and the handle stays good.
        :raises TaskFailedError: the provider failed it.
        :raises TaskCanceledError: it was cancelled.
        :raises TaskExpiredError: the provider no longer knows it.
        :raises SubmitOutcomeUnknownError: and whatever else `Client.submit` raises, for a job that was enqueued.
        :raises WaitTimeoutError: *timeout* is over, or the client was closed. Its `ref` resumes the task.
        :raises AuthenticationError: and its like: looking has become impossible. The task stays as it is.
        :raises RuntimeError: the handle belongs to another event loop, or its client is closed.
        """
        if timeout is not None:
            return await self._wait_within(timeout)
        await self._client.attend(self._tracked)
        while not self._tracked.ended:
            await self._tracked.news()
        return self._result()

    async def _wait_within(self, timeout: float) -> Task:
        try:
            async with asyncio.timeout(timeout):
                return await self.wait()
        except WaitTimeoutError:
            raise
        except TimeoutError:
            raise self._out_of_time(timeout) from None

    async def updates(self) -> AsyncGenerator[Task]:
        """
        Yield the last observation and then every change, once each, until the task has ended.

        The terminal snapshot is the last one; a failed task is yielded, not raised.

        :raises AuthenticationError: and its like: looking has become impossible. The task stays as it is.
        """
        await self._client.attend(self._tracked)
        async for task in self._tracked.changes():
            yield task

    async def cancel(self) -> Task | None:
        """
        Cancel the task, and return how it stands afterwards: cancelled, or too far gone for it.

        A job that has not been sent is taken back without asking anybody, and there is no task to return. That is
        written down when the call returns, so that no other process sends it either.

        :raises UnsupportedFeatureError: the provider cannot cancel. The task goes on.
        :raises StoreError: the withdrawal cannot be written down.
        """
        if await self._client.withdraw(self._tracked):
            return None
        await self._tracked.accepted()
        assert self._tracked.ref is not None
        return await self._client.cancel(self._tracked.ref)

    async def download(self, path: str | PathLike[str], *, progress: Progress | None = None) -> Path:
        """
        Wait for the video and bring it to disk; see `Client.download`.

        :raises TaskError: there will be no video.
        """
        return await self._client.download(await self.wait(), path, progress=progress)

    def _result(self) -> Task:
        task = self._tracked.whole_task
        assert task is not None
        why = f": {task.error.message}" if task.error and task.error.message else ""
        match task.status:
            case TaskStatus.SUCCEEDED:
                return task
            case TaskStatus.FAILED:
                raise TaskFailedError(f"the task failed{why}", task=task, job_id=self.job_id)
            case TaskStatus.CANCELED:
                raise TaskCanceledError(f"the task was cancelled{why}", task=task, job_id=self.job_id)
            case _:
                raise TaskExpiredError(
                    "the provider no longer knows the task, or its lifetime is over", task=task, job_id=self.job_id
                )

    def _out_of_time(self, timeout: float) -> WaitTimeoutError:
        return WaitTimeoutError(
            f"the task has not ended within {timeout:g} s; it goes on, resume it by its ref",
            task=self.task,
            ref=self.ref,
            job_id=self.job_id,
        )

    def __repr__(self) -> str:
        status = self.task.status if self.task else "not looked at yet"
        return f"<TaskHandle {self.ref or self.job_id} {status}>"
