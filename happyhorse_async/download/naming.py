"""
File names for videos, made of ids that a provider chose.

A provider may be careless or worse: its id may climb out of the folder, name a device, or be longer than any file
system takes.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 80
# Reserved in every folder, with any suffix: https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_DEVICES = {"CON", "PRN", "AUX", "NUL"} | {f"{port}{number}" for port in ("COM", "LPT") for number in range(10)}


def file_name(task_id: str) -> str:
    """Return the name of the file for the video of a task. Different ids have different names."""
    name = _UNSAFE.sub("_", task_id)[:_LONGEST]
    if name[:1] in (".", "-") or name.partition(".")[0].upper() in _DEVICES:
        name = f"_{name}"
    if name != task_id:
        name = f"{name}-{hashlib.sha256(task_id.encode(errors='surrogatepass')).hexdigest()[:8]}"
    return f"{name}.mp4"


def place_for(path: Path, task_id: str) -> Path:
    """Return the file that *path* means: itself, or the one for the task in it where it is a folder. Blocks."""
    # Path.is_dir raises where no such file can be.
    return path / file_name(task_id) if os.path.isdir(path) else path  # noqa: PTH112
