"""The base of all command groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import App

from .options import Common

if TYPE_CHECKING:
    from .output import Output
    from .session import Session


class CommandGroup:
    """Commands that belong together. Each public method is a command, and its docstring the command's help."""

    def __init__(self, app: App, output: Output) -> None:
        self._app = app
        self._output = output

    def _session(self, common: Common, *, pays: bool = False) -> Session:
        from .session import Session  # noqa: PLC0415

        return Session(common, pays=pays)
