"""Images and videos as the command line and batch files name them: by URL, or by the path of a file."""

from __future__ import annotations

import re
from pathlib import Path

_URL = re.compile(r"data:|[A-Za-z][A-Za-z0-9+.-]*://", re.IGNORECASE)


def read_medium(text: str, folder: Path | None = None) -> str | Path:
    """
    Return *text* if it is a URL or a `data:` URI, and otherwise the path that it is.

    :param folder: what a relative path is relative to; by default the current directory.
    """
    if not text or _URL.match(text):
        return text
    path = Path(text).expanduser()
    return path if folder is None else folder / path
