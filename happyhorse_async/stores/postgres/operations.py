"""The operations of a store's connections."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import field, frozen

from ...budget import SpendingLimit
from ...job import Endpoint, Job, JobState

if TYPE_CHECKING:
    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]


def new_write_id() -> int:
    """Return a number that tells a write from every other one."""
    return secrets.randbits(63)


@frozen(eq=False)
class Add:
    """Write a new job."""

    job: Job
    within: Collection[SpendingLimit] = ()
    write_id: int = field(factory=new_write_id)


@frozen(eq=False)
class Change:
    """Write a job over its row, if the conditions hold."""

    job: Job
    only_from: Collection[JobState] | None = None
    only_owner: str | None = None
    within: Collection[SpendingLimit] = ()
    write_id: int = field(factory=new_write_id)


@frozen(eq=False)
class PutNote:
    """Write a note."""

    name: str
    text: str


@frozen(eq=False)
class TakeOver:
    """Take over jobs that have no living owner."""

    endpoints: Collection[Endpoint]
    states: Collection[JobState]
    limit: int
    gone: Collection[str]
    """The owners that are not alive."""
    write_id: int = field(factory=new_write_id)

    @property
    def group(self) -> object:
        """The common key of operations that take the same jobs."""
        return frozenset(self.endpoints), frozenset(self.states)


@frozen(eq=False)
class Forget:
    """Erase what has expired."""


@frozen(eq=False)
class Get:
    """Read jobs by their ids."""

    job_ids: tuple[str, ...]


@frozen(eq=False)
class Read:
    """Read something else."""

    work: Callable[[Connection, datetime], Awaitable[Any]]


Writing: TypeAlias = Add | Change | PutNote | TakeOver | Forget
Reading: TypeAlias = Get | Read
