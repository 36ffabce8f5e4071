"""The default journal of the command line, used if the configuration has no `[store]`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..errors import ConfigurationError


def journal_file(config: Path | None) -> Path:
    """
    Return the file of the journal in the user's state folder: one for each configuration file, by its path, and one for
    runs without any. Creates nothing.
    """
    name = "jobs.sqlite"
    if config is not None:
        digest = hashlib.sha256(str(config.resolve()).encode(errors="surrogateescape")).hexdigest()
        name = f"jobs-{digest[:16]}.sqlite"
    return state_folder() / name


def state_folder() -> Path:
    """Return the user's state folder for the command line. Creates nothing."""
    from platformdirs import user_state_path  # noqa: PLC0415 - only commands that work with jobs need it

    return user_state_path("happyhorse", appauthor=False)


def make_folder(journal: Path) -> None:
    """
    Make the folder of *journal*, readable only by the user: it holds prompts and signed URLs.

    :raises ConfigurationError: it cannot be made.
    """
    try:
        journal.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the folder {journal.parent} for the journal cannot be made: {error.strerror}. Without a journal, a run "
            "that is repeated pays again: set XDG_STATE_HOME or path in [store], or choose to go without: --no-store"
        ) from None
