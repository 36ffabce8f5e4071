"""Where a video goes: `--output`, checked before anything is paid."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

from attrs import frozen

from ..download.naming import file_name
from ..errors import ConfigurationError, InvalidRequestError
from ..task import TaskRef

_SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))
_STANDARD_OUTPUT = ("-", "/dev/stdout")


@frozen
class Target:
    """A file, a folder in which the video is named after its task, or the standard output."""

    text: str
    """As it was given."""
    keep: bool = False
    """Whether a file that exists is left alone."""

    @property
    def is_standard_output(self) -> bool:
        """Whether the video is written to the standard output."""
        return self.text in _STANDARD_OUTPUT

    @property
    def path(self) -> Path:
        """The file or folder."""
        return Path(self.text)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, or is to be one."""
        # Path.is_dir raises where no such file can be.
        return self.text.endswith(_SEPARATORS) or os.path.isdir(self.text)  # noqa: PTH112

    def file(self, ref: TaskRef) -> Path:
        """Return the file for the video of a task."""
        return self.path / file_name(ref.id) if self.is_folder else self.path

    def check(self, *, as_json: bool = False) -> None:
        """
        Make sure that a video can be written, and make the folder that ends in a slash.

        :raises ConfigurationError: it cannot be written, or exists and is to be kept.
        :raises InvalidRequestError: the standard output is a terminal, or is needed for JSON.
        """
        if self.is_standard_output:
            if as_json:
                raise InvalidRequestError("--output - and --json both need the standard output")
            if sys.__stdout__ is None:
                raise InvalidRequestError("--output -: the standard output is closed")
            if sys.stdout.isatty():
                raise InvalidRequestError("--output -: a video cannot be shown on a terminal; redirect it into a file")
            return
        if self.is_folder:
            check_folder(self.path, create=self.text.endswith(_SEPARATORS))
            return
        check_file(self.path, keep=self.keep)
        check_folder(self.path.parent, target=self.path)


def check_file(path: Path, *, keep: bool = False, where: str = "--output") -> None:
    """
    Make sure that *path* is free or a regular file: a device or a FIFO is never replaced.

    :param keep: whether a file that exists is to be left alone.
    :raises ConfigurationError: it is something else, or is to be left alone.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        behind = Path(os.path.realpath(path))
        if path.is_symlink() and not behind.parent.is_dir():
            raise ConfigurationError(
                f"{where} {path}: it is a link into the folder {behind.parent}, which does not exist"
            ) from None
        return
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"{where} {path}: it cannot be used: {reason}") from None
    if stat.S_ISDIR(mode):
        raise ConfigurationError(f"{where} {path}: this is a folder")
    if not stat.S_ISREG(mode):
        raise ConfigurationError(
            f"{where} {path}: this is a device or another special file, which is never replaced; "
            "--output - writes to the standard output"
        )
    if keep:
        raise ConfigurationError(f"{where} {path}: the file exists, and --no-clobber keeps it")


def check_folder(folder: Path, *, target: Path | None = None, create: bool = False) -> None:
    """
    Make sure that files can be put into *folder*, by making one that is gone at once.

    :param target: the file that --output names, if it names one.
    :param create: whether to make the folder.
    :raises ConfigurationError: there is no such folder, or no file can be made in it.
    """
    where = f"--output {target or folder}"
    if create:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{where}: the folder {folder} cannot be made: {error.strerror}") from None
    if not folder.is_dir():
        raise ConfigurationError(f"{where}: the folder {folder} does not exist")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigurationError(f"{where}: the folder {folder} cannot be written to: {error.strerror}") from None
