"""
From decoded JSON to typed wire objects, or to one clear error with the path of the field.

Providers write numbers as strings, integers as floats, and leave out fields that they call required. A value that can
be read without loss is read. Declare a field `Lax` if the task can be understood without it (a size, a timestamp): it
becomes `None` if it cannot be read, because a paid video is worth more than its metadata. Any other field that cannot
be read is named in an `InvalidResponseError`.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, TypeAlias, TypeVar, get_args, get_origin

from attrs import has
from cattrs import BaseConverter, BaseValidationError, Converter, transform_error
from cattrs.cols import is_sequence, list_structure_factory
from cattrs.dispatch import StructureHook
from cattrs.gen import make_dict_structure_fn

from ..errors import InvalidResponseError

T = TypeVar("T")

_LAX = "lax"
_PERCENT = "percent"

Lax: TypeAlias = Annotated[T | None, _LAX]
"""`Lax[float]` is a float, or `None` if it is missing, null or cannot be read as one."""

Percent: TypeAlias = Annotated[float | None, _PERCENT]
"""A progress from 0 to 100, also written `"45%"`; `None` if it is missing, out of range or cannot be read."""


def structure(value: object, cls: type[T], *, root: str = "") -> T:
    """
    Build the wire object *cls* from decoded JSON.

    :param root: the path of *value* in the whole answer, for the error.
    :raises InvalidResponseError: a field that matters is missing or cannot be read; `path` names it.
    """
    try:
        structured: T = _CONVERTER.get_structure_hook(cls)(value, cls)
    except BaseValidationError as error:
        problem = transform_error(error, path="$", format_exception=_describe)[0]
        sentence, _, place = problem.rpartition(" @ ")
    except (TypeError, ValueError) as error:
        sentence, place = _describe(error, cls), "$"
    else:
        return structured
    path = ".".join(part for part in (root, place.removeprefix("$").removeprefix(".")) if part)
    raise InvalidResponseError(f"the answer cannot be understood: {sentence}", path=path)


def _describe(error: BaseException, _: type | None) -> str:
    if isinstance(error, KeyError):
        return "required field missing"
    return str(error)[:200]


def _to_str(value: object, _: object) -> str:
    if type(value) is str:
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"expected text, got {_kind(value)}")
    return str(value)


def _to_int(value: object, _: object) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"expected a whole number, got {_kind(value)}")
    with suppress(ValueError):
        # By way of a float, a large one would lose its last digits.
        value = int(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return value
    number = float(value)
    if not number.is_integer():
        raise ValueError("expected a whole number, got a fraction")
    return int(number)


def _to_float(value: object, _: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"expected a number, got {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("expected a number, got none that is finite")
    return number


def _to_bool(value: object, _: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise TypeError(f"expected true or false, got {_kind(value)}")


def _to_mapping(value: object, _: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {_kind(value)}")
    return value  # pyright: ignore[reportUnknownVariableType]


_KINDS: dict[type, str] = {
    type(None): "nothing",
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "text",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "something else")


def _is_lax(cls: object) -> bool:
    return get_origin(cls) is Annotated and _LAX in get_args(cls)[1:]


def _is_percent(cls: object) -> bool:
    return get_origin(cls) is Annotated and _PERCENT in get_args(cls)[1:]


def _to_percent(value: object, _: object) -> float | None:
    try:
        number = _to_float(value.strip().removesuffix("%") if isinstance(value, str) else value, float)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number <= 100 else None


def _is_anything(cls: object) -> bool:
    return cls is object


def _to_anything(value: object, _: object) -> object:
    return value


def _is_mapping(cls: object) -> bool:
    return get_origin(cls) is Mapping


def _strict_list(cls: Any, converter: BaseConverter) -> StructureHook:
    inner = list_structure_factory(cls, converter)

    def to_list(value: object, cls: Any) -> object:
        if not isinstance(value, list):
            raise TypeError(f"expected a list, got {_kind(value)}")
        return inner(value, cls)

    return to_list


def _strict_object(cls: Any, converter: BaseConverter) -> StructureHook:
    inner = make_dict_structure_fn(cls, converter)

    def to_object(value: object, cls: Any) -> object:
        return inner(_to_mapping(value, cls), cls)

    return to_object


def _lax(cls: Any, converter: BaseConverter) -> StructureHook:
    union = get_args(cls)[0]
    wanted = next(part for part in get_args(union) if part is not types.NoneType)
    inner = converter.get_structure_hook(wanted)

    def to_lax(value: object, _: object) -> object:
        if value is None:
            return None
        try:
            return inner(value, wanted)
        except (BaseValidationError, TypeError, ValueError):
            return None

    return to_lax


def _wire_converter() -> Converter:
    converter = Converter(detailed_validation=True)
    converter.register_structure_hook(str, _to_str)
    converter.register_structure_hook(int, _to_int)
    converter.register_structure_hook(float, _to_float)
    converter.register_structure_hook(bool, _to_bool)
    converter.register_structure_hook_func(_is_anything, _to_anything)
    converter.register_structure_hook_func(_is_mapping, _to_mapping)
    converter.register_structure_hook_func(_is_percent, _to_percent)
    converter.register_structure_hook_factory(_is_lax, _lax)
    converter.register_structure_hook_factory(is_sequence, _strict_list)
    converter.register_structure_hook_factory(has, _strict_object)
    return converter


_CONVERTER = _wire_converter()
