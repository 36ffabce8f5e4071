"""`resolve`: a job of which nobody knows whether it was paid, shown with what it may be, and settled by a person."""

from __future__ import annotations

from ..client import Client
from ..errors import UnsupportedFeatureError
from ..job import Job, JobState
from ..task import Task
from .output import Output
from .render import job_details, job_object, task_line, task_object
from .session import Session


class Settlement:
    """One run of `resolve`, for the job *job_id*."""

    def __init__(self, output: Output, session: Session, job_id: str) -> None:
        self._output = output
        self._session = session
        self._job_id = job_id

    async def run(self, *, adopt: str | None, write_off: bool) -> None:
        """
        Settle the job as it is said; or, where nothing is said, show it and what it may be.

        :param adopt: the id or ref of its task.
        :param write_off: there is no task, or nobody wants it.
        """
        job = await self._session.job(self._job_id)
        async with self._session.client(job.endpoint.provider) as client:
            if adopt is None and not write_off:
                # Opening the client may have found out that the process which was to send it is gone.
                await self._show(client, await self._session.job(self._job_id))
                return
            handle = await client.resolve(self._job_id, adopt=adopt, write_off=write_off)
        if handle is None:
            self._output.event("written_off", job_id=self._job_id)
            self._output.line(f"{self._job_id} is written off")
            return
        ref = str(handle.ref)
        self._output.event("adopted", job_id=self._job_id, ref=ref)
        self._output.line(ref)
        self._output.suggest("this waits for its video", self._session.command("wait", ref, "-o", "."))

    async def _show(self, client: Client, job: Job) -> None:
        settled = job.state is not JobState.OUTCOME_UNKNOWN
        guesses = None if settled else await self._guesses(client)
        self._output.object({**job_object(job), "candidates": guesses and [task_object(task) for task in guesses]})
        for line in job_details(job):
            self._output.line(line)
        if settled:
            self._output.note("there is nothing to settle")
        else:
            self._explain(guesses)

    async def _guesses(self, client: Client) -> list[Task] | None:
        try:
            return await client.candidates(self._job_id)
        except UnsupportedFeatureError:
            return None

    def _explain(self, guesses: list[Task] | None) -> None:
        if guesses is None:
            self._output.note("the provider has no list that could be searched; look for the task in its console")
        elif guesses:
            self._output.line("tasks that may be this job's; they are guesses:")
            for task in guesses:
                created = f", created {task.created_at}" if task.created_at else ""
                self._output.line(f"  {task_line(task)}{created}")
        else:
            self._output.note("the provider's list has no task that may be this job's")
        adopted = guesses[0].id if guesses and len(guesses) == 1 else "ID"
        self._output.suggest(
            "to settle it, one of these",
            self._session.command("resolve", self._job_id, "--adopt", adopted),
            self._session.command("resolve", self._job_id, "--write-off"),
        )
