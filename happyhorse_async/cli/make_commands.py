"""The commands that make videos: their arguments and help."""

from __future__ import annotations

from pathlib import Path

from .callback_options import CallbackOptions
from .command_group import CommandGroup
from .emulator_options import ServeOptions
from .exit_codes import ExitCode
from .options import Basic, Common, Folder, Key, Limit, Seconds
from .options import Output as Target
from .request_options import RequestOptions, make_request

_BASIC = Basic()
_COMMON = Common()
_REQUEST = RequestOptions()
_CALLBACKS = CallbackOptions()
_SERVING = ServeOptions()


class MakeCommands(CommandGroup):
    """Make videos. See `CommandGroup`."""

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
