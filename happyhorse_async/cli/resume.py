"""`resume`: what earlier runs have submitted is waited for and downloaded. Nothing is submitted here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from attrs import frozen

from ..client import Client, TaskHandle
from ..errors import InvalidRequestError, SubmitOutcomeUnknownError, WaitTimeoutError
from ..job import JobState
from ..task import TaskRef
from .exit_codes import ExitCode
from .output import Output, Unfinished
from .runner import BatchItem, run_items, suggest_settling
from .session import Session

_LIMIT = 1000
_LOOK_INTERVAL = 0.25


@frozen(kw_only=True)
class _Wanted:
    """What is to be taken up: a task by its ref, or a job by its id."""

    provider: str
    ref: TaskRef | None = None
    job_id: str | None = None

    @property
    def name(self) -> str:
        return str(self.ref or self.job_id)


class Resumption:
    """One run of `resume`."""

    def __init__(self, output: Output, session: Session, *, folder: Path, timeout: float | None) -> None:
        self._output = output
        self._session = session
        self._folder = folder
        self._timeout = timeout

    async def run(self, names: Iterable[str], provider: str | None) -> ExitCode:
        """
        Take up what *names* name, and wait for all of it.

        :param names: refs and job ids; without any, every pending job.
        :param provider: whose pending jobs.
        """
        wanted = [await self._find(name) for name in dict.fromkeys(names)]
        async with AsyncExitStack() as stack:
            clients: dict[str, Client] = {}
            for name in dict.fromkeys(one.provider for one in wanted):
                clients[name] = await stack.enter_async_context(self._session.client(name))
            if not wanted:
                self._session.check_memory("resume without a ref")
                client = await stack.enter_async_context(self._session.client(provider))
                clients[client.provider] = client
                pending = await client.pending()
                wanted = [_Wanted(provider=client.provider, ref=job.ref, job_id=job.job_id) for job in pending]
            return await self._wait(wanted, clients)

    async def _find(self, name: str) -> _Wanted:
        try:
            ref = TaskRef.parse(name)
        except ValueError:
            job = await self._session.job(name)
            return _Wanted(provider=job.endpoint.provider, ref=job.ref, job_id=job.job_id)
        return _Wanted(provider=ref.provider, ref=ref)

    async def _wait(self, wanted: list[_Wanted], clients: dict[str, Client]) -> ExitCode:
        if not wanted:
            self._output.note("nothing is pending")
            return ExitCode.OK
        items = [self._item(index, one, clients[one.provider]) for index, one in enumerate(wanted)]
        try:
            code = await run_items(self._output, items, limit=_LIMIT)
        except BaseException:
            self._output.unfinished = self._way_back(items)
            raise
        suggest_settling(self._output, self._session, items)
        return code

    def _item(self, index: int, wanted: _Wanted, client: Client) -> BatchItem:
        async def begin() -> TaskHandle:
            return client.resume(wanted.ref or await self._accepted(wanted.job_id or ""))

        return BatchItem(
            index=index,
            name=wanted.name,
            client=client,
            begin=begin,
            target=self._folder,
            timeout=self._timeout,
            ref=wanted.ref,
            job_id=wanted.job_id,
        )

    async def _accepted(self, job_id: str) -> TaskRef:
        """Wait until whoever submits a job has done so."""
        while True:
            job = await self._session.job(job_id)
            if job.ref is not None:
                return job.ref
            if job.state is JobState.OUTCOME_UNKNOWN:
                raise SubmitOutcomeUnknownError("nobody knows whether it was taken", job_id=job_id)
            if job.state.is_final:
                reason = f": {job.error.message}" if job.error else ""
                raise InvalidRequestError(f"nothing came of it{reason}", job_id=job_id)
            if not await self._session.is_seen_to(job):
                raise WaitTimeoutError(
                    "it was not sent, or its answer was lost, and its process is gone; it is sent by your program when "
                    "that opens the store next, or by generate, submit and batch",
                    job_id=job_id,
                )
            await asyncio.sleep(_LOOK_INTERVAL)

    def _way_back(self, items: Iterable[BatchItem]) -> Unfinished:
        names = [item.name for item in items if not item.ended]
        words = ("resume", *names, "-o", str(self._folder))
        return Unfinished(self._session.command(*words), meaning="nothing is lost; this takes it up again")
