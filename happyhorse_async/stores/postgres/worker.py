"""
One connection to the server, and the task that does all its work in groups.

Operations that arrive while one group is in progress form the next one. So one write costs one commit, and a thousand
at once cost one as well. A caller that waits for a result can be cancelled; the work itself goes on.

A connection that is lost is opened again, and the group is done again, until its time is over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import asyncpg
from attrs import define, field

from .address import Address
from .errors import is_conflict, is_lost, store_error

if TYPE_CHECKING:
    from .operations import Connection

W = TypeVar("W")

_LARGEST_GROUP = 512
_FIRST_DELAY = 0.02
_LONGEST_DELAY = 1.0


@define(eq=False)
class Operation(Generic[W]):
    """Work that a caller waits for."""

    work: W
    deadline: float
    future: asyncio.Future[Any] = field(factory=lambda: asyncio.get_running_loop().create_future())

    def settle(self, outcome: Any) -> None:
        """Hand the result to the caller, or the exception."""
        if self.future.done():
            return
        if isinstance(outcome, BaseException):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


async def connect(address: Address) -> Connection:
    """Open a connection."""
    return await asyncpg.connect(**address.arguments())


class Worker(Generic[W]):
    """
    Does work on a connection of its own, from now until it is closed.

    :param do: does a group of work and returns the result, or the exception, of each. What it raises fails all of
        them; where it may depend on one of them, each is done alone.
    :param timeout: how long one piece of work may take, with all repetitions.
    """

    def __init__(
        self,
        address: Address,
        do: Callable[[Connection, Sequence[W]], Awaitable[list[Any]]],
        *,
        name: str,
        timeout: float,
    ) -> None:
        self._address = address
        self._do = do
        self._name = name
        self._timeout = timeout
        self._connection: Connection | None = None
        self._queue: deque[Operation[W]] = deque()
        self._arrived = asyncio.Event()
        self._is_closing = False
        self._task = asyncio.get_running_loop().create_task(self._run(), name="happyhorse-store")

    def put(self, work: W) -> asyncio.Future[Any]:
        """Do *work* next. Cancelling the future has no effect on the work."""
        operation = Operation(work, asyncio.get_running_loop().time() + self._timeout)
        self._queue.append(operation)
        self._arrived.set()
        return operation.future

    async def aclose(self) -> None:
        """Complete queued operations, and close the connection."""
        self._is_closing = True
        self._arrived.set()
        await asyncio.shield(self._task)

    async def _run(self) -> None:
        while True:
            if not self._queue:
                if self._is_closing:
                    break
                self._arrived.clear()
                await self._arrived.wait()
                continue
            count = min(len(self._queue), _LARGEST_GROUP)
            await self._complete([self._queue.popleft() for _ in range(count)])
        if self._connection is not None:
            with suppress(Exception):
                await self._connection.close(timeout=self._timeout)

    async def _complete(self, group: list[Operation[W]]) -> None:
        """Do a group of work, again if need be, and settle all of it."""
        delay = _FIRST_DELAY
        while group:
            first = min(operation.deadline for operation in group)
            try:
                async with asyncio.timeout_at(first):
                    results = await self._attempt([operation.work for operation in group])
            except Exception as error:  # noqa: BLE001 - it belongs to the callers
                is_over = asyncio.get_running_loop().time() + delay >= first
                if is_lost(error):
                    self._drop()
                    if is_over:
                        group = self._fail(group, error, until=first + delay)
                elif is_conflict(error) and not is_over:
                    pass
                elif len(group) > 1:
                    for operation in group:
                        await self._complete([operation])
                    return
                else:
                    group = self._fail(group, error)
                if group:
                    await asyncio.sleep(delay)
                    delay = min(2 * delay, _LONGEST_DELAY)
                continue
            for operation, result in zip(group, results, strict=True):
                operation.settle(result)
            return

    def _fail(self, group: list[Operation[W]], error: Exception, until: float | None = None) -> list[Operation[W]]:
        """Fail those whose time is over at *until*, and return the others."""
        for operation in group:
            if until is None or operation.deadline <= until:
                operation.settle(store_error(error, self._name, self._address.password))
        return [operation for operation in group if not operation.future.done()]

    async def _attempt(self, works: Sequence[W]) -> list[Any]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._address)
        return await self._do(self._connection, works)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
