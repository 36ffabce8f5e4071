"""The commands of `happyhorse`."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from attrs import frozen
from cyclopts import App, Parameter
from cyclopts.validators import Number

from ..adapter import Adapter
from ..client import Client
from ..config import Settings
from ..errors import ConfigurationError, InvalidRequestError
from ..registry import adapter_names, find_adapter
from ..task import TaskRef, TaskStatus
from .batch import BatchRunner
from .callbacks import CallbackOptions
from .emulator_cmd import run_demo, serve_emulator
from .emulator_options import ServeOptions
from .exit_codes import EXIT_CODES, ExitCode
from .generate import JobRunner, check_folder
from .output import Output
from .render import (
    adapter_object,
    adapter_table,
    job_object,
    job_table,
    settings_lines,
    task_details,
    task_line,
    task_object,
    task_table,
)
from .request_options import RequestOptions, demo_options, make_request
from .resolve import Settlement
from .resume import Resumption
from .session import Session


@Parameter(name="*")
@frozen(kw_only=True)
class Common:
    """What every command takes."""

    config: str | None = None
    """The configuration file, instead of HAPPYHORSE_CONFIG, happyhorse.toml or pyproject.toml."""
    json: bool = False
    """Print one JSON object per line, and no colours."""


_COMMON = Common()
_ORDER = RequestOptions()
_CALLBACKS = CallbackOptions()
_SERVING = ServeOptions()


def _not_empty(_: object, key: str | None) -> None:
    if key is not None and not key.strip():
        raise ValueError("it is empty")


Seconds = Annotated[float | None, Parameter(validator=Number(gt=0))]
Key = Annotated[str | None, Parameter(validator=_not_empty)]
Target = Annotated[Path | None, Parameter(name=("--output", "-o"))]


def make_app(output: Output) -> App:
    """Make the command line that speaks through *output*."""
    app = App(
        name="happyhorse",
        help="Make HappyHorse videos at any of several providers.",
        help_epilogue=EXIT_CODES,
        version=version("happyhorse-async"),
        default_parameter=Parameter(negative=(), show_default=False),
        result_action="return_value",
    )
    commands = Commands(output)
    for command in (
        commands.generate,
        commands.submit,
        commands.batch,
        commands.status,
        commands.wait,
        commands.download,
        commands.resume,
        commands.resolve,
        commands.cancel,
        commands.list,
        commands.providers,
        commands.config,
        commands.emulator,
        commands.demo,
    ):
        app.command(command)
    return app


class Commands:
    """Each public method is a command, and its docstring the command's help."""

    def __init__(self, output: Output) -> None:
        self._output = output

    async def generate(
        self,
        prompt: str | None = None,
        /,
        *,
        options: RequestOptions = _ORDER,
        output: Target = None,
        timeout: Seconds = None,
        key: Key = None,
        provider: str | None = None,
        common: Common = _COMMON,
    ) -> None:
        """
        Ask for a video, wait for it and download it. Prints the path of the file.

        :param prompt: What is to be seen and heard.
        :param output: The file, or a folder; by default a file in the current folder that is named after the task.
        :param timeout: Seconds to wait after the submit. The task goes on.
        :param key: Your own name for the job. With a [store], the same key and request are the same task.
        :param provider: The section of the configuration, or without a file an adapter.
        """
        request = make_request(prompt, options)
        session = Session(common.config)
        job = JobRunner(self._output, session, target=output or Path(), key=key)
        async with job.opened(session.client(provider, recover=True)) as client:
            handle = await job.submit(client, request)
            await job.save(client, await job.follow(handle, timeout))

    async def submit(
        self,
        prompt: str | None = None,
        /,
        *,
        options: RequestOptions = _ORDER,
        key: Key = None,
        provider: str | None = None,
        common: Common = _COMMON,
    ) -> None:
        """
        Ask for a video and do not wait for it. Prints the ref of the task.

        :param prompt: What is to be seen and heard.
        :param key: Your own name for the job. With a [store], the same key and request are the same task.
        :param provider: The section of the configuration, or without a file an adapter.
        """
        request = make_request(prompt, options)
        session = Session(common.config)
        job = JobRunner(self._output, session, key=key)
        async with job.opened(session.client(provider, recover=True)) as client:
            handle = await job.submit(client, request)
            self._output.line(str(handle.ref))

    async def batch(
        self,
        file: Path,
        /,
        *,
        output: Target = None,
        limit: Annotated[int, Parameter(validator=Number(gt=0), show_default=True)] = 1000,
        provider: str | None = None,
        common: Common = _COMMON,
    ) -> ExitCode:
        """
        Make the videos of a file with a JSON object in each line: the fields of a request, mode, provider, key, output.

        Prints the path of each file. Run again, it submits nothing twice and downloads what is missing; that takes a
        [store] in the configuration.

        :param file: The file with the lines.
        :param output: The folder for the videos, by default the current one. Each is named after its task, unless its
            line has an output.
        :param limit: How many may be on their way at once.
        :param provider: For lines that name none: the section of the configuration, or without a file an adapter.
        """
        folder = Path() if output is None else output
        return await BatchRunner(self._output, Session(common.config), file=file, folder=folder, limit=limit).run(
            provider
        )

    async def status(self, ref: str, /, *, common: Common = _COMMON) -> None:
        """
        Look at a task once. Succeeds if the provider could tell, whatever it told.

        :param ref: The task, as it was printed: provider:id.
        """
        async with Client.from_config(common.config, provider=_ref(ref).provider, recover=False) as client:
            task = await client.fetch(ref)
        self._output.object(task_object(task))
        for line in task_details(task):
            self._output.line(line)

    async def wait(
        self,
        ref: str,
        /,
        *,
        output: Target = None,
        timeout: Seconds = None,
        common: Common = _COMMON,
    ) -> None:
        """
        Take up a task: wait for its end, and download the video if --output is given.

        :param ref: The task, as it was printed: provider:id.
        :param output: The file, or a folder.
        :param timeout: Seconds to wait. The task goes on.
        """
        session, task_ref = Session(common.config), _ref(ref)
        job = JobRunner(self._output, session, target=output)
        async with session.client(task_ref.provider) as client:
            handle = client.resume(task_ref)
            job.about(task_ref)
            await job.save(client, await job.follow(handle, timeout))

    async def download(self, ref: str, /, *, output: Target = None, common: Common = _COMMON) -> None:
        """
        Download the video of a task that has succeeded. Prints the path of the file.

        :param ref: The task, as it was printed: provider:id.
        :param output: The file, or a folder; by default a file in the current folder that is named after the task.
        """
        session, task_ref = Session(common.config), _ref(ref)
        job = JobRunner(self._output, session, target=output or Path())
        async with session.client(task_ref.provider) as client:
            handle = client.resume(task_ref)
            job.about(task_ref)
            task = await client.fetch(task_ref)
            await job.save(client, await handle if task.status.is_terminal else task)

    async def resume(
        self,
        *tasks: str,
        output: Target = None,
        timeout: Seconds = None,
        provider: str | None = None,
        common: Common = _COMMON,
    ) -> ExitCode:
        """
        Take up what earlier runs have submitted: wait for each and download it. Submits nothing.

        :param tasks: Refs and job ids. Without any, every pending job in the [store].
        :param output: The folder for the videos, which are named after their tasks; by default the current one.
        :param timeout: Seconds to wait. What has not ended goes on.
        :param provider: Whose pending jobs: the section of the configuration.
        """
        folder = Path() if output is None else output
        check_folder(folder)
        return await Resumption(self._output, Session(common.config), folder=folder, timeout=timeout).run(
            tasks, provider
        )

    async def resolve(
        self,
        job: str,
        /,
        *,
        adopt: str | None = None,
        write_off: bool = False,
        common: Common = _COMMON,
    ) -> None:
        """
        Settle a job of which nobody knows whether it was paid. Without an option, show it and the tasks it may be.

        :param job: The id of the job, as it was printed: hh-…
        :param adopt: Its task has this id or ref.
        :param write_off: There is no task, or nobody wants it. Its key is free again.
        """
        if adopt is not None and write_off:
            raise InvalidRequestError("--adopt and --write-off contradict each other")
        session = Session(common.config)
        session.check_memory("resolve")
        await Settlement(self._output, session, job).run(adopt=adopt, write_off=write_off)

    async def cancel(self, ref: str, /, *, common: Common = _COMMON) -> ExitCode:
        """
        Ask the provider to cancel a task. Prints how the task stands afterwards; exit code 3 if it came too late.

        :param ref: The task, as it was printed: provider:id.
        """
        async with Client.from_config(common.config, provider=_ref(ref).provider, recover=False) as client:
            task = await client.cancel(ref)
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
        limit: Annotated[int, Parameter(validator=Number(gt=0), show_default=True)] = 20,
        pending: bool = False,
        provider: str | None = None,
        common: Common = _COMMON,
    ) -> None:
        """
        List the account's tasks, newest first.

        :param limit: How many at most.
        :param pending: List instead the jobs in the [store] that are not at their end, oldest first. Asks nobody.
        :param provider: The section of the configuration, or without a file an adapter.
        """
        if pending:
            await self._list_pending(Session(common.config), provider)
            return
        async with Client.from_config(common.config, provider=provider, recover=False) as client:
            tasks = await client.list_tasks(limit=limit)
        self._output.listing([task_object(task) for task in tasks], task_table(tasks), empty="no tasks")

    async def _list_pending(self, session: Session, provider: str | None) -> None:
        session.check_memory("list --pending")
        async with session.journal() as store:
            jobs = await store.unfinished(session.settings.choose(provider).name)
        self._output.listing([job_object(job) for job in jobs], job_table(jobs), empty="nothing is pending")

    def providers(self, *, common: Common = _COMMON) -> None:
        """Show what the installed providers can do."""
        adapters = tuple[Adapter, ...]()
        for name in adapter_names():
            try:
                adapters += (find_adapter(name),)
            except ConfigurationError as error:
                self._output.warn(str(error))
        for adapter in adapters:
            self._output.object(adapter_object(adapter))
        self._output.table(adapter_table(adapters))

    def config(self, *, provider: str | None = None, common: Common = _COMMON) -> None:
        """
        Show the configuration that is in force, and where each secret comes from.

        :param provider: The section of the configuration, or without a file an adapter.
        """
        resolved = Settings.load(common.config).resolved(provider)
        self._output.object(resolved)
        for line in settings_lines(resolved):
            self._output.line(line)

    async def emulator(
        self,
        *,
        serving: ServeOptions = _SERVING,
        callbacks: CallbackOptions = _CALLBACKS,
        common: Common = _COMMON,
    ) -> None:
        """Serve an emulator of all providers until Ctrl-C. Prints a configuration that leads to it."""
        await serve_emulator(self._output, serving, callbacks)

    async def demo(
        self,
        prompt: str = "A cardboard train at night",
        /,
        *,
        options: RequestOptions = _ORDER,
        output: Annotated[Path, Parameter(name=("--output", "-o"))] = Path("demo.mp4"),
        provider: str = "dashscope",
        common: Common = _COMMON,
    ) -> None:
        """
        Make a video with an emulator on this machine: no key, no network, no money. It is a test picture.

        :param prompt: What is drawn into the picture.
        :param output: The file, or a folder.
        :param provider: Which one is emulated.
        """
        request = make_request(prompt, demo_options(options))
        await run_demo(self._output, request, provider=provider, target=output)


def _ref(text: str) -> TaskRef:
    try:
        return TaskRef.parse(text)
    except ValueError as error:
        raise InvalidRequestError(str(error)) from None
