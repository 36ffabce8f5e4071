"""The commands that run until they are stopped, and `demo`: their arguments and help."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from .callback_options import CallbackOptions
from .command_group import CommandGroup
from .emulator_options import ServeOptions
from .options import Basic, Common, Count, Folder, Port
from .request_options import RequestOptions, demo_options, make_request

_BASIC = Basic()
_COMMON = Common()
_REQUEST = RequestOptions()
_CALLBACKS = CallbackOptions()
_SERVING = ServeOptions()


class ServeCommands(CommandGroup):
    """Run a worker, the emulator or the studio. See `CommandGroup`."""

    async def worker(
        self,
        *,
        provider: tuple[str, ...] = (),
        concurrency: Count = None,
        health_port: Port = None,
        common: Common = _COMMON,
    ) -> None:
        """
        Send, poll and save the jobs that other processes have recorded, until SIGTERM or Ctrl-C.

        Start any number, with the same configuration and keys. Each takes queued jobs, and the jobs of dead processes.
        When stopped, it waits for a paid request in flight, and leaves the rest to the others.

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
        :param port: The port to listen on; 0 takes any free one.
        :param host: The address to listen on. With an address other than loopback, anyone who has the URL can use the
            studio.
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
