"""Images and videos on the command line and in batch files: a URL, or the path of a file."""

from __future__ import annotations

import re
from pathlib import Path

_URL = re.compile(r"data:|[A-Za-z][A-Za-z0-9+.-]*://", re.IGNORECASE)


def read_medium(text: str, folder: Path | None = None) -> str | Path:
    """
    Return *text* if it is a URL or a `data:` URI, otherwise as a path.

    :param folder: the base of relative paths; by default the current directory.
    """
    if not text or _URL.match(text):
        return text
    path = Path(text).expanduser()
    return path if folder is None else folder / path
