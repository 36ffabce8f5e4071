"""
Where a video is to be written, and whether it can be: a file, or a folder in which the file is named after the task.

Only a regular file is ever replaced. A device, a FIFO or a socket is not, or `-o /dev/null` would end as a video.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from ..errors import DownloadError
from .naming import file_name

StrPath = str | PathLike[str]

_SEPARATORS = tuple(separator for separator in (os.sep, os.altsep) if separator)
_OTHER_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def absolute(path: StrPath) -> str:
    """Return *path* as an absolute one, with the separator at its end if it has one: it says that this is a folder."""
    text = os.fspath(path)
    if not text:
        return text
    # `..` stays: behind a symbolic link it does not lead back to where the link is.
    full = str(Path(text).absolute())
    return os.path.join(full, "") if _names_folder(text) else full  # noqa: PTH118


def check_target(path: StrPath) -> None:
    """
    Refuse, before anything is paid or fetched, a *path* that no video can be written to. Changes nothing. Blocks.

    :param path: a file or a folder; one with a separator at its end is a folder, and need not exist.
    :raises DownloadError: something is there that is neither a regular file nor a folder, or its folder does not
        exist or cannot be written to.
    """
    text = os.fspath(path)
    try:
        if _is_folder(text):
            _check_folder(_existing_ancestor(Path(text)))
        else:
            _check_writable(find_target(Path(text)))
    except (OSError, ValueError) as error:
        refusal = cannot_write(text, error)
    else:
        return
    raise refusal


def target_path(path: StrPath, task_id: str) -> Path:
    """
    Return the file that *path* means: itself, or the one for the task in it where it is a folder. Blocks.

    A folder that *path* names by a separator at its end is made.

    :raises DownloadError: the folder cannot be made.
    """
    text = os.fspath(path)
    if not _is_folder(text):
        return Path(text)
    try:
        Path(text).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        refusal = cannot_write(text, error)
    else:
        return Path(text) / file_name(task_id)
    raise refusal


def find_target(path: Path) -> Path:
    """
    Return the file that is to be written for *path*: the one behind it where it is a symbolic link. Blocks.

    :raises DownloadError: something is there that is not a regular file.
    :raises OSError: no file can be there.
    """
    file = followed(path)
    check_replaceable(file)
    return file


def check_replaceable(file: Path) -> None:
    """
    Refuse to replace what is not a regular file. Blocks.

    :raises DownloadError: *file* is a device, a pipe, a socket or a folder.
    """
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _OTHER_KINDS if is_kind(mode)), "not a regular file")
        raise DownloadError(f"{file} is {kind}: only a regular file is replaced, and nothing is written there")


def _names_folder(text: str) -> bool:
    return text.endswith(_SEPARATORS) or os.path.basename(text) in (".", "..")  # noqa: PTH119


def _is_folder(text: str) -> bool:
    # Path.is_dir raises where no such file can be.
    return _names_folder(text) or os.path.isdir(text)  # noqa: PTH112


def followed(path: Path) -> Path:
    """Return the file behind *path* where it is a symbolic link to one. Blocks."""
    # What is behind a link of /dev or /proc, such as /dev/stdout, may have no path: it is judged through the link.
    if not path.is_symlink() or (path.exists() and not path.is_file()):
        return path
    return Path(os.path.realpath(path))


def _existing_ancestor(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _check_writable(file: Path) -> None:
    if not os.path.ismount(file):
        _check_folder(file.parent)
    elif not os.access(file, os.W_OK):
        # A single file that is mounted into a container is written in place, whatever its folder allows.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _check_folder(folder: Path) -> None:
    # Access rights do not tell: /proc grants all of them to root, and takes no files.
    with tempfile.TemporaryFile(dir=folder, prefix=".happyhorse-"):
        pass


def cannot_write(path: StrPath, error: OSError | ValueError) -> DownloadError:
    """Make the error that says why *path* cannot be written."""
    # A name with a NUL or half a character in it is a ValueError.
    reason = error.strerror if isinstance(error, OSError) else None
    return DownloadError(f"cannot write {path}: {reason or error}")
