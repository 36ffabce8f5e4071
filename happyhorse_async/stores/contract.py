"""What a job store promises, and the rules on states that every store shares."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol, TypeAlias

from ..budget import Cost, SpendingLimit
from ..job import Endpoint, Job, JobState
from ..task import TaskRef

Notify: TypeAlias = Callable[[Collection[str] | None], object]
"""Is told the ids of jobs that have changed; `None` where any job may have changed. Called on the event loop."""

MOST_RELEASED = 100
"""So many queued jobs of dead processes lose their owner at once, at most."""

_KEY_RELEASED = frozenset({JobState.REFUSED, JobState.WITHDRAWN, JobState.WRITTEN_OFF})


def holds_key(job: Job) -> bool:
    """Return whether the key of *job* is taken. A job that certainly has no task leaves its key to the next one."""
    return job.key is not None and job.state not in _KEY_RELEASED


def is_unfinished(job: Job) -> bool:
    """Return whether *job* still needs work: it has not ended, or its video has yet to be saved."""
    if not job.state.is_final:
        return True
    unsaved = job.save_to is not None and job.saved_to is None
    # An error beside a success says that saving the video was given up.
    return job.state is JobState.SUCCEEDED and unsaved and job.error is None


class TaskStore(Protocol):
    """
    Keeps jobs. Every method returns only when its change would survive the death of the process, where the store can.

    A store never blocks the event loop. Cancelling a caller does not undo its request: the write still happens.
    Errors are `StoreError`s. They name the store, say what to do, and carry the job id and the ref where a job is
    concerned.

    A store forgets on purpose. The request body is erased once the job is ACCEPTED or final. The request is erased at
    the same time, or later as the store is configured. The callback URL is erased when the job is finished. Videos are
    erased when their URLs expire, so a task that has SUCCEEDED may come back without any; a poll may return them
    again. `Task.raw` is never kept. A job that finished long ago is deleted.
    """

    async def open(self) -> None:
        """
        Get ready. Opening a store twice is harmless; each open is matched by one close.

        :raises StoreError: the store cannot be read or written, is not a job store, or was written by a newer version.
        :raises RuntimeError: the store is open on another event loop, or in another process.
        """
        ...

    async def aclose(self) -> None:
        """Complete the pending requests and release all resources."""
        ...

    async def add(self, job: Job, *, within: Collection[SpendingLimit] = ()) -> Job:
        """
        Write a new job, and return it as it is kept.

        In the same step the ledger is changed by what the job counts for (`budget.charge_of`). This holds for every
        write of a job, here and in `change`, with and without limits.

        Where another job holds its key, or a job with its id exists, write nothing and return that one. A job that was
        REFUSED, WITHDRAWN or WRITTEN_OFF does not hold its key any more. Two processes that add the same key at the
        same moment get the same job.

        :param within: limits that must leave room for a job that is to be reserved; see `budget.check_limits`.
            Processes that write at the same moment do not exceed them together.
        :raises BudgetExceededError: they do not, and nothing was written.
        :raises StoreError: the job could not be written.
        """
        ...

    async def change(
        self,
        job: Job,
        *,
        only_from: Collection[JobState] | None = None,
        only_owner: str | None = None,
        within: Collection[SpendingLimit] = (),
    ) -> Job | None:
        """
        Write *job* over the entry with its id. The conditions are checked and the change is made in one step.

        `durable` stays true once it was written: the caller may have read the job before that. The same holds for the
        path at which the video is to be saved; see `Job.written_over`.

        :param only_from: change it only if its present state is one of these.
        :param only_owner: change it only if this process still owns it.
        :param within: limits that must leave room for what the job counts for now, in exchange for what it counted for
            before; see `add`.
        :return: the entry as it is kept; `None` where a condition does not hold, or there is no such entry.
        :raises BudgetExceededError: they do not, and nothing was written.
        :raises StoreError: the job could not be written, or another job holds its key.
        """
        ...

    async def check_budget(self, job: Job, within: Collection[SpendingLimit]) -> None:
        """
        Make sure that the limits would leave room for *job* if it were sent now. Nothing is written or reserved.

        :raises BudgetExceededError: they would not.
        """
        ...

    async def costs(self) -> list[Cost]:
        """Return what the ledger has, by day, provider, model and currency, oldest first. It outlives the jobs."""
        ...

    async def get(self, job_id: str) -> Job | None:
        """Return a job by its id."""
        ...

    async def by_key(self, key: str) -> Job | None:
        """Return the newest job that was added with *key*, also where it does not hold the key any more."""
        ...

    async def by_ref(self, ref: TaskRef) -> Job | None:
        """Return the job that a task belongs to, the first where several claim it."""
        ...

    async def get_many(self, job_ids: Collection[str]) -> list[Job]:
        """Return those of the given jobs that exist, in any order."""
        ...

    async def unfinished(self, provider: str, states: Collection[JobState] | None = None) -> list[Job]:
        """
        Return the jobs of *provider* for which `is_unfinished` holds, in the order they were added.

        :param states: only those in one of these states.
        """
        ...

    async def count(self, endpoints: Collection[Endpoint], states: Collection[JobState]) -> Mapping[str, int]:
        """Return how many unfinished jobs of the endpoints are in one of the states, by model, of all processes."""
        ...

    async def take_over(self, endpoints: Collection[Endpoint], states: Collection[JobState], limit: int) -> list[Job]:
        """
        Make this process the owner of unfinished jobs that have no living owner, and return them.

        Finding them and writing the owner are one step: several processes that do this at the same time never get the
        same job. A job without an owner, or one that its owner has released, has no living owner. The time that it
        takes depends on the number of jobs that are taken, not on how many jobs there are.

        QUEUED jobs beyond the limit have no owner afterwards where theirs was dead, `MOST_RELEASED` of them at most.

        :param endpoints: only jobs that were or are to be sent to one of these.
        :param states: only jobs in one of these states.
        :param limit: take so many at most, the oldest first; 0 takes none.
        :raises StoreError: it could not be written, or it is not certain who is alive.
        """
        ...

    def subscribe(self, notify: Notify) -> Callable[[], None]:
        """
        Call *notify* when jobs are changed by other processes, and by other users of this store.

        Changes that were made through this store itself are told only where it has several subscribers, which then
        are told all of them. What happens while a connection is interrupted is
        reported as `None` afterwards. A store without subscribers does no work for this.

        :return: ends the subscription.
        :raises RuntimeError: the store is not open, where that makes a difference.
        """
        ...

    async def pace(self, name: str, interval: float) -> float:
        """
        Take the next permit for a request, and return how many seconds to wait before the request is sent.

        The permits of one name follow each other in steps of *interval* seconds, for all processes that share the
        store. What was not used while nothing was requested is not made up for. See `pacing.Pace.permit`. A row need
        not survive a crash of the machine.

        :param name: the account and the kind of request. It contains no secrets.
        :raises StoreError: the store cannot be reached.
        """
        ...

    async def hold_back(self, name: str, *, pause: float = 0.0, interval: float = 0.0, lasting: float = 0.0) -> None:
        """
        Delay the requests of all processes: the provider asks for fewer.

        :param name: as in `pace`.
        :param pause: no permit is due for so many seconds, 30 at most. Then one request is sent, and the next a second
            later, when it is known whether that one was refused.
        :param interval: seconds between permits at least, for *lasting* seconds. Of two such requests that overlap, the
            one with the longer interval counts.
        :raises StoreError: the store cannot be reached.
        """
        ...

    async def recent(self, limit: int) -> list[Job]:
        """Return the *limit* jobs that were added last, of all providers and in every state, the newest first."""
        ...

    async def get_note(self, name: str) -> str | None:
        """Return the note called *name*; `None` if there is none."""
        ...

    async def put_note(self, name: str, text: str) -> None:
        """
        Write the note called *name*, over the previous one. A note is a few kilobytes of data that can be recomputed.

        :raises StoreError: the note could not be written.
        """
        ...

    async def is_alive(self, owner: str) -> bool:
        """Return whether the process that the property `owner` names so still has the store open."""
        ...

    @property
    def owner(self) -> str:
        """
        The name of this process, as it is written in `Job.owner`. Unique among all processes that ever open the store.

        :raises RuntimeError: the store is not open, where that makes a difference.
        """
        ...

    @property
    def is_shared(self) -> bool:
        """Whether several processes may have the store open, so that they share the limits of an account by it."""
        ...
