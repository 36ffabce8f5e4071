"""
Follows jobs that other processes send and poll, by the changes in the store.

The store tells which jobs have changed, and those are read together. Nothing is read while nothing changes, except at
two long intervals: the liveness of the owners, and all jobs, in case a notification was missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import suppress

from attrs import define

from ..background import Background
from ..errors import HappyHorseError, StoreError, WaitTimeoutError
from ..job import Job
from ..logs import get_logger, log_fields
from ..stores import TaskStore
from ..tracked_job import TrackedJob
from .new_job import WantedJob

_log = get_logger(__name__)

# Changes come in groups: one commit is one notification.
_COLLECT = 0.002
_CHECK_OWNERS = 1.0
_READ_ALL = 10.0
_RETRY_STORE = 1.0


@define(eq=False)
class Followed:
    """A job that is sent or polled elsewhere, and that a caller here follows."""

    tracked: TrackedJob
    wanted: WantedJob | None = None
    """The job to record again if its owner withdraws it."""
    may_run: bool = True
    """Whether this process takes it over when its owner has died."""
    is_busy: bool = False
    has_changed: bool = False
    """Whether another change arrived while an earlier one was processed."""


class Followers:
    """
    Follows jobs in the store.

    :param settle: takes in what the store has, `None` for nothing, and returns whether the job needs no following any
        more. It raises an error that ends all waiting.
    :param learn: takes in what the store has of a job that is sent or polled here.
    :param is_here: returns whether a job is sent or polled here.
    :param is_alive: returns whether an owner is alive.
    """

    def __init__(
        self,
        store: TaskStore,
        *,
        settle: Callable[[Followed, Job | None], Awaitable[bool]],
        learn: Callable[[Job], None],
        is_here: Callable[[str], bool],
        is_alive: Callable[[str | None], Awaitable[bool]],
    ) -> None:
        self._store = store
        self._settle = settle
        self._learn = learn
        self._is_here = is_here
        self._is_alive = is_alive
        self.listeners: set[Callable[[], object]] = set()
        """Called when other processes have changed any job."""
        self._followed: dict[str, list[Followed]] = {}
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._work = Background()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._closing = False
        self._is_failing = False

    def open(self) -> None:
        """Begin to listen to the store, which is open."""
        self._unsubscribe = self._store.subscribe(self._notify)

    def follow(self, followed: Followed) -> None:
        """Follow a job until it needs no following."""
        if self._closing:
            self._leave(followed)
            return
        if not self._followed:
            self._work.spawn(self._check_owners())
            self._work.spawn(self._read_all())
        self._followed.setdefault(followed.tracked.job_id, []).append(followed)
        # It may have changed since it was read.
        self._touch([followed.tracked.job_id])

    def tracked(self, job_id: str) -> TrackedJob | None:
        """Return a job that is followed."""
        return next((followed.tracked for followed in self._followed.get(job_id, ())), None)

    def of(self, job_id: str) -> list[Followed]:
        """Return everyone who follows a job."""
        return list(self._followed.get(job_id, ()))

    def follows(self, tracked: TrackedJob) -> bool:
        """Return whether exactly this tracked job is followed."""
        return any(followed.tracked is tracked for followed in self._followed.get(tracked.job_id, ()))

    def reread(self, job_id: str) -> None:
        """Read a job again if it is followed: this process has changed it."""
        if job_id in self._followed:
            self._touch([job_id])

    def _notify(self, job_ids: Collection[str] | None) -> None:
        for listener in list(self.listeners):
            listener()
        if job_ids is None:
            self._touch(self._followed)
        else:
            self._touch([job_id for job_id in job_ids if job_id in self._followed or self._is_here(job_id)])

    def _touch(self, job_ids: Collection[str]) -> None:
        if not job_ids or self._closing:
            return
        self._changed.update(dict.fromkeys(job_ids))
        if not self._wake.is_set():
            self._wake.set()
            self._work.spawn(self._read_changed())

    async def _read_changed(self) -> None:
        await asyncio.sleep(_COLLECT)
        while self._changed:
            job_ids, self._changed = list(self._changed), {}
            try:
                found = {job.job_id: job for job in await self._store.get_many(job_ids)}
            except StoreError as error:
                if not self._is_failing:
                    _log.warning("the jobs of other processes cannot be followed at present: %s", error)
                self._is_failing = True
                self._changed.update(dict.fromkeys(job_ids))
                await asyncio.sleep(_RETRY_STORE)
                continue
            self._is_failing = False
            for job_id in job_ids:
                job = found.get(job_id)
                if job is not None and self._is_here(job_id):
                    self._learn(job)
                for followed in list(self._followed.get(job_id, ())):
                    self._take_in(followed, job)
        self._wake.clear()

    def _take_in(self, followed: Followed, job: Job | None) -> None:
        if followed.is_busy:
            followed.has_changed = True
            return
        followed.is_busy, followed.has_changed = True, False
        self._work.spawn(self._take_in_now(followed, job))

    async def _take_in_now(self, followed: Followed, job: Job | None) -> None:
        tracked, job_id = followed.tracked, followed.tracked.job_id
        is_over = True
        try:
            is_over = await self._settle(followed, job)
        except StoreError as error:
            _log.info("job %s of another process: %s", job_id, error, extra=log_fields(tracked.job, reason=error))
            is_over = False
        except HappyHorseError as error:
            tracked.give_up(error)
        except Exception as error:  # noqa: BLE001 - waiters must not wait for ever
            _log.exception("job %s of another process cannot be followed", job_id, extra=log_fields(tracked.job))
            tracked.give_up(StoreError(f"the job cannot be followed: {type(error).__name__}", job_id=job_id))
        finally:
            followed.is_busy = False
        if is_over or tracked.job_id != job_id:
            self._forget(followed, job_id)
        if not is_over and tracked.job_id != job_id:
            # It was recorded anew.
            self.follow(followed)
        elif not is_over and followed.has_changed:
            self._touch([job_id])

    def _forget(self, followed: Followed, job_id: str) -> None:
        left = [other for other in self._followed.get(job_id, ()) if other is not followed]
        if left:
            self._followed[job_id] = left
        else:
            self._followed.pop(job_id, None)

    def _all(self) -> Iterator[Followed]:
        for several in self._followed.values():
            yield from several

    async def _check_owners(self) -> None:
        """Detect that the owner of a followed job is dead."""
        while self._followed:
            await asyncio.sleep(_CHECK_OWNERS)
            owned: dict[str | None, list[str]] = {}
            for followed in self._all():
                if followed.may_run:
                    owned.setdefault(followed.tracked.job.owner, []).append(followed.tracked.job_id)
            for owner, job_ids in owned.items():
                with suppress(StoreError):
                    if not await self._is_alive(owner):
                        self._touch(job_ids)

    async def _read_all(self) -> None:
        while self._followed:
            await asyncio.sleep(_READ_ALL)
            self._touch(list(self._followed))

    async def aclose(self) -> None:
        """Stop following. All waiters get an error."""
        self._closing = True
        self._unsubscribe()
        try:
            await self._work.aclose()
        finally:
            for followed in list(self._all()):
                self._leave(followed)
            self._followed = {}

    def _leave(self, followed: Followed) -> None:
        tracked = followed.tracked
        if not tracked.is_polled and tracked.attempt is None and not tracked.ended:
            message = "the client was closed while another process was working on the job"
            tracked.give_up(WaitTimeoutError(message, task=tracked.whole_task))
