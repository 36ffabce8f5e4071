"""Progress bars on a terminal."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)


def make_progress(*columns: str) -> Progress:
    """Make a bar on the standard error that disappears at its end, with *columns* of `bytes`, `count`, `elapsed`."""
    known: dict[str, type[ProgressColumn]] = {
        "bytes": DownloadColumn,
        "count": MofNCompleteColumn,
        "elapsed": TimeElapsedColumn,
    }
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *(known[name]() for name in columns),
        console=Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True),
        transient=True,
        # Text that is printed meanwhile stays above the bar; a pipe gets it unchanged.
        redirect_stdout=sys.stdout.isatty(),
    )
