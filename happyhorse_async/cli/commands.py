"""
The commands of `happyhorse`: their arguments and help.

What a command does is loaded when it runs, so that `--help` and completion are quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Group, Parameter

from ..errors import InvalidRequestError
from .callback_cmd import callback_app
from .callback_options import CallbackOptions
from .emulator_options import ServeOptions
from .exit_codes import ExitCode
from .help import GROUPS, SUMMARY
from .options import Basic, Common, Count, Folder, Key, Limit, Port, Seconds
from .options import Output as Target
from .request_options import RequestOptions, demo_options, make_request

if TYPE_CHECKING:
    from .output import Output
    from .session import Session

_BASIC = Basic()
_COMMON = Common()
_REQUEST = RequestOptions()
_CALLBACKS = CallbackOptions()
_SERVING = ServeOptions()


def make_app(output: Output) -> App:
    """Make the command line that prints through *output*."""
    app = App(
        name="happyhorse",
        help=SUMMARY,
        # Markdown is not used in the help, and takes long to load.
        help_format="plaintext",
        default_parameter=Parameter(negative=(), show_default=False),
        result_action="return_value",
        version_flags=(),
    )
    commands = Commands(app, output)
    for number, (title, members) in enumerate(GROUPS.items()):
        group = Group(title, sort_key=number)
        for name in members:
            command = getattr(commands, name, None)
            if command is not None:
                app.command(command, group=group)
    app.command(callback_app(output))
    app.command(commands.install_completion, name="--install-completion")
    return app


class Commands:
    """Each public method is a command, and its docstring the command's help."""

    def __init__(self, app: App, output: Output) -> None:
        self._app = app
        self._output = output

    async def generate(
        self,
        prompt: str | None = None,
        /,
        *,
        options: RequestOptions = _REQUEST,
        output: Target = None,
        no_clobber: bool = False,
        timeout: Seconds = None,
        key: Key = None,
        provider: str | None = None,
        common: Common = _COMMON,
    ) -> None:
        """
        Submit a request, wait for the video and download it. Prints the path of the file.

        :param prompt: Describe the video. Put it in quotes.
        :param output: The file, a folder (the video is named after the task; the default is the current folder), or -
            for the standard output.
        :param no_clobber: Fail before anything is sent if the file exists. By default it is replaced.
        :param timeout: Stop waiting after this many seconds; the task keeps running.
        :param key: Your own name for the job. The same key and request are the same task, and paid once.
        :param provider: The section of the configuration, or without a file an adapter.
        """
        from .generate import JobRunner  # noqa: PLC0415 - as the module says
        from .target import Target  # noqa: PLC0415

        request = make_request(prompt, options)
        session = self._session(common, pays=True)
        job = JobRunner(self._output, session, target=Target(output or ".", keep=no_clobber), key=key)
        async with job.opened(session.client(provider, recover=True)) as client:
            handle = await job.submit(client, request)
            await job.save(client, await job.follow(handle, timeout))

    async def submit(
        self,
        prompt: str | None = None,
        /,
        *,
        options: RequestOptions = _REQUEST,
        key: Key = None,
        provider: str | None = None,
        common: Common = _COMMON,
    ) -> None:
        """
        Submit a request without waiting for the video. Prints the ref of the task.

        :param prompt: Describe the video. Put it in quotes.
        :param key: Your own name for the job. The same key and request are the same task, and paid once.
        :param provider: The section of the configuration, or without a file an adapter.
        """
        from .generate import JobRunner  # noqa: PLC0415

        request = make_request(prompt, options)
        session = self._session(common, pays=True)
        job = JobRunner(self._output, session, key=key)
        async with job.opened(session.client(provider, recover=True)) as client:
            handle = await job.submit(client, request)
            self._output.line(str(handle.ref))

    def plan(
        self,
        prompt: str | None = None,
        /,
        *,
        options: RequestOptions = _REQUEST,
        provider: str | None = None,
        common: Common = _COMMON,
    ) -> None:
        """
        Show what would be sent for a request, to whom and for how much. Sends nothing; secrets are masked.

        :param prompt: Describe the video. Put it in quotes.
        :param provider: The section of the configuration, or without a file an adapter.
        """
        from .plan import show_plan  # noqa: PLC0415

        show_plan(self._output, self._session(common), make_request(prompt, options), provider)

    async def batch(
        self,
        file: Path,
        /,
        *,
        output: Folder = None,
        no_clobber: bool = False,
        limit: Limit = 1000,
        provider: str | None = None,
        common: Common = _COMMON,
    ) -> ExitCode:
        """
        Make the videos of a JSONL file. Prints the path of each; run again, it continues and pays nothing twice.

        Each line is a JSON object with the fields of a request, and optionally mode, provider, key and output.

        :param file: The file with one JSON object per line.
        :param output: The folder for the videos, by default the current one. Each is named after its task, unless its
            line has an output.
        :param no_clobber: Fail before anything is sent if the output of a line exists and is not its own video.
        :param limit: How many are in flight at once.
        :param provider: For lines that name none: the section of the configuration, or without a file an adapter.
        """
        from .batch import BatchRunner  # noqa: PLC0415

        runner = BatchRunner(
            self._output,
            self._session(common, pays=True),
            file=file,
            folder=Path() if output is None else output,
            limit=limit,
            keep=no_clobber,
        )
        return await runner.run(provider)

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
        Wait for what earlier runs have submitted, and download it. Submits nothing.

        :param tasks: Refs and job ids. Without any, every pending job in the journal.
        :param output: The folder for the videos, which are named after their tasks; by default the current one.
        :param timeout: Stop waiting after this many seconds; tasks keep running.
        :param provider: Whose pending jobs: the section of the configuration.
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
        Resolve a job whose submit has an unknown outcome. Without an option, show it and the tasks that may be its own.

        :param job: The job id that was printed (hh-…).
        :param adopt: Its task has this id or ref.
        :param write_off: There is no task, or it is not wanted. The key of the job is free again.
        :param not_billed: With --write-off: the provider has not billed it. Its money is free for the budget again.
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

        :param limit: How many at most.
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
        Show what the jobs in the journal have cost, by day (UTC), provider and model. Sends no request.

        Amounts are what the provider has billed, and list prices of what it has not told.

        :param provider: Only those of this section of the configuration.
        """
        from .costs import show_costs  # noqa: PLC0415

        await show_costs(self._output, self._session(common), provider)

    async def providers(
        self, *, check: bool = False, provider: str | None = None, common: Common = _COMMON
    ) -> ExitCode | None:
        """
        Show what the installed providers support, or check the configured accounts.

        :param check: Ask each configured account something free, and tell whether its key, region and address are
            right. A refused key is also tried in the provider's other regions, unless there is a base_url.
        :param provider: With --check, this section of the configuration alone, or without a file this adapter.
        """
        from .lists import list_providers  # noqa: PLC0415

        if check:
            from .check import check_providers  # noqa: PLC0415

            return await check_providers(self._output, self._session(common).settings, provider)
        if provider is not None:
            raise InvalidRequestError("--provider needs --check")
        list_providers(self._output)
        return None

    def config(self, *, provider: str | None = None, common: Common = _COMMON) -> None:
        """
        Show the effective configuration, the journal, and the source of each secret.

        :param provider: The section of the configuration, or without a file an adapter.
        """
        from .render import settings_lines  # noqa: PLC0415

        session = self._session(common)
        resolved = session.settings.resolved(provider)
        resolved["journal"] = session.journal_name
        self._output.object(resolved)
        for line in settings_lines(resolved):
            self._output.line(line)

    async def worker(
        self,
        *,
        provider: tuple[str, ...] = (),
        concurrency: Count = None,
        health_port: Port = None,
        common: Common = _COMMON,
    ) -> None:
        """
        Send, poll and save what other processes have written down, until SIGTERM or Ctrl-C.

        Start any number, with the same configuration and keys. Each takes what is queued, and what a dead process has
        left. Told to stop, it waits for a paid request that is on its way, and leaves the rest to the others.

        :param provider: Take only the jobs of this section of the configuration. May be given several times.
        :param concurrency: How many jobs it has at a time; by default as many as the limits allow.
        :param health_port: Answer health checks on this port: 200 while it works, otherwise 503, with a JSON object.
        """
        from .worker import Worker  # noqa: PLC0415

        worker = Worker(
            self._output, self._session(common, pays=True), concurrency=concurrency, health_port=health_port
        )
        await worker.run(provider)

    async def emulator(
        self,
        *,
        serving: ServeOptions = _SERVING,
        callbacks: CallbackOptions = _CALLBACKS,
        basic: Basic = _BASIC,
    ) -> None:
        """Emulate all providers until Ctrl-C. Prints a configuration for clients, to be saved as happyhorse.toml."""
        from .emulator_cmd import serve_emulator  # noqa: PLC0415

        await serve_emulator(self._output, serving, callbacks)

    async def studio(
        self,
        *,
        output: Folder = None,
        port: Annotated[int, Parameter(show_default=True)] = 8765,
        host: Annotated[str, Parameter(show_default=True)] = "127.0.0.1",
        browser: Annotated[bool, Parameter(negative="--no-browser")] = True,
        provider: str | None = None,
        common: Common = _COMMON,
    ) -> None:
        """
        Make and watch videos on a web page on this machine. Without a configured account it runs on an emulator.

        :param output: The folder for the videos.
        :param port: The port to listen on; 0 takes any that is free.
        :param host: The address to listen on. Another one than this machine's own lets others in who have the URL.
        :param browser: Open the page in the browser.
        :param provider: The account for new videos.
        """
        from .studio_cmd import StudioOptions, run_studio  # noqa: PLC0415

        options = StudioOptions(host=host, port=port, output=output, browser=browser)
        await run_studio(self._output, self._session(common, pays=True), options, provider)

    async def demo(
        self,
        prompt: str = "A cardboard train at night",
        /,
        *,
        options: RequestOptions = _REQUEST,
        output: Annotated[str, Parameter(name=("--output", "-o"), show_default=True)] = "demo.mp4",
        no_clobber: bool = False,
        provider: Annotated[str, Parameter(show_default=True)] = "dashscope",
        basic: Basic = _BASIC,
    ) -> None:
        """
        Make a test video with an emulator on this machine: no key, no network, no money.

        :param prompt: The text in the picture.
        :param output: The file, a folder, or - for the standard output.
        :param no_clobber: Fail if the file exists. By default it is replaced.
        :param provider: The provider to emulate.
        """
        from .emulator_cmd import run_demo  # noqa: PLC0415
        from .target import Target  # noqa: PLC0415

        request = make_request(prompt, demo_options(options))
        await run_demo(self._output, request, provider=provider, target=Target(output, keep=no_clobber))

    def install_completion(self, *, shell: Literal["bash", "zsh", "fish"] | None = None) -> ExitCode | None:
        """
        Install completion for a shell, by default the one that runs the command.

        :param shell: The shell.
        """
        from cyclopts.completion.detect import ShellDetectionError, detect_shell  # noqa: PLC0415

        try:
            path = self._app.install_completion(shell=shell or detect_shell())
        except ShellDetectionError:
            self._output.failure("UsageError", "the shell is not known: --install-completion --shell bash, zsh or fish")
            return ExitCode.BAD_INPUT
        except OSError as error:
            self._output.failure("OSError", f"the completion cannot be written: {error}")
            return ExitCode.BAD_INPUT
        self._output.line(str(path))
        self._output.note("restart the shell to use the completion")
        return None

    def _session(self, common: Common, *, pays: bool = False) -> Session:
        from .session import Session  # noqa: PLC0415

        return Session(common, pays=pays)
