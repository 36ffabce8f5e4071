"""
File names for videos, made of ids that a provider chose.

A provider's id may be hostile: it may leave the folder, name a device, or be longer than any file system allows.
"""

from __future__ import annotations

import hashlib
import re

_UNSAFE = re.compile(r"[^a-z0-9._-]+", re.IGNORECASE | re.ASCII)
_LONGEST = 80
# The separator before a digest, which no plain id contains, so that names cannot collide.
_HAS_DIGEST = re.compile(r".*-[0-9a-f]{10}", re.DOTALL)
# Reserved in every folder, with any suffix: https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CLOCK$", "CONIN$", "CONOUT$"} | {
    f"{port}{number}" for port in ("COM", "LPT") for number in range(10)
}


def file_name(task_id: str) -> str:
    """
    Return the name of the file for the video of a task.

    Different ids have different names, also on file systems that ignore case. The name is safe in every folder of
    Linux, macOS and Windows.
    """
    name = _UNSAFE.sub("_", task_id)[:_LONGEST]
    if name[:1] in ("", ".", "-") or name.partition(".")[0].upper() in _DEVICES:
        name = f"_{name}"
    if name != task_id or name != name.lower() or _HAS_DIGEST.fullmatch(name):
        name = f"{name}-{hashlib.sha256(task_id.encode(errors='surrogatepass')).hexdigest()[:10]}"
    return f"{name}.mp4"
