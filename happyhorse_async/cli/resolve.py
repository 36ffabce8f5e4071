"""`resolve`: shows a job of unknown outcome with its possible matches, and resolves it."""

from __future__ import annotations

from ..client import Client
from ..errors import UnsupportedFeatureError
from ..job import Job, JobState
from ..task import Task
from .output import Output
from .render import job_details, job_object, local_time, task_line, task_object
from .session import Session


class Resolution:
    """One run of `resolve`, for the job *job_id*."""

    def __init__(self, output: Output, session: Session, job_id: str) -> None:
        self._output = output
        self._session = session
        self._job_id = job_id

    async def run(self, *, adopt: str | None, write_off: bool, billed: bool) -> None:
        """
        Resolve the job; without an option, show it and its possible matches.

        :param adopt: the id or ref of its task.
        :param write_off: there is no task, or it is not wanted.
        :param billed: whether a job that is written off may have been billed.
        """
        job = await self._session.job(self._job_id)
        async with self._session.client(job.endpoint.provider) as client:
            if adopt is None and not write_off:
                # Opening the client may have shown that the process that should send it has ended.
                await self._show(client, await self._session.job(self._job_id))
                return
            handle = await client.resolve(self._job_id, adopt=adopt, write_off=write_off, billed=billed)
        if handle is None:
            self._output.event("written_off", job_id=self._job_id)
            self._output.line(f"{self._job_id} is written off")
            return
        ref = str(handle.ref)
        self._output.event("adopted", job_id=self._job_id, ref=ref)
        self._output.line(ref)
        self._output.suggest("to wait for its video", self._session.command("wait", ref, "-o", "."))

    async def _show(self, client: Client, job: Job) -> None:
        is_known = job.state is not JobState.OUTCOME_UNKNOWN
        candidates = None if is_known else await self._candidates(client)
        self._output.object(
            {**job_object(job), "candidates": candidates and [task_object(task) for task in candidates]}
        )
        for line in job_details(job):
            self._output.line(line)
        if is_known:
            self._output.note("there is nothing to resolve")
        else:
            self._explain(candidates)

    async def _candidates(self, client: Client) -> list[Task] | None:
        try:
            return await client.candidates(self._job_id)
        except UnsupportedFeatureError:
            return None

    def _explain(self, candidates: list[Task] | None) -> None:
        if candidates is None:
            self._output.note("the provider has no task list to search; look for the task in its console")
        elif candidates:
            self._output.line("possible matches in the provider's list:")
            for task in candidates:
                created = f", created {local_time(task.created_at)}" if task.created_at else ""
                self._output.line(f"  {task_line(task)}{created}")
        else:
            self._output.note("no task in the provider's list matches this job")
        adopted = candidates[0].id if candidates and len(candidates) == 1 else "ID"
        self._output.suggest(
            "to resolve it, one of these",
            self._session.command("resolve", self._job_id, "--adopt", adopted),
            self._session.command("resolve", self._job_id, "--write-off"),
        )
