"""A store from its opening to its closing: the connections of this process, and what is done on them."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...errors import StoreError
from ...logs import get_logger
from .address import Address
from .listener import Changes, Listener
from .operations import Add, Change, Forget, Get, PutNote, Reading, Writing
from .statements import Jobs, notifications
from .worker import Worker

if TYPE_CHECKING:
    from .operations import Connection

_log = get_logger(__name__)

_UPKEEP_INTERVAL = 60.0
_UPKEEP_LOCK = 0x4848616B << 32

# A stopped process must not keep the rows locked that it was writing, and what a store has confirmed must be on the
# disk, whatever the server's own settings say.
_BEGIN = (
    "BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '3s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '10s'"
)


def new_owner() -> str:
    """Return a name that no process has had before: of the machine, the process id, and chance."""
    host = re.sub(r"[^\w.-]", "-", socket.gethostname())[:64]
    return f"{host}-{os.getpid()}-{secrets.token_hex(8)}"


class Session:
    """
    The connections of a process: one that writes, one that reads, and one that listens.

    :param direct: where the listening connection goes, past a pooler.
    """

    def __init__(
        self,
        address: Address,
        direct: Address,
        schema: str,
        jobs: Jobs,
        *,
        name: str,
        timeout: float,
        on_changes: Callable[[Changes], None],
    ) -> None:
        self.owner = new_owner()
        self.process = os.getpid()
        self.users = 0
        self.loop = asyncio.get_running_loop()
        self._jobs = jobs
        self._name = name
        self.listener = Listener(direct, schema, self.owner, name=name, timeout=timeout, on_changes=on_changes)
        self.writer: Worker[Writing] = Worker(address, self._write, name=name, timeout=timeout)
        self.reader: Worker[Reading] = Worker(address, self._read, name=name, timeout=timeout)
        self.opened = self.loop.create_task(self.listener.open())
        self._upkeep = self.loop.create_task(self._keep_up())

    def check(self) -> None:
        """
        Make sure that this process and event loop are those that have opened the store.

        :raises RuntimeError: they are not.
        """
        if self.process != os.getpid():
            raise RuntimeError(
                f"{self._name} was opened before this process was forked: create a store in each process"
            )
        if self.loop is not asyncio.get_running_loop():
            raise RuntimeError(
                f"{self._name} is open on another event loop: close it there, or create one for each loop"
            )

    async def aclose(self) -> None:
        """Do what was asked for before, and close the connections."""
        self._upkeep.cancel()
        with suppress(BaseException):
            await self.opened
        await asyncio.gather(self.writer.aclose(), self.reader.aclose(), self._upkeep, return_exceptions=True)
        await self.listener.aclose()

    async def _keep_up(self) -> None:
        await asyncio.wait([self.opened])
        while True:
            try:
                await self.writer.put(Forget())
            except StoreError as error:
                _log.info("the upkeep of the job store is postponed: %s", error)
            await asyncio.sleep(_UPKEEP_INTERVAL)

    async def _write(self, connection: Connection, works: Sequence[Writing]) -> list[Any]:
        """Do *works* in one transaction."""
        adds = [work for work in works if isinstance(work, Add)]
        changes = [work for work in works if isinstance(work, Change)]
        notes = [work for work in works if isinstance(work, PutNote)]
        now = self.listener.now()
        results: dict[int, Any] = {}
        await connection.execute(_BEGIN)
        try:
            if adds:
                results |= _by_work(adds, await self._jobs.add(connection, adds, now))
            if changes:
                results |= _by_work(changes, await self._jobs.change(connection, changes, now))
            if notes:
                await self._jobs.put_notes(connection, notes)
            if len(notes) + len(adds) + len(changes) < len(works):
                await self._forget(connection, now)
            await connection.execute(self._notification(works, results) + "COMMIT")
        except BaseException:
            await _roll_back(connection)
            raise
        self._jobs.confirm(changes)
        return [results.get(id(work)) for work in works]

    def _notification(self, works: Sequence[Writing], results: dict[int, Any]) -> str:
        jobs = [
            work.job.job_id
            for work in works
            if isinstance(work, Add | Change) and not isinstance(results.get(id(work)), StoreError | None)
        ]
        channel = self.listener.channel.replace('"', '""')
        texts = [text.replace("'", "''") for text in notifications(self.owner, dict.fromkeys(jobs))]
        return "".join(f"NOTIFY \"{channel}\", '{text}'; " for text in texts)

    async def _forget(self, connection: Connection, now: datetime) -> None:
        # One process at a time is enough.
        if await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _UPKEEP_LOCK):
            await self._jobs.forget(connection, now)

    async def _read(self, connection: Connection, works: Sequence[Reading]) -> list[Any]:
        now = self.listener.now()
        await connection.execute("BEGIN READ ONLY")
        try:
            ids = [work.job_id for work in works if isinstance(work, Get)]
            jobs = await self._jobs.get(connection, ids, now) if ids else {}
            results = [
                jobs.get(work.job_id) if isinstance(work, Get) else await _outcome(work.work(connection, now))
                for work in works
            ]
            await connection.execute("COMMIT")
        except BaseException:
            await _roll_back(connection)
            raise
        return results


def _by_work(works: Sequence[Writing], results: Sequence[Any]) -> dict[int, Any]:
    return {id(work): result for work, result in zip(works, results, strict=True)}


async def _outcome(work: Awaitable[Any]) -> Any:
    try:
        return await work
    except StoreError as error:
        return error


async def _roll_back(connection: Connection) -> None:
    if not connection.is_closed():
        with suppress(Exception):
            await connection.execute("ROLLBACK")
