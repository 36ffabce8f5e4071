"""The `happyhorse` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_EXTRA = ("cyclopts", "rich")
# As in `ExitCode`, which stands behind imports that may take long or fail.
_BAD_INPUT = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command, and return its exit code.

    :param arguments: by default those of the process.
    """
    try:
        from .app import run  # noqa: PLC0415 - what it needs may not be installed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write('the command needs two more packages: pip install "happyhorse-async[cli]"\n')
        return _BAD_INPUT
    except KeyboardInterrupt:
        return _INTERRUPTED
    return run(sys.argv[1:] if arguments is None else arguments)
