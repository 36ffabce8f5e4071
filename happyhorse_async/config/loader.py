"""Find the configuration file and read it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from attrs import frozen

from ..errors import ConfigurationError
from .structuring import kind_of

FILE_NAME = "happyhorse.toml"
FILE_VARIABLE = "HAPPYHORSE_CONFIG"

_PROJECT_FILE = "pyproject.toml"
# A thousand times the size of a large configuration.
_LARGEST = 1024 * 1024


@frozen
class ConfigFile:
    """A configuration file and its content."""

    path: Path
    table: Mapping[str, Any]
    """Its content, or the table `[tool.happyhorse]` of a `pyproject.toml`."""
    found: bool
    """Whether it was found in the current directory, not named: it may come from a stranger."""


def find_file(path: str | os.PathLike[str] | None) -> ConfigFile | None:
    """
    Find the configuration and read it.

    :param path: the file; by default `HAPPYHORSE_CONFIG`, else the files of the current directory.
    :raises ConfigurationError: a named file does not exist, or the file cannot be read.
    """
    named = path if path is not None else os.environ.get(FILE_VARIABLE) or None
    if named is not None:
        file = Path(named)
        table = _read(file)
        if table is None:
            raise ConfigurationError(f"{file}: the file has no table [tool.happyhorse]")
        return ConfigFile(file, table, found=False)
    for file in (Path(FILE_NAME), Path(_PROJECT_FILE)):
        if file.exists() and (table := _read(file)) is not None:
            return ConfigFile(file, table, found=True)
    return None


def _read(file: Path) -> Mapping[str, Any] | None:
    import tomllib  # noqa: PLC0415 - a program that configures itself reads no file

    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"{file}: the configuration must be a regular file")
        if status.st_size > _LARGEST:
            raise ConfigurationError(f"{file}: the configuration is larger than 1 MiB")
        document = tomllib.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"{file}: the configuration cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ConfigurationError(f"{file}: the configuration is nested too deeply") from None
    except ValueError as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise ConfigurationError(f"{file}: the configuration is not readable TOML: {reason}") from None
    if file.name != _PROJECT_FILE:
        return document
    tools = _table(document.get("tool", {}), f"{file}: tool")
    return _table(tools["happyhorse"], f"{file}: tool.happyhorse") if "happyhorse" in tools else None


def _table(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: expected a table, not {kind_of(value)}")
    return cast("dict[str, Any]", value)
