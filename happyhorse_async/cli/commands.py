"""
The commands of `happyhorse`: their arguments and help.

The code of a command is loaded when it runs, so that `--help` and completion are quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cyclopts import App, Group, Parameter

from ..errors import InvalidRequestError
from .callback_cmd import callback_app
from .callback_options import CallbackOptions
from .emulator_options import ServeOptions
from .exit_codes import ExitCode
from .help import GROUPS, SUMMARY
from .make_commands import MakeCommands
from .options import Basic, Common
from .request_options import RequestOptions
from .serve_commands import ServeCommands
from .task_commands import TaskCommands

if TYPE_CHECKING:
    from .output import Output

_BASIC = Basic()
_COMMON = Common()
_REQUEST = RequestOptions()
_CALLBACKS = CallbackOptions()
_SERVING = ServeOptions()


def make_app(output: Output) -> App:
    """Make the command line application, which prints through *output*."""
    app = App(
        name="happyhorse",
        help=SUMMARY,
        # The help uses no Markdown, which is slow to load.
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


class Commands(MakeCommands, TaskCommands, ServeCommands):
    """All commands. See `CommandGroup`."""

    async def providers(
        self, *, check: bool = False, provider: str | None = None, common: Common = _COMMON
    ) -> ExitCode | None:
        """
        Show what the installed providers support, or check the configured accounts.

        :param check: Send a free request to each configured account, and report whether its key, region and address are
            valid. A refused key is also tried in the provider's other regions, unless there is a base_url.
        :param provider: With --check: only this section of the configuration, or without a file this adapter.
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
