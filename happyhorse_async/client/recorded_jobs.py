"""The part of a client for existing jobs and tasks: find by ref, id or key, list, cancel, resolve."""

from __future__ import annotations

import re

from ..adapter import PageRequest, TaskPage
from ..errors import ConfigurationError, InvalidRequestError, TaskNotFoundError
from ..task import Task, TaskRef
from .handle import JobHandle, TaskHandle, Unloaded
from .job_info import JobInfo
from .plan import Planner
from .runtime import Lifecycle
from .task_list import TaskList

_JOB_ID = re.compile(r"hh-[A-Za-z0-9_-]+")
# Characters. The ids of all providers are far shorter, and errors repeat text that a browser has sent.
_LONGEST_NAME = 1000


class RecordedJobs:
    """The methods of a client for existing jobs and tasks. See `Client`."""

    _lifecycle: Lifecycle

    def _planner(self, provider: str | None = None) -> Planner:
        planners = self._lifecycle.planners
        found = planners.get(self._lifecycle.default if provider is None else provider)
        if found is None:
            raise ConfigurationError(f"the client has no provider {provider!r}; it has {', '.join(planners)}")
        return found

    async def job(self, ref_or_id: TaskRef | str | None = None, *, key: str | None = None) -> JobInfo:
        """
        Return a job, also after its end or refusal. Sends nothing.

        :param ref_or_id: its ref or job id.
        :param key: the caller's own name for it, instead.
        :raises TaskNotFoundError: the store does not have it, or the text is neither a ref nor a job id.
        """
        lookup = self._lifecycle.inside().intake.lookup
        if (ref_or_id is None) == (key is None):
            raise ValueError("give one of the two: a ref or job id, or key=…")
        if ref_or_id is None:
            return JobInfo.of(await lookup.read(key=key))
        name = _parse(ref_or_id)
        if isinstance(name, TaskRef):
            self._planner(name.provider)
            return JobInfo.of(await lookup.read(ref=name))
        return JobInfo.of(await lookup.read(job_id=name))

    async def fetch(self, ref_or_id: TaskRef | str) -> Task:
        """
        Poll a task, once.

        :param ref_or_id: its ref, or the id of its job.
        :raises TaskNotFoundError: the provider never knew it or has forgotten it, the job has no task yet, or the text
            is neither a ref nor a job id.
        :raises HappyHorseError: the poll failed, which says nothing about the task; or the reason why the job will
            never have a task.
        """
        runtime = self._lifecycle.inside()
        return await runtime.fetch(await self._ref(ref_or_id))

    async def _ref(self, ref_or_id: TaskRef | str) -> TaskRef:
        name = _parse(ref_or_id)
        return name if isinstance(name, TaskRef) else await self._lifecycle.inside().ref_of(name)

    def resume(self, ref: TaskRef | str) -> TaskHandle:
        """
        Return the handle of a task that was submitted earlier or by another process. Sends nothing by itself.

        :raises TaskNotFoundError: the text is not a ref.
        :raises ConfigurationError: the client does not have the ref's provider.
        """
        runtime, name = self._lifecycle.inside(), _parse(ref)
        if not isinstance(name, TaskRef):
            raise TaskNotFoundError(f"{name!r} is a job id, not a ref: use resume_job()", job_id=name)
        return TaskHandle(self._lifecycle, runtime.find(name))

    def resume_job(self, job_id: str | None = None, *, key: str | None = None) -> JobHandle:
        """
        Return the handle of a job that was recorded earlier or by another process. Does no I/O by itself.

        Awaiting it raises a `TaskNotFoundError` if the store does not have the job.

        :param job_id: its job id.
        :param key: the caller's own name for it, instead.
        """
        runtime = self._lifecycle.inside()
        if (job_id is None) == (key is None):
            raise ValueError("give one of the two: a job id, or key=…")
        tracked = None if job_id is None else runtime.tracker.by_id(job_id)
        return JobHandle(self._lifecycle, tracked or Unloaded(job_id, key))

    async def run(self, job_id: str) -> Task:
        """
        Run a recorded job to its end from its present state, and return its task.

        Call it as often as you like, in any process, after any crash: the job is paid for once. If a living process
        works on the job, this waits for it, and takes the job over when that process dies. So any system that calls it
        at least once can be the engine of a cluster: a queue, a workflow, a cron job.

        :param job_id: the job id, from `JobHandle.job_id`.
        :raises TaskNotFoundError: the store does not have the job.
        :raises HappyHorseError: see `submit` and `JobHandle.wait`.
        """
        tracked = await self._lifecycle.inside().intake.run(job_id)
        return await JobHandle(self._lifecycle, tracked).wait()

    async def cancel(self, ref_or_id: TaskRef | str) -> Task | None:
        """
        Ask the provider to cancel a task, and return its state afterwards: it may have been too late.

        :param ref_or_id: its ref, or the id of its job. A job that has not been sent is withdrawn: `None` is returned.
        :raises TaskNotFoundError: there is no such job, or the text is neither a ref nor a job id.
        :raises UnsupportedFeatureError: the provider cannot cancel. Nothing was sent.
        """
        runtime, name = self._lifecycle.inside(), _parse(ref_or_id)
        if not isinstance(name, TaskRef):
            if await runtime.intake.withdraw(name):
                return None
            name = await runtime.ref_of(name)
        return await runtime.cancel(name)

    def list_tasks(self, *, provider: str | None = None, limit: int | None = None) -> TaskList:
        """
        List the account's tasks, newest first: iterate with `async for`, or await a list.

        Some providers' lists omit the videos; `fetch` returns them.

        :param provider: the account; by default the client's own.
        :param limit: the maximum number.
        :raises UnsupportedFeatureError: the provider has no list.
        """
        exchange = self._lifecycle.inside().accounts.named(self._planner(provider).name).exchange

        async def fetch_page(page: PageRequest) -> TaskPage:
            async with exchange.query_slot:
                return await exchange.list_page(page)

        return TaskList(fetch_page, limit=limit)

    async def pending(self) -> list[JobInfo]:
        """List the unfinished jobs of this client's accounts, those of other processes included, oldest first."""
        return [JobInfo.of(job) for job in await self._lifecycle.inside().intake.lookup.pending()]

    async def candidates(self, job_id: str) -> list[Task]:
        """
        Search the provider's list for possible tasks of a job of unknown outcome. None of them is certain; see
        `resolve`.

        :raises InvalidRequestError: there is no such job, or it is already resolved.
        :raises UnsupportedFeatureError: the provider has no list.
        """
        return await self._lifecycle.inside().reconciler.candidates(job_id)

    async def resolve(
        self, job_id: str, *, adopt: TaskRef | str | None = None, write_off: bool = False, billed: bool = True
    ) -> TaskHandle | None:
        """
        Resolve a job of unknown outcome.

        :param adopt: its task, by ref or by the provider's id.
        :param write_off: there is no task, or you do not need it. The job's key is free again.
        :param billed: whether a job that is written off may have been billed. A budget keeps the reservation of such a
            job, unless this is `False`.
        :return: the handle of the adopted task.
        :raises InvalidRequestError: there is no such job, it is already resolved, the task belongs to another job, or
            it is too early to write it off: its process seems to be dead, and its request may still be in flight.
        :raises TaskNotFoundError: the provider does not know the task to adopt.
        """
        reconciler = self._lifecycle.inside().reconciler
        if (adopt is None) == (not write_off):
            raise ValueError("give one of the two: adopt=… or write_off=True")
        if adopt is None:
            await reconciler.write_off(job_id, billed=billed)
            return None
        return TaskHandle(self._lifecycle, await reconciler.adopt(job_id, adopt))


def _parse(text: TaskRef | str) -> TaskRef | str:
    """
    Return *text* as a ref, or unchanged if it is a job id.

    :raises TaskNotFoundError: *text* is neither. It may have come from a user of a web app.
    """
    if isinstance(text, TaskRef):
        return text
    if len(text) > _LONGEST_NAME:
        raise TaskNotFoundError(f"a text of {len(text)} characters is neither a ref nor a job id")
    if _JOB_ID.fullmatch(text):
        return text
    try:
        text.encode()
        return TaskRef.parse(text)
    except ValueError:
        raise TaskNotFoundError(f"{text!r} is neither a ref nor a job id") from None


def check_key(key: object) -> None:
    """
    Check a caller's own name for a job.

    :raises InvalidRequestError: it is not text that can be stored.
    """
    if not isinstance(key, str) or not key.strip():
        raise InvalidRequestError(f"key must be a text that is not empty or blank, not {key!r}")
    # PostgreSQL stores no NUL, and none of the databases half a surrogate pair.
    if "\0" in key or any("\ud800" <= character <= "\udfff" for character in key):
        raise InvalidRequestError(f"key must be valid text, not {key!r}")
