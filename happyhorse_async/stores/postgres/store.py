"""The journal in PostgreSQL: one database, shared by the processes of any number of machines."""

from __future__ import annotations

import asyncio
import os
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from copy import copy
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...budget import Cost, SpendingLimit
from ...errors import BudgetExceededError, ConfigurationError, StoreError
from ...job import Endpoint, Job, JobState
from ...task import TaskRef
from ..contract import Notify
from ..retention import KEEP_MEDIA, Retention
from . import sharing
from .address import Address
from .ledger import Spending, costs
from .operations import Add, Change, Forget, Get, PutNote, Read
from .rows import name_text
from .statements import Jobs

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from datetime import datetime

    from .operations import Connection, Writing
    from .session import Session

_KEEP_CLOSED = 30 * 86400.0
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,47}")


class PostgresStore:
    """
    Keeps jobs in a PostgreSQL database: a `TaskStore` for the processes of any number of machines.

    What a method has written is on the server's disk when it returns. The tables lie in a schema of their own and can
    be read with psql. An open store has three connections, and belongs to one process and one event loop. Needs the
    extra `postgres`, and PostgreSQL 13 or later.

    It holds no API key. Request bodies are erased once their outcome is known, the URLs of videos when they expire.
    PostgreSQL overwrites erased data only as its vacuum and its log allow: how long they survive on the server's disk
    is a matter of its settings.

    Times are in seconds; `None` means without limit.

    :param url: where the server is: `postgresql://user:password@host:5432/database?sslmode=verify-full`, with several
        hosts if there are standbys. What is left out comes from the environment, as with psql.
    :param listen_url: where the server is reached past a pooler such as PgBouncer, if *url* leads to one. The one
        connection that stays open goes there, because locks and notifications do not pass a pooler.
    :param schema: the schema of the tables. It is created if it does not exist.
    :param keep_prompts: how long a request (prompt, media URLs) is kept after its outcome is known.
    :param keep_closed: how long a job is kept after it is finished. Its key is free again after that.
    :param keep_media: bytes of the largest local picture or video that is kept with an enqueued job until it is sent. A
        larger file is refused, since its path may mean nothing on another machine.
    :param timeout: how long one operation may take, while the server restarts or another one takes its place.
    :param takeover_after: for how long the processes must have known the server before any of them believes that a
        process without a lock there is dead; after a reconnect it counts anew. A server that was restarted, or has
        taken the place of another one, has forgotten all locks, and the living need this time to take theirs again:
        10 s is safe for processes that come back within a second or two.
    :raises ConfigurationError: the URL cannot be one, or the extra is not installed.
    """

    def __init__(
        self,
        url: str,
        listen_url: str | None = None,
        *,
        schema: str = "happyhorse",
        keep_prompts: float | None = 0.0,
        keep_closed: float | None = _KEEP_CLOSED,
        keep_media: int = KEEP_MEDIA,
        timeout: float = 5.0,
        takeover_after: float = 10.0,
    ) -> None:
        self.keep_media = keep_media
        _check_driver()
        if not _SCHEMA.fullmatch(schema):
            raise ConfigurationError(f"schema: expected up to 48 of a-z, 0-9 and _, not {schema!r}")
        if not timeout > 0 or takeover_after < 0:
            raise ConfigurationError("timeout must be more than 0 seconds, and takeover_after not less")
        self._address = Address(url, is_pooled=listen_url is not None)
        self._direct = Address(url if listen_url is None else listen_url)
        self._schema = schema
        self._timeout = timeout
        self._takeover_after = takeover_after
        self._jobs = Jobs(Retention(prompts=keep_prompts, closed=keep_closed), schema)
        self._spent: dict[tuple[str, str], int] = {}
        self._session: Session | None = None

    @property
    def keeps_paths(self) -> bool:
        """False: other machines do not see the files of this one."""
        return False

    def __repr__(self) -> str:
        return f"PostgresStore({self._address.shown!r}, schema={self._schema!r})"

    @property
    def direct_url(self) -> str:
        """The URL of the server past a pooler, with its password: for an engine that uses the same database."""
        return self._direct.url

    @property
    def is_shared(self) -> bool:
        """True: any number of processes may have the store open."""
        return True

    @property
    def owner(self) -> str:
        """
        The name under which this store is open, new each time it is opened.

        :raises RuntimeError: it is not open.
        """
        return self._existing().owner

    async def open(self) -> None:
        """
        Connect to the server, and create the tables if there are none.

        :raises StoreError: the server cannot be reached within `timeout`, refuses the user, is a standby, or has the
            tables of a newer version.
        :raises RuntimeError: it is open in another process or on another event loop.
        """
        if self._session is None:
            self._session = self._new_session()
        session = self._open_session()
        session.users += 1
        try:
            # Shielded, because other callers may wait for the same opening.
            await asyncio.shield(session.opened)
        except StoreError as error:
            await self._leave(session)
            # Each opener gets an exception of its own.
            raise copy(error) from None
        except BaseException:
            await self._leave(session)
            raise

    async def aclose(self) -> None:
        """Close the connections after the last of its users. Earlier requests are completed first."""
        if self._session is not None:
            await self._leave(self._open_session())

    async def purge(self) -> None:
        """
        Erase what has expired now. This happens automatically about every minute.

        :raises StoreError: it could not be done. It is tried again automatically.
        """
        await asyncio.shield(self._open_session().writer.put(Forget()))

    async def add(self, job: Job, *, within: Collection[SpendingLimit] = ()) -> Job:
        """Write a new job; see `TaskStore.add`."""
        added: Job = await self._write(Add(job, within), job)
        return added

    async def change(
        self,
        job: Job,
        *,
        only_from: Collection[JobState] | None = None,
        only_owner: str | None = None,
        within: Collection[SpendingLimit] = (),
    ) -> Job | None:
        """Write *job* over the entry with its id; see `TaskStore.change`."""
        changed: Job | None = await self._write(Change(job, only_from, only_owner, within), job)
        return changed

    async def check_budget(self, job: Job, within: Collection[SpendingLimit]) -> None:
        """Make sure that there is room for a job; see `TaskStore.check_budget`."""
        await self._read(
            lambda connection, now: Spending(self._schema, now, self._spent).check(connection, job, within)
        )

    def spent(self, currency: str, since: str) -> int:
        """Return what this process knows to be spent in a currency since an hour, in billionths. For plans."""
        return self._spent.get((currency, since), 0)

    async def costs(self) -> list[Cost]:
        """Return what the jobs have cost; see `TaskStore.costs`."""
        found: list[Cost] = await self._read(lambda connection, _: costs(connection, self._schema))
        return found

    async def get(self, job_id: str) -> Job | None:
        """Return a job by its id."""
        found = await self.get_many([job_id])
        return found[0] if found else None

    async def get_many(self, job_ids: Collection[str]) -> list[Job]:
        """Return those of the given jobs that exist."""
        found: list[Job] = await asyncio.shield(self._open_session().reader.put(Get(tuple(job_ids))))
        return found

    async def by_key(self, key: str) -> Job | None:
        """Return the newest job that was added with *key*; see `TaskStore.by_key`."""
        found: Job | None = await self._read(lambda connection, now: self._jobs.by_key(connection, key, now))
        return found

    async def by_ref(self, ref: TaskRef) -> Job | None:
        """Return the job that a task belongs to."""
        found: Job | None = await self._read(lambda connection, now: self._jobs.by_ref(connection, ref, now))
        return found

    async def unfinished(self, provider: str, states: Collection[JobState] | None = None) -> list[Job]:
        """Return the jobs of *provider* that are not finished, in the order they were added."""
        found: list[Job] = await self._read(
            lambda connection, now: self._jobs.unfinished(connection, provider, states, now)
        )
        return found

    async def count(self, endpoints: Collection[Endpoint], states: Collection[JobState]) -> Mapping[str, int]:
        """Return how many unfinished jobs are in one of the states; see `TaskStore.count`."""
        found: Mapping[str, int] = await self._read(
            lambda connection, _: sharing.count(connection, self._schema, endpoints, states)
        )
        return found

    async def take_over(self, endpoints: Collection[Endpoint], states: Collection[JobState], limit: int) -> list[Job]:
        """
        Take the jobs that have no living owner; see `TaskStore.take_over`.

        Until the server has been known for `takeover_after`, these are the jobs without owner.
        """
        return await self._open_session().take_over(endpoints, states, limit)

    def subscribe(self, notify: Notify) -> Callable[[], None]:
        """Call *notify* when jobs are changed; see `TaskStore.subscribe`."""
        return self._open_session().subscribe(notify)

    async def pace(self, name: str, interval: float) -> float:
        """Take the next permit for a request; see `TaskStore.pace`."""
        statement = sharing.PERMIT.format(schema=self._schema)
        wait: float = await self._open_session().listener.run(
            lambda connection: connection.fetchval(statement, name_text(name), interval)
        )
        return wait

    async def hold_back(self, name: str, *, pause: float = 0.0, interval: float = 0.0, lasting: float = 0.0) -> None:
        """Delay the requests of all processes; see `TaskStore.hold_back`."""
        statement = sharing.HOLD_BACK.format(schema=self._schema)
        await self._open_session().listener.run(
            lambda connection: connection.execute(statement, name_text(name), pause, interval, lasting)
        )

    async def recent(self, limit: int) -> list[Job]:
        """Return the jobs that were added last, the newest first."""
        found: list[Job] = await self._read(lambda connection, now: self._jobs.recent(connection, limit, now))
        return found

    async def get_note(self, name: str) -> str | None:
        """Return the note called *name*."""
        found: str | None = await self._read(lambda connection, _: self._jobs.get_note(connection, name))
        return found

    async def put_note(self, name: str, text: str) -> None:
        """Write the note called *name*; see `TaskStore.put_note`."""
        await asyncio.shield(self._open_session().writer.put(PutNote(name, text)))

    async def is_alive(self, owner: str) -> bool:
        """
        Return whether *owner* still has the store open.

        Until the server has been known for `takeover_after`, every owner counts as alive.
        """
        session = self._open_session()
        if owner == session.owner or not session.listener.liveness.knows_the_dead:
            return True
        return await session.listener.is_alive(owner)

    async def _read(self, work: Callable[[Connection, datetime], Awaitable[Any]]) -> Any:
        return await asyncio.shield(self._open_session().reader.put(Read(work)))

    async def _write(self, work: Writing, job: Job) -> Any:
        try:
            return await asyncio.shield(self._open_session().writer.put(work))
        except (BudgetExceededError, StoreError) as error:
            error.about(ref=job.ref, job_id=job.job_id)
            raise

    def _new_session(self) -> Session:
        from .session import Session  # noqa: PLC0415 - the driver is an extra, and takes a moment to load

        return Session(
            self._address,
            self._direct,
            self._schema,
            self._jobs,
            self._spent,
            name=self._name,
            timeout=self._timeout,
            takeover_after=self._takeover_after,
        )

    @property
    def _name(self) -> str:
        return f"the job store {self._address.shown}"

    def _existing(self) -> Session:
        if self._session is None:
            raise RuntimeError(f"{self._name} is not open")
        return self._session

    def _open_session(self) -> Session:
        session = self._existing()
        session.check()
        return session

    async def _leave(self, session: Session) -> None:
        session.users -= 1
        if session.users == 0:
            self._session = None
            await session.aclose()

    def __del__(self) -> None:
        session: Session | None = getattr(self, "_session", None)
        if session is not None and session.process == os.getpid():
            warnings.warn(f"{self._name} was never closed", ResourceWarning, stacklevel=2, source=self)


def _check_driver() -> None:
    try:
        # Here, because a store is mostly made before the event loop runs, which this takes a moment of.
        import_module("asyncpg")
    except ImportError:
        raise ConfigurationError(
            "PostgresStore needs the driver asyncpg: install the extra, pip install 'happyhorse-async[postgres]'"
        ) from None
