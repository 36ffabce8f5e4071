"""
Finds and checks the file to write: the target itself, or a file named after the task in a folder.

Only a regular file is ever replaced, never a device, a FIFO or a socket: `-o /dev/null` must not become a video.
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
    """Return *path* as absolute, keeping a trailing separator, which marks a folder."""
    text = os.fspath(path)
    if not text:
        return text
    # `..` is kept: after a symbolic link it does not lead back to the folder of the link.
    full = str(Path(text).absolute())
    return os.path.join(full, "") if _names_folder(text) else full  # noqa: PTH118


def check_target(path: StrPath) -> None:
    """
    Refuse a *path* that no video can be written to, before anything is paid or fetched. Changes nothing. Blocks.

    :param path: a file or a folder; with a trailing separator it is a folder, and need not exist.
    :raises DownloadError: it is neither a regular file nor a folder, or its folder does not exist or cannot be written
        to.
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
    Return the file for *path*: itself, or the task's file in it if it is a folder. Blocks.

    A *path* with a trailing separator is created as a folder.

    :raises DownloadError: the folder cannot be created.
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
    Return the file to write for *path*, symbolic links followed. Blocks.

    :raises DownloadError: it exists and is not a regular file.
    :raises OSError: the path is impossible.
    """
    file = followed(path)
    check_replaceable(file)
    return file


def check_replaceable(file: Path) -> None:
    """
    Refuse to replace anything but a regular file. Blocks.

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
    # Path.is_dir raises for impossible paths.
    return _names_folder(text) or os.path.isdir(text)  # noqa: PTH112


def followed(path: Path) -> Path:
    """Return *path* with symbolic links to files followed. Blocks."""
    # The target of a link in /dev or /proc, such as /dev/stdout, may have no path: it is checked through the link.
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
        # A single file mounted into a container is written in place, even if its folder is read-only.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _check_folder(folder: Path) -> None:
    # Access rights are not enough: /proc grants all of them to root, but accepts no files.
    with tempfile.TemporaryFile(dir=folder, prefix=".happyhorse-"):
        pass


def cannot_write(path: StrPath, error: OSError | ValueError) -> DownloadError:
    """Return the error that says why *path* cannot be written."""
    # A name with a NUL or a lone surrogate is a ValueError.
    reason = error.strerror if isinstance(error, OSError) else None
    return DownloadError(f"cannot write {path}: {reason or error}")
