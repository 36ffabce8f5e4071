"""The commands for existing tasks and jobs: their arguments and help."""

from __future__ import annotations

from pathlib import Path

from ..errors import InvalidRequestError
from .callback_options import CallbackOptions
from .command_group import CommandGroup
from .emulator_options import ServeOptions
from .exit_codes import ExitCode
from .options import Basic, Common, Folder, Limit, Seconds
from .options import Output as Target
from .request_options import RequestOptions

_BASIC = Basic()
_COMMON = Common()
_REQUEST = RequestOptions()
_CALLBACKS = CallbackOptions()
_SERVING = ServeOptions()


class TaskCommands(CommandGroup):
    """Continue with a task or job. See `CommandGroup`."""

    async def status(self, ref: str, /, *, common: Common = _COMMON) -> None:
        """
        Show the current status of a task. Exits with 0 whenever the provider answers, even if the task failed.

        :param ref: The ref that was printed (provider:id), or the job id (hh-…).
        """
        from .render import task_details, task_object  # noqa: PLC0415

        session = self._session(common)
        found = await session.find_task(ref)
        async with session.client(found.provider) as client:
            task = await client.fetch(found)
        self._output.object(task_object(task))
        for line in task_details(task):
            self._output.line(line)

    async def wait(
        self,
        ref: str,
        /,
        *,
        output: Target = None,
        no_clobber: bool = False,
        timeout: Seconds = None,
        common: Common = _COMMON,
    ) -> None:
        """
        Wait for a task, and download its video if --output is given.

        :param ref: The ref that was printed (provider:id), or the job id (hh-…).
        :param output: The file, a folder, or - for the standard output.
        :param no_clobber: Fail if the file exists. By default it is replaced.
        :param timeout: Stop waiting after this many seconds; the task keeps running.
        """
        from .generate import JobRunner  # noqa: PLC0415
        from .target import Target  # noqa: PLC0415

        session = self._session(common)
        found = await session.find_task(ref)
        job = JobRunner(self._output, session, target=None if output is None else Target(output, keep=no_clobber))
        async with session.client(found.provider) as client:
            handle = client.resume(found)
            job.about(found)
            await job.save(client, await job.follow(handle, timeout))

    async def download(
        self, ref: str, /, *, output: Target = None, no_clobber: bool = False, common: Common = _COMMON
    ) -> None:
        """
        Download the video of a task that has succeeded. Prints the path of the file.

        :param ref: The ref that was printed (provider:id), or the job id (hh-…).
        :param output: The file, a folder (the video is named after the task; the default is the current folder), or -
            for the standard output.
        :param no_clobber: Fail if the file exists. By default it is replaced.
        """
        from .generate import JobRunner  # noqa: PLC0415
        from .target import Target  # noqa: PLC0415

        session = self._session(common)
        found = await session.find_task(ref)
        job = JobRunner(self._output, session, target=Target(output or ".", keep=no_clobber))
        async with session.client(found.provider) as client:
            handle = client.resume(found)
            job.about(found)
            task = await client.fetch(found)
            await job.save(client, await handle if task.status.is_terminal else task)

    async def resume(
        self,
        *tasks: str,
        output: Folder = None,
        timeout: Seconds = None,
        provider: str | None = None,
        common: Common = _COMMON,
    ) -> ExitCode:
        """
        Wait for the tasks of earlier runs, and download their videos. Submits nothing.

        :param tasks: Refs and job ids. Without any, every pending job in the journal.
        :param output: The folder for the videos, which are named after their tasks; by default the current one.
        :param timeout: Stop waiting after this many seconds; tasks keep running.
        :param provider: Only pending jobs of this section of the configuration.
        """
        from .resume import ResumeRunner  # noqa: PLC0415
        from .target import check_folder  # noqa: PLC0415

        folder = Path() if output is None else output
        check_folder(folder)
        return await ResumeRunner(self._output, self._session(common), folder=folder, timeout=timeout).run(
            tasks, provider
        )

    async def resolve(
        self,
        job: str,
        /,
        *,
        adopt: str | None = None,
        write_off: bool = False,
        not_billed: bool = False,
        common: Common = _COMMON,
    ) -> None:
        """
        Resolve a job whose submit has an unknown outcome. Without an option, show it and the tasks that may belong to
        it.

        :param job: The job id that was printed (hh-…).
        :param adopt: The id or ref of its task.
        :param write_off: There is no task, or you do not need it. The key of the job is free again.
        :param not_billed: With --write-off: the provider has not billed it. The budget gets its money back.
        """
        from .resolve import Resolution  # noqa: PLC0415

        if adopt is not None and write_off:
            raise InvalidRequestError("--adopt and --write-off contradict each other")
        if not_billed and not write_off:
            raise InvalidRequestError("--not-billed belongs to --write-off")
        session = self._session(common)
        session.check_memory("resolve")
        await Resolution(self._output, session, job).run(adopt=adopt, write_off=write_off, billed=not not_billed)

    async def cancel(self, ref: str, /, *, common: Common = _COMMON) -> ExitCode:
        """
        Cancel a task at the provider. Prints its status afterwards; exit code 3 if it was too late.

        :param ref: The ref that was printed (provider:id), or the job id (hh-…).
        """
        from ..task import TaskStatus  # noqa: PLC0415
        from .render import task_line, task_object  # noqa: PLC0415

        session = self._session(common)
        found = await session.find_task(ref)
        async with session.client(found.provider) as client:
            task = await client.cancel(found)
        assert task is not None
        self._output.object(task_object(task))
        self._output.line(task_line(task))
        if task.status is TaskStatus.CANCELED:
            return ExitCode.OK
        self._output.note("it was not cancelled")
        return ExitCode.REFUSED

    async def list(
        self,
        *,
        limit: Limit = 20,
        pending: bool = False,
        provider: str | None = None,
        common: Common = _COMMON,
    ) -> None:
        """
        List the account's tasks, newest first.

        :param limit: The maximum number.
        :param pending: List the jobs in the journal that have not ended instead, oldest first. Sends no request.
        :param provider: The section of the configuration, or without a file an adapter.
        """
        from .lists import list_pending, list_tasks  # noqa: PLC0415

        session = self._session(common)
        if pending:
            await list_pending(self._output, session, provider)
        else:
            await list_tasks(self._output, session, provider, limit=limit)

    async def costs(self, *, provider: str | None = None, common: Common = _COMMON) -> None:
        """
        Show the costs of the jobs in the journal, by day (UTC), provider and model. Sends no request.

        Amounts are bills where the provider reports them, and list prices elsewhere.

        :param provider: Only jobs of this section of the configuration.
        """
        from .costs import show_costs  # noqa: PLC0415

        await show_costs(self._output, self._session(common), provider)
