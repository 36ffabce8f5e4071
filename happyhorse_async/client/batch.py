"""Many generations at once, in the order in which they finish."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeAlias

from attrs import frozen

from ..errors import WaitTimeoutError
from ..request import VideoRequest
from ..task import Task, TaskRef
from .handle import TaskHandle

Submit: TypeAlias = Callable[[VideoRequest], Awaitable[TaskHandle]]
Spawn: TypeAlias = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]

_LIMIT = 1000


@frozen(kw_only=True)
class Outcome:
    """How one of many generations ended. Exactly one of `task` and `error` is set."""

    index: int
    """The request's place, counted from 0."""
    request: VideoRequest
    """What was asked for."""
    ref: TaskRef | None = None
    """The task, if it was accepted."""
    task: Task | None = None
    """The succeeded task."""
    error: Exception | None = None
    """Why there is no video."""


class Batch:
    """
    The outcomes of many generations, as they finish.

    Iterate over it with `async for`. At most *limit* generations are in flight or finished and not yet taken, so that a
    slow consumer does not go on paying. Leaving the loop stops submitting; what was submitted goes on, watched by the
    client, and can be resumed by its ref.
    """

    def __init__(
        self,
        requests: Iterable[VideoRequest] | AsyncIterable[VideoRequest],
        *,
        submit: Submit,
        spawn: Spawn,
        limit: int | None,
    ) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        self._run = _Run(submit, spawn, limit or _LIMIT)
        self._requests = requests
        # An `async for` that is left early drops its iterator without a word to it.
        weakref.finalize(self, self._run.stop).atexit = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        self._run.begin(self._requests)
        outcome = await self._run.next()
        if outcome is None:
            raise StopAsyncIteration
        return outcome

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop submitting. What was submitted goes on."""
        self._run.stop()


class _Run:
    """The part of a batch that works. It must not hold the batch, whose end is its signal to stop."""

    def __init__(self, submit: Submit, spawn: Spawn, limit: int) -> None:
        self._submit = submit
        self._spawn = spawn
        self._places = asyncio.Semaphore(limit)
        self._outcomes: asyncio.Queue[Outcome | None] = asyncio.Queue()
        self._unsent: dict[int, asyncio.Task[Outcome]] = {}
        self._error: Exception | None = None
        self._begun = False
        self._fed = False
        self._stopped = False
        self._open = 0

    def begin(self, requests: Iterable[VideoRequest] | AsyncIterable[VideoRequest]) -> None:
        if not self._begun:
            self._spawn(self._feed(requests))
            self._begun = True

    def stop(self) -> None:
        self._stopped = True
        self._places.release()
        self._outcomes.put_nowait(None)
        # What still waits for its turn would be paid for and taken by nobody. A request on its way is not cut off.
        for task in self._unsent.values():
            task.cancel()

    async def next(self) -> Outcome | None:
        if not self._stopped and not self._finished:
            outcome = await self._outcomes.get()
            if outcome is not None:
                self._places.release()
                self._open -= 1
                return outcome
        error, self._error = self._error, None
        if error is not None and not self._stopped:
            raise error
        return None

    @property
    def _finished(self) -> bool:
        return self._fed and not self._open

    async def _feed(self, requests: Iterable[VideoRequest] | AsyncIterable[VideoRequest]) -> None:
        index = 0
        try:
            await self._places.acquire()
            async for request in _as_async(requests):
                if self._stopped:
                    return
                task = self._unsent[index] = self._spawn(self._generate(index, request))
                task.add_done_callback(self._take_in)
                self._open += 1
                index += 1
                await self._places.acquire()
        except Exception as error:  # noqa: BLE001 - the caller's own iterator failed, and the caller is told
            self._error = error
        except asyncio.CancelledError:
            self._error = _closed()
            raise
        finally:
            self._fed = True
            self._tell_if_finished()

    async def _generate(self, index: int, request: VideoRequest) -> Outcome:
        ref = None
        try:
            handle = await self._submit(request)
            ref = handle.ref
            self._unsent.pop(index, None)
            return Outcome(index=index, request=request, ref=ref, task=await handle)
        except asyncio.CancelledError:
            if ref is None:
                raise
            error: Exception = WaitTimeoutError("the client was closed while the task was going on", ref=ref)
        except Exception as failure:  # noqa: BLE001 - one bad request must not take the others along
            self._unsent.pop(index, None)
            ref, error = ref or getattr(failure, "ref", None), failure
        return Outcome(index=index, request=request, ref=ref, error=error)

    def _take_in(self, task: asyncio.Task[Outcome]) -> None:
        if not task.cancelled():
            self._outcomes.put_nowait(task.result())
            return
        # The batch was left, and nobody listens; or the client is being closed under it.
        self._error = self._error or _closed()
        self._open -= 1
        self._tell_if_finished()

    def _tell_if_finished(self) -> None:
        if self._finished:
            self._outcomes.put_nowait(None)


def _closed() -> RuntimeError:
    return RuntimeError("the client was closed before every request had its outcome")


async def _as_async(requests: Iterable[VideoRequest] | AsyncIterable[VideoRequest]) -> AsyncIterator[VideoRequest]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request
