"""Runs many jobs at once, and yields their results as they finish."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from os import PathLike
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar

from attrs import field, frozen

from ..errors import WaitTimeoutError
from ..request import VideoRequest
from ..task import Task, TaskRef


class Accepted(Protocol):
    """A job that the provider has accepted."""

    @property
    def job_id(self) -> str: ...
    @property
    def ref(self) -> TaskRef | None: ...
    @property
    def task(self) -> Task | None: ...


A = TypeVar("A", bound=Accepted)
T = TypeVar("T")
R = TypeVar("R")

Work: TypeAlias = Callable[[int, T, Callable[[], None]], Awaitable[R]]
"""
Processes one item, given its index, and returns its result, also for a failure. It calls the third argument once the
item is submitted: until then, stopping the batch cancels it.
"""
Spawn: TypeAlias = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]

DEFAULT_LIMIT = 1000
"""The default number of items in flight at once."""


@frozen
class JobRequest:
    """A request with its own options, as an item of `Client.generate_many`."""

    request: VideoRequest
    """The request."""
    key: str | None = field(default=None, kw_only=True)
    """Your own name for the job; see `Client.submit`."""
    provider: str | None = field(default=None, kw_only=True)
    """The configuration section or adapter to use; by default the client's."""
    save_to: str | PathLike[str] | None = field(default=None, kw_only=True)
    """A file or a folder for the video; see `Client.submit`."""
    callback_url: str | None = field(default=None, kw_only=True)
    """The webhook URL for this job; see `Client.submit`."""

    @classmethod
    def of(cls, item: VideoRequest | JobRequest) -> JobRequest:
        """Return *item* as a `JobRequest`; a plain request has no options."""
        return item if isinstance(item, JobRequest) else cls(item)


@frozen(kw_only=True)
class Succeeded:
    """A job of a batch whose video is ready."""

    index: int
    """The position of the request, counted from 0."""
    request: VideoRequest
    """The request."""
    job_id: str
    """Our own id of the job."""
    ref: TaskRef
    """The task."""
    task: Task
    """The succeeded task."""
    error: None = field(default=None, init=False)
    """Always `None`: there was no error."""


@frozen(kw_only=True)
class Failed:
    """A job of a batch without a video, or whose video is not known yet."""

    index: int
    """The position of the request, counted from 0."""
    request: VideoRequest
    """The request."""
    error: Exception
    """Why there is no video. After a `WaitTimeoutError` the task keeps running and can be resumed by `ref`."""
    job_id: str | None = None
    """Our own id of the job, if there is one."""
    ref: TaskRef | None = None
    """The task, if the provider accepted the job."""
    task: None = field(default=None, init=False)
    """Always `None`. The last observation of a task that failed is `error.task`."""


Outcome: TypeAlias = Succeeded | Failed
"""The outcome of one job of a batch. A type checker knows that there is a `task` if `error` is `None`."""


async def generate_one(
    index: int,
    job: JobRequest,
    submitted: Callable[[], None],
    *,
    submit: Callable[[JobRequest], Awaitable[A]],
    wait: Callable[[A, JobRequest], Awaitable[Task]],
) -> Outcome:
    """Submit *job* and wait for it. Every failure is an outcome; only a job that was withdrawn unsent has none."""
    handle: A | None = None
    try:
        handle = await submit(job)
        submitted()
        task = await wait(handle, job)
        return Succeeded(index=index, request=job.request, job_id=handle.job_id, ref=task.ref, task=task)
    except asyncio.CancelledError:
        if handle is None:
            raise
        message = "the client was closed while the task was running"
        error: Exception = WaitTimeoutError(message, task=handle.task, ref=handle.ref, job_id=handle.job_id)
    except Exception as failure:  # noqa: BLE001 - a failed job must not end the others
        error = failure
    return Failed(
        index=index,
        request=job.request,
        error=error,
        job_id=handle.job_id if handle else getattr(error, "job_id", None),
        ref=(handle.ref if handle else None) or getattr(error, "ref", None),
    )


class Batch(Generic[R]):
    """
    The results of many jobs, as they finish.

    Iterate over it with `async for`. At most *limit* jobs are in flight or finished and not yet taken, so that a slow
    consumer stops paying. Leaving the loop stops submitting and cancels unsent jobs; submitted jobs continue and can be
    resumed by their refs.

    :param items: read as needed.
    :param work: processes one item.
    :param spawn: starts a task that belongs to the client and ends with it.
    :param limit: how many items are in flight at once.
    """

    def __init__(
        self, items: Iterable[T] | AsyncIterable[T], work: Work[T, R], *, spawn: Spawn, limit: int | None = None
    ) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        self._run: _Run[Any, R] = _Run(items, work, spawn, limit or DEFAULT_LIMIT)
        # `async for` does not close an iterator when the loop is left; only garbage collection does.
        weakref.finalize(self, self._run.stop).atexit = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        result = await self._run.next()
        if result is None:
            raise StopAsyncIteration
        return result

    async def aclose(self) -> None:
        """Stop submitting. Submitted jobs continue."""
        self._run.stop()


class _Run(Generic[T, R]):
    """The tasks of a batch. They hold no reference to the batch, whose garbage collection stops them."""

    def __init__(self, items: Iterable[T] | AsyncIterable[T], work: Work[T, R], spawn: Spawn, limit: int) -> None:
        self._items = items
        self._work = work
        self._spawn = spawn
        self._slots = asyncio.Semaphore(limit)
        self._results: asyncio.Queue[R | None] = asyncio.Queue()
        self._unsubmitted: dict[int, asyncio.Task[R]] = {}
        self._in_flight = 0
        self._begun = self._exhausted = self._stopped = False
        self._error: Exception | None = None

    async def next(self) -> R | None:
        """Return the next result; `None` at the end."""
        if not self._begun:
            self._begun = True
            self._spawn(self._feed())
        if not (self._stopped or self._is_finished):
            result = await self._results.get()
            if result is not None:
                self._slots.release()
                self._in_flight -= 1
                return result
        error, self._error = self._error, None
        if error is not None and not self._stopped:
            raise error
        return None

    def stop(self) -> None:
        """Take no further items, and cancel those that are not submitted: their results would be lost."""
        self._stopped = True
        self._slots.release()
        self._results.put_nowait(None)
        for task in self._unsubmitted.values():
            task.cancel()

    @property
    def _is_finished(self) -> bool:
        return self._exhausted and not self._in_flight

    async def _feed(self) -> None:
        try:
            await self._slots.acquire()
            index = 0
            async for item in _iterate(self._items):
                if self._stopped:
                    return
                self._start(index, item)
                index += 1
                await self._slots.acquire()
        except Exception as error:  # noqa: BLE001 - the caller's own iterator failed: raised after all results
            self._error = error
        except asyncio.CancelledError:
            self._error = _closed()
            raise
        finally:
            self._exhausted = True
            self._end_if_finished()

    def _start(self, index: int, item: T) -> None:
        def submitted() -> None:
            self._unsubmitted.pop(index, None)

        async def run() -> R:
            return await self._work(index, item, submitted)

        task = self._unsubmitted[index] = self._spawn(run())
        self._in_flight += 1
        task.add_done_callback(lambda done: self._take(index, done))

    def _take(self, index: int, task: asyncio.Task[R]) -> None:
        self._unsubmitted.pop(index, None)
        if task.cancelled():
            # The batch was stopped, or its client is being closed.
            self._error = self._error or _closed()
        elif error := task.exception():
            self._error = error if isinstance(error, Exception) else _closed()
        else:
            self._results.put_nowait(task.result())
            return
        self._in_flight -= 1
        self._end_if_finished()

    def _end_if_finished(self) -> None:
        if self._is_finished:
            self._results.put_nowait(None)


def _closed() -> RuntimeError:
    return RuntimeError("the client was closed before every request had its outcome")


async def _iterate(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
