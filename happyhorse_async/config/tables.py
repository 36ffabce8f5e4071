"""From a TOML file to attrs classes, or to one clear error with the file and the key. Knows none of the classes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_origin

from attrs import NOTHING, AttrsInstance, fields, has, resolve_types

from ..errors import ConfigurationError

T = TypeVar("T", bound=AttrsInstance)

FILE_NAME = "happyhorse.toml"
FILE_VARIABLE = "HAPPYHORSE_CONFIG"

_PROJECT_FILE = "pyproject.toml"

_KINDS: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "a table",
    list: "a list",
}


def find_table(path: str | os.PathLike[str] | None) -> tuple[Path | None, Mapping[str, Any]]:
    """
    Find the configuration and read it.

    :param path: the file; by default `HAPPYHORSE_CONFIG`, else the files of the current directory.
    :raises ConfigurationError: a named file does not exist, or what was found cannot be read.
    """
    named = path if path is not None else os.environ.get(FILE_VARIABLE) or None
    if named is not None:
        file = Path(named)
        table = _read_file(file)
        if table is None:
            raise ConfigurationError(f"{file}: there is no table [tool.happyhorse] in it")
        return file, table
    for file in (Path(FILE_NAME), Path(_PROJECT_FILE)):
        if file.exists() and (table := _read_file(file)) is not None:
            return file, table
    return None, {}


def _read_file(file: Path) -> Mapping[str, Any] | None:
    import tomllib  # noqa: PLC0415 - a program that configures itself reads no file

    try:
        document = tomllib.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"{file}: the configuration cannot be read: {error.strerror}") from None
    except ValueError as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise ConfigurationError(f"{file}: the configuration is not readable TOML: {reason}") from None
    if file.name != _PROJECT_FILE:
        return document
    tools = _table(document.get("tool", {}), f"{file}: tool")
    return _table(tools["happyhorse"], f"{file}: tool.happyhorse") if "happyhorse" in tools else None


def structure(cls: type[T], value: object, file: Path, path: str = "") -> T:
    """
    Build *cls* from a table of *file*.

    :param path: the dotted key of the table.
    :raises ConfigurationError: a key that *cls* does not have, one that it must have, or a value of the wrong type.
    """
    where = f"{file}: {path}" if path else str(file)
    attributes = [attribute for attribute in fields(resolve_types(cls)) if attribute.init]
    known = {attribute.name: attribute.type for attribute in attributes}
    values: dict[str, Any] = {}
    for key, item in _table(value, where).items():
        place = f"{path}.{key}" if path else key
        if key not in known:
            raise ConfigurationError(f"{file}: unknown key {place}; {choices(key, known)}")
        values[key] = _value(known[key], item, file, place)
    for attribute in attributes:
        if attribute.default is NOTHING and attribute.name not in values:
            raise ConfigurationError(f"{where}.{attribute.name} is missing")
    try:
        return cls(**values)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}.{error.message}") from None


def _value(kind: Any, value: object, file: Path, place: str) -> object:
    if get_origin(kind) is Mapping:
        inner = get_args(kind)[1]
        items = _table(value, f"{file}: {place}").items()
        return {key: _value(inner, item, file, f"{place}.{key}") for key, item in items}
    scalar = next((part for part in get_args(kind) if part is not NoneType), kind)
    if has(scalar):
        return structure(scalar, value, file, place)
    if scalar is Any:
        return value
    if scalar is Path:
        return _path(str(_value(str, value, file, place)), file, place)
    accepted = (int, float) if scalar is float else scalar
    if not isinstance(value, accepted) or (isinstance(value, bool) and scalar is not bool):
        raise ConfigurationError(f"{file}: {place}: expected {_KINDS[scalar]}, not {kind_of(value)}")
    return value


def _path(text: str, file: Path, place: str) -> Path:
    if not text.strip():
        raise ConfigurationError(f"{file}: {place} must name a file")
    # A relative path begins at the file that names it.
    return file.parent / Path(text).expanduser()


def _table(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: expected a table, not {kind_of(value)}")
    return cast("dict[str, object]", value)


def kind_of(value: object) -> str:
    """Say what *value* is, without showing it."""
    return "nothing" if value is None else _KINDS.get(type(value), f"a {type(value).__name__}")


def choices(name: str, known: Iterable[str]) -> str:
    """List *known*, after the one of them that *name* was perhaps meant to be."""
    from difflib import get_close_matches  # noqa: PLC0415 - for a mistake only

    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}known: {', '.join(names) or 'none'}"
