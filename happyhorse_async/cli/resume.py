"""`resume`: waits for the tasks of earlier runs, and downloads their videos. Submits nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from ..client import Client, TaskHandle
from ..errors import InvalidRequestError, SubmitOutcomeUnknownError, WaitTimeoutError
from ..job import JobState
from ..task import TaskRef
from .exit_codes import ExitCode
from .items import Item, run_items, suggest_resolving
from .output import Output, Unfinished
from .session import Named, Session
from .target import Target

_LIMIT = 1000
_JOURNAL_INTERVAL = 0.25


class ResumeRunner:
    """
    One run of `resume`.

    :param folder: the folder for the videos.
    :param timeout: seconds to wait for each task.
    """

    def __init__(self, output: Output, session: Session, *, folder: Path, timeout: float | None) -> None:
        self._output = output
        self._session = session
        self._folder = folder
        self._timeout = timeout

    async def run(self, names: Iterable[str], provider: str | None) -> ExitCode:
        """
        Resume the jobs and tasks in *names*, and wait for all of them.

        :param names: refs and job ids; without any, every pending job.
        :param provider: only pending jobs of this section.
        """
        wanted = [await self._session.find(name) for name in dict.fromkeys(names)]
        async with AsyncExitStack() as stack:
            clients: dict[str, Client] = {}
            for name in dict.fromkeys(one.provider for one in wanted):
                clients[name] = await stack.enter_async_context(self._session.client(name))
            if not wanted:
                self._session.check_memory("resume without a ref")
                client = await stack.enter_async_context(self._session.client(provider))
                pending = [job for job in await client.pending() if provider in (None, job.provider)]
                clients = {job.provider: client for job in pending}
                wanted = [Named(provider=job.provider, ref=job.ref, job_id=job.job_id) for job in pending]
            return await self._wait(wanted, clients)

    async def _wait(self, wanted: list[Named], clients: dict[str, Client]) -> ExitCode:
        if not wanted:
            self._output.note("nothing is pending")
            return ExitCode.OK
        items = [self._item(index, one, clients[one.provider]) for index, one in enumerate(wanted)]
        try:
            code = await run_items(self._output, items, limit=_LIMIT)
        except BaseException:
            self._output.unfinished = self._hint(items)
            raise
        suggest_resolving(self._output, self._session, items)
        return code

    def _item(self, index: int, named: Named, client: Client) -> Item:
        async def begin() -> TaskHandle:
            return client.resume(named.ref or await self._accepted(named.job_id or ""))

        return Item(
            index=index,
            name=str(named),
            client=client,
            begin=begin,
            target=Target(str(self._folder)),
            timeout=self._timeout,
            ref=named.ref,
            job_id=named.job_id,
        )

    async def _accepted(self, job_id: str) -> TaskRef:
        """Wait until the process that submits a job has finished the submit."""
        while True:
            job = await self._session.job(job_id)
            if job.ref is not None:
                return job.ref
            if job.state is JobState.OUTCOME_UNKNOWN:
                raise SubmitOutcomeUnknownError("the outcome of its submit is unknown", job_id=job_id)
            if job.state.is_final:
                reason = f": {job.error.message}" if job.error else ""
                raise InvalidRequestError(f"the job has no task, its state is {job.state}{reason}", job_id=job_id)
            if not await self._session.is_attended(job):
                raise WaitTimeoutError(
                    "it was not sent, or its response was lost, and its process has ended; it is sent by the next "
                    "generate, submit or batch, or when your program opens the store again",
                    job_id=job_id,
                )
            await asyncio.sleep(_JOURNAL_INTERVAL)

    def _hint(self, items: Iterable[Item]) -> Unfinished:
        names = [item.name for item in items if not item.has_ended]
        words = ("resume", *names, "-o", str(self._folder))
        return Unfinished(self._session.command(*words), meaning="nothing is lost; to continue")
