"""A store from its opening to its closing: the connections of this process, and what is done on them."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...budget import SpendingLimit
from ...errors import HappyHorseError, StoreError
from ...job import Endpoint, Job, JobState
from ...logs import get_logger
from ..contract import Notify
from .address import Address
from .ledger import Spending
from .listener import Listener
from .liveness import Liveness
from .operations import Add, Change, Forget, Get, PutNote, Reading, TakeOver, Writing
from .sharing import Orphans
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
        spent: dict[tuple[str, str], int],
        *,
        name: str,
        timeout: float,
        takeover_after: float,
    ) -> None:
        self.owner = new_owner()
        self.process = os.getpid()
        self.users = 0
        self.loop = asyncio.get_running_loop()
        self._jobs = jobs
        self._spent = spent
        self._orphans = Orphans(schema)
        self._subscribers: dict[object, Notify] = {}
        self._name = name
        self.listener = Listener(
            direct,
            schema,
            self.owner,
            name=name,
            timeout=timeout,
            liveness=Liveness(takeover_after),
            on_changes=self._notify,
        )
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

    def subscribe(self, notify: Notify) -> Callable[[], None]:
        """Call *notify* when jobs have changed, and return what ends this."""
        subscriber = object()
        self._subscribers[subscriber] = notify

        def unsubscribe() -> None:
            self._subscribers.pop(subscriber, None)

        return unsubscribe

    def _notify(self, job_ids: Collection[str] | None) -> None:
        for notify in list(self._subscribers.values()):
            notify(job_ids)

    async def aclose(self) -> None:
        """Do what was asked for before, and close the connections."""
        self._upkeep.cancel()
        with suppress(BaseException):
            await self.opened
        await asyncio.gather(self.writer.aclose(), self.reader.aclose(), self._upkeep, return_exceptions=True)
        await self.listener.aclose()

    async def take_over(self, endpoints: Collection[Endpoint], states: Collection[JobState], limit: int) -> list[Job]:
        """Take jobs without a living owner. Where there are none, which is mostly so, this is one short statement."""
        knows_the_dead = self.listener.liveness.knows_the_dead
        missing = await self.listener.run(
            lambda connection: self._orphans.missing(
                connection, endpoints, states, owner=self.owner, knows_the_dead=knows_the_dead
            )
        )
        gone = (missing & {""}) | self.listener.liveness.dead(missing - {""})
        if limit == 0 and gone == {""}:
            return []
        if not gone and not self._orphans.has_unanswered(endpoints, states):
            return []
        taken: list[Job] = await asyncio.shield(self.writer.put(TakeOver(endpoints, states, limit, gone)))
        return taken

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
        takes = [work for work in works if isinstance(work, TakeOver)]
        now = self.listener.now()
        spending = Spending(self._jobs.schema, now, self._spent)
        results: dict[int, Any] = {}
        await connection.execute(_BEGIN)
        try:
            await spending.read(connection, _limits(works), locks=True)
            if adds:
                results |= _by_work(adds, await self._jobs.add(connection, adds, spending))
            if changes:
                results |= _by_work(changes, await self._jobs.change(connection, changes, spending))
            if notes:
                await self._jobs.put_notes(connection, notes)
            if takes:
                results |= _by_work(takes, await self._take_over(connection, takes, now))
            if any(isinstance(work, Forget) for work in works):
                await self._forget(connection, now)
            await spending.write(connection)
            changed = _changed_jobs(works, results)
            await connection.execute(self._notification(changed) + "COMMIT")
        except BaseException:
            await _roll_back(connection)
            raise
        self._jobs.confirm(changes)
        self._orphans.confirm(takes)
        # The only subscriber knows what it has written itself.
        if changed and len(self._subscribers) > 1:
            self._notify(changed)
        return [results.get(id(work)) for work in works]

    async def _take_over(self, connection: Connection, takes: Sequence[TakeOver], now: datetime) -> list[list[Job]]:
        taken = await self._orphans.take(connection, takes, self.owner)
        return [await self._jobs.numbered(connection, numbers, now) if numbers else [] for numbers in taken]

    def _notification(self, job_ids: Collection[str]) -> str:
        channel = self.listener.channel.replace('"', '""')
        texts = [text.replace("'", "''") for text in notifications(self.owner, job_ids)]
        return "".join(f"NOTIFY \"{channel}\", '{text}'; " for text in texts)

    async def _forget(self, connection: Connection, now: datetime) -> None:
        # One process at a time is enough.
        if await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _UPKEEP_LOCK):
            await self._jobs.forget(connection, now)

    async def _read(self, connection: Connection, works: Sequence[Reading]) -> list[Any]:
        now = self.listener.now()
        await connection.execute("BEGIN READ ONLY")
        try:
            ids = {job_id for work in works if isinstance(work, Get) for job_id in work.job_ids}
            jobs = await self._jobs.get(connection, ids, now) if ids else {}
            results = [
                [jobs[job_id] for job_id in work.job_ids if job_id in jobs]
                if isinstance(work, Get)
                else await _outcome(work.work(connection, now))
                for work in works
            ]
            await connection.execute("COMMIT")
        except BaseException:
            await _roll_back(connection)
            raise
        return results


def _limits(works: Sequence[Writing]) -> set[SpendingLimit]:
    return {limit for work in works if isinstance(work, Add | Change) for limit in work.within}


def _changed_jobs(works: Sequence[Writing], results: dict[int, Any]) -> list[str]:
    """Return the ids of the jobs that were written."""
    ids: dict[str, None] = {}
    for work in works:
        result: Any = results.get(id(work))
        if isinstance(work, TakeOver):
            ids |= dict.fromkeys(job.job_id for job in result)
        elif isinstance(work, Add | Change) and not isinstance(result, Exception | None):
            ids[work.job.job_id] = None
    return list(ids)


def _by_work(works: Sequence[Writing], results: Sequence[Any]) -> dict[int, Any]:
    return {id(work): result for work, result in zip(works, results, strict=True)}


async def _outcome(work: Awaitable[Any]) -> Any:
    try:
        return await work
    except HappyHorseError as error:
        return error


async def _roll_back(connection: Connection) -> None:
    if not connection.is_closed():
        with suppress(Exception):
            await connection.execute("ROLLBACK")
