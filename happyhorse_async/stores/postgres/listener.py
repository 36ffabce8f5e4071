"""
The one connection of a process that stays open: it hears of the changes of others, and shows that the process is alive.

The server keeps a lock for this connection. When the process dies, or the connection is cut, the lock is gone: that is
how other processes see it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import StoreError
from ...logs import get_logger
from ..contract import Notify
from ..retention import running_time
from .address import Address
from .errors import is_lost, store_error
from .liveness import Liveness
from .schema import migrate
from .sharing import KNOW_SERVER, LIVING, TRY_LOCK
from .worker import connect

if TYPE_CHECKING:
    from .operations import Connection

T = TypeVar("T")

_log = get_logger(__name__)

_HEARTBEAT = 3.0
_FIRST_DELAY = 0.02
# Below the time after which a process without a lock is taken to be dead.
_LONGEST_DELAY = 0.5
_CLOSING = 2.0


class Listener:
    """
    Listens for changes, holds the lock of *owner*, and knows the server's clock.

    :param name: what to call the store in errors and log lines.
    :param on_changes: is called with what is heard.
    :param timeout: how long the first connection may take.
    :param liveness: is told of the lock of this process.
    """

    def __init__(
        self,
        address: Address,
        schema: str,
        owner: str,
        *,
        name: str,
        timeout: float,
        liveness: Liveness,
        on_changes: Notify,
    ) -> None:
        self.liveness = liveness
        self._address = address
        self._schema = schema
        self._owner = owner
        self._name = name
        self._timeout = timeout
        self._on_changes = on_changes
        self._connection: Connection | None = None
        self._in_use = asyncio.Lock()
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._clock: tuple[datetime, timedelta] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def channel(self) -> str:
        """The name of the channel on which the processes of this store tell each other of their changes."""
        return channel(self._schema)

    def now(self) -> datetime:
        """Return the time by the server's clock."""
        assert self._clock is not None
        moment, measured = self._clock
        return moment + (running_time() - measured)

    async def open(self) -> None:
        """
        Connect, bring the tables to the newest version, and listen from now on.

        :raises StoreError: it cannot be done.
        """
        give_up_at = time.monotonic() + self._timeout
        delay = _FIRST_DELAY
        while True:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._connect(migrates=True)
                break
            except Exception as error:  # noqa: BLE001 - it is translated
                await self._disconnect()
                if not is_lost(error) or time.monotonic() + delay >= give_up_at:
                    raise self._store_error(error) from None
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)
        self._task = asyncio.get_running_loop().create_task(self._run(), name="happyhorse-store-listener")

    async def aclose(self) -> None:
        """Give the lock back and disconnect."""
        self._closing.set()
        self._wake.set()
        if self._task is not None:
            await self._task
        await self._disconnect()

    async def is_alive(self, owner: str) -> bool:
        """Return whether *owner* has its lock; true also where that cannot be found out now."""
        try:
            rows = await self.run(lambda connection: connection.fetch(LIVING, [owner]))
        except StoreError:
            return True
        if rows:
            self.liveness.see(owner)
        return bool(rows) or owner not in self.liveness.dead([owner])

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """
        Do *work*, which is short and may be repeated, on the connection.

        :raises StoreError: it cannot be done in time.
        """
        give_up_at = asyncio.get_running_loop().time() + self._timeout
        while True:
            try:
                async with asyncio.timeout_at(give_up_at), self._in_use:
                    return await work(self._current())
            except Exception as error:  # noqa: BLE001 - it is translated
                if not is_lost(error) or asyncio.get_running_loop().time() + _FIRST_DELAY >= give_up_at:
                    raise self._store_error(error) from None
            self._wake.set()
            await asyncio.sleep(_FIRST_DELAY)

    async def _run(self) -> None:
        """Look after the connection until this is closed."""
        while not self._closing.is_set():
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_HEARTBEAT):
                    await self._wake.wait()
            if self._closing.is_set():
                return
            try:
                async with self._in_use, asyncio.timeout(_HEARTBEAT):
                    await self._check()
            except Exception as error:  # noqa: BLE001 - whatever it is, another connection is made
                await self._reconnect(error)

    async def _reconnect(self, error: Exception) -> None:
        since = time.monotonic()
        _log.warning("%s; it is tried again", self._store_error(error))
        delay = _FIRST_DELAY
        while not self._closing.is_set():
            try:
                async with self._in_use, asyncio.timeout(self._timeout):
                    await self._disconnect()
                    await self._connect()
                break
            except Exception as failure:  # noqa: BLE001 - the first error was logged
                _log.debug("%s", self._store_error(failure))
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._closing.wait()
            delay = min(2 * delay, _LONGEST_DELAY)
        else:
            return
        _log.warning("%s is back after %.1f s", self._name, time.monotonic() - since)
        # What was changed meanwhile was not heard.
        self._on_changes(None)

    async def _connect(self, *, migrates: bool = False) -> None:
        connection = await connect(self._address)
        self._connection = connection
        if migrates:
            await migrate(connection, self._schema, name=self._name)
        await self._lock(connection)
        known_for = await connection.fetchval(KNOW_SERVER.format(schema=self._schema))
        # A process that was connected before may have been cut off together with others.
        self.liveness.know_server(known_for if self._task is None else 0.0)
        connection.add_termination_listener(lambda _: self._wake.set())
        await connection.add_listener(self.channel, self._heard)
        await self._measure(connection)

    async def _lock(self, connection: Connection) -> None:
        # The lock may still be that of a former connection, which the server has not yet found to be cut.
        if await connection.fetchval(TRY_LOCK, self._owner):
            self.liveness.lock()

    async def _check(self) -> None:
        connection = self._current()
        await self._measure(connection)
        if not self.liveness.has_lock:
            await self._lock(connection)

    def _current(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            raise ConnectionResetError("the server has closed the connection")
        return self._connection

    async def _measure(self, connection: Connection) -> None:
        measured = running_time()
        self._clock = await connection.fetchval("SELECT clock_timestamp()"), measured

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self.liveness.disconnect()
        if connection is None:
            return
        if self._closing.is_set() and not connection.is_closed():
            with suppress(Exception):
                await connection.close(timeout=_CLOSING)
        connection.terminate()

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        try:
            sender, *job_ids = json.loads(str(payload))
        except ValueError:
            return
        if sender != self._owner:
            self._on_changes([str(job_id) for job_id in job_ids])

    def _store_error(self, error: Exception) -> StoreError:
        return store_error(error, self._name, self._address.password)


def channel(schema: str) -> str:
    """Return the name of the channel of the store in *schema*."""
    return f"happyhorse:{schema}"[:63]
