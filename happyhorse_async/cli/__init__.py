"""The `happyhorse` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .arguments import asks_for_help, normalized

_EXTRA = ("cyclopts", "platformdirs", "rich")
# As in `ExitCode`, whose module may be slow to import, or fail.
_BAD_INPUT = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command, and return its exit code.

    :param arguments: by default those of the process.
    """
    words = normalized(sys.argv[1:] if arguments is None else arguments)
    if asks_for_help(words):
        from .help import help_lines  # noqa: PLC0415

        sys.stdout.writelines(f"{line}\n" for line in help_lines())
        return 0
    if words == ["--version"]:
        from importlib.metadata import version  # noqa: PLC0415

        sys.stdout.write(f"{version('happyhorse-async')}\n")
        return 0
    try:
        from .app import run  # noqa: PLC0415 - what it needs may not be installed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write('the command needs further packages: pip install "happyhorse-async[cli]"\n')
        return _BAD_INPUT
    except KeyboardInterrupt:
        return _INTERRUPTED
    return run(words)
