"""
Structures decoded TOML or JSON into attrs classes, or raises one sentence that names the key.

The engine is cattrs. Configuration files and lines of a batch file go through it, so that both are checked and worded
alike. It knows none of the classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_origin

from attrs import fields, has
from cattrs import BaseValidationError, Converter, ForbiddenExtraKeysError, transform_error
from cattrs.cols import (
    list_structure_factory,
    mapping_structure_factory,  # pyright: ignore[reportUnknownVariableType]
)
from cattrs.dispatch import StructureHook
from cattrs.gen import make_dict_structure_fn

from ..errors import ConfigurationError

T = TypeVar("T")

_KINDS: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "a table",
    list: "a list",
}
_PATH = "{path}"
_INDEX = re.compile(r"\['((?:[^'\\]|\\.)*)'\]")
# Messages of attrs.validators: 'interval' must be >= 0: -1
_QUOTED_FIELD = re.compile(r"^'(\w+)' ")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(\[\d{1,3}\])*")
_KEY_PREFIX = re.compile(r"(sk|pk|key|api|whsec|ak|akia|bearer|token)[-_]?(?=.{8})", re.IGNORECASE)
_LONGEST_NAME = 32
_MOST_DIGITS = 4


def structure(cls: type[T], value: object) -> T:
    """
    Build *cls* from a table.

    :raises ConfigurationError: an unknown key, a missing one, or a value of the wrong type. The sentence begins with
        the dotted key and quotes no value that could be a secret.
    """
    try:
        structured: T = _CONVERTER.structure(value, cls)
    except BaseValidationError as error:
        sentences = [_placed(text) for text in transform_error(error, path="$", format_exception=_sentence)]
        # A misspelt key is also a missing one: the misspelling explains both.
        raise ConfigurationError(min(sentences, key=lambda text: not text.startswith("unknown key"))) from None
    except (TypeError, ValueError) as error:
        raise ConfigurationError(_placed(f"{_sentence(error, None)} @ $")) from None
    return structured


def _sentence(error: BaseException, _: type | None) -> str:
    match error:
        case ForbiddenExtraKeysError():
            name = min(error.extra_fields)
            known = [attribute.name for attribute in fields(error.cl) if attribute.init]
            return f"unknown key {_PATH}.{quoted_name(name)}; {choices(name, known)}"
        case KeyError():
            return f"{_PATH} is missing"
        case ConfigurationError():
            # A message of a class validator begins with the name of the field.
            return f"{_PATH}.{error.message}"
        case TypeError():
            return f"{_PATH}: {error}"
        case _:
            of_a_field = _QUOTED_FIELD.sub(r"\1 ", str(error))
            return f"{_PATH}: {error}" if of_a_field == str(error) else f"{_PATH}.{of_a_field}"


def _placed(text: str) -> str:
    sentence, _, place = text.rpartition(" @ ")
    names = _INDEX.sub(r".\1", place).removeprefix("$").split(".")
    path = ".".join(quoted_name(name) for name in names if name)
    if path:
        return sentence.replace(_PATH, path)
    return sentence.replace(f"{_PATH}.", "").replace(f"{_PATH}: ", "").replace(f"{_PATH} ", "it ")


def _strictly(kind: type, *accepted: type) -> StructureHook:
    def check(value: Any, _: Any) -> Any:
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"expected {_KINDS[kind]}, not {kind_of(value)}")
        return value

    return check


def _to_path(value: Any, _: Any) -> Path:
    if not isinstance(value, str):
        raise TypeError(f"expected text, not {kind_of(value)}")
    return Path(value)


def _table(value: Any) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"expected a table, not {kind_of(value)}")
    return cast("dict[str, Any]", value)


def _class_hook(cls: Any) -> StructureHook:
    build = make_dict_structure_fn(cls, _CONVERTER, _cattrs_forbid_extra_keys=True)
    return lambda value, kind: build(_table(value), kind)


def _mapping_hook(cls: Any) -> StructureHook:
    # Unlike `Converter.gen_structure_mapping`, this does not register a hook without the check for the type.
    build: StructureHook = mapping_structure_factory(cls, _CONVERTER)
    return lambda value, kind: build(_table(value), kind)


def _list_hook(cls: Any) -> StructureHook:
    build = list_structure_factory(cls, _CONVERTER)

    def structure_list(value: Any, kind: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError(f"expected a list, not {kind_of(value)}")
        return build(value, kind)

    return structure_list


def _is_mapping(cls: Any) -> bool:
    return get_origin(cls) is Mapping


def _is_list(cls: Any) -> bool:
    return get_origin(cls) in (list, tuple)


def _is_literal(cls: Any) -> bool:
    return get_origin(cls) is Literal


_CONVERTER = Converter(forbid_extra_keys=True)
_CONVERTER.register_structure_hook(str, _strictly(str, str))
_CONVERTER.register_structure_hook(bool, _strictly(bool, bool))
_CONVERTER.register_structure_hook(int, _strictly(int, int))
_CONVERTER.register_structure_hook(float, _strictly(float, float, int))
_CONVERTER.register_structure_hook(Path, _to_path)
_CONVERTER.register_structure_hook_factory(has, _class_hook)
_CONVERTER.register_structure_hook_factory(_is_mapping, _mapping_hook)
_CONVERTER.register_structure_hook_factory(_is_list, _list_hook)
# Its class checks the values.
_CONVERTER.register_structure_hook_func(_is_literal, _strictly(str, str))


def kind_of(value: object) -> str:
    """Name the type of *value* without showing it."""
    return "nothing" if value is None else _KINDS.get(type(value), f"a {type(value).__name__}")


def looks_secret(text: str) -> bool:
    """Return whether *text* may be a key or another secret that was pasted into the wrong place."""
    digits = sum(character.isdigit() for character in text)
    return len(text) > _LONGEST_NAME or bool(_KEY_PREFIX.match(text)) or digits > _MOST_DIGITS


def quoted(text: str) -> str:
    """Quote *text* in an error, unless it may be a secret."""
    if looks_secret(text):
        return f"({len(text)} characters)"
    return repr(text)


def quoted_name(name: str) -> str:
    """Return the name of a key for an error, unless it may be a secret that was pasted as one."""
    return name if _NAME.fullmatch(name) and not looks_secret(name) else f"({len(name)} characters)"


def variable_name(name: str) -> str:
    """Return the name of an environment variable for an error, unless it may be a secret that was pasted as one."""
    # Many keys would pass for a name, but not for one in capitals.
    is_name = name.isupper() and ("_" in name or name.isalpha())
    return name if is_name and not looks_secret(name) else "that it names"


def choices(name: str, known: Iterable[str]) -> str:
    """List *known*, after the likely intended one."""
    from difflib import get_close_matches  # noqa: PLC0415 - for a mistake only

    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}known: {', '.join(names) or 'none'}"
